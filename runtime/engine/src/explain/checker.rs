//! The sampled checks of an explanation. Each is one or two more runs of a network, so not every frame is checked.

use std::time::Instant;

use super::MaskAgreement;
use super::trust::{Checks, Completeness, Cut, Drift, Judge, Stability, Sufficiency, TrustLimits};
use crate::image::Mask;
use crate::model::{ModelError, ModelFile};
use crate::prediction::{Explanation, largest, softmax_at};
use crate::run::{DetectorSession, Options, PredictorSession, Session};

/// By how many pixels the image is shifted, to the right and down.
const SHIFT: usize = 2;
/// Where overlays draw the contour of a map.
const CONTOUR: f32 = 0.5;

/// Runs the checks of one model.
pub struct Checker {
    predictor: PredictorSession,
    detector: Option<DetectorSession>,
    /// The model itself, for other images; it shares its weights with the session that explains.
    own: Session,
    reference: Option<Session>,
    /// The file's temperature. The detector's probabilities are taken at it as well: those that are compared with each
    /// other need one scale.
    temperature: f32,
    limits: TrustLimits,
}

/// What a network says about an image that it was shown.
struct Answer {
    class: usize,
    probabilities: Vec<f32>,
}

impl Answer {
    /// The class is that of the logits: no temperature changes it.
    fn new(logits: &[f32], temperature: f32) -> Self {
        Self { class: largest(logits), probabilities: softmax_at(logits, temperature) }
    }

    fn probability(&self, class: usize) -> f32 {
        self.probabilities.get(class).copied().unwrap_or(0.0)
    }
}

impl Checker {
    /// Prepares the checks of `model`, which `session` runs, against `reference` if one is given.
    ///
    /// # Errors
    /// A part of the model cannot be prepared, or the reference has other classes or another size.
    pub fn new(
        model: &ModelFile,
        session: &Session,
        reference: Option<&ModelFile>,
        options: Options,
        limits: TrustLimits,
    ) -> Result<Self, ModelError> {
        if let Some(reference) = reference {
            let (ours, theirs) = (model.manifest(), reference.manifest());
            if ours.classes != theirs.classes || ours.preprocess != theirs.preprocess {
                return Err(reference.error("it has other classes or another input than the model"));
            }
        }
        Ok(Self {
            predictor: PredictorSession::with_options(model, options)?,
            detector: DetectorSession::with_options(model, options)?,
            own: session.clone(),
            reference: reference.map(|file| Session::with_options(file, options)).transpose()?,
            temperature: model.manifest().temperature as f32,
            limits,
        })
    }

    /// Checks `explanation`, which the model gave for its input `tensor`.
    ///
    /// # Errors
    /// A network fails.
    pub fn check(&mut self, tensor: &[f32], explanation: &Explanation) -> Result<Checks, ModelError> {
        let begun = Instant::now();
        let class = explanation.top();
        let probability = explanation.probabilities().get(class).copied().unwrap_or(0.0);
        let sufficiency = self.sufficiency(tensor, class, probability)?;
        let completeness = self.completeness(tensor, &explanation.mask, class)?;
        let stability = self.stability(tensor, &explanation.mask)?;
        let drift = self.drift(tensor, explanation)?;
        let cut = Some(self.cut(tensor, &explanation.mask, class)?);
        let ms = 1000.0 * begun.elapsed().as_secs_f64();
        Ok(Checks { sufficiency, completeness, stability, drift, cut, ms })
    }

    fn judge(&self, image: &[f32]) -> Result<(Judge, Answer), ModelError> {
        let (by, logits) = match &self.detector {
            Some(detector) => (Judge::Detector, detector.run(image)?),
            None => (Judge::Predictor, self.predictor.run(image)?),
        };
        Ok((by, Answer::new(&logits, self.temperature)))
    }

    fn sufficiency(&self, tensor: &[f32], class: usize, seen: f32) -> Result<Sufficiency, ModelError> {
        let (by, whole) = self.judge(tensor)?;
        let whole_probability = whole.probability(class);
        let same_class = whole.class == class;
        let drop = whole_probability - seen;
        let holds = same_class && drop <= self.limits.max_sufficiency_drop;
        Ok(Sufficiency { by, whole_probability, same_class, holds })
    }

    fn completeness(&self, tensor: &[f32], mask: &Mask, class: usize) -> Result<Completeness, ModelError> {
        let (by, rest) = self.judge(&left_out(tensor, mask))?;
        let left_out_probability = rest.probability(class);
        let recognised = rest.class == class;
        let holds = !recognised || left_out_probability < self.limits.max_left_out;
        Ok(Completeness { by, left_out_probability, recognised, holds })
    }

    fn stability(&mut self, tensor: &[f32], mask: &Mask) -> Result<Stability, ModelError> {
        let size = (mask.width(), mask.height());
        let moved = self.own.run(&shifted(tensor, size))?.mask;
        let iou = overlap(mask, &moved).unwrap_or(0.0);
        Ok(Stability { iou, holds: iou >= self.limits.min_stability })
    }

    fn cut(&self, tensor: &[f32], mask: &Mask, class: usize) -> Result<Cut, ModelError> {
        let inside = Answer::new(&self.predictor.run(&cut_at_contour(tensor, mask))?, self.temperature);
        Ok(Cut { probability: inside.probability(class), same_class: inside.class == class })
    }

    fn drift(&mut self, tensor: &[f32], explanation: &Explanation) -> Result<Option<Drift>, ModelError> {
        let Some(reference) = &mut self.reference else {
            return Ok(None);
        };
        let expected = reference.run(tensor)?;
        let Some(agreement) = MaskAgreement::between(&expected.mask, &explanation.mask) else {
            return Ok(None);
        };
        let same_class = expected.top() == explanation.top();
        let holds = same_class && agreement.iou >= self.limits.min_drift_iou;
        let MaskAgreement { mae, iou, pearson } = agreement;
        Ok(Some(Drift { mae, iou, pearson, same_class, holds }))
    }
}

/// `S(x) * x`: what the predictor sees of a normalised image `[3, height, width]`, with the mean pixel, which is 0
/// there, in place of the rest (COMET, section 3).
pub fn masked(tensor: &[f32], mask: &Mask) -> Vec<f32> {
    blend(tensor, mask, |value| value)
}

/// `(1 - S(x)) * x`: what the predictor does not see.
pub fn left_out(tensor: &[f32], mask: &Mask) -> Vec<f32> {
    blend(tensor, mask, |value| 1.0 - value)
}

/// The image inside the contour of the map, whole, and the mean pixel outside of it.
fn cut_at_contour(tensor: &[f32], mask: &Mask) -> Vec<f32> {
    blend(tensor, mask, |value| if value >= CONTOUR { 1.0 } else { 0.0 })
}

fn blend(tensor: &[f32], mask: &Mask, weight: impl Fn(f32) -> f32) -> Vec<f32> {
    let plane = mask.values().len().max(1);
    let planes = tensor.chunks(plane);
    planes.flat_map(|plane| plane.iter().zip(mask.values()).map(|(x, m)| weight(*m) * x)).collect()
}

/// The image moved by [`SHIFT`] pixels to the right and down; the edge is repeated.
fn shifted(tensor: &[f32], (width, height): (usize, usize)) -> Vec<f32> {
    let mut moved = Vec::with_capacity(tensor.len());
    for plane in tensor.chunks((width * height).max(1)) {
        for y in 0..height {
            let from = y.saturating_sub(SHIFT) * width;
            let row = plane.get(from..from + width).unwrap_or_default();
            moved.extend((0..width).filter_map(|x| row.get(x.saturating_sub(SHIFT))));
        }
    }
    moved
}

/// IoU at 0.5 of a map and of the moved image's map, where both show the same part of the image.
fn overlap(mask: &Mask, moved: &Mask) -> Option<f64> {
    let (width, height) = (mask.width(), mask.height());
    if (width, height) != (moved.width(), moved.height()) {
        return None;
    }
    let crop = |mask: &Mask, skip: usize| {
        let rows = mask.values().chunks(width.max(1)).skip(skip).take(height.saturating_sub(SHIFT));
        let values = rows.flat_map(|row| row.iter().skip(skip).take(width.saturating_sub(SHIFT)).copied());
        Mask::new(width.saturating_sub(SHIFT), height.saturating_sub(SHIFT), values.collect())
    };
    MaskAgreement::between(&crop(mask, 0)?, &crop(moved, SHIFT)?).map(|agreement| agreement.iou)
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{Rgb, RgbImage};

    fn model(name: &str) -> ModelFile {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/");
        ModelFile::read(format!("{folder}{name}").as_ref()).unwrap()
    }

    /// A bright disc on a background that darkens from top to bottom.
    fn scene() -> RgbImage {
        RgbImage::from_fn(160, 120, |x, y| {
            let (across, down) = (x.abs_diff(90), y.abs_diff(50));
            let is_disc = across * across + down * down < 30 * 30;
            if is_disc { Rgb([230, 180, 150]) } else { Rgb([60, (140 - y) as u8, 40]) }
        })
    }

    #[test]
    fn a_map_that_moves_with_its_image_is_stable() {
        let square = |left: usize| {
            let value = |i: usize| {
                f32::from((left..left + 6).contains(&(i % 20)) && (left..left + 6).contains(&(i / 20)))
            };
            Mask::new(20, 20, (0..400).map(value).collect()).unwrap()
        };
        assert_eq!(overlap(&square(5), &square(5 + SHIFT)), Some(1.0));
        assert!(overlap(&square(5), &square(5)).unwrap() < 0.5);
        assert_eq!(overlap(&square(5), &Mask::new(1, 1, vec![0.0]).unwrap()), None);
    }

    #[test]
    fn a_shifted_image_repeats_its_edge() {
        let moved = shifted(&(0..16).map(|n| n as f32).collect::<Vec<_>>(), (4, 4));
        assert_eq!(moved, [0., 0., 0., 1., 0., 0., 0., 1., 0., 0., 0., 1., 4., 4., 4., 5.]);
    }

    #[test]
    fn what_is_shown_and_what_is_left_out_add_up_to_the_image() {
        let mask = Mask::new(2, 1, vec![0.25, 1.0]).unwrap();
        let tensor = [1.0, 2.0, 3.0, 4.0];
        assert_eq!(masked(&tensor, &mask), [0.25, 2.0, 0.75, 4.0]);
        assert_eq!(left_out(&tensor, &mask), [0.75, 0.0, 2.25, 0.0]);
    }

    #[test]
    fn a_map_cut_at_the_contour_shows_all_of_the_inside_and_nothing_of_the_outside() {
        let mask = Mask::new(3, 1, vec![0.499, 0.5, 1.0]).unwrap();
        assert_eq!(cut_at_contour(&[1.0, 2.0, 3.0], &mask), [0.0, 2.0, 3.0]);
    }

    /// A soft map that never reaches 0.5 has an empty contour: what is left is the mean pixel, whatever the image was.
    #[test]
    fn a_map_that_is_dim_everywhere_leaves_nothing_inside_the_contour() {
        let model = model("hands.int8.onnx");
        let session = Session::new(&model).unwrap();
        let mut checker =
            Checker::new(&model, &session, None, Options::threads(1), TrustLimits::default()).unwrap();
        let preprocess = &model.manifest().preprocess;
        let tensor = preprocess.tensor(&scene());
        let (width, height) = (preprocess.width as usize, preprocess.height as usize);
        let dim = Mask::new(width, height, vec![0.4; width * height]).unwrap();
        let logits = checker.predictor.run(&masked(&tensor, &dim)).unwrap();
        let class = largest(&logits);
        let explanation = Explanation { mask: dim, logits, temperature: checker.temperature };
        let cut = checker.check(&tensor, &explanation).unwrap().cut.unwrap();
        let grey = checker.predictor.run(&vec![0.0; tensor.len()]).unwrap();
        let grey = softmax_at(&grey, checker.temperature);
        assert_eq!(cut, Cut { probability: grey[class], same_class: largest(&grey) == class });
    }

    /// The predictor sees a scene through a map that shows everything: the whole image holds nothing more.
    #[test]
    fn with_a_map_that_shows_everything_nothing_is_missing_and_nothing_left_out() {
        let model = model("hands.int8.onnx");
        let session = Session::new(&model).unwrap();
        let mut checker =
            Checker::new(&model, &session, None, Options::threads(1), TrustLimits::default()).unwrap();
        let preprocess = &model.manifest().preprocess;
        let tensor = preprocess.tensor(&scene());
        let (width, height) = (preprocess.width as usize, preprocess.height as usize);
        let everything = Mask::new(width, height, vec![1.0; width * height]).unwrap();
        let logits = checker.predictor.run(&tensor).unwrap();
        let temperature = checker.temperature;
        let explanation = Explanation { mask: everything, logits: logits.clone(), temperature };
        let checks = checker.check(&tensor, &explanation).unwrap();
        assert!(checks.sufficiency.holds && checks.sufficiency.same_class);
        let seen = softmax_at(&logits, temperature).into_iter().fold(0.0, f32::max);
        assert_eq!(checks.sufficiency.whole_probability, seen);
        // What is left is the mean pixel everywhere, whatever the image was.
        let grey = checker.predictor.run(&vec![0.0; tensor.len()]).unwrap();
        let grey = softmax_at(&grey, checker.temperature);
        let class = largest(&logits);
        assert_eq!(checks.cut, Some(Cut { probability: seen, same_class: true }), "everything is inside");
        assert_eq!(checks.completeness.left_out_probability, grey[class]);
        assert!(checks.drift.is_none() && checks.ms > 0.0);
    }

    #[test]
    fn an_answer_has_the_class_of_its_logits_at_any_temperature() {
        let logits = [1.0, 1.000_000_1, 0.0];
        for temperature in [0.01, 1.0, 100.0] {
            let answer = Answer::new(&logits, temperature);
            assert_eq!(answer.class, 1, "{temperature}");
            assert!(answer.probability(1) >= answer.probability(0) && answer.probability(7) == 0.0);
        }
    }

    #[test]
    fn a_model_does_not_drift_from_itself_and_another_model_is_not_a_reference() {
        let model = model("hands.int8.onnx");
        let options = Options::threads(1);
        let mut session = Session::new(&model).unwrap();
        let mut checker =
            Checker::new(&model, &session, Some(&model), options, TrustLimits::default()).unwrap();
        let tensor = model.manifest().preprocess.tensor(&scene());
        let explanation = session.run(&tensor).unwrap();
        let drift = checker.check(&tensor, &explanation).unwrap().drift.unwrap();
        assert_eq!((drift.mae, drift.iou, drift.same_class, drift.holds), (0.0, 1.0, true, true));
        let other = self::model("plants.int8.onnx");
        assert!(Checker::new(&model, &session, Some(&other), options, TrustLimits::default()).is_err());
    }
}
