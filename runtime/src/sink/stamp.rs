//! Moments of the wall clock, in UTC: in names of files and in records.

use std::time::{SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;

const NANOSECONDS_A_MILLISECOND: i128 = 1_000_000;

/// A moment to the millisecond. A clock that stands before 1970 or after 9999 counts as 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Stamp {
    /// Milliseconds since 1970.
    milliseconds: u64,
}

impl Stamp {
    /// The moment as a stamp.
    pub(super) fn of(moment: SystemTime) -> Self {
        let since = moment.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { milliseconds: u64::try_from(since.as_millis()).unwrap_or(u64::MAX) }
    }

    /// A millisecond later.
    pub(super) fn next(self) -> Self {
        Self { milliseconds: self.milliseconds.saturating_add(1) }
    }

    /// `20261123T155503.123Z`: without colons, which some file systems refuse, and sorted as the moments are.
    pub(super) fn file_stem(self) -> String {
        let (year, month, day, hour, minute, second, millisecond) = self.parts();
        format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}.{millisecond:03}Z")
    }

    /// `2026-11-23T15:55:03.123Z`, as RFC 3339 has it.
    pub(super) fn rfc3339(self) -> String {
        let (year, month, day, hour, minute, second, millisecond) = self.parts();
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millisecond:03}Z")
    }

    fn parts(self) -> (i32, u8, u8, u8, u8, u8, u16) {
        let nanoseconds = i128::from(self.milliseconds) * NANOSECONDS_A_MILLISECOND;
        let moment = OffsetDateTime::from_unix_timestamp_nanos(nanoseconds)
            .ok()
            .filter(|moment| moment.year() <= 9999)
            .unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let (year, month, day) = moment.to_calendar_date();
        let (hour, minute, second, millisecond) = moment.to_hms_milli();
        (year, u8::from(month), day, hour, minute, second, millisecond)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn moments_have_their_dates() {
        let stamp = |milliseconds| Stamp::of(UNIX_EPOCH + Duration::from_millis(milliseconds));
        assert_eq!(stamp(1_795_449_303_123).file_stem(), "20261123T155503.123Z");
        assert_eq!(stamp(1_795_449_303_123).rfc3339(), "2026-11-23T15:55:03.123Z");
        assert_eq!(stamp(1_709_251_199_007).rfc3339(), "2024-02-29T23:59:59.007Z");
        assert_eq!(stamp(1_709_251_199_999).next().rfc3339(), "2024-03-01T00:00:00.000Z");
    }

    #[test]
    fn a_clock_that_is_far_off_stops_nothing() {
        assert_eq!(Stamp::of(UNIX_EPOCH - Duration::from_secs(5)).rfc3339(), "1970-01-01T00:00:00.000Z");
        let far = Stamp { milliseconds: u64::MAX };
        assert_eq!(far.next().file_stem(), "19700101T000000.000Z");
    }
}
