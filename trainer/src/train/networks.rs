//! The networks of a run with their optimizers, and how they go into checkpoints and come back.

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::{AdamWConfig, GradientsParams, ModuleOptimizer};
use burn::store::ModuleRecord;
use burn::tensor::{Bytes, Device, Tensor};

use super::checkpoint::{Checkpoint, CheckpointErrorKind, Position};
use super::clip::clip_global_norm;
use super::config::TrainConfig;
use super::objective::{StepGradients, frozen};
use crate::model::{Comet, CometConfig, ResNet18};

const COMET: &str = "comet.bpk";
const DETECTOR: &str = "detector.bpk";
const OPTIMIZERS: [&str; 3] = ["detector-optimizer.bpk", "selector-optimizer.bpk", "predictor-optimizer.bpk"];

/// Networks in training.
pub(super) struct Networks {
    pub comet: Comet,
    pub detector: ResNet18,
    detector_optimizer: ModuleOptimizer,
    selector_optimizer: ModuleOptimizer,
    predictor_optimizer: ModuleOptimizer,
    /// Largest norm of a network's gradients; 0 = no clipping.
    clip_norm: f64,
}

impl Networks {
    /// Random weights from the run's seed, on an autodiff device.
    pub(super) fn new(config: &TrainConfig, classes: usize, device: &Device) -> Self {
        device.seed(config.seed);
        let networks = comet_config(config, classes);
        let optimizer = || {
            // Burn's default epsilon is 1e-5; PyTorch's is used here.
            AdamWConfig::new().with_epsilon(1e-8).with_weight_decay(config.weight_decay as f32).init()
        };
        Self {
            comet: networks.init(device),
            detector: networks.classifier().init(device),
            detector_optimizer: optimizer(),
            selector_optimizer: optimizer(),
            predictor_optimizer: optimizer(),
            clip_norm: config.clip_norm,
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

    /// Everything that a resumed run needs.
    pub(super) fn checkpoint(&self, position: Position) -> Result<Checkpoint, CheckpointErrorKind> {
        let mut checkpoint = self.weights(position)?;
        let optimizers = [&self.detector_optimizer, &self.selector_optimizer, &self.predictor_optimizer];
        for (name, optimizer) in OPTIMIZERS.into_iter().zip(optimizers) {
            let bytes = optimizer.into_bytes().map_err(mismatch)?;
            checkpoint.parts.insert(name.to_owned(), bytes.to_vec());
        }
        Ok(checkpoint)
    }

    /// The weights alone: what `best.ckpt` holds.
    pub(super) fn weights(&self, position: Position) -> Result<Checkpoint, CheckpointErrorKind> {
        // BatchNorm queues its last update of the running statistics until they are read; a record
        // does not read them. `valid` does.
        let _ = (self.comet.valid(), self.detector.valid());
        let comet = self.comet.clone().into_record().into_bytes().map_err(mismatch)?;
        let detector = self.detector.clone().into_record().into_bytes().map_err(mismatch)?;
        let parts = [(COMET.to_owned(), comet.to_vec()), (DETECTOR.to_owned(), detector.to_vec())];
        Ok(Checkpoint { position, parts: parts.into() })
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
            ..restored
        })
    }

    /// Takes the weights back; the optimizers start anew.
    pub(super) fn restore_weights(self, checkpoint: &Checkpoint) -> Result<Self, CheckpointErrorKind> {
        let (comet, detector) = load_pair(self.comet, self.detector, checkpoint)?;
        Ok(Self { comet, detector, ..self })
    }

    /// Gives the predictor the detector's weights.
    pub(super) fn warm_start_predictor(mut self) -> Result<Self, CheckpointErrorKind> {
        let record = self.detector.clone().into_record();
        self.comet.predictor = self.comet.predictor.try_load_record(record).map_err(mismatch)?;
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
    }
}

/// Fills a pair and its detector with a checkpoint's weights.
pub(super) fn load_pair(
    comet: Comet,
    detector: ResNet18,
    checkpoint: &Checkpoint,
) -> Result<(Comet, ResNet18), CheckpointErrorKind> {
    let record = |name: &str| {
        ModuleRecord::from_bytes(Bytes::from_bytes_vec(checkpoint.part(name)?)).map_err(mismatch)
    };
    let comet = comet.try_load_record(record(COMET)?).map_err(mismatch)?;
    let detector = detector.try_load_record(record(DETECTOR)?).map_err(mismatch)?;
    Ok((comet, detector))
}

fn mismatch(error: impl std::fmt::Display) -> CheckpointErrorKind {
    CheckpointErrorKind::Mismatch(error.to_string())
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Distribution, Int};

    use super::*;
    use crate::train::objective::{comet_step, detector_step};

    fn networks() -> Networks {
        let config = TrainConfig { width: 8, size: 32, ..TrainConfig::default() };
        Networks::new(&config, 3, &Device::flex().autodiff())
    }

    fn logits(network: &ResNet18, images: &Tensor<4>) -> Vec<f32> {
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
        let fc = networks.comet.predictor.fc.clone();
        networks.comet.predictor.fc.weight = fc.weight.map(|weight| weight * f32::NAN);
        assert!(!networks.are_finite());
    }

    /// Last layers of detector, predictor and selector.
    fn last_layers(networks: &Networks) -> [Vec<f32>; 3] {
        let classifiers = [&networks.detector.fc, &networks.comet.predictor.fc];
        let [detector, predictor] =
            classifiers.map(|fc| fc.weight.val().inner().into_data().try_to_vec().unwrap());
        let selector = networks.comet.selector.head.low.weight.val().inner();
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
