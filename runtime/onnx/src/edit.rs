//! An ONNX graph that can be edited.

use std::collections::{BTreeMap, HashSet};

use crate::proto::tensor_proto::DataType;
use crate::proto::{AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto};
use crate::tensor;

/// Why a model cannot be taken apart.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GraphError {
    /// The model holds no graph.
    #[error("the model holds no graph")]
    NoGraph,
    /// The graph has no input that is not a constant.
    #[error("the graph has no input")]
    NoInput,
}

/// Nodes in the order of execution, and constants by name.
#[derive(Clone, Debug, Default)]
pub struct GraphEditor {
    /// The nodes.
    pub nodes: Vec<NodeProto>,
    /// The constants.
    pub constants: BTreeMap<String, TensorProto>,
    /// Name of the only input.
    pub input: String,
    /// Names of the outputs.
    pub outputs: Vec<String>,
}

/// A constant of floats.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorValues {
    /// Dimensions.
    pub dims: Vec<usize>,
    /// Values, last dimension fastest.
    pub values: Vec<f32>,
}

impl TensorValues {
    /// The values of output channel `index` (the first dimension).
    pub fn channel(&self, index: usize) -> &[f32] {
        let size = self.values.len() / self.dims.first().copied().unwrap_or(1).max(1);
        self.values.get(index * size..(index + 1) * size).unwrap_or_default()
    }
}

impl GraphEditor {
    /// Takes a model apart.
    pub fn from_model(model: ModelProto) -> Result<Self, GraphError> {
        let graph = model.graph.ok_or(GraphError::NoGraph)?;
        let constants: BTreeMap<_, _> =
            graph.initializer.into_iter().map(|tensor| (tensor.name.clone(), tensor)).collect();
        let mut inputs = graph.input.iter().filter(|input| !constants.contains_key(&input.name));
        let input = inputs.next().map(|input| input.name.clone());
        Ok(Self {
            nodes: graph.node,
            input: input.ok_or(GraphError::NoInput)?,
            outputs: graph.output.into_iter().map(|output| output.name).collect(),
            constants,
        })
    }

    /// The graph as protobuf, without the shapes of input and outputs.
    pub fn into_proto(self) -> GraphProto {
        GraphProto {
            name: "comet".into(),
            node: self.nodes,
            initializer: self.constants.into_values().collect(),
            ..GraphProto::default()
        }
    }

    /// The node that makes `value`.
    pub fn producer(&self, value: &str) -> Option<&NodeProto> {
        self.nodes.iter().find(|node| node.output.iter().any(|output| output == value))
    }

    /// The nodes that read `value`.
    pub fn consumers<'a>(&'a self, value: &'a str) -> impl Iterator<Item = &'a NodeProto> {
        self.nodes.iter().filter(move |node| node.input.iter().any(|input| input == value))
    }

    /// Whether one node, and no output of the graph, reads `value`.
    pub fn is_used_once(&self, value: &str) -> bool {
        self.consumers(value).count() == 1 && !self.outputs.iter().any(|output| output == value)
    }

    /// The only consumer of `value`, if it has the operator `operator`.
    pub fn only_consumer<'a>(&'a self, value: &'a str, operator: &str) -> Option<&'a NodeProto> {
        let node = self.consumers(value).next()?;
        (self.is_used_once(value) && node.op_type == operator).then_some(node)
    }

    /// A constant of 32-bit floats.
    pub fn floats(&self, name: &str) -> Option<TensorValues> {
        let tensor = self.constants.get(name)?;
        let values = tensor::floats(tensor)?;
        let dims = tensor.dims.iter().map(|&dim| dim as usize).collect();
        Some(TensorValues { dims, values })
    }

    /// Name of a constant with a value that is not finite.
    pub fn first_not_finite(&self) -> Option<String> {
        let mut constants = self.constants.iter();
        constants.find(|(_, tensor)| !tensor::is_finite(tensor)).map(|(name, _)| name.clone())
    }

    /// A constant of floats with a single value.
    pub fn scalar(&self, name: &str) -> Option<f32> {
        match self.floats(name)?.values.as_slice() {
            [value] => Some(*value),
            _ => None,
        }
    }

    /// Adds or replaces a constant of floats.
    pub fn set_floats(&mut self, name: &str, tensor: &TensorValues) {
        let raw = tensor.values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.set_raw(name, DataType::Float, &tensor.dims, raw);
    }

    /// Adds or replaces a constant of any type from its bytes.
    pub fn set_raw(&mut self, name: &str, kind: DataType, dims: &[usize], raw: Vec<u8>) {
        let tensor = TensorProto {
            name: name.to_owned(),
            data_type: kind as i32,
            dims: dims.iter().map(|&dim| dim as i64).collect(),
            raw_data: raw,
            ..TensorProto::default()
        };
        self.constants.insert(name.to_owned(), tensor);
    }

    /// Lets every reader of `from` read `to` instead.
    pub fn replace_uses(&mut self, from: &str, to: &str) {
        let inputs = self.nodes.iter_mut().flat_map(|node| node.input.iter_mut());
        for name in inputs.chain(self.outputs.iter_mut()) {
            if name == from {
                *name = to.to_owned();
            }
        }
    }

    /// Gives a value another name, where it is made and where it is read.
    pub fn rename(&mut self, from: &str, to: &str) {
        for name in self.nodes.iter_mut().flat_map(|node| node.output.iter_mut()) {
            if name == from {
                *name = to.to_owned();
            }
        }
        if let Some(mut tensor) = self.constants.remove(from) {
            tensor.name = to.to_owned();
            self.constants.insert(to.to_owned(), tensor);
        }
        if self.input == from {
            self.input = to.to_owned();
        }
        self.replace_uses(from, to);
    }

    /// Puts `node` where the node that makes `value` stands, and takes that one out.
    pub fn replace_producer(&mut self, value: &str, node: NodeProto) {
        let place = self.nodes.iter_mut().find(|old| old.output.iter().any(|output| output == value));
        if let Some(place) = place {
            *place = node;
        }
    }

    /// Takes out nodes and constants that no output depends on.
    pub fn remove_dead(&mut self) {
        let mut live: HashSet<String> = self.outputs.iter().cloned().collect();
        for node in self.nodes.iter().rev() {
            if node.output.iter().any(|output| live.contains(output)) {
                live.extend(node.input.iter().cloned());
            }
        }
        self.nodes.retain(|node| node.output.iter().any(|output| live.contains(output)));
        self.constants.retain(|name, _| live.contains(name));
    }
}

/// A node with one output.
pub fn node(operator: &str, inputs: &[&str], output: &str, attributes: Vec<AttributeProto>) -> NodeProto {
    NodeProto {
        op_type: operator.to_owned(),
        name: output.to_owned(),
        input: inputs.iter().map(|&name| name.to_owned()).collect(),
        output: vec![output.to_owned()],
        attribute: attributes,
        ..NodeProto::default()
    }
}
