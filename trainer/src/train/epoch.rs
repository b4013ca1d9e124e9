//! One epoch: batches in, steps made, checkpoints on the way.

use std::time::{Duration, Instant};

use burn::optim::GradientsParams;
use burn::tensor::{Int, Tensor};

use super::checkpoint::Position;
use super::context::RunContext;
use super::error::TrainError;
use super::losses::PendingLosses;
use super::networks::Networks;
use super::objective::{comet_step, detector_step, detector_step_towards};
use super::progress::{Progress, describe};
use super::record::Phase;
use super::targets::{mixed, mixing_share, smoothed};
use crate::data::generator;

/// How an epoch ended.
pub(super) enum EpochEnd {
    /// All batches are done.
    Complete,
    /// Stopped on the way, for this reason; the position says where.
    Interrupted(&'static str),
}

/// An epoch of a run.
pub(super) struct EpochRun<'a> {
    pub run: &'a RunContext<'a>,
    /// Epochs of the phase.
    pub epochs: usize,
    /// Seconds of earlier sessions.
    pub before: f64,
}

impl EpochRun<'_> {
    /// Trains from `position` to the end of the epoch. The networks are finite when it ends without an error.
    pub(super) fn train(
        &self,
        mut networks: Networks,
        position: &mut Position,
    ) -> Result<(Networks, EpochEnd), TrainError> {
        let run = self.run;
        let total = run.feed.batches();
        let name = position.phase.name();
        let prefix = format!("{name} epoch {}/{}", position.epoch + 1, self.epochs);
        let mut progress = Progress::epoch(prefix, position.batch, total);
        let (started, first) = (Instant::now(), position.batch);
        let mut saved = Instant::now();
        let pause = checkpoint_pause(run.config.checkpoint_minutes);
        let mut pending = PendingLosses::new(position.phase);
        let mut feed = run.feed.epoch(name, position.epoch, position.batch).map_err(TrainError::Feed)?;
        let mut waiting = Duration::ZERO;
        loop {
            let asked = Instant::now();
            let Some(batch) = feed.next() else { break };
            waiting += asked.elapsed();
            let (images, targets) = (batch.images(&run.device), batch.targets(&run.device));
            let parts;
            (networks, parts) = self.step(networks, images, targets, position);
            pending.push(parts);
            position.batch += 1;
            let is_last = position.batch >= total;
            let interruption = run.interruption().filter(|_| !is_last);
            let is_save_due = !is_last && saved.elapsed() >= pause;
            if is_last || is_save_due || interruption.is_some() || pending.are_due() {
                self.read(&mut pending, position)?;
                progress.step(position.batch, &position.sums.divided(position.batch as f64));
            }
            if let Some(reason) = interruption {
                run.require_finite(&networks, position)?;
                progress.finish(&format!("stopped after batch {}/{total}: {reason}", position.batch));
                return Ok((networks, EpochEnd::Interrupted(reason)));
            }
            if is_save_due {
                run.require_finite(&networks, position)?;
                run.save(&networks, position, self.before)?;
                saved = Instant::now();
            }
        }
        for fault in run.feed.store.take_faults() {
            eprintln!("warning: not readable any more in training: {fault}");
        }
        if position.batch != total {
            return Err(TrainError::ImagesMissing { done: position.batch, total });
        }
        run.require_finite(&networks, position)?;
        self.report_end(progress, position, [started.elapsed(), waiting], total - first);
        Ok((networks, EpochEnd::Complete))
    }

    /// Adds the losses that are still on the device to the epoch's sums; an error if one is not finite.
    fn read(&self, pending: &mut PendingLosses, position: &mut Position) -> Result<(), TrainError> {
        position.sums = pending.read(position.sums)?;
        if position.sums.is_finite() { Ok(()) } else { Err(self.run.diverged("the loss", position)) }
    }

    /// One line about the finished epoch, of which this session did `batches` batches in the first of `times`; the second
    /// went by in waiting for them.
    fn report_end(&self, progress: Progress, position: &Position, times: [Duration; 2], batches: usize) {
        let [seconds, waiting] = times.map(|time| time.as_secs_f64());
        let images = batches * self.run.feed.batch;
        let means = position.sums.divided(position.batch.max(1) as f64);
        progress.finish(&format!(
            "{seconds:.0} s, {:.0} images/s, {:.0} % of it waiting for images: {}",
            images as f64 / seconds.max(1e-9),
            100.0 * waiting / seconds.max(1e-9),
            describe(&means)
        ));
        if let Some(reason) = self.run.interruption().filter(|_| position.epoch + 1 < self.epochs) {
            // The epoch is whole: validated and written first, then the next one stops at once.
            eprintln!("stopping after this epoch: {reason}");
        }
    }

    /// One step; the loss parts stay on the device.
    fn step(
        &self,
        networks: Networks,
        images: Tensor<4>,
        targets: Tensor<1, Int>,
        position: &Position,
    ) -> (Networks, Tensor<1>) {
        let (config, steps) = (&self.run.config, self.run.feed.batches());
        let step = position.epoch * steps + position.batch;
        let (networks, parts) = match position.phase {
            Phase::Detector => {
                let (gradients, parts) = self.detector_gradients(&networks, images, targets, position);
                (networks.step_detector(config.detector_schedule(steps).rate(step), gradients), parts)
            }
            Phase::Comet => {
                let objective = &config.objective;
                let gradients = comet_step(&networks.comet, &networks.detector, images, targets, objective);
                let parts = gradients.parts();
                (networks.step_comet(config.comet_schedule(steps).rate(step), gradients), parts)
            }
        };
        (networks.average(position.phase, step), parts)
    }

    /// The detector's gradients and loss parts, with smoothed labels and mixed images if the settings say so. How
    /// images are mixed follows from the seed and the position, so that a resumed run mixes the same.
    fn detector_gradients(
        &self,
        networks: &Networks,
        images: Tensor<4>,
        targets: Tensor<1, Int>,
        position: &Position,
    ) -> (GradientsParams, Tensor<1>) {
        let (mixup, smoothing) = (self.run.config.mixup, self.run.config.objective.label_smoothing);
        if mixup <= 0.0 && smoothing <= 0.0 {
            return detector_step(&networks.detector, images, targets);
        }
        let wanted = smoothed(targets.clone(), self.run.info.classes.len(), smoothing);
        if mixup <= 0.0 {
            return detector_step_towards(&networks.detector, images, targets, wanted);
        }
        let mut rng = generator(self.run.config.seed, "mixup", position.epoch, position.batch);
        let share = mixing_share(mixup, &mut rng);
        let (images, wanted) = (mixed(images, share), mixed(wanted, share));
        detector_step_towards(&networks.detector, images, targets, wanted)
    }
}

/// The time between checkpoints inside an epoch. What no clock can hold is never.
fn checkpoint_pause(minutes: f64) -> Duration {
    Duration::try_from_secs_f64(minutes.max(0.05) * 60.0).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_that_no_clock_can_hold_is_never_and_not_a_panic() {
        assert_eq!(checkpoint_pause(1e300), Duration::MAX);
        assert_eq!(checkpoint_pause(f64::INFINITY), Duration::MAX);
        assert_eq!(checkpoint_pause(10.0), Duration::from_secs(600));
        assert_eq!(checkpoint_pause(0.0), Duration::from_secs(3));
    }
}
