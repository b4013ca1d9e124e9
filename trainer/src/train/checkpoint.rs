//! A run's state in one file: a tar archive of weights, optimizer states and a table of contents with hashes.
//!
//! One file, because a rename replaces one file at a time: after a crash there is the old checkpoint or the
//! new one, and never weights of one epoch with the optimizer state of another.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use comet_engine::model::sha256_hex;
use comet_engine::storage::write_atomically;
use serde::{Deserialize, Serialize};

use super::objective::Losses;
use super::record::Phase;

const CONTENTS: &str = "state.json";

/// Why a checkpoint could not be written or read.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {kind}")]
pub struct CheckpointError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong.
    pub kind: CheckpointErrorKind,
}

/// The ways in which a checkpoint can fail.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointErrorKind {
    /// The file cannot be read.
    #[error("cannot be read ({0})")]
    Read(std::io::Error),
    /// The file cannot be written.
    #[error("cannot be written ({fault}). Is the disk full? {state}")]
    Write {
        /// The system's message.
        fault: std::io::Error,
        /// Whether there is an earlier checkpoint to resume from.
        state: &'static str,
    },
    /// The table of contents is not what was written.
    #[error("is not a checkpoint of this program ({0})")]
    Contents(String),
    /// A part is missing or has another hash.
    #[error("is damaged: part '{0}'. Use the other checkpoint of the run (best.ckpt or last.ckpt)")]
    Damaged(String),
    /// Weights do not fit the networks.
    #[error("does not fit the run's networks ({0}). Was config.toml changed?")]
    Mismatch(String),
}

/// Floats as their bits: JSON parsers may round the last digit, and a resumed run must not.
mod bits {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(value.to_bits())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        Ok(f64::from_bits(u64::deserialize(deserializer)?))
    }
}

/// [`Losses`] as their bits.
mod loss_bits {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::Losses;

    pub(super) fn serialize<S: Serializer>(losses: &Losses, serializer: S) -> Result<S::Ok, S::Error> {
        losses.to_array().map(f64::to_bits).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Losses, D::Error> {
        Ok(Losses::from_array(<[u64; 7]>::deserialize(deserializer)?.map(f64::from_bits)))
    }
}

/// The best validation so far.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// Epoch, counted from 1.
    pub epoch: usize,
    /// Validation accuracy in percent.
    #[serde(with = "bits")]
    pub accuracy: f64,
    /// Whether the map left little for the detector in it: see [`Objective::is_complete`](super::Objective::is_complete).
    #[serde(default = "yes")]
    pub complete: bool,
}

/// Versions that did not ask took every epoch.
fn yes() -> bool {
    true
}

impl Best {
    /// Whether this epoch is better than the best so far: the first complete one, then the more accurate one. An equal one
    /// is not better.
    pub(super) fn beats(&self, best: Option<Self>) -> bool {
        let Some(best) = best else { return true };
        if self.complete == best.complete { self.accuracy > best.accuracy } else { self.complete }
    }
}

/// Where a run stands. Data order and augmentation follow from the seed and these numbers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// Which training; a run begins with the detector.
    pub phase: Phase,
    /// Whole epochs done in this phase.
    pub epoch: usize,
    /// Batches done of the current epoch.
    pub batch: usize,
    /// Sums of the losses over these batches.
    #[serde(with = "loss_bits")]
    pub sums: Losses,
    /// Lines of `metrics.jsonl` that belong to this position.
    pub records: usize,
    /// Wall time so far, over all sessions.
    pub seconds: f64,
    /// Best COMET epoch so far.
    pub best: Option<Best>,
    /// Validation accuracy of the detector, once it is trained.
    pub detector_accuracy: Option<f64>,
}

impl Default for Position {
    fn default() -> Self {
        Self {
            phase: Phase::Detector,
            epoch: 0,
            batch: 0,
            sums: Losses::default(),
            records: 0,
            seconds: 0.0,
            best: None,
            detector_accuracy: None,
        }
    }
}

/// A position and named parts: weights and optimizer states as bytes.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// Where the run stands.
    pub position: Position,
    /// Bytes by name.
    pub parts: BTreeMap<String, Vec<u8>>,
}

#[derive(Serialize, Deserialize)]
struct Contents {
    position: Position,
    sha256: BTreeMap<String, String>,
}

impl Checkpoint {
    /// Writes the file; the old one stays until the new one is complete and on the disk.
    pub fn write(&self, path: &Path) -> Result<(), CheckpointError> {
        self.archive().and_then(|bytes| write_atomically(path, &bytes)).map_err(|fault| {
            let state = if path.is_file() {
                "The checkpoint before it is intact: --resume continues from there"
            } else {
                "There is no earlier checkpoint"
            };
            CheckpointError { path: path.to_owned(), kind: CheckpointErrorKind::Write { fault, state } }
        })
    }

    fn archive(&self) -> std::io::Result<Vec<u8>> {
        let hashes = self.parts.iter().map(|(name, bytes)| (name.clone(), sha256_hex(bytes)));
        let contents = Contents { position: self.position, sha256: hashes.collect() };
        let contents = serde_json::to_vec_pretty(&contents)?;
        let mut archive = tar::Builder::new(Vec::new());
        let mut append = |name: &str, bytes: &[u8]| {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            archive.append_data(&mut header, name, bytes)
        };
        append(CONTENTS, &contents)?;
        for (name, bytes) in &self.parts {
            append(name, bytes)?;
        }
        archive.into_inner()
    }

    /// Reads a file and checks every part against its hash.
    pub fn read(path: &Path) -> Result<Self, CheckpointError> {
        Self::read_kind(path).map_err(|kind| CheckpointError { path: path.to_owned(), kind })
    }

    fn read_kind(path: &Path) -> Result<Self, CheckpointErrorKind> {
        let bytes = std::fs::read(path).map_err(CheckpointErrorKind::Read)?;
        let mut parts = BTreeMap::new();
        let bad = |error: std::io::Error| CheckpointErrorKind::Contents(error.to_string());
        for entry in tar::Archive::new(bytes.as_slice()).entries().map_err(bad)? {
            let mut entry = entry.map_err(bad)?;
            let name = entry.path().map_err(bad)?.display().to_string();
            let mut part = Vec::new();
            entry.read_to_end(&mut part).map_err(bad)?;
            parts.insert(name, part);
        }
        let contents =
            parts.remove(CONTENTS).ok_or_else(|| CheckpointErrorKind::Contents(format!("no {CONTENTS}")))?;
        let contents: Contents = serde_json::from_slice(&contents)
            .map_err(|error| CheckpointErrorKind::Contents(error.to_string()))?;
        for (name, hash) in &contents.sha256 {
            if parts.get(name).map(|bytes| sha256_hex(bytes)).as_ref() != Some(hash) {
                return Err(CheckpointErrorKind::Damaged(name.clone()));
            }
        }
        Ok(Self { position: contents.position, parts })
    }

    /// The bytes of a part.
    pub(super) fn part(&self, name: &str) -> Result<Vec<u8>, CheckpointErrorKind> {
        let part = self.parts.get(name).cloned();
        part.ok_or_else(|| CheckpointErrorKind::Damaged(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint() -> Checkpoint {
        let position = Position { epoch: 3, seconds: 0.1 + 0.2, ..Position::default() };
        let parts = [("a".to_owned(), vec![1, 2, 3]), ("b".to_owned(), vec![0; 2000])];
        Checkpoint { position, parts: parts.into() }
    }

    #[test]
    fn a_checkpoint_comes_back_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("last.ckpt");
        checkpoint().write(&path).unwrap();
        let read = Checkpoint::read(&path).unwrap();
        assert_eq!(read.position, checkpoint().position);
        assert_eq!(read.parts, checkpoint().parts);
    }

    #[test]
    fn cut_off_and_damaged_files_are_refused_with_their_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("last.ckpt");
        checkpoint().write(&path).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        for length in [0, 100, 700, 1500, 2500] {
            std::fs::write(&path, &bytes[..length]).unwrap();
            let error = Checkpoint::read(&path).unwrap_err().to_string();
            assert!(error.contains("last.ckpt"), "{error}");
        }
        let mut damaged = bytes.clone();
        let at = bytes.windows(3).position(|window| window == [1, 2, 3]).unwrap();
        damaged[at] ^= 1;
        std::fs::write(&path, damaged).unwrap();
        assert!(Checkpoint::read(&path).unwrap_err().to_string().contains("part 'a'"));
    }

    #[test]
    fn a_resume_is_promised_only_if_there_is_something_to_resume_from() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gone").join("last.ckpt");
        let error = checkpoint().write(&path).unwrap_err().to_string();
        assert!(error.contains("no earlier checkpoint") && !error.contains("--resume"), "{error}");
    }
}
