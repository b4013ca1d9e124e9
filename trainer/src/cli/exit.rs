//! How errors become exit codes.

use std::process::ExitCode;

use comet_engine::image::ImageError;
use comet_engine::model::ModelError;

use crate::data::DataError;
use crate::data::plants::PlantError;
use crate::model::ImportError;
use crate::train::{CheckpointError, CheckpointErrorKind, ConfigError, DeviceError, RunError, TrainError};

/// A check that was asked for did not pass.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct GateFailed(pub String);

/// Arguments that cannot be used together.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Usage(pub String);

const GATE: u8 = 1;
const USAGE: u8 = 2;
const REFUSED: u8 = 3;
const INPUT_OUTPUT: u8 = 5;

/// Prints an error once, on stderr, and gives its exit code.
pub(super) fn report(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(code(&error))
        }
    }
}

/// The reader of our output has closed it, which is not a fault.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = |cause: &(dyn std::error::Error + 'static)| {
        let error = cause.downcast_ref::<std::io::Error>();
        error.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
    };
    error.chain().any(io)
}

/// Training has one error type for all kinds.
fn training_code(error: &TrainError) -> u8 {
    match error {
        TrainError::Config(_) => USAGE,
        TrainError::Checkpoint(error) if matches!(error.kind, CheckpointErrorKind::Write { .. }) => {
            INPUT_OUTPUT
        }
        TrainError::Run(_) | TrainError::Checkpoint(_) => REFUSED,
        TrainError::Import(_) | TrainError::Diverged { .. } => REFUSED,
        _ => INPUT_OUTPUT,
    }
}

fn code(error: &anyhow::Error) -> u8 {
    for cause in error.chain() {
        if let Some(error) = cause.downcast_ref::<TrainError>() {
            return training_code(error);
        }
        if let Some(PlantError::Size { .. } | PlantError::Split { .. }) = cause.downcast_ref::<PlantError>() {
            return USAGE;
        }
        if cause.is::<GateFailed>() {
            return GATE;
        }
        if cause.is::<ConfigError>() || cause.is::<DeviceError>() || cause.is::<Usage>() {
            return USAGE;
        }
        if cause.is::<ModelError>()
            || cause.is::<RunError>()
            || cause.is::<CheckpointError>()
            || cause.is::<ImportError>()
        {
            return REFUSED;
        }
        if cause.is::<DataError>()
            || cause.is::<ImageError>()
            || cause.is::<PlantError>()
            || cause.is::<std::io::Error>()
        {
            return INPUT_OUTPUT;
        }
    }
    INPUT_OUTPUT
}
