//! Parts of a model: predictor and detector by themselves, the pair without its detector, and a look at any value inside.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::options::{Kernels, Options};
use super::plan::Plan;
use super::proto::{GraphProto, ModelProto, NodeProto, ValueInfoProto, model_of};
use crate::model::{ModelError, ModelFile};

/// Name of the only input of every COMET graph.
const IMAGE: &str = "image";
/// Name of the masked picture in every COMET graph: the predictor's only input.
pub const MASKED: &str = "masked";
/// Name of what the map leaves out, `(1 - S(x)) * x`, in graphs that carry the detector: its only input.
pub const LEFT_OUT: &str = "left_out";
/// Name of the detector's logits, the third output of files that carry it.
pub const LEFT_OUT_LOGITS: &str = "left_out_logits";

/// The predictor `f_P` alone: a masked picture in, logits out.
#[derive(Clone)]
pub struct PredictorSession(Classifier);

impl PredictorSession {
    /// Cuts the predictor out of `model` at the value [`MASKED`].
    pub fn new(model: &ModelFile) -> Result<Self, ModelError> {
        Self::with_options(model, one_thread(model)?)
    }

    /// Cuts the predictor out, to be run as `options` say.
    pub fn with_options(model: &ModelFile, options: Options) -> Result<Self, ModelError> {
        Classifier::new(model, MASKED, "logits", options).map(Self)
    }

    /// Logits of a masked picture, normalised, `[3, height, width]`.
    pub fn run(&self, masked: &[f32]) -> Result<Vec<f32>, ModelError> {
        self.0.run(masked)
    }
}

/// The frozen detector `f_D` alone, of a file that carries it: any picture in, logits out.
#[derive(Clone)]
pub struct DetectorSession(Classifier);

impl DetectorSession {
    /// Cuts the detector out of `model` at the value [`LEFT_OUT`]; `None` if the file carries none.
    pub fn new(model: &ModelFile) -> Result<Option<Self>, ModelError> {
        Self::with_options(model, one_thread(model)?)
    }

    /// Cuts the detector out, to be run as `options` say; `None` if the file carries none.
    pub fn with_options(model: &ModelFile, options: Options) -> Result<Option<Self>, ModelError> {
        if declared(model.proto(), &[LEFT_OUT_LOGITS]).is_empty() {
            return Ok(None);
        }
        Classifier::new(model, LEFT_OUT, LEFT_OUT_LOGITS, options).map(|detector| Some(Self(detector)))
    }

    /// Logits of what was left out of a picture, or of a whole one, normalised, `[3, height, width]`.
    pub fn run(&self, left_out: &[f32]) -> Result<Vec<f32>, ModelError> {
        self.0.run(left_out)
    }
}

/// `[1, 3, height, width]`
pub(super) fn input_shape(model: &ModelFile) -> [usize; 4] {
    let preprocess = &model.manifest().preprocess;
    [1, 3, preprocess.height as usize, preprocess.width as usize]
}

fn one_thread(model: &ModelFile) -> Result<Options, ModelError> {
    Options::threads(1).map_err(|fault| model.error(fault))
}

/// A classifier that was cut out of a model.
#[derive(Clone)]
struct Classifier {
    plan: Plan,
    name: String,
}

impl Classifier {
    /// What lies between the value `from` and the output `to`.
    fn new(model: &ModelFile, from: &str, to: &str, options: Options) -> Result<Self, ModelError> {
        let proto = model.proto();
        let part = cut(proto, from, declared(proto, &[to]))
            .ok_or_else(|| model.error(format!("'{to}' does not depend on a value '{from}' alone")))?;
        let shape = input_shape(model);
        let plan = Plan::new(&part, &shape, options).map_err(|fault| model.error(fault))?;
        let classifier = Self { plan, name: model.name().to_owned() };
        // One picture now, as a session does: what is declared need not be what comes out.
        let logits = classifier.run(&vec![0.0; shape.iter().product()])?;
        if logits.len() != model.manifest().classes.len() {
            return Err(model.error(format!("'{to}' has another number of values than there are classes")));
        }
        Ok(classifier)
    }

    fn run(&self, picture: &[f32]) -> Result<Vec<f32>, ModelError> {
        let take = |outputs: &[&[f32]]| Ok(outputs.first().map(|logits| logits.to_vec()).unwrap_or_default());
        self.plan.run(picture, take).map_err(|fault| ModelError::engine(&self.name, fault))
    }
}

/// The graph without what only the detector needs; `None` if it carries no detector.
pub(super) fn without_detector(model: &ModelProto) -> Option<ModelProto> {
    if declared(model, &[LEFT_OUT_LOGITS]).is_empty() {
        return None;
    }
    cut(model, IMAGE, declared(model, &["mask", "logits"]))
}

/// Those of the graph's outputs that have one of the `names`.
fn declared(model: &ModelProto, names: &[&str]) -> Vec<ValueInfoProto> {
    let outputs = model.graph.iter().flat_map(|graph| &graph.output);
    outputs.filter(|output| names.contains(&output.name.as_str())).cloned().collect()
}

/// The graph from the value `from`, of the picture's shape, to `outputs`; `None` if these do not read it, or read the
/// picture on another way as well.
fn cut(model: &ModelProto, from: &str, outputs: Vec<ValueInfoProto>) -> Option<ModelProto> {
    let graph = model.graph.as_ref()?;
    let image = graph.input.iter().find(|input| input.name == IMAGE)?;
    let mut makers: HashMap<&str, Vec<usize>> = HashMap::new();
    let is_open = |node: &NodeProto| !node.output.iter().any(|output| output == from);
    for (index, node) in graph.node.iter().enumerate().filter(|(_, node)| is_open(node)) {
        for output in node.output.iter().filter(|output| !output.is_empty()) {
            makers.entry(output).or_default().push(index);
        }
    }
    let (mut needed, mut kept) = (HashSet::new(), BTreeSet::new());
    let mut open: Vec<&str> = outputs.iter().map(|output| output.name.as_str()).collect();
    while let Some(value) = open.pop() {
        if !needed.insert(value) {
            continue;
        }
        for &index in makers.get(value).into_iter().flatten() {
            if let Some(node) = graph.node.get(index).filter(|_| kept.insert(index)) {
                open.extend(node.input.iter().map(String::as_str));
            }
        }
    }
    if !needed.contains(from) || (from != IMAGE && needed.contains(IMAGE)) {
        return None;
    }
    let node = kept.iter().filter_map(|index| graph.node.get(*index)).cloned().collect();
    let shapes = graph.value_info.iter().filter(|value| needed.contains(value.name.as_str()));
    let part = GraphProto {
        name: graph.name.clone(),
        node,
        value_info: shapes.cloned().collect(),
        input: vec![ValueInfoProto { name: from.to_owned(), ..image.clone() }],
        output: outputs,
        ..GraphProto::default()
    };
    Some(model_of(model, part, &graph.initializer))
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
            graph.output = untyped(names);
        }
        Self::prepare(&model, input)
    }

    /// The same for a part of `model`: what is given to [`run`](Self::run) takes the place of the value `from`.
    pub fn behind(
        model: &ModelProto,
        from: &str,
        input: [usize; 4],
        names: &[String],
    ) -> Result<Self, String> {
        let part = cut(model, from, untyped(names))
            .ok_or_else(|| format!("the values to look at do not depend on '{from}' alone"))?;
        Self::prepare(&part, input)
    }

    fn prepare(model: &ModelProto, input: [usize; 4]) -> Result<Self, String> {
        // Through tract: a probe may look at any value, also at those inside of fused patterns.
        let options = Options { threads: 1, kernels: Kernels::Tract };
        Ok(Self { plan: Plan::new(model, &input, options)? })
    }

    /// The values, in the order of the names, each flat.
    pub fn run(&self, tensor: &[f32]) -> Result<Vec<Vec<f32>>, String> {
        self.plan.run(tensor, |outputs| Ok(outputs.iter().map(|output| output.to_vec()).collect()))
    }
}

/// Outputs without a type: the engine knows the shapes by itself.
fn untyped(names: &[String]) -> Vec<ValueInfoProto> {
    names.iter().map(|name| ValueInfoProto { name: name.clone(), ..Default::default() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(name: &str) -> ValueInfoProto {
        ValueInfoProto { name: name.into(), ..Default::default() }
    }

    /// A pair with its detector, as far as who reads what.
    fn model() -> ModelProto {
        let node = |inputs: &[&str], output: &str| NodeProto {
            input: inputs.iter().map(|&name| name.to_owned()).collect(),
            output: vec![output.to_owned()],
            ..NodeProto::default()
        };
        let graph = GraphProto {
            node: vec![
                node(&[IMAGE, "weight"], "mask"),
                node(&[IMAGE, "mask"], MASKED),
                node(&[MASKED, "", "weight"], "features"),
                node(&["features"], "logits"),
                node(&["one", "mask"], "share"),
                node(&[IMAGE, "share"], LEFT_OUT),
                node(&[LEFT_OUT, "weight"], LEFT_OUT_LOGITS),
            ],
            input: vec![value(IMAGE)],
            output: ["mask", "logits", LEFT_OUT_LOGITS].map(value).into(),
            ..GraphProto::default()
        };
        ModelProto { graph: Some(graph), ..ModelProto::default() }
    }

    /// What the nodes of a part make, sorted.
    fn made(part: &ModelProto) -> Vec<&str> {
        let nodes = part.graph.iter().flat_map(|graph| &graph.node);
        let mut names: Vec<&str> = nodes.flat_map(|node| &node.output).map(String::as_str).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn a_part_holds_what_lies_between_in_whatever_order_the_file_has_it() {
        let mut model = model();
        for _ in 0..2 {
            let pair = without_detector(&model).unwrap();
            assert_eq!(made(&pair), ["features", "logits", "mask", MASKED]);
            let predictor = cut(&model, MASKED, declared(&model, &["logits"])).unwrap();
            assert_eq!(made(&predictor), ["features", "logits"]);
            let detector = cut(&model, LEFT_OUT, declared(&model, &[LEFT_OUT_LOGITS])).unwrap();
            assert_eq!(made(&detector), [LEFT_OUT_LOGITS]);
            assert_eq!(detector.graph.unwrap().input, [value(LEFT_OUT)]);
            model.graph.as_mut().unwrap().node.reverse();
        }
    }

    #[test]
    fn a_part_that_looks_past_its_input_is_none() {
        let mut model = model();
        model.graph.as_mut().unwrap().node[3].input.push("mask".into());
        assert!(cut(&model, MASKED, declared(&model, &["logits"])).is_none());
        assert!(cut(&model, MASKED, declared(&model, &[LEFT_OUT_LOGITS])).is_none());
        assert!(cut(&model, MASKED, Vec::new()).is_none());
    }
}
