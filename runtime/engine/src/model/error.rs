//! Why a model file was refused.

use std::fmt::Display;

use super::manifest::{FORMAT_VERSION, MANIFEST_KEY};

/// The largest model file that is read.
pub const MAX_FILE_BYTES: u64 = 512 << 20;

/// Why a model file was refused.
#[derive(Debug, thiserror::Error)]
#[error("{name}: {kind}")]
pub struct ModelError {
    /// The file's path, or `built-in model`.
    pub name: String,
    /// What was wrong.
    pub kind: ModelErrorKind,
}

impl ModelError {
    pub(crate) fn engine(name: &str, fault: impl Display) -> Self {
        Self { name: name.to_owned(), kind: ModelErrorKind::Engine(fault.to_string()) }
    }
}

/// The ways in which a model file can be refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelErrorKind {
    /// The file could not be opened or read.
    #[error("cannot be read ({0})")]
    Io(#[from] std::io::Error),
    /// The program was built without a model of its own.
    #[error("is not part of this build: give a model file with --model FILE")]
    NotBuiltIn,
    /// Larger than [`MAX_FILE_BYTES`], or empty.
    #[error("has {0} bytes; a model has between 1 byte and {MAX_FILE_BYTES} bytes")]
    Size(u64),
    /// The file carries no checksum of its own.
    #[error(
        "carries no checksum: it was not written by 'trainer export', or it was cut off. Copy it again; for a file from another exporter use --skip-hash"
    )]
    NoChecksum,
    /// The contents do not match the checksum.
    #[error(
        "does not match its own SHA-256: the file is damaged or was edited. Copy it again; to use it as it is, --skip-hash"
    )]
    ChecksumMismatch,
    /// Not a protobuf of an ONNX model.
    #[error("is not an ONNX file ({0})")]
    NotOnnx(String),
    /// The graph breaks a rule that every COMET graph keeps.
    #[error("is refused: {0}")]
    Structure(String),
    /// There is no manifest.
    #[error("has no '{MANIFEST_KEY}' entry: it was not exported by 'trainer export'")]
    NoManifest,
    /// The manifest is not what this version expects.
    #[error("has a manifest that cannot be read ({0})")]
    BadManifest(String),
    /// The manifest is of another format version.
    #[error(
        "has manifest format {found}; this program reads format {FORMAT_VERSION}: use the matching release, or export the model again"
    )]
    Version {
        /// Version in the file.
        found: u64,
    },
    /// The manifest contradicts the graph or itself.
    #[error("has a manifest whose field '{field}' is wrong: {fault}")]
    Field {
        /// The manifest's field.
        field: &'static str,
        /// What is wrong with it.
        fault: String,
    },
    /// The engine could not prepare the graph.
    #[error("cannot be prepared by the engine ({0})")]
    Engine(String),
}
