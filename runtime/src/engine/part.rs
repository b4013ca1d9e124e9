//! Parts of a model: the predictor by itself, and a look at any value inside.

use std::collections::HashSet;

use super::options::{Kernels, Options};
use super::plan::Plan;
use super::proto::{GraphProto, ModelProto, ValueInfoProto, model_of};
use super::session::input_shape;
use crate::model::{ModelError, ModelFile};

/// Name of the masked picture in every COMET graph: the predictor's only input.
pub const MASKED: &str = "masked";

/// The predictor `f_P` alone: a masked picture in, logits out.
#[derive(Clone)]
pub struct PredictorSession {
    plan: Plan,
    name: String,
}

impl PredictorSession {
    /// Cuts the predictor out of `model` at the value [`MASKED`].
    pub fn new(model: &ModelFile) -> Result<Self, ModelError> {
        let options = Options::threads(1).map_err(|fault| model.error(fault))?;
        Self::with_options(model, options)
    }

    /// Cuts the predictor out, to be run as `options` say.
    pub fn with_options(model: &ModelFile, options: Options) -> Result<Self, ModelError> {
        let cut = predictor_of(model.proto())
            .ok_or_else(|| model.error(format!("the logits do not depend on a value '{MASKED}' alone")))?;
        let plan = Plan::new(&cut, &input_shape(model), options).map_err(|fault| model.error(fault))?;
        Ok(Self { plan, name: model.name().to_owned() })
    }

    /// Logits of a masked picture, normalised, `[3, height, width]`.
    pub fn run(&self, masked: &[f32]) -> Result<Vec<f32>, ModelError> {
        let take = |outputs: &[&[f32]]| Ok(outputs.first().map(|logits| logits.to_vec()).unwrap_or_default());
        self.plan.run(masked, take).map_err(|fault| ModelError::engine(&self.name, fault))
    }
}

/// The graph from [`MASKED`] to `logits`; `None` if the logits read anything else that is computed.
fn predictor_of(model: &ModelProto) -> Option<ModelProto> {
    let graph = model.graph.as_ref()?;
    let image = graph.input.iter().find(|input| input.name == "image")?;
    let logits = graph.output.iter().find(|output| output.name == "logits")?;
    let mut needed: HashSet<&str> = HashSet::from(["logits"]);
    let mut kept = Vec::new();
    for node in graph.node.iter().rev() {
        let wanted = node.output.iter().any(|output| needed.contains(output.as_str()));
        if wanted && !node.output.iter().any(|output| output == MASKED) {
            needed.extend(node.input.iter().map(String::as_str));
            kept.push(node.clone());
        }
    }
    kept.reverse();
    if !needed.contains(MASKED) || needed.contains("image") || needed.contains("mask") {
        return None;
    }
    let cut = GraphProto {
        name: graph.name.clone(),
        node: kept,
        input: vec![ValueInfoProto { name: MASKED.into(), ..image.clone() }],
        output: vec![logits.clone()],
        ..GraphProto::default()
    };
    Some(model_of(model, cut, &graph.initializer))
}

/// Looks at values inside a graph, by name: what a quantizer measures ranges with.
pub struct Probe {
    plan: Plan,
}

impl Probe {
    /// Prepares `model`, whose input has the shape `[1, 3, height, width]`, to give the values `names`.
    pub fn new(model: &ModelProto, input: [usize; 4], names: &[String]) -> Result<Self, String> {
        let mut model = model.clone();
        if let Some(graph) = &mut model.graph {
            // Without a type: the engine knows the shapes by itself.
            let output = |name: &String| ValueInfoProto { name: name.clone(), ..Default::default() };
            graph.output = names.iter().map(output).collect();
        }
        // Through tract: a probe may look at any value, also at those inside of fused patterns.
        let options = Options { threads: 1, kernels: Kernels::Tract };
        Ok(Self { plan: Plan::new(&model, &input, options)? })
    }

    /// The values, in the order of the names, each flat.
    pub fn run(&self, tensor: &[f32]) -> Result<Vec<Vec<f32>>, String> {
        self.plan.run(tensor, |outputs| Ok(outputs.iter().map(|output| output.to_vec()).collect()))
    }
}
