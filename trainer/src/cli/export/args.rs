//! The arguments of `trainer export`.

use std::path::PathBuf;

use clap::Args;
use comet_engine::model::GateLimits;

use crate::quant::Method;

/// Writes selector and predictor as one ONNX file: image -> mask, logits.
///
/// With --quantize the file is int8, and is written only if its maps and classes stay close enough to those of
/// the float file on validation images, measured on the engine of comet-edge.
#[derive(Args)]
#[command(after_help = "Examples:
  trainer export runs/plants -o plants.f32.onnx
  trainer export runs/plants --quantize -o plants.int8.onnx --float-out plants.f32.onnx
  trainer export runs/plants --quantize -o plants.int8.onnx --reference-out calib/plants
  trainer export runs/plants --quantize --with-detector -o plants.int8.onnx")]
pub(in crate::cli) struct ExportArgs {
    /// The run's folder.
    pub(super) run: PathBuf,
    /// File to write.
    #[arg(short, long, value_name = "FILE.onnx")]
    pub(super) output: PathBuf,
    /// Writes int8 instead of float.
    #[arg(long)]
    pub(super) quantize: bool,
    /// Lets the file carry the frozen detector too: a third output, left_out_logits.
    #[arg(long)]
    pub(super) with_detector: bool,
    /// Name in the manifest; the run's folder name without it.
    #[arg(long)]
    pub(super) name: Option<String>,
    /// Which checkpoint: best or last.
    #[arg(long, default_value = "best", value_parser = ["best", "last"])]
    pub(super) checkpoint: String,
    /// Data set, if it is no longer where the run found it.
    #[arg(long, value_name = "DIR")]
    pub(super) data: Option<PathBuf>,
    /// Scenes, if they are no longer where the run found them.
    #[arg(long, value_name = "DIR")]
    pub(super) scenes: Option<PathBuf>,
    /// Also writes the float file.
    #[arg(long, value_name = "FILE.onnx", requires = "quantize")]
    pub(super) float_out: Option<PathBuf>,
    /// Also writes validation images with the float file's predictions, for `comet-edge verify --calib`.
    #[arg(long, value_name = "DIR")]
    pub(super) reference_out: Option<PathBuf>,
    /// Images in --reference-out.
    #[arg(long, default_value_t = 64, value_name = "N")]
    pub(super) reference_count: usize,
    #[command(flatten)]
    pub(super) calibration: Calibration,
    #[command(flatten)]
    pub(super) gate: Gate,
}

#[derive(Args)]
#[command(next_help_heading = "Calibration")]
pub(super) struct Calibration {
    /// Calibration images; without it the training split (pasted as in training).
    #[arg(long, value_name = "DIR")]
    pub(super) calib: Option<PathBuf>,
    /// How many images to measure ranges on.
    #[arg(long, default_value_t = 256, value_name = "N")]
    pub(super) calib_images: usize,
    /// minmax, percentile or mse.
    #[arg(long, default_value = "mse")]
    pub(super) method: Method,
    /// Leaves biases as they are.
    #[arg(long)]
    pub(super) no_bias_correction: bool,
}

#[derive(Args)]
#[command(next_help_heading = "Gate (int8 against float, on the validation split)")]
pub(super) struct Gate {
    /// Largest mean absolute difference of the maps.
    #[arg(long, default_value_t = GateLimits::default().max_mask_mae)]
    max_mask_mae: f64,
    /// Smallest mean IoU of the maps at 0.5.
    #[arg(long, default_value_t = GateLimits::default().min_mask_iou)]
    min_mask_iou: f64,
    /// Smallest 5th percentile of the maps' IoU.
    #[arg(long, default_value_t = GateLimits::default().min_mask_iou_p5)]
    min_mask_iou_p5: f64,
    /// Smallest mean Pearson correlation of the maps.
    #[arg(long, default_value_t = GateLimits::default().min_mask_pearson, allow_negative_numbers = true)]
    min_mask_pearson: f64,
    /// Smallest share of equal labels, in percent.
    #[arg(long, default_value_t = GateLimits::default().min_agreement)]
    min_agreement: f64,
    /// Largest loss of accuracy, in points.
    #[arg(long, default_value_t = GateLimits::default().max_accuracy_drop)]
    max_accuracy_drop: f64,
}

impl Gate {
    /// The limits as the gate takes them.
    pub(super) fn limits(&self) -> GateLimits {
        GateLimits {
            max_mask_mae: self.max_mask_mae,
            min_mask_iou: self.min_mask_iou,
            min_mask_iou_p5: self.min_mask_iou_p5,
            min_mask_pearson: self.min_mask_pearson,
            min_agreement: self.min_agreement,
            max_accuracy_drop: self.max_accuracy_drop,
        }
    }
}
