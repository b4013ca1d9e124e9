//! What the end-to-end tests share.
//!
//! [`program`] starts the programs and ends them in time, [`fixture`] makes a small data set and a small run,
//! [`fake_camera`] serves the V4L2 calls of one program,
//! [`small_model`] builds a model file by hand, [`foreign`] has models that another program quantized, [`surgery`]
//! changes parts of a graph and [`mutation`] breaks them, [`closeness`] measures how far predictions are apart,
//! [`network`] lists the tensors of Burn modules, [`torch`] maps them to PyTorch's names, [`json`] reads the
//! order of keys, and [`random`] gives the same numbers everywhere.

pub mod closeness;
pub mod fake_camera;
pub mod fixture;
pub mod foreign;
pub mod json;
pub mod mutation;
pub mod network;
pub mod program;
pub mod random;
pub mod small_model;
pub mod surgery;
pub mod torch;

use std::path::{Path, PathBuf};

/// The root of the repository.
pub fn repository() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package).to_owned()
}

/// A shipped model file: `models/<name>`.
pub fn shipped_model(name: &str) -> PathBuf {
    repository().join("models").join(name)
}
