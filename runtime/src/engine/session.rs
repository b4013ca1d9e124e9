//! A prepared model: pictures in, maps and logits out.

use image::RgbImage;

use super::plan::Plan;
use crate::image::{Mask, Preprocess};
use crate::model::{ModelError, ModelFile};

/// Name and version of the engine behind a [`Session`].
pub const ENGINE: &str = "tract 0.23.9";

/// A model's answer about one picture.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The attribution map `S(x)`, of the model's input size: the predictor saw `S(x) * x` and nothing else.
    pub mask: Mask,
    /// One logit a class.
    pub logits: Vec<f32>,
}

impl Explanation {
    /// Index of the largest logit; the first one if several are equal.
    pub fn top(&self) -> usize {
        let mut best = 0;
        for (index, logit) in self.logits.iter().enumerate() {
            if self.logits.get(best).is_none_or(|top| logit > top) {
                best = index;
            }
        }
        best
    }

    /// Class probabilities.
    pub fn probabilities(&self) -> Vec<f32> {
        softmax(&self.logits)
    }

    /// Whether map and logits are numbers, and the map stays in `[0, 1]`.
    pub fn is_valid(&self) -> bool {
        self.logits.iter().all(|logit| logit.is_finite())
            && self.mask.values().iter().all(|value| (0.0..=1.0).contains(value))
    }
}

/// Softmax, shifted by the maximum so that it cannot overflow.
pub fn softmax(logits: &[f32]) -> Vec<f32> {
    let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f32> = logits.iter().map(|logit| (logit - top).exp()).collect();
    let sum: f32 = powers.iter().sum();
    powers.iter().map(|power| power / sum).collect()
}

/// A model that is ready to run. Give each thread its own; [`Clone`] shares the weights.
#[derive(Clone)]
pub struct Session {
    plan: Plan,
    preprocess: Preprocess,
    name: String,
    threads: usize,
    mask_output: usize,
    logits_output: usize,
}

impl Session {
    /// Prepares `model` for one thread.
    pub fn new(model: &ModelFile) -> Result<Self, ModelError> {
        Self::with_threads(model, 1)
    }

    /// Prepares `model` to use `threads` threads inside each run. The answers do not depend on the number.
    pub fn with_threads(model: &ModelFile, threads: usize) -> Result<Self, ModelError> {
        let outputs = model.proto().graph.iter().flat_map(|graph| &graph.output);
        let names: Vec<&str> = outputs.map(|output| output.name.as_str()).collect();
        let output = |wanted: &str| {
            let index = names.iter().position(|name| *name == wanted);
            index.ok_or_else(|| model.error(format!("no output '{wanted}'")))
        };
        let threads = threads.max(1);
        let shape = input_shape(model);
        let mut session = Self {
            plan: Plan::new(model.proto(), &shape, threads).map_err(|fault| model.error(fault))?,
            preprocess: model.manifest().preprocess.clone(),
            name: model.name().to_owned(),
            threads,
            mask_output: output("mask")?,
            logits_output: output("logits")?,
        };
        // One picture now: a graph whose outputs are not what it declares is refused here, not on a camera's first frame.
        let answer = session.run(&vec![0.0; shape.iter().product()])?;
        if answer.logits.len() != model.manifest().classes.len() {
            return Err(model.error("it gives another number of logits than it has classes"));
        }
        Ok(session)
    }

    /// The model's preprocessing.
    pub fn preprocess(&self) -> &Preprocess {
        &self.preprocess
    }

    /// Threads used inside a run.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Preprocesses and explains a picture of any size.
    pub fn explain(&mut self, picture: &RgbImage) -> Result<Explanation, ModelError> {
        let tensor = self.preprocess.tensor(picture);
        self.run(&tensor)
    }

    /// Runs the network on a normalised `[3, height, width]` tensor.
    pub fn run(&mut self, tensor: &[f32]) -> Result<Explanation, ModelError> {
        let fail = |fault: String| ModelError::engine(&self.name, fault);
        let mut outputs = self.plan.run(tensor).map_err(fail)?;
        let mut take = |index: usize| {
            let output = outputs.get_mut(index).map(std::mem::take);
            output.ok_or_else(|| fail("an output is missing".into()))
        };
        let (width, height) = (self.preprocess.width as usize, self.preprocess.height as usize);
        let mask = Mask::new(width, height, take(self.mask_output)?)
            .ok_or_else(|| fail("the map has another size than the input".into()))?;
        Ok(Explanation { mask, logits: take(self.logits_output)? })
    }
}

/// `[1, 3, height, width]`
pub(super) fn input_shape(model: &ModelFile) -> [usize; 4] {
    let preprocess = &model.manifest().preprocess;
    [1, 3, preprocess.height as usize, preprocess.width as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn softmax_sums_to_one_and_survives_large_logits() {
        let p = softmax(&[1000.0, 999.0, -1000.0]);
        assert!((p.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        assert!((p[0] - 0.731_058_6).abs() < 1e-5);
    }

    #[test]
    fn a_map_with_a_nan_is_not_valid() {
        let mask = Mask::new(2, 1, vec![0.5, f32::NAN]).unwrap();
        assert!(!Explanation { mask, logits: vec![1.0] }.is_valid());
    }
}
