//! A prepared model: images in, maps and logits out.

use std::time::Duration;

use image::RgbImage;

use super::error::EngineError;
use super::executable::Executable;
use super::options::Options;
use super::part::{input_shape, without_detector};
use super::prepare::prepare;
use super::report::PlanReport;
use crate::image::{Mask, Preprocess};
use crate::model::{ModelError, ModelFile};
use crate::prediction::Explanation;

/// Name and version of the engine behind a [`Session`].
pub const ENGINE: &str = "tract 0.23.9";

/// A model that is ready to run. Give each thread its own; [`Clone`] shares the weights.
#[derive(Clone)]
pub struct Session {
    executable: Executable,
    preprocess: Preprocess,
    name: String,
    temperature: f32,
    mask_output: usize,
    logits_output: usize,
}

impl Session {
    /// Prepares `model` for one thread.
    pub fn new(model: &ModelFile) -> Result<Self, ModelError> {
        Self::with_threads(model, 1)
    }

    /// Prepares `model` to use `threads` threads inside each run. The results do not depend on the number.
    pub fn with_threads(model: &ModelFile, threads: usize) -> Result<Self, ModelError> {
        Self::with_options(model, Options::threads(threads))
    }

    /// Prepares `model` to be run as `options` say.
    pub fn with_options(model: &ModelFile, options: Options) -> Result<Self, ModelError> {
        // A session for map and class does not spend time on a detector in the file.
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
            executable: prepare(proto, &shape, options).map_err(|fault| model.error(fault))?,
            preprocess: model.manifest().preprocess.clone(),
            name: model.name().to_owned(),
            temperature: model.manifest().temperature as f32,
            mask_output: output("mask")?,
            logits_output: output("logits")?,
        };
        // One image now: a graph whose outputs are not what it declares is refused here, not on a camera's first frame.
        let explanation = session.run(&vec![0.0; shape.iter().product()])?;
        if explanation.logits.len() != model.manifest().classes.len() {
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
        self.executable.threads()
    }

    /// Preprocesses and explains an image of any size.
    pub fn explain(&mut self, image: &RgbImage) -> Result<Explanation, ModelError> {
        let tensor = self.preprocess.tensor(image);
        self.run(&tensor)
    }

    /// Runs the network on a normalised `[3, height, width]` tensor.
    pub fn run(&mut self, tensor: &[f32]) -> Result<Explanation, ModelError> {
        let (width, height) = (self.preprocess.width as usize, self.preprocess.height as usize);
        let (mut mask, mut logits) = (Vec::new(), Vec::new());
        self.run_into(tensor, &mut mask, &mut logits)?;
        let mask = Mask::new(width, height, mask)
            .ok_or_else(|| ModelError::engine(&self.name, "the map has another size than the input"))?;
        Ok(Explanation { mask, logits, temperature: self.temperature })
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
                let output = outputs.get(index).ok_or(EngineError::MissingOutput)?;
                values.clear();
                values.extend_from_slice(output);
            }
            Ok(())
        };
        self.executable.run(tensor, take).map_err(|fault| ModelError::engine(&self.name, fault))
    }

    /// What became of each node of the model.
    pub fn plan(&self) -> &PlanReport {
        self.executable.report()
    }

    /// The name and duration of every kernel call of one run; empty if the model does not run on integer kernels as a
    /// whole.
    pub fn profile(&self, tensor: &[f32]) -> Result<Vec<(String, Duration)>, ModelError> {
        self.executable.profile(tensor).map_err(|fault| ModelError::engine(&self.name, fault))
    }
}
