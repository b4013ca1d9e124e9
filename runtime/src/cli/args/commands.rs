//! The arguments of every command but `run`.

use std::path::PathBuf;

use clap::{ArgGroup, Args, value_parser};
use clap_complete::Shell;
use comet_engine::model::GateLimits;

use super::shared::{ModelArgs, OutputArgs, ThreadArgs};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  comet-edge predict hand.jpg
  comet-edge predict photos/ 'more/*.png' --json > predictions.jsonl
  comet-edge predict hand.jpg --overlay out --masks out

An image that cannot be read, or whose results cannot be written, is named on stderr and the others go on; the exit \
code is 5 if no image could be read or a result could not be written.")]
pub(crate) struct PredictArgs {
    /// Images, folders of images, or quoted patterns
    #[arg(value_name = "PATH", required = true)]
    pub(crate) paths: Vec<PathBuf>,
    /// Print one JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
    /// Write a bundle of evidence for each image below DIR, for `comet-edge prove`
    #[arg(long, value_name = "DIR")]
    pub(crate) evidence: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    #[command(flatten)]
    pub(crate) threads: ThreadArgs,
    #[command(flatten)]
    pub(crate) outputs: OutputArgs,
}

#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("against").required(true).args(["calib", "reference"]),
    after_help = "\
Examples:
  comet-edge verify --model tiles.int8.onnx --calib calib/tiles
  comet-edge verify --model tiles.int8.onnx --reference tiles.f32.onnx --images photos/val

Limits that are not given are those of the model file, or the usual ones if it has none."
)]
pub(crate) struct VerifyArgs {
    /// Folder with images and the float model's stored predictions
    #[arg(long, value_name = "DIR")]
    pub(crate) calib: Option<PathBuf>,
    /// Float model to compare with
    #[arg(long, value_name = "FILE", requires = "images")]
    pub(crate) reference: Option<PathBuf>,
    /// Folder of images to compare on; folders with names of classes give the true classes
    #[arg(long, value_name = "DIR", requires = "reference")]
    pub(crate) images: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) limits: LimitArgs,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    #[command(flatten)]
    pub(crate) threads: ThreadArgs,
}

#[derive(Debug, Args)]
pub(crate) struct LimitArgs {
    /// Largest mean absolute difference of the attribution maps, 0 to 1
    #[arg(long, value_name = "X")]
    max_mask_mae: Option<f64>,
    /// Smallest mean IoU of the maps, 0 to 1
    #[arg(long, value_name = "X")]
    min_mask_iou: Option<f64>,
    /// Smallest 5th percentile of the maps' IoU, 0 to 1
    #[arg(long, value_name = "X")]
    min_mask_iou_p5: Option<f64>,
    /// Smallest mean Pearson correlation of the maps
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    min_mask_pearson: Option<f64>,
    /// Smallest share of images with the same class, in percent
    #[arg(long, value_name = "PERCENT")]
    min_agreement: Option<f64>,
    /// Largest loss of accuracy, in percentage points
    #[arg(long, value_name = "POINTS", allow_negative_numbers = true)]
    max_accuracy_drop: Option<f64>,
}

impl LimitArgs {
    /// `base`, with the limits that were typed in place of its own.
    pub(crate) fn over(&self, base: GateLimits) -> GateLimits {
        GateLimits {
            max_mask_mae: self.max_mask_mae.unwrap_or(base.max_mask_mae),
            min_mask_iou: self.min_mask_iou.unwrap_or(base.min_mask_iou),
            min_mask_iou_p5: self.min_mask_iou_p5.unwrap_or(base.min_mask_iou_p5),
            min_mask_pearson: self.min_mask_pearson.unwrap_or(base.min_mask_pearson),
            min_agreement: self.min_agreement.unwrap_or(base.min_agreement),
            max_accuracy_drop: self.max_accuracy_drop.unwrap_or(base.max_accuracy_drop),
        }
    }
}

#[derive(Debug, Args)]
#[command(after_help = "\
A drawn image of 640x480 pixels is predicted again and again, after a warm-up. median_ms and p95_ms are the \
time from RGB pixels to the prediction; decoding a JPEG of that image is measured separately.")]
pub(crate) struct BenchArgs {
    /// Measured runs
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = value_parser!(u32).range(1..=1_000_000))]
    pub(crate) iterations: u32,
    /// Measure the predictor alone, without selector and map: the difference is what the explanation costs
    #[arg(long, conflicts_with = "layers")]
    pub(crate) predictor: bool,
    /// Show the time of every kernel call, too
    #[arg(long)]
    pub(crate) layers: bool,
    /// Print the result as JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    #[command(flatten)]
    pub(crate) threads: ThreadArgs,
}

#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// Model file [default: the model that is built into the program]
    #[arg(value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Prepare the model and show what runs each of its nodes
    #[arg(long)]
    pub(crate) plan: bool,
    /// Accept a model file whose checksum (its own SHA-256) is missing or wrong
    #[arg(long)]
    pub(crate) skip_hash: bool,
    /// Print the result as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CamerasArgs {
    /// Print the list as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  comet-edge prove evidence/20261123T101500.123Z-camera0
  comet-edge prove evidence/* --model tiles.int8.onnx

An int8 model must give the same map and the same logits from the masked image alone, bit for bit, on any \
processor. Exit code 1 if one step does not hold.")]
pub(crate) struct ProveArgs {
    /// Folders that --evidence wrote
    #[arg(value_name = "BUNDLE", required = true)]
    pub(crate) bundles: Vec<PathBuf>,
    /// Print the result as JSON, an object a line
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  comet-edge doctor
  comet-edge doctor --model tiles.int8.onnx --calib calib/tiles --record /var/lib/comet-edge
  comet-edge doctor --json

The exit code is 1 if a check fails; warnings do not count.")]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    /// Folder with the float model's stored predictions [default: calib/<name> beside model or program]
    #[arg(long, value_name = "DIR")]
    pub(crate) calib: Option<PathBuf>,
    /// Folder that a run will write to [default: the current one]
    #[arg(long, value_name = "DIR")]
    pub(crate) record: Option<PathBuf>,
    /// Print the checks as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  comet-edge completions bash > ~/.local/share/bash-completion/completions/comet-edge
  comet-edge completions zsh > ~/.zfunc/_comet-edge
  comet-edge completions fish > ~/.config/fish/completions/comet-edge.fish")]
pub(crate) struct CompletionsArgs {
    /// Shell to write for
    #[arg(value_name = "SHELL")]
    pub(crate) shell: Shell,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  comet-edge man | man -l -
  comet-edge man ~/.local/share/man/man1   then: man comet-edge-run")]
pub(crate) struct ManArgs {
    /// Write one page per command into DIR; without it the first page goes to stdout
    #[arg(value_name = "DIR")]
    pub(crate) folder: Option<PathBuf>,
}
