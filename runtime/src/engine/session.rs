//! A prepared model: pictures in, maps and logits out.

use std::time::Duration;

use image::RgbImage;

use super::options::Options;
use super::part::{input_shape, without_detector};
use super::plan::Plan;
use super::report::PlanReport;
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
        largest(&self.logits)
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

/// Index of the largest value; the first one if several are equal.
pub fn largest(values: &[f32]) -> usize {
    let mut best = 0;
    for (index, value) in values.iter().enumerate() {
        if values.get(best).is_none_or(|top| value > top) {
            best = index;
        }
    }
    best
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
        Self::with_options(model, Options::threads(threads).map_err(|fault| model.error(fault))?)
    }

    /// Prepares `model` to be run as `options` say.
    pub fn with_options(model: &ModelFile, options: Options) -> Result<Self, ModelError> {
        // Who asks for map and class does not pay for a detector in the file.
        let pair = without_detector(model.proto());
        let proto = pair.as_ref().unwrap_or(model.proto());
        let outputs = proto.graph.iter().flat_map(|graph| &graph.output);
        let names: Vec<&str> = outputs.map(|output| output.name.as_str()).collect();
        let output = |wanted: &str| {
            let index = names.iter().position(|name| *name == wanted);
            index.ok_or_else(|| model.error(format!("no output '{wanted}'")))
        };
        let shape = input_shape(model);
        let mut session = Self {
            plan: Plan::new(proto, &shape, options).map_err(|fault| model.error(fault))?,
            preprocess: model.manifest().preprocess.clone(),
            name: model.name().to_owned(),
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
        self.plan.threads()
    }

    /// Preprocesses and explains a picture of any size.
    pub fn explain(&mut self, picture: &RgbImage) -> Result<Explanation, ModelError> {
        let tensor = self.preprocess.tensor(picture);
        self.run(&tensor)
    }

    /// Runs the network on a normalised `[3, height, width]` tensor.
    pub fn run(&mut self, tensor: &[f32]) -> Result<Explanation, ModelError> {
        let (width, height) = (self.preprocess.width as usize, self.preprocess.height as usize);
        let (mut mask, mut logits) = (Vec::new(), Vec::new());
        self.run_into(tensor, &mut mask, &mut logits)?;
        let mask = Mask::new(width, height, mask)
            .ok_or_else(|| ModelError::engine(&self.name, "the map has another size than the input"))?;
        Ok(Explanation { mask, logits })
    }

    /// As [`run`](Self::run), into vectors of the caller's: nothing is allocated once they are large enough and the
    /// model runs on integer kernels as a whole.
    pub fn run_into(
        &mut self,
        tensor: &[f32],
        mask: &mut Vec<f32>,
        logits: &mut Vec<f32>,
    ) -> Result<(), ModelError> {
        let take = |outputs: &[&[f32]]| {
            for (index, values) in [(self.mask_output, &mut *mask), (self.logits_output, &mut *logits)] {
                let output = outputs.get(index).ok_or("an output is missing")?;
                values.clear();
                values.extend_from_slice(output);
            }
            Ok(())
        };
        self.plan.run(tensor, take).map_err(|fault| ModelError::engine(&self.name, fault))
    }

    /// What became of each node of the model.
    pub fn plan(&self) -> &PlanReport {
        self.plan.report()
    }

    /// The name and duration of every kernel call of one run; empty if the model does not run on integer kernels as a
    /// whole.
    pub fn profile(&self, tensor: &[f32]) -> Result<Vec<(String, Duration)>, ModelError> {
        self.plan.profile(tensor).map_err(|fault| ModelError::engine(&self.name, fault))
    }
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
