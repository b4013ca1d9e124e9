//! The losses of COMET (Eq. 7) and their gradients.

use burn::module::Module;
use burn::nn::loss::{CrossEntropyLoss, CrossEntropyLossConfig};
use burn::optim::GradientsParams;
use burn::tensor::activation::relu;
use burn::tensor::{Int, Tensor};
use serde::{Deserialize, Serialize};

use super::targets::{smoothed, soft_cross_entropy};
use crate::model::{Classifier, Comet};

/// How the selector is punished for leaving out what the detector still recognises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Completeness {
    /// `max(L_P - L_D + gap, 0)`: satisfied once the detector is worse off by `gap`. The authors' code.
    #[default]
    Hinge,
    /// `-L_D`, as printed in the paper; not bounded, so it can outgrow everything else.
    Paper,
}

/// A name that is not that of a completeness term.
#[derive(Debug, thiserror::Error)]
#[error("unknown completeness '{0}'; there are hinge and paper")]
pub struct UnknownCompleteness(String);

impl std::str::FromStr for Completeness {
    type Err = UnknownCompleteness;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "hinge" => Ok(Self::Hinge),
            "paper" => Ok(Self::Paper),
            _ => Err(UnknownCompleteness(name.to_owned())),
        }
    }
}

impl std::fmt::Display for Completeness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Hinge => "hinge",
            Self::Paper => "paper",
        })
    }
}

/// Weights of the selector's loss `L_P + a * completeness + b * R`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Objective {
    /// Form of the completeness term.
    pub completeness: Completeness,
    /// `a`.
    pub alpha: f64,
    /// `b`, the weight of `R = max(mean(S(x)) - t, 0)`.
    pub beta: f64,
    /// `t`, the area that costs nothing.
    pub target_area: f64,
    /// By how much the detector shall be worse off than the predictor (hinge only).
    pub gap: f64,
    /// Share of each label that is spread over all classes, in `L_P` and in the detector's training; 0 = none.
    ///
    /// Not in `L_D`: what the detector still recognises in the rest is asked of it, not taught, and a smoothed loss
    /// could be raised by pushing classes down that nobody sees. The hinge compares losses without smoothing, so that
    /// `gap` means the same whatever the smoothing is; these are the ones that are reported, too.
    pub label_smoothing: f64,
}

impl Default for Objective {
    fn default() -> Self {
        Self {
            completeness: Completeness::Hinge,
            alpha: 4.0,
            beta: 100.0,
            target_area: 0.3,
            gap: 2.0,
            label_smoothing: 0.0,
        }
    }
}

impl Objective {
    /// Whether a mean completeness term says that the map leaves little for the detector: at most half of the gap is
    /// missing. The paper's term has no bound that could be reached, so with it every epoch counts.
    ///
    /// A predictor that starts from the detector's weights is at its most accurate while the map still shows everything;
    /// such an epoch explains nothing.
    pub fn is_complete(&self, completeness: f64) -> bool {
        match self.completeness {
            Completeness::Hinge => completeness <= self.gap / 2.0,
            Completeness::Paper => true,
        }
    }
}

/// The parts of one step's loss; means over the batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Losses {
    /// The selector's whole loss.
    pub total: f64,
    /// `L_P`: cross-entropy of the predictor on the masked-in image.
    pub predictor: f64,
    /// `L_D`: cross-entropy of the detector on what was left out.
    pub detector: f64,
    /// The completeness term, without its weight.
    pub completeness: f64,
    /// `R`, without its weight.
    pub area_penalty: f64,
    /// Mean value of the maps.
    pub area: f64,
    /// Share of images that the predictor got right.
    pub accuracy: f64,
}

impl Losses {
    /// Part by part.
    pub fn plus(&self, other: &Self) -> Self {
        self.zip(other, |a, b| a + b)
    }

    /// Part by part.
    pub fn divided(&self, by: f64) -> Self {
        self.zip(self, |a, _| a / by)
    }

    /// Of the parts of a COMET step, in the order of the fields. A missing one is not a number.
    pub(super) fn of_comet(parts: &[f32]) -> Self {
        let part = |index: usize| parts.get(index).copied().map_or(f64::NAN, f64::from);
        Self::from_array(std::array::from_fn(part))
    }

    /// Of the parts of a detector step: loss and accuracy.
    pub(super) fn of_detector(parts: &[f32]) -> Self {
        let part = |index: usize| parts.get(index).copied().map_or(f64::NAN, f64::from);
        Self { total: part(0), accuracy: part(1), ..Self::default() }
    }

    /// Whether every part is a finite number.
    pub(super) fn is_finite(&self) -> bool {
        self.to_array().iter().all(|part| part.is_finite())
    }

    fn zip(&self, other: &Self, f: impl Fn(f64, f64) -> f64) -> Self {
        let (a, b) = (self.to_array(), other.to_array());
        let mut pairs = a.into_iter().zip(b);
        Self::from_array(std::array::from_fn(|_| pairs.next().map_or(f64::NAN, |(a, b)| f(a, b))))
    }

    pub(super) fn to_array(self) -> [f64; 7] {
        [
            self.total,
            self.predictor,
            self.detector,
            self.completeness,
            self.area_penalty,
            self.area,
            self.accuracy,
        ]
    }

    pub(super) fn from_array(parts: [f64; 7]) -> Self {
        let [total, predictor, detector, completeness, area_penalty, area, accuracy] = parts;
        Self { total, predictor, detector, completeness, area_penalty, area, accuracy }
    }
}

/// Gradients of one step, still to be applied.
pub struct StepGradients {
    /// Of the selector's whole loss; the predictor is held.
    pub selector: GradientsParams,
    /// Of `L_P` alone.
    pub predictor: GradientsParams,
    /// Loss parts on the device: total, predictor, detector, completeness, area penalty, area, accuracy.
    parts: Tensor<1>,
}

impl StepGradients {
    /// Brings the loss parts to the host; waits for the device.
    pub fn losses(&self) -> Losses {
        let values: Vec<f32> = self.parts().into_data().try_to_vec().unwrap_or_default();
        Losses::of_comet(&values)
    }

    /// The loss parts, still on the device.
    pub(super) fn parts(&self) -> Tensor<1> {
        self.parts.clone()
    }
}

/// One step of COMET on `images` `[n, 3, height, width]` (normalised, on an autodiff device) with classes `[n]`.
///
/// The map is cut out of the graph once: `L_P` and `L_D` are differentiated down to it, and the sum of what
/// arrives there continues into the selector. So each network is run once, although the predictor follows
/// `L_P` alone while the selector follows the whole loss. With smoothed labels that gradient is the smoothed loss's,
/// while the hinge is opened and closed by the losses without smoothing.
pub fn comet_step(
    comet: &Comet,
    detector: &Classifier,
    images: Tensor<4>,
    targets: Tensor<1, Int>,
    objective: &Objective,
) -> StepGradients {
    let cross_entropy = CrossEntropyLossConfig::new().init(&images.device());
    let map = comet.selector.forward(images.clone());

    let shown = map.clone().detach().require_grad();
    let logits = comet.predictor.forward(images.clone() * shown.clone());
    let loss_p = cross_entropy.forward(logits.clone(), targets.clone());
    let mut gradients = learned_loss(&logits, &loss_p, &targets, objective.label_smoothing).backward();
    let by_predictor = gradient_at(&shown, &gradients);
    let predictor = GradientsParams::from_module(&mut gradients, &comet.predictor);
    drop(gradients);

    let hidden = map.clone().detach().require_grad();
    let rest = images * (hidden.clone().neg() + 1.0);
    let loss_d = cross_entropy.forward(detector.forward(rest), targets.clone());
    let by_detector = gradient_at(&hidden, &loss_d.backward());

    let inner = InnerParts::new(&map, loss_p.inner(), loss_d.inner(), objective);
    let at_map = inner.gradient_at_map(by_predictor, by_detector, objective);
    let carrier = (map * Tensor::from_inner(at_map)).sum();
    let mut gradients = carrier.backward();
    let selector = GradientsParams::from_module(&mut gradients, &comet.selector);
    let accuracy = logits.inner().argmax(1).flatten::<1>(0, 1).equal(targets.inner()).float().mean();
    StepGradients { selector, predictor, parts: inner.parts(accuracy) }
}

/// The loss that the predictor learns from: `plain`, or the same with smoothed labels.
fn learned_loss(
    logits: &Tensor<2>,
    plain: &Tensor<1>,
    targets: &Tensor<1, Int>,
    smoothing: f64,
) -> Tensor<1> {
    if smoothing <= 0.0 {
        return plain.clone();
    }
    let [_, classes] = logits.dims();
    soft_cross_entropy(logits.clone(), smoothed(targets.clone(), classes, smoothing))
}

/// The gradient that arrived at a leaf.
fn gradient_at(leaf: &Tensor<4>, gradients: &burn::tensor::Gradients) -> Tensor<4> {
    let inner = leaf.clone().inner();
    leaf.grad(gradients).unwrap_or_else(|| inner.zeros_like())
}

/// Values that need no gradient any more.
struct InnerParts {
    loss_p: Tensor<1>,
    loss_d: Tensor<1>,
    completeness: Tensor<1>,
    area_penalty: Tensor<1>,
    area: Tensor<1>,
    total: Tensor<1>,
    /// 1 for images whose map is larger than `t`: `[n, 1, 1, 1]`.
    too_large: Tensor<4>,
    pixels: f64,
}

impl InnerParts {
    fn new(map: &Tensor<4>, loss_p: Tensor<1>, loss_d: Tensor<1>, objective: &Objective) -> Self {
        let map = map.clone().inner();
        let [n, _, height, width] = map.dims();
        let areas: Tensor<1> = map.mean_dims(&[1, 2, 3]).reshape([n]);
        let excess = relu(areas.clone() - objective.target_area);
        let too_large = excess.clone().greater_scalar(0.0).float().reshape([n, 1, 1, 1]);
        let area_penalty = excess.mean();
        let completeness = match objective.completeness {
            Completeness::Hinge => relu(loss_p.clone() - loss_d.clone() + objective.gap),
            Completeness::Paper => loss_d.clone().neg(),
        };
        let total =
            loss_p.clone() + completeness.clone() * objective.alpha + area_penalty.clone() * objective.beta;
        Self {
            loss_p,
            loss_d,
            completeness,
            area_penalty,
            area: areas.mean(),
            total,
            too_large,
            pixels: (n * height * width) as f64,
        }
    }

    /// `d total / d map`, `[n, 1, height, width]`.
    fn gradient_at_map(
        &self,
        by_predictor: Tensor<4>,
        by_detector: Tensor<4>,
        objective: &Objective,
    ) -> Tensor<4> {
        let task = match objective.completeness {
            Completeness::Hinge => {
                // 1 while the hinge pulls; kept on the device, so that nothing waits for it.
                let active = self.completeness.clone().greater_scalar(0.0).float();
                let active = active.reshape([1, 1, 1, 1]) * objective.alpha;
                by_predictor.clone() + (by_predictor - by_detector) * active
            }
            Completeness::Paper => by_predictor - by_detector * objective.alpha,
        };
        task + self.too_large.clone() * (objective.beta / self.pixels)
    }

    fn parts(self, accuracy: Tensor<1>) -> Tensor<1> {
        let parts = vec![
            self.total,
            self.loss_p,
            self.loss_d,
            self.completeness,
            self.area_penalty,
            self.area,
            accuracy,
        ];
        Tensor::cat(parts, 0)
    }
}

/// One step of the detector on full images: its gradients, the loss and the share of right predictions.
pub fn detector_step(
    detector: &Classifier,
    images: Tensor<4>,
    targets: Tensor<1, Int>,
) -> (GradientsParams, Tensor<1>) {
    let cross_entropy: CrossEntropyLoss = CrossEntropyLossConfig::new().init(&images.device());
    let logits = detector.forward(images);
    let loss = cross_entropy.forward(logits.clone(), targets.clone());
    let gradients = GradientsParams::from_grads(loss.backward(), detector);
    let right = logits.inner().argmax(1).flatten::<1>(0, 1).equal(targets.inner()).float().mean();
    (gradients, Tensor::cat(vec![loss.inner(), right], 0))
}

/// A step like [`detector_step`] towards distributions `wanted` `[n, classes]` instead of classes: smoothed labels,
/// mixed images. The loss is the one that is learned from; `targets` are the classes that count as right.
pub(super) fn detector_step_towards(
    detector: &Classifier,
    images: Tensor<4>,
    targets: Tensor<1, Int>,
    wanted: Tensor<2>,
) -> (GradientsParams, Tensor<1>) {
    let logits = detector.forward(images);
    let loss = soft_cross_entropy(logits.clone(), wanted);
    let gradients = GradientsParams::from_grads(loss.backward(), detector);
    let right = logits.inner().argmax(1).flatten::<1>(0, 1).equal(targets.inner()).float().mean();
    (gradients, Tensor::cat(vec![loss.inner(), right], 0))
}

/// A detector that guides but does not learn: gradients pass through it, its weights and statistics stay.
pub(super) fn frozen(detector: Classifier) -> Classifier {
    detector.freeze()
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;

    /// Two maps of two pixels: their means are 0.2, below `t`, and 0.8, above it.
    const MAPS: [f32; 4] = [0.1, 0.3, 0.7, 0.9];
    /// Gradients of `L_P` and `L_D` at the maps.
    const BY_PREDICTOR: [f32; 4] = [0.5, -0.25, 1.0, 0.0];
    const BY_DETECTOR: [f32; 4] = [0.125, 0.5, -0.5, 0.25];

    fn objective(completeness: Completeness) -> Objective {
        Objective { completeness, beta: 8.0, ..Objective::default() }
    }

    fn maps(values: [f32; 4], device: &Device) -> Tensor<4> {
        Tensor::from_data(TensorData::new(values.to_vec(), [2, 1, 1, 2]), device)
    }

    /// The loss parts (without accuracy, which is given as 0.5) and the gradient at the maps.
    fn step(objective: &Objective, loss_p: f32, loss_d: f32) -> (Losses, Vec<f32>) {
        let device = Device::flex();
        let loss = |value: f32| Tensor::<1>::from_floats([value], &device);
        let inner =
            InnerParts::new(&maps(MAPS, &device.clone().autodiff()), loss(loss_p), loss(loss_d), objective);
        let gradient =
            inner.gradient_at_map(maps(BY_PREDICTOR, &device), maps(BY_DETECTOR, &device), objective);
        let parts: Vec<f32> = inner.parts(loss(0.5)).into_data().try_to_vec().unwrap();
        (Losses::of_comet(&parts), gradient.into_data().try_to_vec().unwrap())
    }

    fn assert_losses(found: Losses, expected: [f64; 7]) {
        for (found, expected) in found.to_array().into_iter().zip(expected) {
            assert!((found - expected).abs() < 1e-5, "{found} is not {expected}");
        }
    }

    fn assert_gradient(found: &[f32], expected: [f32; 4]) {
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-5, "{found} is not {expected}");
        }
    }

    // R = (0 + 0.5) / 2 = 0.25. Its gradient is 8 / 4 pixels = 2 a pixel, in the second map only.

    #[test]
    fn an_active_hinge_pulls_by_both_losses() {
        // 0.5 - 1.0 + 2.0 = 1.5
        let (losses, gradient) = step(&objective(Completeness::Hinge), 0.5, 1.0);
        assert_losses(losses, [0.5 + 4.0 * 1.5 + 8.0 * 0.25, 0.5, 1.0, 1.5, 0.25, 0.5, 0.5]);
        // p + 4 * (p - d), + 2 in the second map.
        assert_gradient(&gradient, [2.0, -3.25, 7.0 + 2.0, -1.0 + 2.0]);
    }

    #[test]
    fn a_satisfied_hinge_does_not_pull() {
        // 0.5 - 3.0 + 2.0 = -0.5
        let (losses, gradient) = step(&objective(Completeness::Hinge), 0.5, 3.0);
        assert_losses(losses, [0.5 + 8.0 * 0.25, 0.5, 3.0, 0.0, 0.25, 0.5, 0.5]);
        assert_gradient(&gradient, [0.5, -0.25, 1.0 + 2.0, 2.0]);
    }

    #[test]
    fn the_papers_completeness_is_the_detectors_loss_without_bound() {
        let (losses, gradient) = step(&objective(Completeness::Paper), 0.5, 3.0);
        assert_losses(losses, [0.5 - 4.0 * 3.0 + 8.0 * 0.25, 0.5, 3.0, -3.0, 0.25, 0.5, 0.5]);
        // p - 4 * d, + 2 in the second map.
        assert_gradient(&gradient, [0.0, -2.25, 3.0 + 2.0, -1.0 + 2.0]);
    }

    #[test]
    fn maps_within_the_target_area_cost_nothing() {
        let within = Objective { target_area: 0.85, ..objective(Completeness::Hinge) };
        let (losses, gradient) = step(&within, 0.5, 3.0);
        assert_losses(losses, [0.5, 0.5, 3.0, 0.0, 0.0, 0.5, 0.5]);
        assert_gradient(&gradient, BY_PREDICTOR);
    }

    #[test]
    fn smoothed_labels_change_what_the_predictor_learns_and_not_what_is_reported() {
        let device = Device::flex().autodiff();
        let logits = || Tensor::<2>::from_floats([[2.0, 0.0], [0.0, 1.0]], &device).require_grad();
        let targets = Tensor::<1, Int>::from_data([0i64, 1], &device);
        let gradient = |smoothing: f64| -> Vec<f32> {
            let logits = logits();
            let plain = CrossEntropyLossConfig::new().init(&device).forward(logits.clone(), targets.clone());
            let gradients = learned_loss(&logits, &plain, &targets, smoothing).backward();
            logits.grad(&gradients).unwrap().into_data().try_to_vec().unwrap()
        };
        // (softmax - target) / 2 images; softmax(2, 0) = (0.880797, 0.119203), softmax(0, 1) = (0.268941, 0.731059).
        assert_gradient(&gradient(0.0), [-0.059_601_5, 0.059_601_5, 0.134_470_5, -0.134_470_5]);
        assert_gradient(&gradient(0.2), [-0.009_601_5, 0.009_601_5, 0.084_470_5, -0.084_470_5]);
    }

    #[test]
    fn a_loss_that_is_not_a_number_is_noticed_in_any_part() {
        assert!(Losses::default().is_finite());
        assert!(!Losses { area: f64::NAN, ..Losses::default() }.is_finite());
        assert!(!Losses::of_comet(&[1.0, f32::INFINITY, 0.0, 0.0, 0.0, 0.0, 0.0]).is_finite());
        assert!(!Losses::of_comet(&[1.0]).is_finite(), "parts are missing");
        assert_eq!(Losses::of_detector(&[2.0, 0.25]).to_array(), [2.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.25]);
    }
}
