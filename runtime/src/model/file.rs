//! Reading a model file: size, seal, structure, manifest, in this order.

use std::fmt::Display;
use std::path::Path;

use super::check::check_graph;
use super::manifest::{FORMAT_VERSION, MANIFEST_KEY, Manifest};
use super::seal::{self, Verdict, sha256_hex};
use crate::engine::proto::{Message, ModelProto};

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
    /// No seal was found.
    #[error(
        "carries no seal: it is no model file of comet-trainer, or it was cut off. Copy it again; for a file from another exporter use --skip-hash"
    )]
    NotSealed,
    /// The contents do not match the seal.
    #[error(
        "does not match its own SHA-256: the file is damaged or was edited. Copy it again; to use it as it is, --skip-hash"
    )]
    SealBroken,
    /// Not a protobuf of an ONNX model.
    #[error("is no ONNX file ({0})")]
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

/// A model file that passed all checks.
#[derive(Clone, Debug)]
pub struct ModelFile {
    name: String,
    manifest: Manifest,
    proto: ModelProto,
    sha256: String,
    bytes: usize,
}

impl ModelFile {
    /// Reads a sealed model file.
    pub fn read(path: &Path) -> Result<Self, ModelError> {
        Self::load(path, true)
    }

    /// Reads a model file whose seal is not checked: one that another program has rewritten.
    pub fn read_unsealed(path: &Path) -> Result<Self, ModelError> {
        Self::load(path, false)
    }

    fn load(path: &Path, sealed: bool) -> Result<Self, ModelError> {
        let name = path.display().to_string();
        let fail = |kind| ModelError { name: name.clone(), kind };
        let length = std::fs::metadata(path).map_err(|e| fail(e.into()))?.len();
        if length == 0 || length > MAX_FILE_BYTES {
            return Err(fail(ModelErrorKind::Size(length)));
        }
        let bytes = std::fs::read(path).map_err(|e| fail(e.into()))?;
        Self::parse(&name, &bytes, sealed)
    }

    /// Parses a model held in memory; `sealed` asks for an intact seal before anything is parsed.
    pub fn parse(name: &str, bytes: &[u8], sealed: bool) -> Result<Self, ModelError> {
        Self::parse_kind(name, bytes, sealed).map_err(|kind| ModelError { name: name.to_owned(), kind })
    }

    fn parse_kind(name: &str, bytes: &[u8], sealed: bool) -> Result<Self, ModelErrorKind> {
        if bytes.is_empty() || bytes.len() as u64 > MAX_FILE_BYTES {
            return Err(ModelErrorKind::Size(bytes.len() as u64));
        }
        if sealed {
            match seal::verify(bytes) {
                Verdict::Intact => {}
                Verdict::Broken => return Err(ModelErrorKind::SealBroken),
                // A file that is not even ONNX deserves that name rather than talk of seals.
                Verdict::Missing => {
                    let parsed = ModelProto::decode(bytes);
                    return Err(match parsed {
                        Ok(proto) if proto.graph.is_some() => ModelErrorKind::NotSealed,
                        _ => ModelErrorKind::NotOnnx("no graph, or cut off".into()),
                    });
                }
            }
        }
        let proto = ModelProto::decode(bytes).map_err(|e| ModelErrorKind::NotOnnx(e.to_string()))?;
        let manifest = read_manifest(&proto)?;
        check_graph(&proto, &manifest, bytes.len())?;
        Ok(Self { name: name.to_owned(), manifest, proto, sha256: sha256_hex(bytes), bytes: bytes.len() })
    }

    /// Path or name that the file was read under.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the file says about itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The graph.
    pub fn proto(&self) -> &ModelProto {
        &self.proto
    }

    /// SHA-256 of the whole file, as in `SHA256SUMS`.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Size of the file in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// An engine's fault with this file.
    pub(crate) fn error(&self, fault: impl Display) -> ModelError {
        ModelError::engine(&self.name, fault)
    }
}

fn read_manifest(proto: &ModelProto) -> Result<Manifest, ModelErrorKind> {
    let entry = proto.metadata_props.iter().find(|entry| entry.key == MANIFEST_KEY);
    let text = &entry.ok_or(ModelErrorKind::NoManifest)?.value;
    let bad = |error: serde_json::Error| ModelErrorKind::BadManifest(error.to_string());
    // The version decides whether the other fields mean what we think.
    let value: serde_json::Value = serde_json::from_str(text).map_err(bad)?;
    let found = value.get("format_version").and_then(serde_json::Value::as_u64);
    match found {
        Some(version) if version == u64::from(FORMAT_VERSION) => {}
        Some(found) => return Err(ModelErrorKind::Version { found }),
        None => return Err(ModelErrorKind::BadManifest("no format_version".into())),
    }
    serde_json::from_value(value).map_err(bad)
}
