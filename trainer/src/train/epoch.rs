//! One epoch: batches in, steps made, checkpoints on the way.

use std::time::{Duration, Instant};

use super::checkpoint::Position;
use super::objective::{Losses, comet_step, detector_step};
use super::progress::{Progress, describe};
use super::run::Run;
use super::session::Networks;
use crate::report::Phase;

/// How an epoch ended.
pub(super) enum EpochEnd {
    /// All batches are done.
    Complete,
    /// Stopped on the way, for this reason; the position says where.
    Interrupted(&'static str),
}

/// An epoch of a run.
pub(super) struct EpochRun<'a> {
    pub run: &'a Run<'a>,
    pub epochs: usize,
    pub before: f64,
}

impl EpochRun<'_> {
    /// Trains from `position` to the end of the epoch.
    pub(super) fn train(
        &self,
        mut networks: Networks,
        position: &mut Position,
    ) -> anyhow::Result<(Networks, EpochEnd)> {
        let run = self.run;
        let total = run.feed.batches();
        let name = position.phase.name();
        let prefix = format!("{name} epoch {}/{}", position.epoch + 1, self.epochs);
        let mut progress = Progress::epoch(prefix, position.batch, total);
        let started = Instant::now();
        let first = position.batch;
        let mut saved = Instant::now();
        let pause = Duration::from_secs_f64(run.config.checkpoint_minutes.max(0.05) * 60.0);
        for batch in run.feed.epoch(name, position.epoch, position.batch)? {
            let images = batch.images(&run.device);
            let targets = batch.targets(&run.device);
            let step = position.epoch * total + position.batch;
            let losses;
            (networks, losses) = match position.phase {
                Phase::Detector => self.detector(networks, images, targets, step),
                Phase::Comet => self.comet(networks, images, targets, step),
            };
            position.sums = position.sums.plus(&losses);
            position.batch += 1;
            progress.step(position.batch, &position.sums.divided(position.batch as f64));
            if position.batch < total {
                if let Some(reason) = run.interruption() {
                    progress.finish(&format!("stopped after batch {}/{total}: {reason}", position.batch));
                    return Ok((networks, EpochEnd::Interrupted(reason)));
                }
                if saved.elapsed() >= pause {
                    run.save(&networks, position, self.before)?;
                    saved = Instant::now();
                }
            }
        }
        anyhow::ensure!(
            position.batch == total,
            "the pictures ended after batch {} of {total}: were files removed while training?",
            position.batch
        );
        let seconds = started.elapsed().as_secs_f64();
        let images = (total - first) * run.feed.batch;
        let means = position.sums.divided(total as f64);
        progress.finish(&format!(
            "{seconds:.0} s, {:.0} images/s: {}",
            images as f64 / seconds.max(1e-9),
            describe(&means)
        ));
        if let Some(reason) = run.interruption().filter(|_| position.epoch + 1 < self.epochs) {
            // The epoch is whole: validated and written first, then the next one stops at once.
            eprintln!("stopping after this epoch: {reason}");
        }
        Ok((networks, EpochEnd::Complete))
    }

    fn detector(
        &self,
        mut networks: Networks,
        images: burn::tensor::Tensor<4>,
        targets: burn::tensor::Tensor<1, burn::tensor::Int>,
        step: usize,
    ) -> (Networks, Losses) {
        let rate = self.run.config.detector_schedule(self.run.feed.batches()).rate(step);
        let (gradients, parts) = detector_step(&networks.detector, images, targets);
        networks.detector = networks.detector_optimizer.step(rate, networks.detector, gradients);
        let values: Vec<f32> = parts.into_data().try_to_vec().unwrap_or_default();
        let part = |index: usize| values.get(index).copied().map_or(f64::NAN, f64::from);
        (networks, Losses { total: part(0), accuracy: part(1), ..Losses::default() })
    }

    fn comet(
        &self,
        mut networks: Networks,
        images: burn::tensor::Tensor<4>,
        targets: burn::tensor::Tensor<1, burn::tensor::Int>,
        step: usize,
    ) -> (Networks, Losses) {
        let run = self.run;
        let rate = run.config.comet_schedule(run.feed.batches()).rate(step);
        let gradients =
            comet_step(&networks.comet, &networks.detector, images, targets, &run.config.objective);
        let losses = gradients.losses();
        let comet = &mut networks.comet;
        let selector = comet.selector.clone();
        comet.selector = networks.selector_optimizer.step(rate, selector, gradients.selector);
        let predictor = comet.predictor.clone();
        comet.predictor = networks.predictor_optimizer.step(rate, predictor, gradients.predictor);
        (networks, losses)
    }
}
