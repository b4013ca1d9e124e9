//! What can be typed. Help texts live here; nothing is opened or read.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args, Parser, Subcommand, value_parser};

mod run;

pub(super) use run::RunArgs;

use super::completions::CompletionsArgs;
use super::doctor::DoctorArgs;
use super::man::ManArgs;
use crate::image::Colormap;
use crate::model::GateLimits;

/// Class, attribution map and trust of each picture: the class is decided on the pixels inside the map only
#[derive(Debug, Parser)]
#[command(
    name = "comet-edge",
    version,
    propagate_version = true,
    after_help = "\
Examples:
  comet-edge run --camera 0                  answer what a camera sees
  comet-edge predict hand.jpg --overlay out  answer a picture and draw its map
  comet-edge doctor                          look for what is missing on this machine

Exit codes: 0 done, 1 a check failed, 2 wrong arguments, 3 model rejected, 4 source lost, 5 input or output failed"
)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Answer pictures: files, folders or quoted patterns
    Predict(PredictArgs),
    /// Answer a camera, a stream or a folder, frame after frame, until it ends or is stopped
    Run(Box<RunArgs>),
    /// Hold a model against its float reference; fails if a limit is missed
    Verify(Box<VerifyArgs>),
    /// Measure the time that a frame takes
    Bench(BenchArgs),
    /// Show what a model file says about itself
    Inspect(InspectArgs),
    /// List the cameras of this machine and their formats
    Cameras(CamerasArgs),
    /// Run the model again on a bundle of evidence; fails if its answer does not follow from what it was shown
    Prove(ProveArgs),
    /// Check camera, processor, model, memory, disk and temperature, with a fix for what fails
    Doctor(DoctorArgs),
    /// Print completions for a shell
    Completions(CompletionsArgs),
    /// Print the manual page, or write all of them into a folder
    Man(ManArgs),
}

#[derive(Debug, Args)]
pub(super) struct ModelArgs {
    /// Model file; without it the model that is built into the program
    #[arg(long, value_name = "FILE")]
    pub(super) model: Option<PathBuf>,
    /// Accept a model file whose seal (its own SHA-256) is missing or broken
    #[arg(long)]
    pub(super) skip_hash: bool,
}

#[derive(Debug, Args)]
pub(super) struct ThreadArgs {
    /// Threads inside the network [default: one a core, at most 4]
    #[arg(long, value_name = "N", value_parser = value_parser!(u8).range(1..=64))]
    pub(super) threads: Option<u8>,
}

impl ThreadArgs {
    /// The number to use.
    pub(super) fn count(&self) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        self.threads.map_or(cores.min(4), usize::from)
    }
}

#[derive(Debug, Args)]
pub(super) struct OutputArgs {
    /// Write each picture with its map drawn in to DIR/<stem>.overlay.jpg
    #[arg(long, value_name = "DIR")]
    pub(super) overlay: Option<PathBuf>,
    /// Write each map to DIR/<stem>.mask.png: 16-bit grey, of the model's input size
    #[arg(long, value_name = "DIR")]
    pub(super) masks: Option<PathBuf>,
    /// Write each model input to DIR/<stem>.input.f32: raw little-endian [3, height, width]
    #[arg(long, value_name = "DIR")]
    pub(super) dump_input: Option<PathBuf>,
    /// Write each answered picture to DIR/<stem>.frame.png, without loss
    #[arg(long, value_name = "DIR")]
    pub(super) dump_frames: Option<PathBuf>,
    /// Colours of the map in overlays: viridis or turbo
    #[arg(long, value_name = "NAME", default_value = "viridis")]
    pub(super) colormap: Colormap,
    /// How much of the picture the map covers in overlays, 0 to 1
    #[arg(long, value_name = "X", default_value_t = 0.5, value_parser = share)]
    pub(super) opacity: f64,
    /// Name the N likeliest classes
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u16).range(1..))]
    pub(super) top_k: u16,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  comet-edge predict hand.jpg
  comet-edge predict photos/ 'more/*.png' --json > answers.jsonl
  comet-edge predict hand.jpg --overlay out --masks out

Pictures that cannot be read are named on stderr and skipped; if none can be read the exit code is 5.")]
pub(super) struct PredictArgs {
    /// Pictures (JPEG, PNG), folders of pictures, or quoted patterns
    #[arg(value_name = "PATH", required = true)]
    pub(super) paths: Vec<PathBuf>,
    /// Print one JSON object a line
    #[arg(long)]
    pub(super) json: bool,
    /// Write a bundle of evidence for each picture below DIR, for `comet-edge prove`
    #[arg(long, value_name = "DIR")]
    pub(super) evidence: Option<PathBuf>,
    #[command(flatten)]
    pub(super) model: ModelArgs,
    #[command(flatten)]
    pub(super) threads: ThreadArgs,
    #[command(flatten)]
    pub(super) outputs: OutputArgs,
}

#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("against").required(true).args(["calib", "reference"]),
    after_help = "\
Examples:
  comet-edge verify --model tiles.int8.onnx --calib calib/tiles
  comet-edge verify --model tiles.int8.onnx --reference tiles.f32.onnx --images photos/val

Limits that are not given are those of the model file; if it has none, the usual ones."
)]
pub(super) struct VerifyArgs {
    /// Folder with pictures and the float model's stored answers
    #[arg(long, value_name = "DIR")]
    pub(super) calib: Option<PathBuf>,
    /// Float model to compare with
    #[arg(long, value_name = "FILE", requires = "images")]
    pub(super) reference: Option<PathBuf>,
    /// Folder of pictures to compare on; folders with names of classes give the true classes
    #[arg(long, value_name = "DIR", requires = "reference")]
    pub(super) images: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) limits: LimitArgs,
    #[command(flatten)]
    pub(super) model: ModelArgs,
    #[command(flatten)]
    pub(super) threads: ThreadArgs,
}

#[derive(Debug, Args)]
pub(super) struct LimitArgs {
    /// Largest mean absolute difference of the maps, 0 to 1
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
    /// Smallest share of pictures with the same class, in percent
    #[arg(long, value_name = "PERCENT")]
    min_agreement: Option<f64>,
    /// Largest loss of accuracy, in percentage points
    #[arg(long, value_name = "POINTS", allow_negative_numbers = true)]
    max_accuracy_drop: Option<f64>,
}

impl LimitArgs {
    /// `base` with what was typed in its place.
    pub(super) fn over(&self, base: GateLimits) -> GateLimits {
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
A drawn picture of 640x480 pixels is answered again and again, after a warm-up. median_ms and p95_ms are the \
time from RGB pixels to the answer; decoding a JPEG of that picture is measured beside it.")]
pub(super) struct BenchArgs {
    /// Measured runs
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = value_parser!(u32).range(1..=1_000_000))]
    pub(super) iterations: u32,
    /// Measure the predictor alone, without selector and mask: what the explanation costs is the difference
    #[arg(long, conflicts_with = "layers")]
    pub(super) predictor: bool,
    /// Show the time of every kernel call, too
    #[arg(long)]
    pub(super) layers: bool,
    /// Print the result as JSON
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) model: ModelArgs,
    #[command(flatten)]
    pub(super) threads: ThreadArgs,
}

#[derive(Debug, Args)]
pub(super) struct InspectArgs {
    /// Model file; without it the model that is built into the program
    #[arg(value_name = "FILE")]
    pub(super) file: Option<PathBuf>,
    /// Prepare the model and show what runs each of its nodes
    #[arg(long)]
    pub(super) plan: bool,
    /// Accept a model file whose seal (its own SHA-256) is missing or broken
    #[arg(long)]
    pub(super) skip_hash: bool,
    /// Print the result as JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct CamerasArgs {
    /// Print the list as JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  comet-edge prove evidence/20261123T101500.123Z-camera0
  comet-edge prove evidence/* --model tiles.int8.onnx

An int8 model must give the same map and the same logits from the masked picture alone, bit for bit, on any \
processor. Exit code 1 if one step does not hold.")]
pub(super) struct ProveArgs {
    /// Folders that --evidence wrote
    #[arg(value_name = "BUNDLE", required = true)]
    pub(super) bundles: Vec<PathBuf>,
    /// Print the result as JSON, an object a line
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) model: ModelArgs,
}

/// A number from 0 to 1.
fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("it is no number from 0 to 1".into()),
    }
}

/// `10s`, `500ms`, `5m`, `2h`; a number alone is seconds.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let seconds = match text.get(digits.len()..) {
        Some("ms") => 0.001,
        Some("" | "s") => 1.0,
        Some("m") => 60.0,
        Some("h") => 3600.0,
        _ => return Err("the unit is none of ms, s, m, h".into()),
    };
    let number: f64 = digits.parse().map_err(|_| "it does not begin with a number".to_owned())?;
    Duration::try_from_secs_f64(number * seconds).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::SourceSpec;
    use clap::CommandFactory;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split(' '))
    }

    #[test]
    fn the_definition_is_sound_and_has_help() {
        Cli::command().debug_assert();
        let help = Cli::command().render_long_help().to_string();
        assert!(help.contains("Exit codes") && help.contains("predict"), "{help}");
    }

    #[test]
    fn run_takes_a_camera_or_a_source() {
        let cli = parse("comet-edge run --camera 2 --every 3 --duration 1.5m --loop").unwrap();
        let Command::Run(run) = cli.command else { unreachable!("run was typed") };
        assert_eq!((run.camera, run.every, run.repeat), (Some(2), 3, true));
        assert_eq!(run.duration, Some(Duration::from_secs(90)));
        let cli = parse("comet-edge run --source - --jsonl -").unwrap();
        let Command::Run(run) = cli.command else { unreachable!("run was typed") };
        assert_eq!(run.source, Some(SourceSpec::Stdin));
        assert!(parse("comet-edge run --camera 0 --source x").is_err());
        assert!(parse("comet-edge run --every 0").is_err());
    }

    #[test]
    fn an_unknown_source_is_told_with_what_is_understood() {
        let error = parse("comet-edge run --source synthetic:axb").unwrap_err().to_string();
        assert!(error.contains("synthetic["), "{error}");
    }

    #[test]
    fn verify_wants_exactly_one_reference() {
        assert!(parse("comet-edge verify --calib c").is_ok());
        assert!(parse("comet-edge verify --reference f.onnx --images d").is_ok());
        for line in ["verify", "verify --reference f.onnx", "verify --calib c --reference f --images d"] {
            assert!(parse(&format!("comet-edge {line}")).is_err(), "{line}");
        }
    }

    #[test]
    fn times_are_read_with_their_units() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("10"), Ok(Duration::from_secs(10)));
        assert_eq!(duration("2h"), Ok(Duration::from_secs(7200)));
        for text in ["", "s", "-1s", "5 s", "1d", "nan", "inf", "1e300s"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
