//! Measures a subject on a set of pictures.

use anyhow::{Context, ensure};
use comet_edge::image::Preprocess;

use super::classification::top_class;
use super::collect::Collected;
use super::fidelity::{Deletion, LEVELS};
use super::noise::noisy;
use super::result::Evaluation;
use super::subject::{Answers, Subject};
use crate::data::{Batch, Picture};

/// How an evaluation is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EvaluationOptions {
    /// Pictures that the subject is given at once; at least 1 is used. The results do not depend on it.
    pub batch: usize,
    /// Seed of the noise in noisy accuracy.
    pub seed: u64,
    /// Whether noisy accuracy and fidelity are measured as well: selector and predictor are run once more for
    /// the former, the predictor three times more for the latter.
    pub full: bool,
    /// Answers to keep as samples, spread evenly over the pictures.
    pub keep: usize,
}

impl Default for EvaluationOptions {
    fn default() -> Self {
        Self { batch: 32, seed: 0, full: true, keep: 24 }
    }
}

/// Measures `subject` on `pictures`, which have the size of `preprocess` (COMET, section 4).
///
/// `progress` is told the number of pictures done and of all pictures after each batch. What an invalid
/// answer counts as is said at [`Evaluation`]. Errors: there are no pictures, a picture does not fit the
/// model, the subject fails, or it gives a wrong number of values.
pub fn evaluate(
    subject: &mut dyn Subject,
    pictures: &[Picture],
    preprocess: &Preprocess,
    options: &EvaluationOptions,
    progress: &mut dyn FnMut(usize, usize),
) -> anyhow::Result<Evaluation> {
    let classes = subject.classes().to_vec();
    check_pictures(pictures, preprocess, classes.len())?;
    let mut collected = Collected::new(classes.len(), spread(pictures.len(), options.keep));
    let size = options.batch.max(1);
    for (number, chunk) in pictures.chunks(size).enumerate() {
        let first = number * size;
        let batch = Batch::new(chunk, preprocess);
        let part = Part { pictures: chunk, first, batch, classes: classes.len() };
        part.measure(subject, options, &mut collected).with_context(|| {
            format!("evaluating pictures {first} to {} (counted from 0)", first + chunk.len() - 1)
        })?;
        progress(first + chunk.len(), pictures.len());
    }
    Ok(collected.finish(classes))
}

/// Some pictures on their way through all measures.
struct Part<'a> {
    pictures: &'a [Picture],
    /// Index of the first one in the whole set.
    first: usize,
    batch: Batch,
    /// Logits of a picture; at least 1.
    classes: usize,
}

impl Part<'_> {
    fn measure(
        &self,
        subject: &mut dyn Subject,
        options: &EvaluationOptions,
        collected: &mut Collected,
    ) -> anyhow::Result<()> {
        let mut answers = self.checked(subject.explain(&self.batch)?)?;
        let valid = blank_invalid(&mut answers.masks, self.plane());
        let maps = answers.masks.chunks_exact(self.plane());
        let answered = maps.zip(answers.logits.chunks_exact(self.classes)).zip(&valid);
        for ((index, picture), ((map, logits), &valid)) in (self.first..).zip(self.pictures).zip(answered) {
            let predicted = top_class(logits).filter(|_| valid);
            collected.add(index, picture, (map, valid), (logits, predicted))?;
        }
        if options.full {
            self.measure_noisy(subject, options.seed, collected)?;
            self.measure_fidelity(subject, &answers.masks, &valid, collected)?;
        }
        Ok(())
    }

    fn measure_noisy(
        &self,
        subject: &mut dyn Subject,
        seed: u64,
        collected: &mut Collected,
    ) -> anyhow::Result<()> {
        let noisy = noisy(&self.batch, self.first, seed);
        let mut answers = self.checked(subject.explain(&noisy)?)?;
        let valid = blank_invalid(&mut answers.masks, self.plane());
        let answered = answers.logits.chunks_exact(self.classes).zip(valid);
        for (picture, (logits, valid)) in self.pictures.iter().zip(answered) {
            collected.noisy.add(valid && top_class(logits) == Some(picture.class));
        }
        Ok(())
    }

    fn measure_fidelity(
        &self,
        subject: &mut dyn Subject,
        maps: &[f32],
        valid: &[bool],
        collected: &mut Collected,
    ) -> anyhow::Result<()> {
        let deletion = Deletion::new(&self.batch, maps);
        for (share, percent) in collected.fidelity.iter_mut().zip(LEVELS) {
            let logits = subject.predict(&deletion.without(percent))?;
            check_count("logits", logits.len(), self.pictures.len() * self.classes)?;
            let answered = logits.chunks_exact(self.classes).zip(valid);
            for (picture, (logits, &valid)) in self.pictures.iter().zip(answered) {
                // Lower is better here, so that an invalid answer must count as still right.
                share.add(!valid || top_class(logits).is_none_or(|top| top == picture.class));
            }
        }
        Ok(())
    }

    /// Pixels of a picture; at least 1, so that maps can be cut apart.
    fn plane(&self) -> usize {
        (self.batch.size.0 * self.batch.size.1).max(1)
    }

    /// The answers, if their numbers of values fit the pictures.
    fn checked(&self, answers: Answers) -> anyhow::Result<Answers> {
        check_count("map values", answers.masks.len(), self.pictures.len() * self.plane())?;
        check_count("logits", answers.logits.len(), self.pictures.len() * self.classes)?;
        Ok(answers)
    }
}

fn check_count(what: &str, found: usize, expected: usize) -> anyhow::Result<()> {
    ensure!(found == expected, "the model gave {found} {what}, {expected} were expected");
    Ok(())
}

fn check_pictures(pictures: &[Picture], preprocess: &Preprocess, classes: usize) -> anyhow::Result<()> {
    ensure!(!pictures.is_empty(), "there are no pictures to evaluate");
    let size = (preprocess.width, preprocess.height);
    ensure!(size.0 > 0 && size.1 > 0, "the model's input has no pixels");
    for (index, picture) in pictures.iter().enumerate() {
        let mask = picture.mask.as_ref().map_or(size, |mask| mask.dimensions());
        ensure!(
            picture.image.dimensions() == size && mask == size,
            "picture {index} or its mask is not of the model's size, {} x {} pixels",
            size.0,
            size.1
        );
        ensure!(
            picture.class < classes,
            "picture {index} is of class {}, the model knows {classes} classes (counted from 0): \
             is it from another data set?",
            picture.class
        );
    }
    Ok(())
}

/// Sets maps with a value that is no finite number to 0 everywhere; says for each map whether it was valid.
fn blank_invalid(maps: &mut [f32], plane: usize) -> Vec<bool> {
    let valid = maps.chunks_exact_mut(plane).map(|map| {
        let valid = map.iter().all(|value| value.is_finite());
        if !valid {
            map.fill(0.0);
        }
        valid
    });
    valid.collect()
}

/// `keep` indices spread evenly over `0..n`, rising; all of them if `keep` is larger.
fn spread(n: usize, keep: usize) -> Vec<usize> {
    let keep = keep.min(n);
    (0..keep).map(|place| (place as u128 * n as u128 / keep as u128) as usize).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use comet_edge::image::Fit;
    use image::{GrayImage, Luma, Rgb, RgbImage};

    const SIDE: u32 = 8;

    fn preprocess() -> Preprocess {
        Preprocess { width: SIDE, height: SIDE, fit: Fit::Crop, mean: [0.0; 3], std: [1.0; 3] }
    }

    /// The left quarter is bright and true; every third picture has no mask.
    fn pictures(n: usize) -> Vec<Picture> {
        let picture = |index: usize| {
            let bright = |x: u32| if x < SIDE / 4 { 255 } else { 0 };
            let image = RgbImage::from_fn(SIDE, SIDE, |x, _| Rgb([bright(x); 3]));
            let mask = GrayImage::from_fn(SIDE, SIDE, |x, _| Luma([bright(x)]));
            Picture { image, mask: (!usize::is_multiple_of(index, 3)).then_some(mask), class: index % 2 }
        };
        (0..n).map(picture).collect()
    }

    /// Marks what is bright; knows the class as long as anything bright is left.
    struct Oracle {
        classes: Vec<String>,
        /// The pictures with these numbers, in the order of asking, get a map that is no number.
        broken: Vec<usize>,
        asked: usize,
    }

    impl Oracle {
        fn new(broken: Vec<usize>) -> Self {
            Self { classes: vec!["a".into(), "b".into()], broken, asked: 0 }
        }
    }

    impl Subject for Oracle {
        fn classes(&self) -> &[String] {
            &self.classes
        }

        fn explain(&mut self, batch: &Batch) -> anyhow::Result<Answers> {
            let plane = batch.size.0 * batch.size.1;
            let mut masks = Vec::new();
            for picture in batch.pixels.chunks(3 * plane) {
                let broken = self.broken.contains(&self.asked);
                self.asked += 1;
                let value = |&value: &f32| if broken { f32::NAN } else { value };
                masks.extend(picture.iter().take(plane).map(value));
            }
            Ok(Answers { masks, logits: self.predict(batch)? })
        }

        fn predict(&mut self, masked: &Batch) -> anyhow::Result<Vec<f32>> {
            let length = 3 * masked.size.0 * masked.size.1;
            let seen = masked.pixels.chunks(length).map(|picture| picture.iter().any(|&v| v > 0.0));
            let logits = seen.zip(&masked.labels).flat_map(|(seen, &label)| {
                let class = if seen { label } else { 1 - label };
                [f32::from(class == 0), f32::from(class == 1)]
            });
            Ok(logits.collect())
        }
    }

    fn run(broken: Vec<usize>, options: &EvaluationOptions) -> Evaluation {
        let mut oracle = Oracle::new(broken);
        evaluate(&mut oracle, &pictures(7), &preprocess(), options, &mut |_, _| ()).unwrap()
    }

    #[test]
    fn a_perfect_subject_is_measured_as_perfect() {
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
        let kept: Vec<usize> = found.samples.iter().map(|sample| sample.picture).collect();
        assert_eq!(kept, [0, 3]);
        assert_eq!(found.curve.len(), 1000);
    }

    #[test]
    fn the_size_of_the_batches_changes_nothing() {
        let options = |batch| EvaluationOptions { batch, seed: 5, full: true, keep: 4 };
        assert_eq!(run(Vec::new(), &options(1)), run(Vec::new(), &options(7)));
    }

    #[test]
    fn the_short_form_leaves_out_what_is_slow() {
        let options = EvaluationOptions { full: false, ..EvaluationOptions::default() };
        let found = run(Vec::new(), &options);
        assert_eq!((found.noisy_accuracy, found.fidelity), (None, None));
        assert_eq!(found.accuracy, 100.0);
    }

    #[test]
    fn an_invalid_map_counts_against_the_model() {
        let options = EvaluationOptions { full: true, batch: 7, keep: 7, seed: 0 };
        let found = run(vec![1], &options);
        assert_eq!(found.invalid, 1);
        assert!((found.accuracy - 100.0 * 6.0 / 7.0).abs() < 1e-9);
        assert_eq!(found.iou50, Some(75.0));
        assert_eq!(found.area, 25.0);
        assert_eq!(found.fidelity.unwrap().top_5, 100.0);
        assert_eq!(found.samples[1].predicted, None);
        assert_eq!(found.samples[1].mask.mean(), 0.0);
    }

    #[test]
    fn progress_is_told_after_each_batch() {
        let mut told = Vec::new();
        let options = EvaluationOptions { batch: 3, full: false, ..EvaluationOptions::default() };
        let mut oracle = Oracle::new(Vec::new());
        let note = &mut |done: usize, all: usize| told.push((done, all));
        evaluate(&mut oracle, &pictures(7), &preprocess(), &options, note).unwrap();
        assert_eq!(told, [(3, 7), (6, 7), (7, 7)]);
    }

    #[test]
    fn pictures_that_do_not_fit_are_refused() {
        let refused = |pictures: &[Picture]| {
            let options = EvaluationOptions::default();
            let mut oracle = Oracle::new(Vec::new());
            evaluate(&mut oracle, pictures, &preprocess(), &options, &mut |_, _| ()).is_err()
        };
        assert!(refused(&[]));
        let mut other_class = pictures(2);
        other_class[1].class = 2;
        assert!(refused(&other_class));
        let mut other_size = pictures(2);
        other_size[1].image = RgbImage::new(4, 4);
        assert!(refused(&other_size));
    }

    #[test]
    fn samples_are_spread_evenly() {
        assert_eq!(spread(10, 4), [0, 2, 5, 7]);
        assert_eq!(spread(3, 9), [0, 1, 2]);
        assert_eq!(spread(0, 3), [0; 0]);
        assert_eq!(spread(5, 0), [0; 0]);
    }
}
