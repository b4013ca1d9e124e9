//! A training run from the first image to the last checkpoint.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use burn::tensor::Device;
use comet_engine::storage::write_atomically;

use super::checkpoint::{Best, Checkpoint, CheckpointError, Position};
use super::collapse::{detector_warning, map_warning};
use super::context::{Drawings, ResumeFrom, RunContext, TrainPaths};
use super::epoch::{EpochEnd, EpochRun};
use super::error::TrainError;
use super::journal::Journal;
use super::networks::Networks;
use super::objective::Losses;
use super::prepare::{import, prepare};
use super::record::{EpochRecord, Phase, ValidationRecord};
use super::requested::Requested;
use super::run_folder::{RunError, checkpoint_path};
use super::tensorboard::write_events;
use super::validate::Validated;

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The best COMET epoch.
    pub best: Option<Best>,
    /// Why it ended.
    pub reason: &'static str,
    /// Whether there is nothing left to resume.
    pub finished: bool,
}

/// Trains, or continues a run. Ends early when `stop` is set, leaving a checkpoint.
///
/// What `requested` leaves open is chosen from the data before anything is trained, and written with the rest into the
/// run's `config.toml`.
///
/// # Errors
/// See [`TrainError`]. Networks that have diverged are not written: the checkpoints before stay.
pub fn train(
    requested: Requested,
    paths: &TrainPaths,
    device: (Device, String),
    drawings: &dyn Drawings,
    stop: &AtomicBool,
) -> Result<Outcome, TrainError> {
    requested.config.check()?;
    let (device, device_name) = device;
    eprintln!("device: {device_name}");
    let checkpoint = checkpoint_to_resume(paths)?;
    let run = prepare(requested, paths, (device.autodiff(), device_name), drawings, stop)?;
    let networks = Networks::new(&run.config, run.info.classes.len(), &run.device);
    let (networks, position) = match checkpoint {
        Some(checkpoint) => restored(networks, &checkpoint, paths)?,
        None => (import(networks, &run.config, paths)?, Position::default()),
    };
    run_epochs(&run, networks, position)
}

/// The checkpoint that `--resume` asks for. Without it, the folder must not hold a run yet.
fn checkpoint_to_resume(paths: &TrainPaths) -> Result<Option<Checkpoint>, TrainError> {
    let last = checkpoint_path(&paths.out, "last");
    let best = checkpoint_path(&paths.out, "best");
    match paths.resume {
        None if last.is_file() => Err(RunError::Exists(paths.out.clone()).into()),
        None => Ok(None),
        Some(ResumeFrom::Last) if !last.is_file() => Err(RunError::NothingToResume(paths.out.clone()).into()),
        Some(ResumeFrom::Last) => Ok(Some(Checkpoint::read(&last)?)),
        Some(ResumeFrom::Best) if !best.is_file() => Err(RunError::NoBest(paths.out.clone()).into()),
        Some(ResumeFrom::Best) => Ok(Some(Checkpoint::read(&best)?)),
    }
}

/// Networks and position of a checkpoint.
fn restored(
    networks: Networks,
    checkpoint: &Checkpoint,
    paths: &TrainPaths,
) -> Result<(Networks, Position), TrainError> {
    let position = checkpoint.position;
    let is_best = paths.resume == Some(ResumeFrom::Best);
    let restored = if is_best { networks.restore_weights(checkpoint) } else { networks.restore(checkpoint) };
    let networks = restored.map_err(|kind| {
        let path = checkpoint_path(&paths.out, if is_best { "best" } else { "last" });
        CheckpointError { path, kind }
    })?;
    if is_best {
        eprintln!(
            "going back to the best epoch, {}: later epochs are trained again, the optimizers start anew",
            position.epoch
        );
    } else {
        eprintln!(
            "resuming in {} epoch {}, batch {}",
            position.phase.name(),
            position.epoch + 1,
            position.batch
        );
    }
    Ok((networks, position))
}

fn run_epochs(
    run: &RunContext<'_>,
    mut networks: Networks,
    mut position: Position,
) -> Result<Outcome, TrainError> {
    let (mut journal, warning) = Journal::open(&run.paths.out, position.records)?;
    if let Some(text) = warning {
        eprintln!("warning: {text}");
    }
    position.records = journal.len();
    let before = position.seconds;
    if position.phase == Phase::Comet {
        networks = networks.freeze_detector();
    }
    if run.paths.resume == Some(ResumeFrom::Best) {
        // From now on this is where the run stands, whenever it is interrupted.
        run.save(&networks, &mut position, before)?;
    }
    loop {
        let epochs = match position.phase {
            Phase::Detector => run.config.detector_epochs,
            Phase::Comet => run.config.epochs,
        };
        if position.epoch >= epochs {
            if position.phase == Phase::Comet {
                return Ok(Outcome { best: position.best, reason: "all epochs are done", finished: true });
            }
            (networks, position) = start_comet(run, networks, position)?;
            continue;
        }
        // Asked before each epoch, so that a run which ended early does not train one more when it is resumed.
        if is_out_of_patience(run.config.patience, &position) {
            let reason = "validation has stopped improving";
            return Ok(Outcome { best: position.best, reason, finished: true });
        }
        if run.config.head_epochs > 0 {
            let hold = position.epoch < run.config.head_epochs_of(epochs);
            networks = networks.hold_backbones(position.phase, hold);
        }
        let epoch = EpochRun { run, epochs, before };
        let (after, end) = epoch.train(networks, &mut position)?;
        networks = after;
        if let EpochEnd::Interrupted(reason) = end {
            run.save(&networks, &mut position, before)?;
            return Ok(Outcome { best: position.best, reason, finished: false });
        }
        let improved = end_epoch(run, &networks, &mut position, &mut journal, before)?;
        if improved {
            position.seconds = run.seconds(before);
            run.save_best(&networks, &position)?;
        }
        run.save(&networks, &mut position, before)?;
    }
}

/// From the detector's training to COMET's.
fn start_comet(
    run: &RunContext<'_>,
    networks: Networks,
    position: Position,
) -> Result<(Networks, Position), TrainError> {
    let failed = |kind| CheckpointError { path: checkpoint_path(&run.paths.out, "last"), kind };
    let mut networks = networks.adopt_detector_average().map_err(failed)?;
    if run.config.warm_start {
        networks = networks.warm_start_predictor().map_err(failed)?;
    }
    let position = Position { phase: Phase::Comet, epoch: 0, batch: 0, ..position };
    Ok((networks.freeze_detector(), position))
}

/// Whether COMET has had `patience` whole epochs since its best one; never if `patience` is 0.
fn is_out_of_patience(patience: usize, position: &Position) -> bool {
    let Some(best) = position.best else { return false };
    patience > 0
        && position.phase == Phase::Comet
        && position.batch == 0
        && position.epoch.saturating_sub(best.epoch) >= patience
}

/// Validates, writes the journal, and returns whether this is the best epoch so far.
fn end_epoch(
    run: &RunContext<'_>,
    networks: &Networks,
    position: &mut Position,
    journal: &mut Journal,
    before: f64,
) -> Result<bool, TrainError> {
    let means = std::mem::take(&mut position.sums).divided(run.feed.batches() as f64);
    position.batch = 0;
    position.epoch += 1;
    let (validation, improved) = match position.phase {
        Phase::Detector => (validate_detector(run, networks, position)?, false),
        Phase::Comet => {
            if let Some(text) = map_warning(means.area) {
                eprintln!("warning: {text}");
            }
            let validated =
                run.validation.evaluate(networks.shown_comet(), &run.info.classes, &run.device)?;
            draw_sheet(run, &validated, position.epoch)?;
            let accuracy = validated.evaluation.accuracy;
            let complete = run.config.objective.is_complete(means.completeness);
            let this = Best { epoch: position.epoch, accuracy, complete };
            let improved = this.beats(position.best);
            if improved {
                position.best = Some(this);
            }
            (ValidationRecord::from(&validated.evaluation), improved)
        }
    };
    let record = epoch_record(run, position, &means, validation, before);
    eprintln!("    {}", record.summary());
    journal.append(&record)?;
    position.records = journal.len();
    let curves = run.drawings.curves(journal.records(), 100.0 * run.config.objective.target_area);
    write(&run.paths.out.join("curves.svg"), curves.as_bytes())?;
    write_events(&run.paths.out, journal.records())
        .map_err(|fault| TrainError::Io { path: run.paths.out.join("events.out.tfevents.*"), fault })?;
    Ok(improved)
}

fn validate_detector(
    run: &RunContext<'_>,
    networks: &Networks,
    position: &mut Position,
) -> Result<ValidationRecord, TrainError> {
    let accuracy = run.validation.detector_accuracy(networks.shown_detector(), &run.device)?;
    position.detector_accuracy = Some(accuracy);
    let weak = detector_warning(accuracy, run.info.classes.len());
    if let Some(text) = weak.filter(|_| position.epoch == run.config.detector_epochs) {
        eprintln!("warning: {text}");
    }
    Ok(ValidationRecord { accuracy, ..ValidationRecord::default() })
}

/// The line of the epoch that has just ended.
fn epoch_record(
    run: &RunContext<'_>,
    position: &Position,
    means: &Losses,
    validation: ValidationRecord,
    before: f64,
) -> EpochRecord {
    let steps = run.feed.batches();
    let schedule = match position.phase {
        Phase::Detector => run.config.detector_schedule(steps),
        Phase::Comet => run.config.comet_schedule(steps),
    };
    let comet = position.phase == Phase::Comet;
    let part = |value: f64| comet.then_some(value);
    EpochRecord {
        phase: position.phase,
        epoch: position.epoch,
        learning_rate: schedule.rate((position.epoch * steps).saturating_sub(1)),
        loss: means.total,
        loss_predictor: part(means.predictor),
        loss_detector: part(means.detector),
        completeness: part(means.completeness),
        area_penalty: part(means.area_penalty),
        area: part(100.0 * means.area),
        train_accuracy: 100.0 * means.accuracy,
        val: Some(validation),
        seconds: run.seconds(before),
    }
}

fn draw_sheet(run: &RunContext<'_>, validated: &Validated, epoch: usize) -> Result<(), TrainError> {
    let every = run.config.sheet_every;
    if every == 0 || (!epoch.is_multiple_of(every) && epoch != run.config.epochs) {
        return Ok(());
    }
    let path = run.paths.out.join(format!("sheet-{epoch:04}.png"));
    match run.drawings.sheet(&validated.evaluation, &validated.samples) {
        Ok(png) => write(&path, &png),
        Err(error) => Err(TrainError::Drawing { path, fault: error.to_string() }),
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), TrainError> {
    write_atomically(path, bytes).map_err(|fault| TrainError::Io { path: path.to_owned(), fault })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(epoch: usize, best: Option<usize>) -> Position {
        let best = best.map(|epoch| Best { epoch, accuracy: 80.0, complete: true });
        Position { phase: Phase::Comet, epoch, best, ..Position::default() }
    }

    #[test]
    fn an_equal_epoch_is_not_better() {
        let epoch = |accuracy, complete| Best { epoch: 3, accuracy, complete };
        let best = Some(epoch(80.0, true));
        assert!(epoch(0.0, true).beats(None) && epoch(80.1, true).beats(best));
        for accuracy in [80.0, 79.9, f64::NAN] {
            assert!(!epoch(accuracy, true).beats(best));
        }
    }

    #[test]
    fn an_epoch_whose_map_leaves_much_to_the_detector_is_not_the_best() {
        let epoch = |accuracy, complete| Best { epoch: 3, accuracy, complete };
        assert!(epoch(70.0, true).beats(Some(epoch(90.0, false))));
        assert!(!epoch(95.0, false).beats(Some(epoch(70.0, true))));
        // As long as there is no other, accuracy decides.
        assert!(epoch(60.0, false).beats(None) && epoch(61.0, false).beats(Some(epoch(60.0, false))));
    }

    #[test]
    fn a_plateau_ends_a_run_after_its_patience() {
        let (mut position, mut ended) = (at(0, None), None);
        for (epoch, accuracy) in [50.0, 80.0, 80.0, 80.0, 80.0].into_iter().enumerate() {
            if is_out_of_patience(2, &position) {
                ended = Some(epoch);
                break;
            }
            position.epoch += 1;
            let this = Best { epoch: position.epoch, accuracy, complete: true };
            if this.beats(position.best) {
                position.best = Some(this);
            }
        }
        assert_eq!(position.best.map(|best| best.epoch), Some(2));
        assert_eq!(ended, Some(4), "two epochs after the best one");
    }

    #[test]
    fn patience_counts_whole_comet_epochs_and_0_is_never() {
        assert!(is_out_of_patience(3, &at(5, Some(2))));
        assert!(!is_out_of_patience(4, &at(5, Some(2))));
        assert!(!is_out_of_patience(0, &at(500, Some(2))));
        assert!(!is_out_of_patience(1, &at(5, None)));
        assert!(!is_out_of_patience(1, &Position { phase: Phase::Detector, ..at(5, Some(2)) }));
        assert!(!is_out_of_patience(1, &Position { batch: 3, ..at(5, Some(2)) }));
    }
}
