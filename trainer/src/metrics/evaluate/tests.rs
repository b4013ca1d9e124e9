use super::*;
use crate::metrics::audit::Audit;
use comet_engine::image::Fit;
use image::{GrayImage, Luma, Rgb, RgbImage};

const SIDE: u32 = 8;

fn preprocess() -> Preprocess {
    Preprocess { width: SIDE, height: SIDE, fit: Fit::Crop, mean: [0.0; 3], std: [1.0; 3] }
}

/// The left quarter is bright and true; every third image has no mask.
fn samples(n: usize) -> Vec<Sample> {
    let sample = |index: usize| {
        let bright = |x: u32| if x < SIDE / 4 { 255 } else { 0 };
        let image = RgbImage::from_fn(SIDE, SIDE, |x, _| Rgb([bright(x); 3]));
        let mask = GrayImage::from_fn(SIDE, SIDE, |x, _| Luma([bright(x)]));
        Sample { image, mask: (!usize::is_multiple_of(index, 3)).then_some(mask), class: index % 2 }
    };
    (0..n).map(sample).collect()
}

/// Marks what is bright; knows the class as long as anything bright is left.
struct Oracle {
    classes: Vec<String>,
    /// The highest value of its maps.
    level: f32,
    /// The images with these numbers, in the order of asking, get a map that is not a number.
    broken: Vec<usize>,
    asked: usize,
}

impl Oracle {
    fn new(broken: Vec<usize>) -> Self {
        Self { classes: vec!["a".into(), "b".into()], level: 1.0, broken, asked: 0 }
    }
}

impl ModelUnderTest for Oracle {
    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn explain(&mut self, batch: &Batch) -> Result<Predictions, MetricsError> {
        let plane = batch.size.0 * batch.size.1;
        let mut masks = Vec::new();
        for image in batch.pixels.chunks(3 * plane) {
            let broken = self.broken.contains(&self.asked);
            self.asked += 1;
            let value = |&value: &f32| if broken { f32::NAN } else { value * self.level };
            masks.extend(image.iter().take(plane).map(value));
        }
        Ok(Predictions { masks, logits: self.predict(batch)? })
    }

    fn predict(&mut self, masked: &Batch) -> Result<Vec<f32>, MetricsError> {
        let length = 3 * masked.size.0 * masked.size.1;
        let seen = masked.pixels.chunks(length).map(|image| image.iter().any(|&v| v > 0.0));
        let logits = seen.zip(&masked.labels).flat_map(|(seen, &label)| {
            let class = if seen { label } else { 1 - label };
            [f32::from(class == 0), f32::from(class == 1)]
        });
        Ok(logits.collect())
    }
}

/// Gives so many map values and logits for a batch, and the logits of a predictor alone.
struct Counted {
    classes: Vec<String>,
    masks: usize,
    logits: usize,
    alone: usize,
}

impl ModelUnderTest for Counted {
    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn explain(&mut self, _: &Batch) -> Result<Predictions, MetricsError> {
        Ok(Predictions { masks: vec![0.5; self.masks], logits: vec![0.0; self.logits] })
    }

    fn predict(&mut self, _: &Batch) -> Result<Vec<f32>, MetricsError> {
        Ok(vec![0.0; self.alone])
    }
}

fn run_oracle(oracle: &mut Oracle, options: &EvaluationOptions) -> Evaluation {
    evaluate(oracle, &samples(7), &preprocess(), options, &mut |_, _| ()).unwrap()
}

fn run(broken: Vec<usize>, options: &EvaluationOptions) -> Evaluation {
    run_oracle(&mut Oracle::new(broken), options)
}

#[test]
fn a_perfect_model_is_measured_as_perfect() {
    let options = EvaluationOptions { batch: 3, keep: 2, ..EvaluationOptions::default() };
    let found = run(Vec::new(), &options);
    assert_eq!((found.n, found.accuracy, found.balanced_accuracy), (7, 100.0, 100.0));
    assert_eq!((found.pxap, found.iou50), (Some(100.0), Some(100.0)));
    assert_eq!((found.area, found.true_area, found.with_mask), (25.0, Some(25.0), Some(4)));
    assert_eq!((found.noisy_accuracy, found.invalid), (Some(100.0), 0));
    // 25 % of the pixels decide: some are left after the first 20 % are gone.
    let fidelity = found.fidelity.unwrap();
    assert_eq!((fidelity.top_5, fidelity.top_20), (100.0, 100.0));
    assert_eq!(found.confusion, [[4, 0], [0, 3]]);
    let kept: Vec<usize> = found.examples.iter().map(|example| example.image).collect();
    assert_eq!(kept, [0, 3]);
    assert_eq!((found.examples[1].label, found.examples[1].predicted), (1, Some(1)));
    assert_eq!(found.curve.len(), 1000);
}

#[test]
fn the_audit_tells_a_map_that_selects_from_one_that_dims() {
    let options = EvaluationOptions { batch: 2, ..EvaluationOptions::default() };
    let selects = run(Vec::new(), &options).audit;
    // The bright part is inside of the map; a quarter of its light is enough for this predictor.
    let expected = Audit { n: 7, as_used: 100.0, cut_at_half: 100.0, left_out: 0.0, uniform_dimming: 100.0 };
    assert_eq!(selects, Some(expected));
    let mut dims = Oracle { level: 0.4, ..Oracle::new(Vec::new()) };
    let dims = run_oracle(&mut dims, &options).audit;
    let expected = Audit { n: 7, as_used: 100.0, cut_at_half: 0.0, left_out: 100.0, uniform_dimming: 100.0 };
    assert_eq!(dims, Some(expected), "nothing reaches 0.5, and all that is bright is left out too");
}

#[test]
fn the_audit_leaves_out_images_without_a_valid_map() {
    let options = EvaluationOptions { batch: 7, ..EvaluationOptions::default() };
    assert_eq!(run(vec![1], &options).audit.map(|audit| (audit.n, audit.left_out)), Some((6, 0.0)));
    assert_eq!(run((0..7).collect(), &options).audit, None);
}

#[test]
fn the_size_of_the_batches_changes_nothing() {
    let options = |batch| EvaluationOptions { batch, seed: 5, full: true, keep: 4, logits: true };
    let one = run(Vec::new(), &options(1));
    assert_eq!(one, run(Vec::new(), &options(7)));
    assert_eq!(one, run(Vec::new(), &options(0)), "a batch holds at least one image");
}

#[test]
fn the_short_form_leaves_out_what_is_slow() {
    let options = EvaluationOptions { full: false, ..EvaluationOptions::default() };
    let found = run(Vec::new(), &options);
    assert_eq!((found.noisy_accuracy, found.fidelity, found.audit), (None, None, None));
    assert!(
        found.logits.is_empty() && found.calibration.is_none(),
        "logits are kept when they are asked for"
    );
    assert_eq!(found.accuracy, 100.0);
}

#[test]
fn an_invalid_map_counts_against_the_model() {
    let options = EvaluationOptions { full: true, batch: 7, keep: 7, logits: true, seed: 0 };
    let found = run(vec![1], &options);
    assert_eq!(found.invalid, 1);
    assert!((found.accuracy - 100.0 * 6.0 / 7.0).abs() < 1e-9);
    assert_eq!(found.iou50, Some(75.0));
    assert_eq!(found.area, 25.0);
    assert_eq!(found.fidelity.unwrap().top_5, 100.0);
    assert_eq!(found.examples[1].predicted, None);
    assert_eq!(found.examples[1].mask.mean(), 0.0);
    // The eighth map is that of the first image with noise.
    let noisy = run(vec![7], &options);
    assert_eq!((noisy.accuracy, noisy.invalid), (100.0, 0));
    assert_eq!((found.logits.len(), noisy.logits.len()), (6, 7), "an invalid prediction has no probability");
    assert!((noisy.noisy_accuracy.unwrap() - 100.0 * 6.0 / 7.0).abs() < 1e-9);
}

#[test]
fn progress_is_reported_after_each_batch() {
    let mut reported = Vec::new();
    let options = EvaluationOptions { batch: 3, full: false, ..EvaluationOptions::default() };
    let mut oracle = Oracle::new(Vec::new());
    let note = &mut |done: usize, all: usize| reported.push((done, all));
    evaluate(&mut oracle, &samples(7), &preprocess(), &options, note).unwrap();
    assert_eq!(reported, [(3, 7), (6, 7), (7, 7)]);
}

fn refused(samples: &[Sample], preprocess: &Preprocess) -> MetricsError {
    let options = EvaluationOptions::default();
    let mut oracle = Oracle::new(Vec::new());
    evaluate(&mut oracle, samples, preprocess, &options, &mut |_, _| ()).unwrap_err()
}

#[test]
fn images_that_do_not_fit_are_refused_by_their_number() {
    assert!(matches!(refused(&[], &preprocess()), MetricsError::NoImages));
    let flat = Preprocess { height: 0, ..preprocess() };
    assert!(matches!(refused(&samples(1), &flat), MetricsError::NoPixels));
    let mut other_class = samples(2);
    other_class[1].class = 2;
    let error = refused(&other_class, &preprocess());
    assert!(matches!(error, MetricsError::ImageClass { index: 1, class: 2, classes: 2 }), "{error}");
    let mut other_size = samples(2);
    other_size[1].image = RgbImage::new(4, 4);
    let error = refused(&other_size, &preprocess());
    assert!(matches!(error, MetricsError::ImageSize { index: 1, width: SIDE, height: SIDE }), "{error}");
    let mut other_mask = samples(3);
    other_mask[2].mask = Some(GrayImage::new(SIDE, SIDE + 1));
    let error = refused(&other_mask, &preprocess());
    assert!(matches!(error, MetricsError::ImageSize { index: 2, .. }), "{error}");
}

#[test]
fn a_model_with_a_wrong_number_of_values_is_an_error_that_names_the_images() {
    let plane = (SIDE * SIDE) as usize;
    let counts = [(2 * plane - 1, 4, 4), (2 * plane, 5, 4), (2 * plane, 4, 3), (2 * plane, 4, 4)];
    for (masks, logits, alone) in counts {
        let mut model = Counted { classes: vec!["a".into(), "b".into()], masks, logits, alone };
        let options = EvaluationOptions { batch: 2, ..EvaluationOptions::default() };
        let found = evaluate(&mut model, &samples(4), &preprocess(), &options, &mut |_, _| ());
        if (masks, logits, alone) == (2 * plane, 4, 4) {
            assert_eq!(found.unwrap().n, 4);
            continue;
        }
        match found {
            Err(MetricsError::Images { first: 0, last: 1, error }) => {
                assert!(matches!(*error, MetricsError::Count { .. }), "{error}");
            }
            other => unreachable!("{other:?}"),
        }
    }
}

#[test]
fn kept_examples_are_spread_evenly() {
    assert_eq!(spread(10, 4), [0, 2, 5, 7]);
    assert_eq!(spread(3, 9), [0, 1, 2]);
    assert_eq!(spread(0, 3), [0; 0]);
    assert_eq!(spread(5, 0), [0; 0]);
}

#[test]
fn logits_of_very_many_values_are_kept_evenly() {
    let options = EvaluationOptions { logits: true, ..EvaluationOptions::default() };
    assert_eq!(options.kept(5, 10).logits, [0, 1, 2, 3, 4]);
    let part = options.kept(20_000, 10_000).logits;
    assert_eq!((part.len(), part[0]), (MAX_LOGITS / 10_000, 0));
    assert!(part.is_sorted() && part[part.len() - 1] > 19_990);
    assert!(EvaluationOptions::default().kept(5, 10).logits.is_empty());
}
