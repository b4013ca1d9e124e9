//! A look at an ONNX graph: who makes a value, who reads it, what is constant, and which shapes follow.

use std::collections::{HashMap, HashSet};

use crate::proto::{GraphProto, NodeProto, TensorProto, dimensions};
use crate::shapes::Known;
use crate::tensor;

/// A graph with indices. Names are those of the file.
pub struct GraphView<'a> {
    /// The nodes, in the order of the file.
    pub nodes: &'a [NodeProto],
    makers: HashMap<&'a str, usize>,
    readers: HashMap<&'a str, Vec<usize>>,
    outputs: HashSet<&'a str>,
    known: Known<'a>,
}

impl<'a> GraphView<'a> {
    /// Indexes `graph`, whose input has the shape `input`.
    pub fn new(graph: &'a GraphProto, input: &[usize]) -> Self {
        let mut makers = HashMap::new();
        let mut readers: HashMap<&str, Vec<usize>> = HashMap::new();
        for (index, node) in graph.node.iter().enumerate() {
            makers.extend(node.output.iter().map(|name| (name.as_str(), index)));
            for name in &node.input {
                readers.entry(name).or_default().push(index);
            }
        }
        let initializers = graph.initializer.iter().map(|tensor| (tensor.name.as_str(), tensor));
        // Some exporters write constants as nodes.
        let nodes = graph.node.iter().filter(|node| node.op_type == "Constant").filter_map(|node| {
            let value = node.attribute.iter().find(|attribute| attribute.name == "value")?;
            Some((node.output.first()?.as_str(), value.t.as_ref()?))
        });
        let constants: HashMap<&str, &TensorProto> = initializers.chain(nodes).collect();
        let mut shapes = HashMap::new();
        for value in graph.value_info.iter().chain(&graph.output) {
            let shape = dimensions(value).unwrap_or_default();
            let shape: Option<Vec<usize>> =
                shape.into_iter().map(|side| usize::try_from(side).ok()).collect();
            if let Some(shape) = shape.filter(|shape| !shape.is_empty() && shape.iter().all(|side| *side > 0))
            {
                shapes.insert(value.name.as_str(), shape);
            }
        }
        for value in graph.input.iter().filter(|value| !constants.contains_key(value.name.as_str())) {
            shapes.insert(value.name.as_str(), input.to_vec());
        }
        let outputs = graph.output.iter().map(|value| value.name.as_str()).collect();
        let mut known = Known { constants, shapes };
        known.infer_all(&graph.node);
        Self { nodes: &graph.node, makers, readers, outputs, known }
    }

    /// The node that makes `value`.
    pub fn maker(&self, value: &str) -> Option<(usize, &'a NodeProto)> {
        let index = *self.makers.get(value)?;
        Some((index, self.nodes.get(index)?))
    }

    /// The nodes that read `value`, one entry a use.
    pub fn readers(&self, value: &str) -> &[usize] {
        self.readers.get(value).map_or(&[], Vec::as_slice)
    }

    /// Whether `value` is an output of the graph.
    pub fn is_output(&self, value: &str) -> bool {
        self.outputs.contains(value)
    }

    /// Whether `value` is stored in the file.
    pub fn is_constant(&self, value: &str) -> bool {
        self.constant(value).is_some()
    }

    /// Whether nothing but one use of one node depends on `value`.
    pub fn is_private(&self, value: &str) -> bool {
        self.readers(value).len() == 1 && !self.is_output(value)
    }

    /// The shape of `value`, where it is known.
    pub fn shape(&self, value: &str) -> Option<&[usize]> {
        self.known.shape(value)
    }

    /// Channels, height and width of `value`: `[1, C, H, W]`, or `[1, C]` as one pixel.
    pub fn image(&self, value: &str) -> Option<[usize; 3]> {
        match *self.shape(value)? {
            [1, channels, height, width] => Some([channels, height, width]),
            [1, channels] => Some([channels, 1, 1]),
            _ => None,
        }
    }

    /// A value with more than `limit` elements, as far as shapes are known.
    pub fn larger_than(&self, limit: usize) -> Option<&'a str> {
        let count =
            |shape: &[usize]| shape.iter().try_fold(1usize, |product, side| product.checked_mul(*side));
        let large = |shape: &[usize]| count(shape).is_none_or(|count| count > limit);
        // The first by name, so that a file is always refused with the same words.
        self.known.shapes.iter().filter(|(_, shape)| large(shape)).map(|(name, _)| *name).min()
    }

    /// The stored tensor `value`.
    pub fn constant(&self, value: &str) -> Option<&'a TensorProto> {
        self.known.constant(value)
    }

    /// The stored tensor `value` as 32-bit floats.
    pub fn floats(&self, value: &str) -> Option<Vec<f32>> {
        tensor::floats(self.constant(value)?)
    }

    /// Integers of any type up to 64 bits.
    pub fn integers(&self, value: &str) -> Option<Vec<i64>> {
        tensor::integers(self.constant(value)?)
    }
}
