//! Finds the quantize-dequantize patterns of a graph that integer kernels can take over.
//!
//! A pattern is anchored at a `QuantizeLinear` and reaches back through an activation and one operator to
//! `DequantizeLinear`s: between the two everything is done on bytes. What no pattern covers stays with tract.

use std::collections::{HashMap, HashSet};

use comet_onnx::attribute::float_of;
use comet_onnx::proto::NodeProto;
use comet_onnx::{GraphView, windows};

use super::finder::Finder;
use super::layer::shape_of;
use super::pattern::{Bytes, Clamp, Function, Fusion, Group, Kind, TensorRef};

/// Finds all patterns that hold none of the `banned` nodes; nothing in a graph without quantization.
pub(crate) fn fuse<'a>(graph: &GraphView<'a>, banned: &HashSet<usize>) -> Fusion<'a> {
    let mut finder =
        Finder { graph, banned, bytes: HashMap::new(), groups: Vec::new(), taken: HashSet::new() };
    for node in graph.nodes.iter().filter(|node| node.op_type == "QuantizeLinear") {
        if let Some((name, bytes)) = finder.quantized(node) {
            finder.bytes.insert(name, bytes);
        }
    }
    if !finder.bytes.is_empty() {
        finder.find_bytes();
        finder.find_reals();
    }
    let absorbed = finder.find_dequantized();
    Fusion { groups: finder.groups, bytes: finder.bytes, absorbed }
}

impl<'a> Finder<'_, 'a> {
    /// The tensor that a `QuantizeLinear` makes, if integer kernels can hold it: one scale, and only
    /// `DequantizeLinear`s with the same one read it.
    fn quantized(&self, node: &'a NodeProto) -> Option<(&'a str, Bytes)> {
        let name = node.output.first()?.as_str();
        let quantization = self.quantization(node)?;
        let shape = self.graph.image(name)?;
        let same = |index: &usize| {
            let reader = self.graph.nodes.get(*index)?;
            let first = reader.input.first().map(String::as_str) == Some(name);
            let agrees = first && self.quantization(reader) == Some(quantization);
            (reader.op_type == "DequantizeLinear" && agrees).then_some(())
        };
        let readers = self.graph.readers(name);
        let fits = !self.graph.is_output(name) && readers.iter().all(|index| same(index).is_some());
        fits.then_some((name, Bytes { shape, quantization }))
    }

    fn find_bytes(&mut self) {
        for (index, node) in self.graph.nodes.iter().enumerate() {
            let Some(name) = node.output.first().map(String::as_str) else { continue };
            let Some(bytes) = self.bytes.get(name).copied().filter(|_| node.op_type == "QuantizeLinear")
            else {
                continue;
            };
            let possible = |group: &Group<'_>| !group.nodes.iter().any(|node| self.banned.contains(node));
            let mut group = self.anchored(node, bytes).filter(possible).unwrap_or_else(|| Group {
                kind: Kind::Quantize,
                nodes: Vec::new(),
                inputs: node.input.first().map(|real| TensorRef::Float(real)).into_iter().collect(),
                output: TensorRef::Quantized(name),
            });
            group.nodes.push(index);
            self.taken.extend(&group.nodes);
            self.groups.push(group);
        }
    }

    /// The pattern that ends in the `QuantizeLinear` `anchor`.
    fn anchored(&self, anchor: &'a NodeProto, bytes: Bytes) -> Option<Group<'a>> {
        let output = TensorRef::Quantized(anchor.output.first()?);
        let mut nodes = Vec::new();
        let mut functions = Vec::new();
        let mut value = anchor.input.first()?.as_str();
        // Back through everything that works on one value, as long as nothing else reads it.
        loop {
            if let Some(source) = self.behind(value) {
                functions.reverse();
                let same = self.bytes.get(source)?.shape == bytes.shape;
                let inputs = vec![TensorRef::Quantized(source)];
                return same.then_some(Group { kind: Kind::Table(functions), nodes, inputs, output });
            }
            let (index, node) = self.graph.maker(value).filter(|_| self.graph.is_private(value))?;
            // A file may hold a cycle; one output keeps the walk on values that it has not seen.
            if nodes.contains(&index) || node.output.len() != 1 {
                return None;
            }
            nodes.push(index);
            match self.function(node) {
                Some(function) => functions.push(function),
                // Neither changes a byte.
                None if matches!(node.op_type.as_str(), "Flatten" | "Identity") => (),
                None => {
                    let (kind, inputs) = self.core(node, clamp(&functions)?, bytes)?;
                    return Some(Group { kind, nodes, inputs, output });
                }
            }
            value = node.input.first()?;
        }
    }

    /// What a node does to every value by itself.
    fn function(&self, node: &NodeProto) -> Option<Function> {
        Some(match node.op_type.as_str() {
            "Relu" => Function::Clamp(Clamp { low: Some(0.0), high: None }),
            "Clip" => {
                // Since opset 11 the limits are inputs; before, they were attributes.
                let limit =
                    |index: usize, name: &str| match node.input.get(index).filter(|name| !name.is_empty()) {
                        None => Some(float_of(node, name)),
                        Some(input) => self.graph.floats(input)?.first().copied().map(Some),
                    };
                Function::Clamp(Clamp { low: limit(1, "min")?, high: limit(2, "max")? })
            }
            "HardSwish" => Function::HardSwish,
            "HardSigmoid" => {
                let or = |name, otherwise| float_of(node, name).unwrap_or(otherwise);
                Function::HardSigmoid(or("alpha", 0.2), or("beta", 0.5))
            }
            "Sigmoid" => Function::Sigmoid,
            _ => return None,
        })
    }

    fn core(
        &self,
        node: &'a NodeProto,
        clamp: Clamp,
        output: Bytes,
    ) -> Option<(Kind<'a>, Vec<TensorRef<'a>>)> {
        let input = |index: usize| node.input.get(index).map(String::as_str);
        let bytes = |index: usize| self.behind(input(index)?);
        let shape = |name: &str| self.bytes.get(name).map(|bytes| bytes.shape);
        let plain = clamp == Clamp::default();
        match node.op_type.as_str() {
            "Conv" | "Gemm" => {
                let (convolution, source) = self.convolution(node, clamp)?;
                Some((Kind::Convolve(Box::new(convolution)), vec![TensorRef::Quantized(source)]))
            }
            "Add" => {
                let (left, right) = (bytes(0)?, bytes(1)?);
                let same = shape(left)? == output.shape && shape(right)? == output.shape;
                same.then(|| {
                    (Kind::Add(clamp), vec![TensorRef::Quantized(left), TensorRef::Quantized(right)])
                })
            }
            "Mul" if plain => match (bytes(0), bytes(1)) {
                (Some(left), Some(right)) => {
                    let weights = [output.shape[0], 1, 1];
                    let (input, weight) =
                        if shape(right)? == weights { (left, right) } else { (right, left) };
                    let fits = shape(weight)? == weights && shape(input)? == output.shape;
                    fits.then(|| {
                        (Kind::Scale, vec![TensorRef::Quantized(input), TensorRef::Quantized(weight)])
                    })
                }
                _ => self.compose(input(0)?, input(1)?, output),
            },
            "MaxPool" if plain && node.output.len() == 1 => {
                let shape = shape_of(&windows(node, None)?, output.shape[0]);
                Some((Kind::MaxPool(shape), vec![TensorRef::Quantized(bytes(0)?)]))
            }
            // One plane stays real: as bytes it would fill one lane of sixteen.
            "Resize" if output.shape[0] > 1 => {
                let source = bytes(0)?;
                self.is_bilinear(node)?
                    .then(|| (Kind::ResizeBytes(clamp), vec![TensorRef::Quantized(source)]))
            }
            "GlobalAveragePool" if plain => Some((Kind::Average, vec![TensorRef::Quantized(bytes(0)?)])),
            _ => None,
        }
    }

    /// `mask * image`, in any order: planes, and one plane for all of them.
    fn compose(
        &self,
        left: &'a str,
        right: &'a str,
        output: Bytes,
    ) -> Option<(Kind<'a>, Vec<TensorRef<'a>>)> {
        let plane = [1, output.shape[1], output.shape[2]];
        let (image, mask) = if self.graph.image(right)? == plane { (left, right) } else { (right, left) };
        let real = |value: &str| self.behind(value).is_none() && !self.graph.is_constant(value);
        let fits = self.graph.image(mask)? == plane && self.graph.image(image)? == output.shape;
        (fits && real(image) && real(mask))
            .then(|| (Kind::Compose, vec![TensorRef::Float(image), TensorRef::Float(mask)]))
    }

    /// What works on real numbers and reads or follows bytes: the path to the map, and the logits.
    fn find_reals(&mut self) {
        for (index, node) in self.graph.nodes.iter().enumerate() {
            if self.taken.contains(&index) || self.banned.contains(&index) {
                continue;
            }
            let Some((kind, inputs)) = self.real(node) else { continue };
            let Some(output) = node.output.first() else { continue };
            self.taken.insert(index);
            self.groups.push(Group { kind, nodes: vec![index], inputs, output: TensorRef::Float(output) });
        }
    }

    fn real(&self, node: &'a NodeProto) -> Option<(Kind<'a>, Vec<TensorRef<'a>>)> {
        let real = |index: usize| {
            let name = node.input.get(index)?.as_str();
            let fits = self.behind(name).is_none() && !self.graph.is_constant(name);
            (fits && self.graph.image(name).is_some()).then_some(name)
        };
        match node.op_type.as_str() {
            "Conv" | "Gemm" => {
                let (convolution, source) = self.convolution(node, Clamp::default())?;
                let fits = !convolution.depthwise;
                fits.then(|| (Kind::Convolve(Box::new(convolution)), vec![TensorRef::Quantized(source)]))
            }
            "Resize" => {
                let input = real(0)?;
                self.is_bilinear(node)?.then(|| (Kind::Resize, vec![TensorRef::Float(input)]))
            }
            "Add" => {
                let (left, right) = (real(0)?, real(1)?);
                let same = self.graph.shape(left)? == self.graph.shape(right)?;
                same.then(|| (Kind::AddReal, vec![TensorRef::Float(left), TensorRef::Float(right)]))
            }
            "Sigmoid" => Some((Kind::Sigmoid, vec![TensorRef::Float(real(0)?)])),
            _ => None,
        }
    }

    /// Dequantizations that are read outside of the groups become groups, the others are absorbed.
    fn find_dequantized(&mut self) -> HashSet<usize> {
        let mut absorbed = HashSet::new();
        // What a group reads as a float some node has to make, whichever bytes it comes from.
        let read: HashSet<&str> = self
            .groups
            .iter()
            .flat_map(|group| &group.inputs)
            .filter_map(|input| if let TensorRef::Float(name) = input { Some(*name) } else { None })
            .collect();
        for (index, node) in self.graph.nodes.iter().enumerate() {
            let Some(output) = node.output.first().filter(|_| node.op_type == "DequantizeLinear") else {
                continue;
            };
            let outside = self.graph.readers(output).iter().any(|reader| !self.taken.contains(reader));
            let needed = outside || self.graph.is_output(output);
            if let Some(source) = self.behind(output) {
                absorbed.insert(index);
                if needed {
                    let (inputs, output) = (vec![TensorRef::Quantized(source)], TensorRef::Float(output));
                    self.groups.push(Group { kind: Kind::Dequantize, nodes: Vec::new(), inputs, output });
                }
            } else if !needed && !read.contains(output.as_str()) {
                // A constant that a convolution took over with its scale.
                absorbed.insert(index);
            }
        }
        absorbed
    }
}

/// The limits that activations set, if they are nothing but limits. The last activation comes first.
fn clamp(functions: &[Function]) -> Option<Clamp> {
    functions.iter().rev().try_fold(Clamp::default(), |all, function| match function {
        Function::Clamp(clamp) => Some(all.then(*clamp)),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use comet_onnx::node;
    use comet_onnx::proto::tensor_proto::DataType;
    use comet_onnx::proto::{GraphProto, TensorProto, ValueInfoProto};

    use super::*;

    fn scalar(name: &str, kind: DataType, raw_data: Vec<u8>) -> TensorProto {
        TensorProto { name: name.into(), data_type: kind as i32, raw_data, ..TensorProto::default() }
    }

    fn value(name: &str) -> ValueInfoProto {
        ValueInfoProto { name: name.into(), ..ValueInfoProto::default() }
    }

    /// A graph of `nodes` on an image of one channel, with a scale of 0.5 and a zero point of 0.
    fn graph(nodes: Vec<NodeProto>, output: &str) -> GraphProto {
        GraphProto {
            node: nodes,
            initializer: vec![
                scalar("scale", DataType::Float, 0.5f32.to_le_bytes().into()),
                scalar("zero", DataType::Uint8, vec![0]),
            ],
            input: vec![value("image")],
            output: vec![value(output)],
            ..GraphProto::default()
        }
    }

    fn quantize(from: &str, to: &str) -> NodeProto {
        node("QuantizeLinear", &[from, "scale", "zero"], to, Vec::new())
    }

    fn dequantize(from: &str, to: &str) -> NodeProto {
        node("DequantizeLinear", &[from, "scale", "zero"], to, Vec::new())
    }

    fn relu_between_quantizations() -> GraphProto {
        let nodes = vec![
            quantize("image", "a"),
            dequantize("a", "b"),
            node("Relu", &["b"], "c", Vec::new()),
            quantize("c", "d"),
            dequantize("d", "out"),
        ];
        graph(nodes, "out")
    }

    #[test]
    fn an_activation_between_two_quantizations_becomes_a_table() {
        let graph = relu_between_quantizations();
        let view = GraphView::new(&graph, &[1, 1, 4, 4]);
        let fusion = fuse(&view, &HashSet::new());
        let kinds: Vec<&str> = fusion.groups.iter().map(|group| group.kind.name()).collect();
        assert_eq!(kinds, ["quantize", "table of 256 bytes", "dequantize"]);
        assert_eq!(fusion.absorbed, HashSet::from([1, 4]));
    }

    #[test]
    fn a_banned_node_leaves_its_group() {
        let graph = relu_between_quantizations();
        let view = GraphView::new(&graph, &[1, 1, 4, 4]);
        let fusion = fuse(&view, &HashSet::from([2]));
        let kinds: Vec<&str> = fusion.groups.iter().map(|group| group.kind.name()).collect();
        assert_eq!(kinds, ["quantize", "quantize", "dequantize", "dequantize"]);
    }

    /// Bytes that come from another operator than a `QuantizeLinear` are not managed here: a node that reads them as
    /// floats still needs the node that makes the floats.
    #[test]
    fn a_dequantization_without_a_group_behind_it_stays_while_a_float_group_reads_it() {
        let nodes = vec![
            quantize("image", "a"),
            node(
                "QLinearConv",
                &["a", "scale", "zero", "w", "scale", "zero", "scale", "zero"],
                "b",
                Vec::new(),
            ),
            dequantize("b", "c"),
            node("Sigmoid", &["c"], "out", Vec::new()),
            // A quantization that is managed, so that groups are looked for at all.
            quantize("image", "d"),
            dequantize("d", "second"),
        ];
        let mut graph = graph(nodes, "out");
        graph.output.push(value("second"));
        let mut weight = scalar("w", DataType::Uint8, vec![1]);
        weight.dims = vec![1, 1, 1, 1];
        graph.initializer.push(weight);
        let view = GraphView::new(&graph, &[1, 1, 4, 4]);
        let fusion = fuse(&view, &HashSet::new());
        assert!(fusion.groups.iter().any(|group| group.inputs == [TensorRef::Float("c")]));
        assert!(!fusion.absorbed.contains(&2), "some node has to make 'c'");
    }
}
