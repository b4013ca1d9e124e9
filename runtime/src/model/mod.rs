//! Model files: what they say about themselves, and the checks before anything of them is trusted.

mod check;
mod file;
mod manifest;
mod seal;

pub use check::MAX_NODES;
pub use file::{MAX_FILE_BYTES, ModelError, ModelErrorKind, ModelFile};
pub use manifest::{
    DataSummary, FORMAT_VERSION, Fidelity, GateLimits, MANIFEST_KEY, Manifest, Metrics, Precision,
    TrainingSummary,
};
pub use seal::{SEAL_KEY, placeholder, seal, sha256_hex};
