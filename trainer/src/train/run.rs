//! A training run from the first picture to the last checkpoint.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use burn::tensor::Device;
use comet_edge::storage::write_atomically;

use super::checkpoint::{Best, Checkpoint, Position};
use super::collapse::{detector_warning, map_warning};
use super::config::TrainConfig;
use super::epoch::{EpochEnd, EpochRun};
use super::journal::Journal;
use super::prepare::{import, prepare};
use super::session::{Networks, RunError, RunInfo, checkpoint_path};
use super::validate::{BurnSubject, classifier_accuracy};
use crate::data::{Batch, Picture, TrainingFeed};
use crate::metrics::{Evaluation, EvaluationOptions, evaluate};
use crate::report::{EpochRecord, Phase, ValidationRecord, evaluation_sheet, png_bytes};

/// Pictures on a contact sheet.
const SHEET: usize = 24;
const SHEET_COLUMNS: usize = 4;
const SHEET_CELL: u32 = 96;
const VALIDATION_BATCH: usize = 64;

/// Where a run reads from and writes to.
#[derive(Clone, Debug)]
pub struct TrainPaths {
    /// The data set.
    pub data: PathBuf,
    /// Scenes to paste on.
    pub scenes: Option<PathBuf>,
    /// The run's folder.
    pub out: PathBuf,
    /// torchvision weights of the selector.
    pub init_selector: Option<PathBuf>,
    /// torchvision weights of predictor and detector.
    pub init_predictor: Option<PathBuf>,
    /// Goes on where the run in `out` stands.
    pub resume: bool,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The best COMET epoch.
    pub best: Option<Best>,
    /// Why it ended.
    pub reason: &'static str,
    /// Whether all epochs are done, so that there is nothing to resume.
    pub finished: bool,
}

/// Everything that stays the same over the epochs of a run.
pub(super) struct Run<'a> {
    pub config: &'a TrainConfig,
    pub paths: &'a TrainPaths,
    pub info: RunInfo,
    pub feed: TrainingFeed,
    pub validation: Vec<Picture>,
    pub device: Device,
    pub stop: &'a AtomicBool,
    pub started: Instant,
}

/// Trains, or goes on training. Ends early when `stop` is set, leaving a checkpoint.
pub fn train(
    config: &TrainConfig,
    paths: &TrainPaths,
    device: (Device, String),
    stop: &AtomicBool,
) -> anyhow::Result<Outcome> {
    config.check()?;
    let (device, device_name) = device;
    eprintln!("device: {device_name}");
    let last = checkpoint_path(&paths.out, "last");
    let checkpoint = match (paths.resume, last.is_file()) {
        (true, true) => Some(Checkpoint::read(&last)?),
        (true, false) => return Err(RunError::NothingToResume(paths.out.clone()).into()),
        (false, true) => return Err(RunError::Exists(paths.out.clone()).into()),
        (false, false) => None,
    };
    let run = prepare(config, paths, device.autodiff(), &device_name, stop)?;
    let networks = Networks::new(config, run.info.classes.len(), &run.device);
    let (networks, position) = match &checkpoint {
        Some(checkpoint) => {
            let networks = networks
                .restore(checkpoint)
                .map_err(|kind| super::checkpoint::CheckpointError { path: last.clone(), kind })?;
            eprintln!(
                "resuming in {} epoch {}, batch {}",
                checkpoint.position.phase.name(),
                checkpoint.position.epoch + 1,
                checkpoint.position.batch
            );
            (networks, checkpoint.position)
        }
        None => (import(networks, config, paths)?, Position::default()),
    };
    run.go(networks, position)
}

impl Run<'_> {
    fn go(&self, networks: Networks, mut position: Position) -> anyhow::Result<Outcome> {
        let mut journal = Journal::open(&self.paths.out, position.records)?;
        let before = position.seconds;
        let mut networks = networks;
        if position.phase == Phase::Comet {
            networks = networks.freeze_detector();
        }
        loop {
            let epochs = match position.phase {
                Phase::Detector => self.config.detector_epochs,
                Phase::Comet => self.config.epochs,
            };
            if position.epoch >= epochs {
                if position.phase == Phase::Comet {
                    return Ok(Outcome {
                        best: position.best,
                        reason: "all epochs are done",
                        finished: true,
                    });
                }
                (networks, position) = self.start_comet(networks, position)?;
                continue;
            }
            let epoch = EpochRun { run: self, epochs, before };
            let (after, end) = epoch.train(networks, &mut position)?;
            networks = after;
            if let EpochEnd::Interrupted(reason) = end {
                self.save(&networks, &mut position, before)?;
                return Ok(Outcome { best: position.best, reason, finished: false });
            }
            let improved = self.end_epoch(&networks, &mut position, &mut journal, before)?;
            if improved {
                let best = networks.weights(position).map_err(anyhow::Error::from)?;
                best.write(&checkpoint_path(&self.paths.out, "best"))?;
            }
            self.save(&networks, &mut position, before)?;
            if let Some(reason) = self.early_end(&position) {
                return Ok(Outcome { best: position.best, reason, finished: true });
            }
        }
    }

    /// From the detector's training to COMET's.
    fn start_comet(
        &self,
        mut networks: Networks,
        position: Position,
    ) -> anyhow::Result<(Networks, Position)> {
        if self.config.warm_start {
            networks = networks.warm_start_predictor().map_err(anyhow::Error::from)?;
        }
        let position = Position { phase: Phase::Comet, epoch: 0, batch: 0, ..position };
        Ok((networks.freeze_detector(), position))
    }

    /// Seconds of training so far, over all sessions.
    pub(super) fn seconds(&self, before: f64) -> f64 {
        before + self.started.elapsed().as_secs_f64()
    }

    pub(super) fn save(
        &self,
        networks: &Networks,
        position: &mut Position,
        before: f64,
    ) -> anyhow::Result<()> {
        position.seconds = self.seconds(before);
        let checkpoint = networks.checkpoint(*position).map_err(anyhow::Error::from)?;
        Ok(checkpoint.write(&checkpoint_path(&self.paths.out, "last"))?)
    }

    /// Why to stop now, if anything asks for it.
    pub(super) fn interruption(&self) -> Option<&'static str> {
        if self.stop.load(Ordering::Relaxed) {
            return Some("it was interrupted");
        }
        let limit = self.config.max_minutes * 60.0;
        (limit > 0.0 && self.started.elapsed().as_secs_f64() >= limit).then_some("max-minutes is over")
    }

    fn early_end(&self, position: &Position) -> Option<&'static str> {
        let waited = position.epoch - position.best?.epoch.min(position.epoch);
        (self.config.patience > 0 && position.phase == Phase::Comet && waited >= self.config.patience)
            .then_some("validation has stopped improving")
    }

    /// Validates, writes the journal, and says whether this is the best epoch so far.
    fn end_epoch(
        &self,
        networks: &Networks,
        position: &mut Position,
        journal: &mut Journal,
        before: f64,
    ) -> anyhow::Result<bool> {
        let steps = self.feed.batches();
        let means = std::mem::take(&mut position.sums).divided(steps as f64);
        position.batch = 0;
        position.epoch += 1;
        let (validation, improved) = match position.phase {
            Phase::Detector => {
                let accuracy = self.validate_detector(networks)?;
                position.detector_accuracy = Some(accuracy);
                let weak = detector_warning(accuracy, self.info.classes.len());
                if let Some(text) = weak.filter(|_| position.epoch == self.config.detector_epochs) {
                    eprintln!("warning: {text}");
                }
                (ValidationRecord { accuracy, ..ValidationRecord::default() }, false)
            }
            Phase::Comet => {
                if let Some(text) = map_warning(means.area) {
                    eprintln!("warning: {text}");
                }
                let evaluation = self.validate(networks)?;
                self.draw_sheet(&evaluation, position.epoch)?;
                let accuracy = evaluation.accuracy;
                let improved = position.best.is_none_or(|best| accuracy >= best.accuracy);
                if improved {
                    position.best = Some(Best { epoch: position.epoch, accuracy });
                }
                (ValidationRecord::from(&evaluation), improved)
            }
        };
        let schedule = match position.phase {
            Phase::Detector => self.config.detector_schedule(steps),
            Phase::Comet => self.config.comet_schedule(steps),
        };
        let comet = position.phase == Phase::Comet;
        let part = |value: f64| comet.then_some(value);
        let record = EpochRecord {
            phase: position.phase,
            epoch: position.epoch,
            learning_rate: schedule.rate(position.epoch * steps - 1),
            loss: means.total,
            loss_predictor: part(means.predictor),
            loss_detector: part(means.detector),
            completeness: part(means.completeness),
            area_penalty: part(means.area_penalty),
            area: part(100.0 * means.area),
            train_accuracy: 100.0 * means.accuracy,
            val: Some(validation),
            seconds: self.seconds(before),
        };
        eprintln!("    {}", record.summary());
        journal.append(&record)?;
        position.records = journal.len();
        journal.draw_curves(self.config.objective.target_area)?;
        Ok(improved)
    }

    fn validation_batches(&self) -> Vec<Batch> {
        let chunks = self.validation.chunks(VALIDATION_BATCH);
        chunks.map(|pictures| Batch::new(pictures, &self.info.preprocess)).collect()
    }

    fn validate_detector(&self, networks: &Networks) -> anyhow::Result<f64> {
        classifier_accuracy(&networks.detector, &self.validation_batches(), &self.device)
    }

    fn validate(&self, networks: &Networks) -> anyhow::Result<Evaluation> {
        let mut subject = BurnSubject::snapshot(&networks.comet, &self.info.classes, &self.device);
        let options =
            EvaluationOptions { batch: VALIDATION_BATCH, seed: self.config.seed, full: false, keep: SHEET };
        evaluate(&mut subject, &self.validation, &self.info.preprocess, &options, &mut |_, _| {})
    }

    fn draw_sheet(&self, evaluation: &Evaluation, epoch: usize) -> anyhow::Result<()> {
        let every = self.config.sheet_every;
        if every == 0 || (!epoch.is_multiple_of(every) && epoch != self.config.epochs) {
            return Ok(());
        }
        let sheet = evaluation_sheet(evaluation, &self.validation, SHEET_COLUMNS, SHEET_CELL);
        let path = self.paths.out.join(format!("sheet-{epoch:04}.png"));
        Ok(write_atomically(&path, &png_bytes(&sheet)?)?)
    }
}

/// Reads a run's folder to tell whether it can be written to.
pub fn is_run(folder: &Path) -> bool {
    folder.join("run.json").is_file()
}
