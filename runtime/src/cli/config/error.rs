//! Why a setting was refused.

use std::io;

/// The longest file that is read.
pub(super) const MAX_BYTES: u64 = 1 << 20;

/// Why a setting was refused; `place` is the file with its line, or the variable.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {kind}")]
pub(in crate::cli) struct ConfigError {
    place: String,
    kind: ConfigErrorKind,
}

/// The ways in which a setting can be refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConfigErrorKind {
    /// The file could not be opened or read, or is not text.
    #[error("cannot be read ({0}); name another file with --config")]
    Io(io::Error),
    /// Longer than [`MAX_BYTES`].
    #[error("has more than {MAX_BYTES} bytes; a configuration is a short text")]
    Size,
    /// Not TOML.
    #[error("cannot be understood ({0}); write each setting once, such as fps = 15")]
    Syntax(String),
    /// There is no such flag.
    #[error("'{name}' is not a setting; {}", advice(.nearest.as_deref()))]
    Unknown { name: String, nearest: Option<String> },
    /// The flag takes another kind of value.
    #[error("'{name}' must be {expected}, not {found}")]
    Type { name: String, expected: String, found: &'static str },
    /// The flag does not take this value.
    #[error("'{name}': {fault}")]
    Value { name: String, fault: String },
}

impl ConfigError {
    pub(super) fn new(place: impl Into<String>, kind: ConfigErrorKind) -> Self {
        Self { place: place.into(), kind }
    }
}

fn advice(nearest: Option<&str>) -> String {
    match nearest {
        Some(nearest) => format!("did you mean '{nearest}'?"),
        None => "settings are named as the flags of 'comet-edge run --help'".into(),
    }
}
