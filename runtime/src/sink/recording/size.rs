//! Numbers of bytes, as people write them.

use std::fmt;
use std::str::FromStr;

/// A number of bytes that is not 0: `2GiB`, `500MB`, `10G`, `65536`.
///
/// `KiB MiB GiB TiB` count in 1024s, `KB MB GB TB` in 1000s; a letter alone counts in 1024s, as for `du`
/// and `ulimit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

/// Why a text is not a number of bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ByteSizeError {
    /// The letters behind the number are not a unit.
    #[error("'{0}' is not a unit of bytes; try 2GiB, 500MB or 10G")]
    Unit(String),
    /// There is no number at the beginning.
    #[error("it does not begin with a number; try 2GiB, 500MB or 10G")]
    Number,
    /// Negative, less than a byte, or beyond what 64 bits count.
    #[error("it is not a number of bytes from 1 up; try 2GiB, 500MB or 10G")]
    Range,
}

impl FromStr for ByteSize {
    type Err = ByteSizeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let name = text.get(digits.len()..).unwrap_or_default();
        let unit = unit_of(name).ok_or_else(|| ByteSizeError::Unit(name.to_owned()))?;
        let number: f64 = digits.parse().map_err(|_| ByteSizeError::Number)?;
        let bytes = number * unit as f64;
        if !(1.0..u64::MAX as f64).contains(&bytes) {
            return Err(ByteSizeError::Range);
        }
        Ok(Self(bytes as u64))
    }
}

fn unit_of(unit: &str) -> Option<u64> {
    let bytes = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        _ => return None,
    };
    Some(bytes)
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [("GiB", 1u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
        match units.iter().find(|(_, bytes)| self.0 >= *bytes) {
            Some((unit, bytes)) if self.0.is_multiple_of(*bytes) => write!(f, "{} {unit}", self.0 / bytes),
            Some((unit, bytes)) => write!(f, "{:.1} {unit}", self.0 as f64 / *bytes as f64),
            None => write!(f, "{} bytes", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_their_units() {
        for (text, bytes) in [
            ("2GiB", 2 << 30),
            ("500MB", 500_000_000),
            ("10G", 10 << 30),
            ("65536", 65_536),
            ("64k", 65_536),
            ("1.5mib", 3 << 19),
            ("1TB", 1_000_000_000_000),
        ] {
            assert_eq!(text.parse::<ByteSize>(), Ok(ByteSize(bytes)), "{text}");
        }
        for text in ["", "G", "-1G", "0", "0.1", "5 G", "1PiB", "2gibs", "nan", "inf", "1e300T", "ß"] {
            let error = text.parse::<ByteSize>().unwrap_err().to_string();
            assert!(error.contains("try 2GiB"), "{text}: {error}");
        }
    }

    #[test]
    fn sizes_are_shown_in_the_unit_that_fits() {
        let shown = [2 << 30, 500_000_000, 1 << 10, 7].map(|bytes| ByteSize(bytes).to_string());
        assert_eq!(shown, ["2 GiB", "476.8 MiB", "1 KiB", "7 bytes"]);
    }
}
