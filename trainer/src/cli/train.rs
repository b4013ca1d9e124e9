//! `trainer train`

use std::path::PathBuf;

use clap::Args;

use super::exit::Usage;
use super::stop::stop_flag;
use crate::data::Sample;
use crate::metrics::Evaluation;
use crate::model::Preset;
use crate::report::{curves_svg, evaluation_sheet, png_bytes, training_panels};
use crate::train::{
    Completeness, Decay, DeviceChoice, Drawings, EpochRecord, ResumeFrom, RunError, TrainConfig, TrainPaths,
    is_run, open_device, train,
};

const SHEET_COLUMNS: usize = 4;
const SHEET_CELL: u32 = 96;

/// Flags win over the file, the file over the defaults.
#[derive(Args)]
#[command(after_help = "Examples:
  trainer train --data photos --out runs/photos
  trainer train --data hands --scenes scenes --paste 0.5 --out runs/hands --size 64 --epochs 80
  trainer train --data hands --out runs/hands --resume
  trainer train --data hands --out runs/hands --resume best --seed 1

Settings not listed here are set in a file (--config); runs/NAME/config.toml lists all of them.")]
pub(super) struct TrainArgs {
    /// Data set: DIR/images/<split>/<class>/* with DIR/masks/..., or plain DIR/<class>/*.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Folder of the run: checkpoints, metrics, curves, contact sheets.
    #[arg(long, value_name = "RUN")]
    out: PathBuf,
    /// Settings (TOML).
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Continues the run in --out with the settings that it was started with: from where it stands (last), or from its
    /// best epoch (best), with another --seed if one is given.
    #[arg(
        long,
        value_name = "last|best",
        num_args = 0..=1,
        default_missing_value = "last",
        conflicts_with = "config"
    )]
    resume: Option<ResumeFrom>,
    /// Photographs to paste cut-outs on; needs masks.
    #[arg(long, value_name = "DIR")]
    scenes: Option<PathBuf>,
    /// Device: auto, cpu, gpu or gpu:<number>.
    #[arg(long, default_value = "auto")]
    device: DeviceChoice,
    /// torchvision weights for the selector (.pth or .safetensors).
    #[arg(long, value_name = "FILE")]
    init_selector: Option<PathBuf>,
    /// torchvision weights for predictor and detector.
    #[arg(long, value_name = "FILE")]
    init_predictor: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Args)]
#[command(next_help_heading = "Settings")]
struct Settings {
    /// Network pair: full or small.
    #[arg(long)]
    preset: Option<Preset>,
    /// First-stage width of predictor and detector (full 64, small 32).
    #[arg(long, value_name = "CHANNELS")]
    width: Option<usize>,
    /// Side of the input in pixels.
    #[arg(long, value_name = "PIXELS")]
    size: Option<u32>,
    /// COMET epochs.
    #[arg(long)]
    epochs: Option<usize>,
    /// Epochs of the detector.
    #[arg(long)]
    detector_epochs: Option<usize>,
    /// Images in a batch.
    #[arg(long)]
    batch: Option<usize>,
    /// Peak learning rate, of the detector as well.
    #[arg(long, value_name = "RATE")]
    lr: Option<f64>,
    /// one-cycle, cosine, step or constant.
    #[arg(long)]
    schedule: Option<Decay>,
    /// hinge or paper.
    #[arg(long)]
    completeness: Option<Completeness>,
    /// Weight a of the completeness term.
    #[arg(long, value_name = "A")]
    alpha: Option<f64>,
    /// Weight b of the area term.
    #[arg(long, value_name = "B")]
    beta: Option<f64>,
    /// Area t that costs nothing.
    #[arg(long, value_name = "T")]
    target_area: Option<f64>,
    /// Gap of the hinge.
    #[arg(long)]
    gap: Option<f64>,
    /// Share of images pasted on scenes.
    #[arg(long, value_name = "SHARE")]
    paste: Option<f64>,
    /// Starts the predictor from the detector's weights.
    #[arg(long)]
    warm_start: bool,
    /// Seed of everything random.
    #[arg(long)]
    seed: Option<u64>,
    /// Stops when validation has not improved for so many epochs.
    #[arg(long, value_name = "EPOCHS")]
    patience: Option<usize>,
    /// Stops after so many minutes, with a checkpoint to resume from.
    #[arg(long, value_name = "MINUTES")]
    max_minutes: Option<f64>,
}

impl Settings {
    fn apply(&self, config: &mut TrainConfig) {
        fn set<T: Copy>(slot: &mut T, value: Option<T>) {
            if let Some(value) = value {
                *slot = value;
            }
        }
        set(&mut config.preset, self.preset);
        set(&mut config.width, self.width);
        set(&mut config.size, self.size);
        set(&mut config.epochs, self.epochs);
        set(&mut config.detector_epochs, self.detector_epochs);
        set(&mut config.batch, self.batch);
        set(&mut config.learning_rate, self.lr);
        set(&mut config.detector_learning_rate, self.lr);
        set(&mut config.schedule, self.schedule);
        set(&mut config.objective.completeness, self.completeness);
        set(&mut config.objective.alpha, self.alpha);
        set(&mut config.objective.beta, self.beta);
        set(&mut config.objective.target_area, self.target_area);
        set(&mut config.objective.gap, self.gap);
        set(&mut config.paste, self.paste);
        config.warm_start |= self.warm_start;
        set(&mut config.seed, self.seed);
        set(&mut config.patience, self.patience);
        set(&mut config.max_minutes, self.max_minutes);
    }

    /// A resumed run keeps its settings; only when to stop may change, and the seed if it goes back to its best epoch.
    fn apply_to_resumed(&self, config: &mut TrainConfig, from: ResumeFrom) -> Result<(), Usage> {
        let mut changed = config.clone();
        self.apply(&mut changed);
        config.max_minutes = self.max_minutes.unwrap_or(0.0);
        config.patience = changed.patience;
        changed.max_minutes = config.max_minutes;
        if from == ResumeFrom::Best {
            config.seed = changed.seed;
        }
        if changed != *config {
            return Err(Usage(
                "a resumed run keeps the settings that it was started with; only --max-minutes and --patience can be given with --resume, and --seed with --resume best".into(),
            ));
        }
        Ok(())
    }
}

/// Curves and contact sheets as the reports draw them.
struct ReportDrawings;

impl Drawings for ReportDrawings {
    fn curves(&self, records: &[EpochRecord], target_area: f64) -> String {
        curves_svg(&training_panels(records, Some(target_area)))
    }

    fn sheet(&self, evaluation: &Evaluation, samples: &[Sample]) -> Result<Vec<u8>, image::ImageError> {
        png_bytes(&evaluation_sheet(evaluation, samples, SHEET_COLUMNS, SHEET_CELL))
    }
}

fn config(args: &TrainArgs) -> anyhow::Result<TrainConfig> {
    if let Some(from) = args.resume {
        if !is_run(&args.out) {
            return Err(RunError::NoRun(args.out.clone()).into());
        }
        let mut config = TrainConfig::read(&args.out.join("config.toml"))?;
        args.settings.apply_to_resumed(&mut config, from)?;
        return Ok(config);
    }
    let mut config = match &args.config {
        Some(path) => TrainConfig::read(path)?,
        None => TrainConfig::default(),
    };
    args.settings.apply(&mut config);
    Ok(config)
}

pub(super) fn run(args: &TrainArgs) -> anyhow::Result<()> {
    let config = config(args)?;
    let paths = TrainPaths {
        data: args.data.clone(),
        scenes: args.scenes.clone(),
        out: args.out.clone(),
        init_selector: args.init_selector.clone(),
        init_predictor: args.init_predictor.clone(),
        resume: args.resume,
    };
    let stop = stop_flag()?;
    let outcome = train(&config, &paths, open_device(args.device)?, &ReportDrawings, &stop)?;
    match outcome.best {
        Some(best) => eprintln!("best validation accuracy {:.1} % after epoch {}", best.accuracy, best.epoch),
        None => eprintln!("COMET has not been validated yet"),
    }
    eprintln!("ended: {}", outcome.reason);
    let (run, data) = (args.out.display(), args.data.display());
    if outcome.finished {
        eprintln!("next: trainer eval {run} --data {data} --split val --report {run}/report.html");
    } else {
        eprintln!("hint: trainer train --data {data} --out {run} --resume continues from here");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: TrainArgs,
    }

    fn parse(words: &str) -> Result<TrainArgs, clap::Error> {
        let line = format!("train --data photos --out run {words}");
        Line::try_parse_from(line.split_whitespace()).map(|line| line.args)
    }

    #[test]
    fn resume_is_from_the_last_checkpoint_unless_the_best_is_asked_for() {
        let resume = |words| parse(words).unwrap().resume;
        assert_eq!(resume(""), None);
        assert_eq!(resume("--resume"), Some(ResumeFrom::Last));
        assert_eq!(resume("--resume --device cpu"), Some(ResumeFrom::Last));
        assert_eq!(resume("--resume best --device cpu"), Some(ResumeFrom::Best));
        assert!(parse("--resume first").is_err());
    }

    #[test]
    fn only_a_run_that_goes_back_may_change_its_seed() {
        let apply = |words: &str, from| {
            let mut config = TrainConfig { seed: 3, ..TrainConfig::default() };
            parse(words).unwrap().settings.apply_to_resumed(&mut config, from).map(|()| config.seed)
        };
        assert_eq!(apply("--seed 4", ResumeFrom::Best).ok(), Some(4));
        assert_eq!(apply("", ResumeFrom::Best).ok(), Some(3));
        assert!(apply("--seed 4", ResumeFrom::Last).is_err());
        assert!(apply("--seed 4 --epochs 9", ResumeFrom::Best).is_err());
    }
}
