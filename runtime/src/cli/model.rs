//! The model of a command: a file, or the one that is built in.

use std::path::Path;

use super::args::ModelArgs;
#[cfg(not(feature = "built-in-model"))]
use comet_engine::model::ModelErrorKind;
use comet_engine::model::{ModelError, ModelFile};

/// The material of a thing held up to the camera (`recycling`): with it, `comet-edge run --camera 0` works on a fresh machine.
#[cfg(feature = "built-in-model")]
static BUILT_IN: &[u8] =
    include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../models/recycling.int8.onnx"));
const BUILT_IN_NAME: &str = "built-in model";

#[cfg(feature = "built-in-model")]
fn built_in() -> Result<ModelFile, ModelError> {
    ModelFile::parse(BUILT_IN_NAME, BUILT_IN, true)
}

#[cfg(not(feature = "built-in-model"))]
fn built_in() -> Result<ModelFile, ModelError> {
    Err(ModelError { name: BUILT_IN_NAME.to_owned(), kind: ModelErrorKind::NotBuiltIn })
}

/// Reads the model that the arguments name.
pub(super) fn load(args: &ModelArgs) -> Result<ModelFile, ModelError> {
    read(args.model.as_deref(), args.skip_hash)
}

/// Reads a model file, or the one that is built in.
pub(super) fn read(file: Option<&Path>, skip_hash: bool) -> Result<ModelFile, ModelError> {
    match (file, skip_hash) {
        (Some(file), false) => ModelFile::read(file),
        (Some(file), true) => ModelFile::read_unverified(file),
        (None, _) => built_in(),
    }
}
