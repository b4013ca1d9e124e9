//! Model files: what they say about themselves, and the checks before anything of them is trusted.

mod check;
mod checksum;
mod error;
mod file;
mod manifest;
mod names;

pub use checksum::{CHECKSUM_KEY, checksum_placeholder, sha256_hex, write_checksum};
pub use error::{MAX_FILE_BYTES, ModelError, ModelErrorKind};
pub use file::ModelFile;
pub use manifest::{
    DataSummary, FORMAT_VERSION, Fidelity, GateLimits, MANIFEST_KEY, Manifest, Metrics, Precision,
    TrainingSummary,
};
pub use names::{IMAGE, LEFT_OUT, LEFT_OUT_LOGITS, MASKED};
