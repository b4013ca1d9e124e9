//! Parts of a model: predictor and detector by themselves, the pair without its detector, and a look at any value inside.

use comet_onnx::cut;
use comet_onnx::proto::{ModelProto, ValueInfoProto};

use super::error::EngineError;
use super::executable::Executable;
use super::options::{Kernels, Options};
use super::prepare::prepare;
use crate::model::{IMAGE, LEFT_OUT, LEFT_OUT_LOGITS, MASKED, ModelError, ModelFile};

/// The predictor `f_P` alone: a masked image in, logits out.
#[derive(Clone)]
pub struct PredictorSession(Classifier);

impl PredictorSession {
    /// Cuts the predictor out of `model` at the value [`MASKED`].
    pub fn new(model: &ModelFile) -> Result<Self, ModelError> {
        Self::with_options(model, Options::threads(1))
    }

    /// Cuts the predictor out, to be run as `options` say.
    pub fn with_options(model: &ModelFile, options: Options) -> Result<Self, ModelError> {
        Classifier::new(model, MASKED, "logits", options).map(Self)
    }

    /// Logits of a masked image, normalised, `[3, height, width]`.
    pub fn run(&self, masked: &[f32]) -> Result<Vec<f32>, ModelError> {
        self.0.run(masked)
    }
}

/// The frozen detector `f_D` alone, of a file that carries it: any image in, logits out.
#[derive(Clone)]
pub struct DetectorSession(Classifier);

impl DetectorSession {
    /// Cuts the detector out of `model` at the value [`LEFT_OUT`]; `None` if the file carries none.
    pub fn new(model: &ModelFile) -> Result<Option<Self>, ModelError> {
        Self::with_options(model, Options::threads(1))
    }

    /// Cuts the detector out, to be run as `options` say; `None` if the file carries none.
    pub fn with_options(model: &ModelFile, options: Options) -> Result<Option<Self>, ModelError> {
        if declared(model.proto(), &[LEFT_OUT_LOGITS]).is_empty() {
            return Ok(None);
        }
        Classifier::new(model, LEFT_OUT, LEFT_OUT_LOGITS, options).map(|detector| Some(Self(detector)))
    }

    /// Logits of what was left out of an image, or of a whole one, normalised, `[3, height, width]`.
    pub fn run(&self, left_out: &[f32]) -> Result<Vec<f32>, ModelError> {
        self.0.run(left_out)
    }
}

/// `[1, 3, height, width]`
pub(super) fn input_shape(model: &ModelFile) -> [usize; 4] {
    let preprocess = &model.manifest().preprocess;
    [1, 3, preprocess.height as usize, preprocess.width as usize]
}

/// A classifier that was cut out of a model.
#[derive(Clone)]
struct Classifier {
    executable: Executable,
    name: String,
}

impl Classifier {
    /// What lies between the value `from` and the output `to`.
    fn new(model: &ModelFile, from: &str, to: &str, options: Options) -> Result<Self, ModelError> {
        let proto = model.proto();
        let part = cut(proto, IMAGE, from, declared(proto, &[to]))
            .ok_or_else(|| model.error(format!("'{to}' does not depend on a value '{from}' alone")))?;
        let shape = input_shape(model);
        let executable = prepare(&part, &shape, options).map_err(|fault| model.error(fault))?;
        let classifier = Self { executable, name: model.name().to_owned() };
        // One image now, as a session does: what is declared need not be what comes out.
        let logits = classifier.run(&vec![0.0; shape.iter().product()])?;
        if logits.len() != model.manifest().classes.len() {
            return Err(model.error(format!("'{to}' has another number of values than there are classes")));
        }
        Ok(classifier)
    }

    fn run(&self, image: &[f32]) -> Result<Vec<f32>, ModelError> {
        let take = |outputs: &[&[f32]]| Ok(outputs.first().map(|logits| logits.to_vec()).unwrap_or_default());
        self.executable.run(image, take).map_err(|fault| ModelError::engine(&self.name, fault))
    }
}

/// The graph without what only the detector needs; `None` if it carries no detector.
pub(super) fn without_detector(model: &ModelProto) -> Option<ModelProto> {
    if declared(model, &[LEFT_OUT_LOGITS]).is_empty() {
        return None;
    }
    cut(model, IMAGE, IMAGE, declared(model, &["mask", "logits"]))
}

/// Those of the graph's outputs that have one of the `names`.
fn declared(model: &ModelProto, names: &[&str]) -> Vec<ValueInfoProto> {
    let outputs = model.graph.iter().flat_map(|graph| &graph.output);
    outputs.filter(|output| names.contains(&output.name.as_str())).cloned().collect()
}

/// Looks at values inside a graph, by name: what a quantizer measures ranges with.
pub struct Probe {
    executable: Executable,
}

impl Probe {
    /// Prepares `model`, whose input has the shape `[1, 3, height, width]`, to give the values `names`.
    pub fn new(model: &ModelProto, input: [usize; 4], names: &[String]) -> Result<Self, EngineError> {
        let mut model = model.clone();
        if let Some(graph) = &mut model.graph {
            graph.output = untyped(names);
        }
        Self::through_tract(&model, input)
    }

    /// The same for a part of `model`: what is given to [`run`](Self::run) takes the place of the value `from`.
    pub fn behind(
        model: &ModelProto,
        from: &str,
        input: [usize; 4],
        names: &[String],
    ) -> Result<Self, EngineError> {
        let part = cut(model, IMAGE, from, untyped(names))
            .ok_or_else(|| EngineError::NotSeparable(from.to_owned()))?;
        Self::through_tract(&part, input)
    }

    fn through_tract(model: &ModelProto, input: [usize; 4]) -> Result<Self, EngineError> {
        // Through tract: a probe may look at any value, also at those inside of fused patterns.
        let options = Options { threads: 1, kernels: Kernels::Tract };
        Ok(Self { executable: prepare(model, &input, options)? })
    }

    /// The values, in the order of the names, each flat.
    pub fn run(&self, tensor: &[f32]) -> Result<Vec<Vec<f32>>, EngineError> {
        self.executable.run(tensor, |outputs| Ok(outputs.iter().map(|output| output.to_vec()).collect()))
    }
}

/// Outputs without a type: the engine knows the shapes by itself.
fn untyped(names: &[String]) -> Vec<ValueInfoProto> {
    names.iter().map(|name| ValueInfoProto { name: name.clone(), ..Default::default() }).collect()
}
