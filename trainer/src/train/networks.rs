//! The networks of a run with their optimizers, and how they go into checkpoints and come back.

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::store::ModuleRecord;
use burn::tensor::{Bytes, Device, Tensor};

use super::checkpoint::{Checkpoint, CheckpointErrorKind, Position};
use super::clip::clip_global_norm;
use super::config::TrainConfig;
use super::ema::{averaged, decay_at};
use super::head_first::{hold_backbone, release_backbone};
use super::objective::{StepGradients, frozen};
use super::record::Phase;
use crate::layers::OnePassAdamW;
use crate::model::{Classifier, Comet, CometConfig};

const COMET: &str = "comet.bpk";
const DETECTOR: &str = "detector.bpk";
const COMET_AVERAGE: &str = "comet-average.bpk";
const DETECTOR_AVERAGE: &str = "detector-average.bpk";
const OPTIMIZERS: [&str; 3] = ["detector-optimizer.bpk", "selector-optimizer.bpk", "predictor-optimizer.bpk"];

/// Networks in training.
pub(super) struct Networks {
    pub comet: Comet,
    pub detector: Classifier,
    detector_optimizer: ModuleOptimizer,
    selector_optimizer: ModuleOptimizer,
    predictor_optimizer: ModuleOptimizer,
    /// Largest norm of a network's gradients; 0 = no clipping.
    clip_norm: f64,
    /// Decay of the averaged weights; 0 = no averaging.
    ema: f64,
    /// Averaged weights of the networks that are trained now, without autodiff.
    comet_average: Option<Comet>,
    detector_average: Option<Classifier>,
}

impl Networks {
    /// Random weights from the run's seed, on an autodiff device.
    pub(super) fn new(config: &TrainConfig, classes: usize, device: &Device) -> Self {
        device.seed(config.seed);
        let networks = comet_config(config, classes);
        let optimizer = || ModuleOptimizer::from(OnePassAdamW::new(config.weight_decay as f32));
        Self {
            comet: networks.init(device),
            detector: networks.classifier().init(device),
            detector_optimizer: optimizer(),
            selector_optimizer: optimizer(),
            predictor_optimizer: optimizer(),
            clip_norm: config.clip_norm,
            ema: config.ema,
            comet_average: None,
            detector_average: None,
        }
    }

    /// Moves the detector along its gradients.
    pub(super) fn step_detector(mut self, rate: f64, gradients: GradientsParams) -> Self {
        let gradients = clip_global_norm(gradients, &self.detector, self.clip_norm);
        self.detector = self.detector_optimizer.step(rate, self.detector, gradients);
        self
    }

    /// Moves selector and predictor, each along its own gradients.
    pub(super) fn step_comet(mut self, rate: f64, gradients: StepGradients) -> Self {
        let Comet { selector, predictor } = self.comet;
        let of_selector = clip_global_norm(gradients.selector, &selector, self.clip_norm);
        let of_predictor = clip_global_norm(gradients.predictor, &predictor, self.clip_norm);
        self.comet = Comet {
            selector: self.selector_optimizer.step(rate, selector, of_selector),
            predictor: self.predictor_optimizer.step(rate, predictor, of_predictor),
        };
        self
    }

    /// Takes the weights after step number `step` of a phase into their average.
    pub(super) fn average(mut self, phase: Phase, step: usize) -> Self {
        if self.ema <= 0.0 {
            return self;
        }
        let decay = decay_at(self.ema, step);
        match phase {
            Phase::Detector => {
                self.detector_average = Some(averaged(self.detector_average, &self.detector, decay));
            }
            Phase::Comet => self.comet_average = Some(averaged(self.comet_average, &self.comet, decay)),
        }
        self
    }

    /// The pair to evaluate and to keep: averaged weights if there are such.
    pub(super) fn shown_comet(&self) -> &Comet {
        self.comet_average.as_ref().unwrap_or(&self.comet)
    }

    /// The detector to evaluate and to keep.
    pub(super) fn shown_detector(&self) -> &Classifier {
        self.detector_average.as_ref().unwrap_or(&self.detector)
    }

    /// Before an epoch of a phase: whether the last layers of what it trains learn alone.
    pub(super) fn hold_backbones(mut self, phase: Phase, hold: bool) -> Self {
        match (phase, hold) {
            (Phase::Detector, true) => self.detector = hold_backbone(self.detector),
            (Phase::Detector, false) => self.detector = release_backbone(self.detector),
            (Phase::Comet, true) => self.comet = hold_backbone(self.comet),
            (Phase::Comet, false) => self.comet = release_backbone(self.comet),
        }
        self
    }

    /// Everything that a resumed run needs.
    pub(super) fn checkpoint(&self, position: Position) -> Result<Checkpoint, CheckpointErrorKind> {
        let mut checkpoint = pair(&self.comet, &self.detector, position)?;
        if let Some(average) = &self.comet_average {
            checkpoint.parts.insert(COMET_AVERAGE.to_owned(), record_of(average)?);
        }
        if let Some(average) = &self.detector_average {
            checkpoint.parts.insert(DETECTOR_AVERAGE.to_owned(), record_of(average)?);
        }
        let optimizers = [&self.detector_optimizer, &self.selector_optimizer, &self.predictor_optimizer];
        for (name, optimizer) in OPTIMIZERS.into_iter().zip(optimizers) {
            let bytes = optimizer.into_bytes().map_err(mismatch)?;
            checkpoint.parts.insert(name.to_owned(), bytes.to_vec());
        }
        Ok(checkpoint)
    }

    /// The weights to keep, alone: what `best.ckpt` holds.
    pub(super) fn weights(&self, position: Position) -> Result<Checkpoint, CheckpointErrorKind> {
        pair(self.shown_comet(), self.shown_detector(), position)
    }

    /// Takes weights and optimizer states back.
    pub(super) fn restore(self, checkpoint: &Checkpoint) -> Result<Self, CheckpointErrorKind> {
        let optimizer = |index: usize, optimizer: ModuleOptimizer| {
            let name = OPTIMIZERS.get(index).copied().unwrap_or_default();
            let bytes = Bytes::from_bytes_vec(checkpoint.part(name)?);
            optimizer.from_bytes(bytes).map_err(mismatch)
        };
        let restored = self.restore_weights(checkpoint)?;
        Ok(Self {
            detector_optimizer: optimizer(0, restored.detector_optimizer)?,
            selector_optimizer: optimizer(1, restored.selector_optimizer)?,
            predictor_optimizer: optimizer(2, restored.predictor_optimizer)?,
            comet_average: restore_average(&restored.comet, checkpoint, COMET_AVERAGE)?,
            detector_average: restore_average(&restored.detector, checkpoint, DETECTOR_AVERAGE)?,
            ..restored
        })
    }

    /// Takes the weights back; the optimizers start anew.
    pub(super) fn restore_weights(self, checkpoint: &Checkpoint) -> Result<Self, CheckpointErrorKind> {
        let comet = self.comet.try_load_record(record(checkpoint, COMET)?).map_err(mismatch)?;
        let detector = self.detector.try_load_record(record(checkpoint, DETECTOR)?).map_err(mismatch)?;
        Ok(Self { comet, detector, ..self })
    }

    /// Gives the predictor the detector's weights.
    pub(super) fn warm_start_predictor(mut self) -> Result<Self, CheckpointErrorKind> {
        let record = self.detector.clone().into_record();
        self.comet.predictor = self.comet.predictor.try_load_record(record).map_err(mismatch)?;
        Ok(self)
    }

    /// Gives the detector its averaged weights, which end its training.
    pub(super) fn adopt_detector_average(mut self) -> Result<Self, CheckpointErrorKind> {
        if let Some(average) = self.detector_average.take() {
            let bytes = Bytes::from_bytes_vec(record_of(&average)?);
            let average = ModuleRecord::from_bytes(bytes).map_err(mismatch)?;
            self.detector = self.detector.try_load_record(average).map_err(mismatch)?;
        }
        Ok(self)
    }

    /// Ends the detector's training: from now on it guides only.
    pub(super) fn freeze_detector(mut self) -> Self {
        self.detector = frozen(self.detector);
        self
    }

    /// Whether every weight is a finite number. Waits for the device.
    pub(super) fn are_finite(&self) -> bool {
        let mut sums = WeightSums::default();
        self.comet.visit(&mut sums);
        self.detector.visit(&mut sums);
        sums.are_finite()
    }
}

/// The sum of each tensor's weights: not finite if one of the weights is not.
#[derive(Default)]
struct WeightSums {
    sums: Vec<Tensor<1>>,
}

impl WeightSums {
    fn are_finite(self) -> bool {
        if self.sums.is_empty() {
            return true;
        }
        let read = Tensor::cat(self.sums, 0).try_into_data();
        let values: Option<Vec<f32>> = read.ok().and_then(|data| data.try_to_vec().ok());
        values.is_some_and(|values| values.iter().all(|value| value.is_finite()))
    }
}

impl ModuleVisitor for WeightSums {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.sums.push(param.val().inner().sum());
    }
}

/// The networks that settings ask for.
pub(super) fn comet_config(config: &TrainConfig, classes: usize) -> CometConfig {
    CometConfig {
        preset: config.preset,
        width: config.effective_width(),
        classes,
        momentum: config.selector_momentum,
        head: config.head,
    }
}

/// Fills a pair and its detector with a checkpoint's weights: the averaged ones if there are such.
pub(super) fn load_pair(
    comet: Comet,
    detector: Classifier,
    checkpoint: &Checkpoint,
) -> Result<(Comet, Classifier), CheckpointErrorKind> {
    let kept = |average: &'static str, plain: &'static str| {
        record(checkpoint, if checkpoint.parts.contains_key(average) { average } else { plain })
    };
    let comet = comet.try_load_record(kept(COMET_AVERAGE, COMET)?).map_err(mismatch)?;
    let detector = detector.try_load_record(kept(DETECTOR_AVERAGE, DETECTOR)?).map_err(mismatch)?;
    Ok((comet, detector))
}

/// A checkpoint of weights alone.
fn pair(comet: &Comet, detector: &Classifier, position: Position) -> Result<Checkpoint, CheckpointErrorKind> {
    let parts = [(COMET.to_owned(), record_of(comet)?), (DETECTOR.to_owned(), record_of(detector)?)];
    Ok(Checkpoint { position, parts: parts.into() })
}

/// The weights of a network as bytes.
fn record_of<M: Module>(network: &M) -> Result<Vec<u8>, CheckpointErrorKind> {
    // BatchNorm queues its last update of the running statistics until they are read; a record does not read them.
    // `valid` does.
    let _ = network.valid();
    Ok(network.clone().into_record().into_bytes().map_err(mismatch)?.to_vec())
}

/// The weights of a part of a checkpoint.
fn record(checkpoint: &Checkpoint, name: &str) -> Result<ModuleRecord, CheckpointErrorKind> {
    ModuleRecord::from_bytes(Bytes::from_bytes_vec(checkpoint.part(name)?)).map_err(mismatch)
}

/// The averaged weights of a network, if the checkpoint has them.
fn restore_average<M: Module>(
    network: &M,
    checkpoint: &Checkpoint,
    name: &str,
) -> Result<Option<M>, CheckpointErrorKind> {
    if !checkpoint.parts.contains_key(name) {
        return Ok(None);
    }
    network.valid().try_load_record(record(checkpoint, name)?).map(Some).map_err(mismatch)
}

fn mismatch(error: impl std::fmt::Display) -> CheckpointErrorKind {
    CheckpointErrorKind::Mismatch(error.to_string())
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Distribution, Int};

    use super::*;
    use crate::model::SelectorHead;
    use crate::train::objective::{comet_step, detector_step};

    fn networks() -> Networks {
        let config = TrainConfig { width: 8, size: 32, ..TrainConfig::default() };
        Networks::new(&config, 3, &Device::flex().autodiff())
    }

    fn logits(network: &Classifier, images: &Tensor<4>) -> Vec<f32> {
        network.valid().forward(images.clone()).into_data().try_to_vec().unwrap()
    }

    #[test]
    fn a_warm_start_gives_the_predictor_the_detector_and_nothing_else_does() {
        let images = Tensor::<4>::random([2, 3, 32, 32], Distribution::Default, &Device::flex());
        let cold = networks();
        let detector = logits(&cold.detector, &images);
        assert_ne!(logits(&cold.comet.predictor, &images), detector);
        let warm = cold.warm_start_predictor().unwrap();
        assert_eq!(logits(&warm.comet.predictor, &images), detector);
        assert_eq!(logits(&warm.detector, &images), detector);
    }

    #[test]
    fn a_weight_that_is_not_a_number_is_found() {
        let mut networks = networks();
        assert!(networks.are_finite());
        let weight = networks.comet.predictor.fc().weight.clone();
        networks.comet.predictor.fc_mut().weight = weight.map(|weight| weight * f32::NAN);
        assert!(!networks.are_finite());
    }

    /// Sums of squares of a network's last layers and of the rest, running statistics included.
    #[derive(Debug, Default, PartialEq)]
    struct Norms {
        inside: usize,
        last: f64,
        rest: f64,
    }

    impl ModuleVisitor for Norms {
        fn enter_module(&mut self, name: &str, _container_type: &str) {
            self.inside += usize::from(self.inside > 0 || name == "fc" || name == "head");
        }

        fn exit_module(&mut self, _name: &str, _container_type: &str) {
            self.inside = self.inside.saturating_sub(1);
        }

        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let sum = f64::from(param.val().square().sum().into_scalar::<f32>());
            let total = if self.inside > 0 { &mut self.last } else { &mut self.rest };
            *total += sum;
        }
    }

    /// Of detector and pair.
    fn norms(networks: &Networks) -> [Norms; 2] {
        let (mut detector, mut comet) = (Norms::default(), Norms::default());
        networks.detector.valid().visit(&mut detector);
        networks.comet.valid().visit(&mut comet);
        [detector, comet]
    }

    /// One step of each training at rate 0.1, from `networks`.
    fn one_step(networks: Networks, hold: bool) -> Networks {
        let device = Device::flex().autodiff();
        let images = Tensor::<4>::random([4, 3, 32, 32], Distribution::Normal(0.0, 1.0), &Device::flex());
        let images = Tensor::<4>::from_data(images.into_data(), &device);
        let targets = Tensor::<1, Int>::from_data([0i64, 1, 2, 0].as_slice(), &device);
        let networks = networks.hold_backbones(Phase::Detector, hold);
        let (gradients, _) = detector_step(&networks.detector, images.clone(), targets.clone());
        let networks = networks.step_detector(0.1, gradients).average(Phase::Detector, 0);
        let networks = networks.adopt_detector_average().unwrap().freeze_detector();
        let networks = networks.hold_backbones(Phase::Comet, hold);
        let objective = TrainConfig::default().objective;
        let gradients = comet_step(&networks.comet, &networks.detector, images, targets, &objective);
        networks.step_comet(0.1, gradients).average(Phase::Comet, 0)
    }

    #[test]
    fn a_held_backbone_keeps_weights_and_statistics_while_the_last_layers_learn() {
        let networks = networks();
        let before = norms(&networks);
        let networks = one_step(networks, true);
        let held = norms(&networks);
        for (held, before) in held.iter().zip(&before) {
            assert_eq!(held.rest, before.rest);
            assert_ne!(held.last, before.last);
        }
        let released = norms(&one_step(networks, false));
        for (released, held) in released.iter().zip(&held) {
            assert_ne!(released.rest, held.rest);
            assert_ne!(released.last, held.last);
        }
    }

    #[test]
    fn averaged_weights_are_kept_for_use_and_come_back_from_a_checkpoint() {
        let config = TrainConfig { width: 8, size: 32, ema: 0.9, ..TrainConfig::default() };
        let new = || Networks::new(&config, 3, &Device::flex().autodiff());
        let images = Tensor::<4>::random([2, 3, 32, 32], Distribution::Default, &Device::flex());
        let shown = |networks: &Networks| logits(&networks.shown_comet().predictor, &images);
        let networks = one_step(one_step(new(), false), false);
        assert_ne!(shown(&networks), logits(&networks.comet.predictor, &images));

        let checkpoint = networks.checkpoint(Position::default()).unwrap();
        let restored = new().restore(&checkpoint).unwrap();
        assert_eq!(shown(&restored), shown(&networks));
        assert_eq!(logits(&restored.comet.predictor, &images), logits(&networks.comet.predictor, &images));

        let best = networks.weights(Position::default()).unwrap();
        for kept in [best, checkpoint] {
            let (comet, _) = load_pair(new().comet, new().detector, &kept).unwrap();
            assert_eq!(logits(&comet.predictor, &images), shown(&networks));
        }
    }

    /// Last layers of detector, predictor and selector.
    fn last_layers(networks: &Networks) -> [Vec<f32>; 3] {
        let classifiers = [networks.detector.fc(), networks.comet.predictor.fc()];
        let [detector, predictor] =
            classifiers.map(|fc| fc.weight.val().inner().into_data().try_to_vec().unwrap());
        let SelectorHead::LrAspp(head) = &networks.comet.selector.head else { panic!("another head") };
        let selector = head.low.weight.val().inner();
        [detector, predictor, selector.into_data().try_to_vec().unwrap()]
    }

    /// How far the last layers move in one step of each training at rate 0.1.
    fn largest_moves(clip_norm: f64) -> [f32; 3] {
        let config =
            TrainConfig { width: 8, size: 32, clip_norm, weight_decay: 0.0, ..TrainConfig::default() };
        let device = Device::flex().autodiff();
        let networks = Networks::new(&config, 3, &device);
        let images = Tensor::<4>::random([4, 3, 32, 32], Distribution::Normal(0.0, 1.0), &Device::flex());
        let images = Tensor::<4>::from_data(images.into_data(), &device);
        let labels = [0i64, 1, 2, 0];
        let targets = Tensor::<1, Int>::from_data(labels.as_slice(), &device);
        let before = last_layers(&networks);
        let (gradients, _) = detector_step(&networks.detector, images.clone(), targets.clone());
        let networks = networks.step_detector(0.1, gradients).freeze_detector();
        let gradients = comet_step(&networks.comet, &networks.detector, images, targets, &config.objective);
        let after = last_layers(&networks.step_comet(0.1, gradients));
        let mut pairs = before.iter().zip(&after);
        std::array::from_fn(|_| {
            let (before, after) = pairs.next().unwrap();
            before.iter().zip(after).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
        })
    }

    #[test]
    fn every_network_is_clipped_by_the_settings() {
        // AdamW moves by the rate whatever the size of a gradient, unless that is far below its epsilon of 1e-8.
        for moved in largest_moves(0.0) {
            assert!(moved > 0.05, "{moved}");
        }
        for moved in largest_moves(1e-12) {
            assert!(moved < 1e-3, "{moved}");
        }
    }
}
