//! Measures a model on a set of images.

use comet_engine::image::Preprocess;

use super::audit::Version;
use super::classification::top_class;
use super::collect::{Collected, Kept};
use super::error::MetricsError;
use super::fidelity::{Deletion, LEVELS};
use super::masked::plane;
use super::model_under_test::{ModelUnderTest, Predictions};
use super::noise::noisy;
use super::result::Evaluation;
use crate::data::{Batch, EvaluationImages, Sample};

/// Logits that are kept at most (256 MiB): with 10,000 classes, those of 6,700 images.
const MAX_LOGITS: usize = 1 << 26;

/// How an evaluation is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EvaluationOptions {
    /// Images that the model is given at once; at least 1 is used. The results do not depend on it.
    pub batch: usize,
    /// Seed of the noise in noisy accuracy.
    pub seed: u64,
    /// Whether noisy accuracy, fidelity and the audit are measured as well: selector and predictor are run once
    /// more for the first, the predictor three times more for each of the others.
    pub full: bool,
    /// Predictions to keep as examples, spread evenly over the images.
    pub keep: usize,
    /// Whether the images' logits are kept, to measure and fit probabilities; of very many images an even part.
    pub logits: bool,
}

impl Default for EvaluationOptions {
    fn default() -> Self {
        Self { batch: 32, seed: 0, full: true, keep: 24, logits: false }
    }
}

impl EvaluationOptions {
    /// What is kept of so many images of so many classes.
    fn kept(&self, images: usize, classes: usize) -> Kept {
        let logits = if self.logits { MAX_LOGITS / classes.max(1) } else { 0 };
        Kept { examples: spread(images, self.keep), logits: spread(images, logits) }
    }
}

/// Measures `model` on `samples`, which have the size of `preprocess` (COMET, section 4).
///
/// `progress` is called with the number of images done and of all images after each batch. What an invalid
/// prediction counts as is described at [`Evaluation`]. Errors: there are no images, an image does not fit the
/// model, the model fails, or it gives a wrong number of values.
pub fn evaluate(
    model: &mut dyn ModelUnderTest,
    samples: &[Sample],
    preprocess: &Preprocess,
    options: &EvaluationOptions,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Evaluation, MetricsError> {
    let classes = model.classes().to_vec();
    check_samples(samples, preprocess, classes.len())?;
    let mut collected = Collected::new(classes.len(), options.kept(samples.len(), classes.len()));
    let size = options.batch.max(1);
    for (number, chunk) in samples.chunks(size).enumerate() {
        let first = number * size;
        let batch = Batch::new(chunk, preprocess);
        let part = Part { samples: chunk, first, batch, classes: classes.len() };
        part.measure(model, options, &mut collected).map_err(|error| MetricsError::Images {
            first,
            last: first + chunk.len().saturating_sub(1),
            error: Box::new(error),
        })?;
        progress(first + chunk.len(), samples.len());
    }
    Ok(collected.finish(classes))
}

/// As [`evaluate`], with images that are read a batch at a time: only one batch and the examples are in memory.
///
/// The second value holds the samples of the evaluation's examples, which are numbered by their place in it.
pub fn evaluate_stream(
    model: &mut dyn ModelUnderTest,
    images: EvaluationImages<'_>,
    options: &EvaluationOptions,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<(Evaluation, Vec<Sample>), MetricsError> {
    let classes = model.classes().to_vec();
    let (preprocess, total) = (images.preprocess(), images.len());
    let kept = options.kept(total, classes.len());
    let wanted = kept.examples.clone();
    let mut collected = Collected::new(classes.len(), kept);
    let (mut first, mut shown) = (0, Vec::new());
    // A batch is shorter if images have become unreadable.
    for samples in images.chunks(options.batch.max(1)).filter(|samples| !samples.is_empty()) {
        check_samples(&samples, preprocess, classes.len())?;
        let batch = Batch::new(&samples, preprocess);
        let part = Part { samples: &samples, first, batch, classes: classes.len() };
        part.measure(model, options, &mut collected).map_err(|error| MetricsError::Images {
            first,
            last: first + samples.len().saturating_sub(1),
            error: Box::new(error),
        })?;
        shown.extend(wanted.iter().filter_map(|&index| samples.get(index.checked_sub(first)?).cloned()));
        first += samples.len();
        progress(first, total);
    }
    if first == 0 {
        return Err(MetricsError::NoImages);
    }
    let mut evaluation = collected.finish(classes);
    for (place, example) in evaluation.examples.iter_mut().enumerate() {
        example.image = place;
    }
    Ok((evaluation, shown))
}

/// Some images on their way through all measures.
struct Part<'a> {
    samples: &'a [Sample],
    /// Index of the first one in the whole set.
    first: usize,
    batch: Batch,
    /// Logits of an image; at least 1.
    classes: usize,
}

impl Part<'_> {
    fn measure(
        &self,
        model: &mut dyn ModelUnderTest,
        options: &EvaluationOptions,
        collected: &mut Collected,
    ) -> Result<(), MetricsError> {
        let mut predictions = self.checked(model.explain(&self.batch)?)?;
        let valid = blank_invalid(&mut predictions.masks, plane(&self.batch));
        let maps = predictions.masks.chunks_exact(plane(&self.batch));
        let predicted = maps.zip(predictions.logits.chunks_exact(self.classes)).zip(&valid);
        for ((index, sample), ((map, logits), &valid)) in (self.first..).zip(self.samples).zip(predicted) {
            let top = top_class(logits).filter(|_| valid);
            collected.add(index, sample, (map, valid), (logits, top))?;
            if options.full && valid {
                collected.audit.add_as_used(top == Some(sample.class));
            }
        }
        if options.full {
            self.measure_noisy(model, options.seed, collected)?;
            self.measure_fidelity(model, &predictions.masks, &valid, collected)?;
            self.audit(model, &predictions.masks, &valid, collected)?;
        }
        Ok(())
    }

    fn measure_noisy(
        &self,
        model: &mut dyn ModelUnderTest,
        seed: u64,
        collected: &mut Collected,
    ) -> Result<(), MetricsError> {
        let noisy = noisy(&self.batch, self.first, seed);
        let mut predictions = self.checked(model.explain(&noisy)?)?;
        let valid = blank_invalid(&mut predictions.masks, plane(&self.batch));
        let predicted = predictions.logits.chunks_exact(self.classes).zip(valid);
        for (sample, (logits, valid)) in self.samples.iter().zip(predicted) {
            collected.noisy.add(valid && top_class(logits) == Some(sample.class));
        }
        Ok(())
    }

    fn measure_fidelity(
        &self,
        model: &mut dyn ModelUnderTest,
        maps: &[f32],
        valid: &[bool],
        collected: &mut Collected,
    ) -> Result<(), MetricsError> {
        let deletion = Deletion::new(&self.batch, maps);
        for (ratio, percent) in collected.fidelity.iter_mut().zip(LEVELS) {
            let tops = self.predicted(model, &deletion.without(percent))?;
            for ((sample, top), &valid) in self.samples.iter().zip(tops).zip(valid) {
                // Lower is better here, so that an invalid prediction must count as still right.
                ratio.add(!valid || top.is_none_or(|top| top == sample.class));
            }
        }
        Ok(())
    }

    /// The predictor on other versions of the masked images; images without a valid map have none.
    fn audit(
        &self,
        model: &mut dyn ModelUnderTest,
        maps: &[f32],
        valid: &[bool],
        collected: &mut Collected,
    ) -> Result<(), MetricsError> {
        for version in Version::ALL {
            let tops = self.predicted(model, &version.of(&self.batch, maps))?;
            for ((sample, top), &valid) in self.samples.iter().zip(tops).zip(valid) {
                if valid {
                    collected.audit.add(version, version.is_right(top, sample.class));
                }
            }
        }
        Ok(())
    }

    /// For each image, the class that the predictor names when it is given `masked`.
    fn predicted(
        &self,
        model: &mut dyn ModelUnderTest,
        masked: &Batch,
    ) -> Result<Vec<Option<usize>>, MetricsError> {
        let logits = model.predict(masked)?;
        check_count("logits", logits.len(), self.samples.len() * self.classes)?;
        Ok(logits.chunks_exact(self.classes).map(top_class).collect())
    }

    /// The predictions, if their numbers of values fit the images.
    fn checked(&self, predictions: Predictions) -> Result<Predictions, MetricsError> {
        check_count("map values", predictions.masks.len(), self.samples.len() * plane(&self.batch))?;
        check_count("logits", predictions.logits.len(), self.samples.len() * self.classes)?;
        Ok(predictions)
    }
}

fn check_count(what: &'static str, found: usize, expected: usize) -> Result<(), MetricsError> {
    if found == expected { Ok(()) } else { Err(MetricsError::Count { what, found, expected }) }
}

fn check_samples(samples: &[Sample], preprocess: &Preprocess, classes: usize) -> Result<(), MetricsError> {
    if samples.is_empty() {
        return Err(MetricsError::NoImages);
    }
    let size = (preprocess.width, preprocess.height);
    if size.0 == 0 || size.1 == 0 {
        return Err(MetricsError::NoPixels);
    }
    for (index, sample) in samples.iter().enumerate() {
        let mask = sample.mask.as_ref().map_or(size, |mask| mask.dimensions());
        if sample.image.dimensions() != size || mask != size {
            return Err(MetricsError::ImageSize { index, width: size.0, height: size.1 });
        }
        if sample.class >= classes {
            return Err(MetricsError::ImageClass { index, class: sample.class, classes });
        }
    }
    Ok(())
}

/// Sets maps with a value that is not a finite number to 0 everywhere; gives for each map whether it was valid.
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
mod tests;
