//! How long a source may stay silent before it counts as stalled: learned from the gaps between its frames.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How long the first frame may take: programs start, cameras find their exposure, streams wait for a key frame.
const FIRST_FRAME: Duration = Duration::from_secs(10);
/// How long each further one may take at least.
const LEAST: Duration = Duration::from_secs(2);
/// However slow the source was.
const MOST: Duration = Duration::from_secs(60);
/// Fewer gaps than these show no pace: a source may send its frames in bursts.
const LEARNING: usize = 8;
/// Gaps that are remembered. Servers send up to some seconds of video in one burst.
const REMEMBERED: usize = 256;
/// How many times the longest gap may pass before the next frame.
const FACTOR: u32 = 3;

/// The gaps between the latest frames of a source.
#[derive(Debug, Default)]
pub(super) struct Patience {
    gaps: VecDeque<Duration>,
    /// When the last frame was captured, if the source has given one since it was opened.
    last: Option<Instant>,
}

impl Patience {
    /// A frame has come.
    pub(super) fn frame(&mut self, captured: Instant) {
        if let Some(last) = self.last.replace(captured) {
            self.remember(captured.saturating_duration_since(last));
        }
    }

    /// The source was closed; what is opened in its place may take its time for the first frame.
    pub(super) fn closed(&mut self) {
        self.last = None;
    }

    /// The source was closed because it was silent for too long. If that is how it sends, it is known from now on.
    pub(super) fn stalled(&mut self, waited: Duration) {
        if self.last.is_some() {
            self.remember(waited);
        }
        self.closed();
    }

    /// How long the next frame may take.
    pub(super) fn limit(&self) -> Duration {
        let longest = self.gaps.iter().max().copied().unwrap_or_default();
        let learned = longest.saturating_mul(FACTOR).clamp(LEAST, MOST);
        let is_known = self.last.is_some() && self.gaps.len() >= LEARNING;
        if is_known { learned } else { learned.max(FIRST_FRAME) }
    }

    fn remember(&mut self, gap: Duration) {
        if self.gaps.len() >= REMEMBERED {
            self.gaps.pop_front();
        }
        self.gaps.push_back(gap);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const FRAME: Duration = Duration::from_millis(33);

    /// A source whose frames follow each other after these gaps.
    fn after(gaps: impl IntoIterator<Item = Duration>) -> Patience {
        let mut patience = Patience::default();
        let mut now = Instant::now();
        patience.frame(now);
        for gap in gaps {
            now += gap;
            patience.frame(now);
        }
        patience
    }

    #[test]
    fn a_bursty_source_is_not_declared_stalled() {
        // Two frames, then five seconds of silence, from the first frame on.
        let bursts = [FRAME, 5 * SECOND].into_iter().cycle();
        for count in 0..600 {
            let patience = after(bursts.clone().take(count));
            assert!(patience.limit() > 5 * SECOND, "after {count} gaps: {:?}", patience.limit());
        }
        // A second of video at a time.
        let long = std::iter::repeat_n(FRAME, 30).chain([5 * SECOND]).cycle();
        for count in 31..600 {
            let patience = after(long.clone().take(count));
            assert!(patience.limit() > 5 * SECOND, "after {count} gaps: {:?}", patience.limit());
        }
    }

    #[test]
    fn a_steady_source_is_given_two_seconds_or_three_frames() {
        assert_eq!(after([FRAME; 20]).limit(), 2 * SECOND);
        assert_eq!(after([SECOND; 20]).limit(), 3 * SECOND);
        assert_eq!(after([100 * SECOND; 20]).limit(), 60 * SECOND);
        // An old gap is forgotten in the end.
        let once = std::iter::once(5 * SECOND).chain(std::iter::repeat_n(FRAME, REMEMBERED));
        assert_eq!(after(once).limit(), 2 * SECOND);
    }

    #[test]
    fn a_pace_that_is_not_known_yet_is_waited_for_as_the_first_frame_is() {
        assert_eq!(Patience::default().limit(), FIRST_FRAME);
        assert_eq!(after([]).limit(), FIRST_FRAME);
        assert_eq!(after([FRAME; LEARNING - 1]).limit(), FIRST_FRAME);
        let mut opened_again = after([FRAME; 20]);
        opened_again.closed();
        assert_eq!(opened_again.limit(), FIRST_FRAME);
    }

    #[test]
    fn a_silence_that_was_taken_for_a_stall_is_survived_the_next_time() {
        let mut patience = after([FRAME; 40]);
        patience.stalled(patience.limit());
        let begun = Instant::now();
        for number in 0..40u32 {
            patience.frame(begun + number * FRAME);
        }
        assert_eq!(patience.limit(), 6 * SECOND);
    }
}
