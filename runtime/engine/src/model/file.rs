//! Reading a model file: size, checksum, manifest, structure, in this order.

use std::fmt::Display;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use comet_onnx::proto::{Message, ModelProto};

use super::check::check_model;
use super::checksum::{self, Verdict, sha256_hex};
use super::error::{MAX_FILE_BYTES, ModelError, ModelErrorKind};
use super::manifest::{FORMAT_VERSION, MANIFEST_KEY, Manifest};

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
    /// Reads a model file and verifies its checksum.
    pub fn read(path: &Path) -> Result<Self, ModelError> {
        Self::load(path, true)
    }

    /// Reads a model file without verifying its checksum: one that another program has rewritten.
    pub fn read_unverified(path: &Path) -> Result<Self, ModelError> {
        Self::load(path, false)
    }

    fn load(path: &Path, verify: bool) -> Result<Self, ModelError> {
        let name = path.display().to_string();
        let fail = |kind| ModelError { name: name.clone(), kind };
        let file = File::open(path).map_err(|e| fail(e.into()))?;
        let length = file.metadata().map_err(|e| fail(e.into()))?.len();
        if length == 0 || length > MAX_FILE_BYTES {
            return Err(fail(ModelErrorKind::Size(length)));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
        // One byte more than allowed is enough to find out that the file has grown meanwhile.
        file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(|e| fail(e.into()))?;
        Self::parse(&name, &bytes, verify)
    }

    /// Parses a model held in memory; `verify` asks for an intact checksum before anything is parsed.
    pub fn parse(name: &str, bytes: &[u8], verify: bool) -> Result<Self, ModelError> {
        Self::parse_kind(name, bytes, verify).map_err(|kind| ModelError { name: name.to_owned(), kind })
    }

    fn parse_kind(name: &str, bytes: &[u8], verify: bool) -> Result<Self, ModelErrorKind> {
        if bytes.is_empty() || bytes.len() as u64 > MAX_FILE_BYTES {
            return Err(ModelErrorKind::Size(bytes.len() as u64));
        }
        if verify {
            match checksum::verify(bytes) {
                Verdict::Intact => {}
                Verdict::Broken => return Err(ModelErrorKind::ChecksumMismatch),
                // A file that is not even ONNX is reported as such, not as one without a checksum.
                Verdict::Missing => {
                    let parsed = ModelProto::decode(bytes);
                    return Err(match parsed {
                        Ok(proto) if proto.graph.is_some() => ModelErrorKind::NoChecksum,
                        _ => ModelErrorKind::NotOnnx("no graph, or cut off".into()),
                    });
                }
            }
        }
        let proto = ModelProto::decode(bytes).map_err(|e| ModelErrorKind::NotOnnx(e.to_string()))?;
        let manifest = read_manifest(&proto)?;
        check_model(&proto, &manifest, bytes.len())?;
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
    // The version decides whether the other fields mean what this version expects.
    let value: serde_json::Value = serde_json::from_str(text).map_err(bad)?;
    let found = value.get("format_version").and_then(serde_json::Value::as_u64);
    match found {
        Some(version) if version == u64::from(FORMAT_VERSION) => {}
        Some(found) => return Err(ModelErrorKind::Version { found }),
        None => return Err(ModelErrorKind::BadManifest("no format_version".into())),
    }
    serde_json::from_value(value).map_err(bad)
}
