//! `trainer train`

use std::path::PathBuf;

use clap::Args;

use super::exit::Usage;
use super::next_steps::{continue_command, next_steps};
use super::stop::stop_flag;
use crate::data::Sample;
use crate::metrics::Evaluation;
use crate::model::{Head, Preset};
use crate::report::{curves_svg, evaluation_sheet, png_bytes, training_panels};
use crate::train::{
    Automatic, Completeness, Decay, DeviceChoice, Drawings, EpochRecord, Recipe, Requested, ResumeFrom,
    RunError, SettingsFile, TrainConfig, TrainPaths, is_run, open_device, train,
};

const SHEET_COLUMNS: usize = 4;
const SHEET_CELL: u32 = 96;

/// Flags win over the file, the file over the recipe. What none of them says (size, batch, epochs, target area, changes
/// of the images) is chosen from the data, printed with the reason, and written into the run's config.toml.
#[derive(Args)]
#[command(after_help = "Examples:
  trainer train --data photos --out runs/photos
  trainer train --data hands --scenes scenes --paste 0.5 --out runs/hands --size 64 --epochs 80
  trainer train --data hands --out runs/hands --resume
  trainer train --data hands --out runs/hands --resume best --seed 1
  trainer train --data imagenet-9 --out runs/paper --preset full --from-scratch --recipe paper

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
    /// Network pair: lite (the default; starts from weights on ImageNet), full or small.
    #[arg(long)]
    preset: Option<Preset>,
    /// Leaves the pretrained weights of lite out.
    #[arg(long)]
    from_scratch: bool,
    /// What is built on: standard, or paper for all settings of the paper (its networks: --preset full).
    #[arg(long, value_name = "standard|paper", default_value = "standard", hide_default_value = true)]
    recipe: Recipe,
    /// Head of the selector: lraspp (full, small) or top-down (lite; finer maps).
    #[arg(long, value_name = "lraspp|top-down")]
    head: Option<Head>,
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
    /// Starts the predictor from the detector's weights: the default with pretrained weights, =false switches it off.
    #[arg(long, value_name = "true|false", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    warm_start: Option<bool>,
    /// Epochs at the start of both trainings in which new last layers learn alone.
    #[arg(long, value_name = "EPOCHS")]
    head_epochs: Option<usize>,
    /// Share of each label that is spread over all classes.
    #[arg(long, value_name = "SHARE")]
    label_smoothing: Option<f64>,
    /// Mixes images in the detector's training (alpha of the Beta distribution); 0 = off.
    #[arg(long, value_name = "ALPHA")]
    mixup: Option<f64>,
    /// Evaluates and keeps averaged weights, with this decay a step; 0 = off.
    #[arg(long, value_name = "DECAY")]
    ema: Option<f64>,
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
        set(&mut config.pretrained, self.from_scratch.then_some(false));
        set(&mut config.head, self.head);
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
        set(&mut config.warm_start, self.warm_start);
        set(&mut config.head_epochs, self.head_epochs);
        set(&mut config.objective.label_smoothing, self.label_smoothing);
        set(&mut config.mixup, self.mixup);
        set(&mut config.ema, self.ema);
        set(&mut config.seed, self.seed);
        set(&mut config.patience, self.patience);
        set(&mut config.max_minutes, self.max_minutes);
    }

    /// What the flags set is not open any more.
    fn close(&self, automatic: &mut Automatic) {
        automatic.size &= self.size.is_none();
        automatic.batch &= self.batch.is_none();
        automatic.detector_epochs &= self.detector_epochs.is_none();
        automatic.epochs &= self.epochs.is_none();
        automatic.head_epochs &= self.head_epochs.is_none();
        automatic.target_area &= self.target_area.is_none();
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
        if changed != *config || self.recipe != Recipe::default() {
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

/// The settings of a run, of which a new one may leave some to the data.
fn requested(args: &TrainArgs) -> anyhow::Result<Requested> {
    if let Some(from) = args.resume {
        if !is_run(&args.out) {
            return Err(RunError::NoRun(args.out.clone()).into());
        }
        let mut config = TrainConfig::read(&args.out.join("config.toml"))?;
        args.settings.apply_to_resumed(&mut config, from)?;
        return Ok(config.into());
    }
    let file = match &args.config {
        Some(path) => SettingsFile::read(path)?,
        None => SettingsFile::default(),
    };
    let settings = &args.settings;
    let preset = settings.preset.or(file.preset()).unwrap_or(Preset::Lite);
    let pretrained = !settings.from_scratch && file.pretrained().unwrap_or(true);
    let mut requested = Requested::new(settings.recipe, preset, pretrained, &file)?;
    settings.apply(&mut requested.config);
    settings.close(&mut requested.automatic);
    Ok(requested)
}

pub(super) fn run(args: &TrainArgs) -> anyhow::Result<()> {
    let requested = requested(args)?;
    let paths = TrainPaths {
        data: args.data.clone(),
        scenes: args.scenes.clone(),
        out: args.out.clone(),
        init_selector: args.init_selector.clone(),
        init_predictor: args.init_predictor.clone(),
        resume: args.resume,
    };
    let stop = stop_flag()?;
    let outcome = train(requested, &paths, open_device(args.device)?, &ReportDrawings, &stop)?;
    match outcome.best {
        Some(best) => eprintln!("best validation accuracy {:.1} % after epoch {}", best.accuracy, best.epoch),
        None => eprintln!("COMET has not been validated yet"),
    }
    eprintln!("ended: {}", outcome.reason);
    if outcome.finished {
        eprintln!("{}", next_steps(&args.out, &args.data, args.scenes.as_deref()));
    } else {
        eprintln!("hint: {} continues from here", continue_command(&args.out, &args.data));
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
    fn without_settings_a_run_is_pretrained_lite_and_the_data_decide_the_rest() {
        let found = requested(&parse("").unwrap()).unwrap();
        assert_eq!(found.config, TrainConfig::recipe(Recipe::Standard, Preset::Lite, true));
        assert!(found.automatic.size && found.automatic.epochs && found.automatic.target_area);
        let scratch = requested(&parse("--from-scratch").unwrap()).unwrap().config;
        assert_eq!(scratch, TrainConfig::recipe(Recipe::Standard, Preset::Lite, false));
    }

    #[test]
    fn flags_win_over_the_recipe_and_are_not_chosen_from_the_data() {
        let words = "--size 96 --batch 4 --target-area 0.4 --warm-start=false --ema 0.99 --lr 2e-3";
        let Requested { config, automatic } = requested(&parse(words).unwrap()).unwrap();
        assert_eq!((config.size, config.batch, config.objective.target_area), (96, 4, 0.4));
        assert_eq!((config.warm_start, config.ema, config.learning_rate), (false, 0.99, 2e-3));
        assert!(!automatic.size && !automatic.batch && !automatic.target_area && automatic.epochs);
        assert!(requested(&parse("--warm-start --size 96").unwrap()).unwrap().config.warm_start);
    }

    #[test]
    fn the_papers_settings_are_one_recipe() {
        let words = "--preset full --from-scratch --recipe paper";
        let found = requested(&parse(words).unwrap()).unwrap();
        assert_eq!(found, Requested::from(TrainConfig::recipe(Recipe::Paper, Preset::Full, false)));
        let found = requested(&parse(&format!("{words} --epochs 3")).unwrap()).unwrap();
        assert_eq!((found.config.epochs, found.config.batch), (3, 128));
        assert!(parse("--recipe mine").is_err());
    }

    #[test]
    fn a_resumed_run_keeps_its_settings_and_none_of_them_is_open() {
        let run = tempfile::tempdir().unwrap();
        let config = TrainConfig { epochs: 7, ..TrainConfig::default() };
        std::fs::write(run.path().join("config.toml"), config.to_toml().unwrap()).unwrap();
        std::fs::write(run.path().join("run.json"), "{}").unwrap();
        let args = TrainArgs { out: run.path().to_owned(), ..parse("--resume").unwrap() };
        assert_eq!(requested(&args).unwrap(), Requested::from(config));
        let args = TrainArgs { out: run.path().to_owned(), ..parse("--resume --ema 0.9").unwrap() };
        assert!(requested(&args).is_err());
        let args = TrainArgs { out: run.path().to_owned(), ..parse("--resume --recipe paper").unwrap() };
        assert!(requested(&args).is_err());
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
