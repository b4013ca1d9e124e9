//! Values as they are typed, and what is wrong with those that are not understood.

use std::time::Duration;

/// A number from 0 to 1.
pub(super) fn ratio(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(ratio) if (0.0..=1.0).contains(&ratio) => Ok(ratio),
        _ => Err("it is not a number from 0 to 1".into()),
    }
}

/// `10s`, `500ms`, `5m`, `2h`; a number alone is seconds.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let seconds = match text.get(digits.len()..) {
        Some("ms") => 0.001,
        Some("" | "s") => 1.0,
        Some("m") => 60.0,
        Some("h") => 3600.0,
        _ => return Err("its unit is not one of ms, s, m, h".into()),
    };
    let number: f64 = digits.parse().map_err(|_| "it does not begin with a number".to_owned())?;
    Duration::try_from_secs_f64(number * seconds).map_err(|error| error.to_string())
}

pub(super) fn frames_a_second(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(fps) if fps.is_finite() && fps >= 0.001 => Ok(fps),
        _ => Err("it is not a number of at least 0.001".into()),
    }
}

pub(super) fn degrees(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(degrees) if (20.0..=150.0).contains(&degrees) => Ok(degrees),
        _ => Err("it is not a number from 20 to 150".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_their_units() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("10"), Ok(Duration::from_secs(10)));
        assert_eq!(duration("2h"), Ok(Duration::from_secs(7200)));
        for text in ["", "s", "-1s", "5 s", "1d", "nan", "inf", "1e300s"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
