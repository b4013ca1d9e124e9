//! A bundle of evidence: the files in its folder, and what they hold.

use std::io;
use std::path::Path;

use image::RgbImage;
use serde::{Deserialize, Serialize};

use comet_engine::prediction::Explanation;

/// The bundle format that this version reads and writes.
pub const BUNDLE_FORMAT: u32 = 1;

pub(super) const SUMS: &str = "SHA256SUMS";
pub(super) const INFO: &str = "evidence.json";
pub(super) const IMAGE: &str = "frame.png";
pub(super) const OWN_JPEG: &str = "frame.jpg";
pub(super) const MAP_VIEW: &str = "mask.png";
pub(super) const INPUT: &str = "input.f32";
pub(super) const MAP: &str = "mask.f32";
pub(super) const MASKED: &str = "masked.f32";
pub(super) const LOGITS: &str = "logits.f32";

/// Why a bundle cannot be read or written; `name` is the folder or the file.
#[derive(Debug, thiserror::Error)]
#[error("{name}: {kind}")]
pub struct BundleError {
    /// The folder or the file.
    pub name: String,
    /// What was wrong.
    pub kind: BundleErrorKind,
}

/// The ways in which a bundle can be unreadable.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BundleErrorKind {
    /// A file cannot be read or written.
    #[error("cannot be read or written ({0})")]
    Io(#[from] io::Error),
    /// A line of `SHA256SUMS` is malformed.
    #[error(
        "is malformed in line {0}: each line is a SHA-256 sum, two spaces and the name of a file in the bundle"
    )]
    Sums(usize),
    /// A file that a bundle must have is not among the sums.
    #[error("does not list '{0}'; was the run cut off while it wrote the bundle?")]
    Missing(&'static str),
    /// `evidence.json` is malformed.
    #[error("is not a valid description of a bundle ({0})")]
    Info(String),
    /// The format is another.
    #[error("has format {0}; this program reads format {BUNDLE_FORMAT}")]
    Format(u32),
    /// A file of numbers has a length that cannot be.
    #[error("does not hold whole 32-bit numbers")]
    Numbers,
    /// The image is damaged.
    #[error("{0}")]
    Image(String),
}

impl BundleError {
    pub(super) fn new(path: &Path, kind: impl Into<BundleErrorKind>) -> Self {
        Self { name: path.display().to_string(), kind: kind.into() }
    }
}

/// `evidence.json`: where the prediction came from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BundleInfo {
    /// [`BUNDLE_FORMAT`] of the writer.
    pub format: u32,
    /// Version of the program that wrote it.
    pub program: String,
    /// Architecture of the processor.
    pub processor: String,
    /// The kernels that the model ran on.
    pub kernels: String,
    /// Name of the model.
    pub model: String,
    /// SHA-256 of the model file.
    pub model_sha256: String,
    /// `int8` or `float32`.
    pub precision: String,
    /// Wall clock, UTC.
    pub time: String,
    /// The record of the frame, as in the JSON lines.
    pub record: serde_json::Value,
}

/// A bundle in memory.
#[derive(Clone, Debug)]
pub struct Bundle {
    /// Where the prediction came from.
    pub info: BundleInfo,
    /// The image.
    pub image: RgbImage,
    /// The model's input, `[3, height, width]`, normalised.
    pub input: Vec<f32>,
    /// The attribution map, `[height, width]`.
    pub mask: Vec<f32>,
    /// The predictor's input: input times map.
    pub masked: Vec<f32>,
    /// The logits.
    pub logits: Vec<f32>,
    /// Files whose sum is not the listed one.
    pub altered: Vec<String>,
}

/// A prediction, and everything that it was made from.
#[derive(Clone, Debug)]
pub struct Exhibit<'a> {
    /// The record of the frame, as in the JSON lines.
    pub record: serde_json::Value,
    /// The image, upright.
    pub image: &'a RgbImage,
    /// The source's own JPEG, if it gave one.
    pub jpeg: Option<&'a [u8]>,
    /// The model's input, `[3, height, width]`, normalised.
    pub input: &'a [f32],
    /// The model's own prediction, not an average over frames.
    pub explanation: &'a Explanation,
}
