//! Finds the quantize-dequantize patterns of a graph that integer kernels can take over.
//!
//! A pattern is anchored at a `QuantizeLinear` and reaches back through an activation and one operator to
//! `DequantizeLinear`s: between the two everything is done on bytes. What no pattern covers stays with tract.

use std::collections::{HashMap, HashSet};

use comet_kernels::{ConvShape, Halo, Quantization};

use super::graph::{Graph, Windows, attribute, real_attribute, text_is, windows};
use super::proto::{NodeProto, TensorProto};

/// A tensor of bytes between two fused steps.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bytes {
    /// Channels, height, width.
    pub(super) shape: [usize; 3],
    pub(super) quantization: Quantization,
}

/// Limits of a fused activation, in real numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Clamp {
    pub(super) low: Option<f32>,
    pub(super) high: Option<f32>,
}

impl Clamp {
    /// This clamp, and then another one.
    fn then(self, next: Self) -> Self {
        let within = |limit: f32| next.apply(limit);
        Self {
            low: self.low.map(within).or(next.low).map(|low| next.low.map_or(low, |other| low.max(other))),
            high: self.high.map(within).or(next.high),
        }
    }

    /// `x` inside the limits; ONNX gives the upper one where the two contradict each other.
    pub(super) fn apply(self, x: f32) -> f32 {
        let x = self.low.map_or(x, |low| x.max(low));
        self.high.map_or(x, |high| x.min(high))
    }
}

/// A convolution or fully connected layer.
pub(super) struct Convolution<'a> {
    pub(super) shape: ConvShape,
    pub(super) depthwise: bool,
    pub(super) weights: &'a TensorProto,
    /// Whether the weights are `[inputs, outputs]` and have to be turned.
    pub(super) transposed: bool,
    /// One an output channel.
    pub(super) scales: Vec<f32>,
    /// In units of input scale x weight scale.
    pub(super) bias: Vec<i32>,
    pub(super) clamp: Clamp,
    pub(super) multiplications: u64,
}

/// A function of one value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Function {
    Clamp(Clamp),
    HardSwish,
    /// Slope and offset.
    HardSigmoid(f32, f32),
    Sigmoid,
}

/// One fused operation.
pub(super) enum Kind<'a> {
    Quantize,
    /// Image and mask, both real, to bytes.
    Compose,
    Convolve(Box<Convolution<'a>>),
    Add(Clamp),
    /// Functions of one value, the first one first.
    Table(Vec<Function>),
    MaxPool(ConvShape),
    Average,
    Scale,
    Dequantize,
    Resize,
    AddReal,
    Sigmoid,
}

impl Kind<'_> {
    /// A name for reports.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Quantize => "quantize",
            Self::Compose => "mask * image, quantized",
            Self::Convolve(conv) if conv.depthwise => "int8 depthwise convolution",
            Self::Convolve(conv) if conv.shape.kernel == [1, 1] => "int8 1x1 convolution",
            Self::Convolve(_) => "int8 convolution",
            Self::Add(_) => "int8 addition",
            Self::Table(_) => "table of 256 bytes",
            Self::MaxPool(_) => "int8 max pool",
            Self::Average => "int8 global average",
            Self::Scale => "int8 channel scale",
            Self::Dequantize => "dequantize",
            Self::Resize => "bilinear resize",
            Self::AddReal => "addition",
            Self::Sigmoid => "sigmoid",
        }
    }
}

/// A value that a group reads or writes, by its name in the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Value<'a> {
    /// The output of a `QuantizeLinear`.
    Bytes(&'a str),
    /// A tensor of floats.
    Real(&'a str),
}

/// A pattern that was found: the nodes it replaces and what they do.
pub(super) struct Group<'a> {
    pub(super) kind: Kind<'a>,
    /// Nodes that are replaced, `DequantizeLinear`s not counted.
    pub(super) nodes: Vec<usize>,
    pub(super) inputs: Vec<Value<'a>>,
    pub(super) output: Value<'a>,
}

/// Everything that was found.
pub(super) struct Fusion<'a> {
    pub(super) groups: Vec<Group<'a>>,
    pub(super) bytes: HashMap<&'a str, Bytes>,
    /// Nodes that neither a group nor tract runs: dequantizations that every reader took over.
    pub(super) absorbed: HashSet<usize>,
}

/// Finds all patterns that hold none of the `banned` nodes; nothing in a graph without quantization.
pub(super) fn fuse<'a>(graph: &Graph<'a>, banned: &HashSet<usize>) -> Fusion<'a> {
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

struct Finder<'g, 'a> {
    graph: &'g Graph<'a>,
    /// Nodes that turned out to be impossible.
    banned: &'g HashSet<usize>,
    bytes: HashMap<&'a str, Bytes>,
    groups: Vec<Group<'a>>,
    taken: HashSet<usize>,
}

impl<'a> Finder<'_, 'a> {
    /// The tensor that a `QuantizeLinear` makes, if integer kernels can hold it: one scale, and only
    /// `DequantizeLinear`s with the same one read it.
    fn quantized(&self, node: &'a NodeProto) -> Option<(&'a str, Bytes)> {
        let name = node.output.first()?.as_str();
        let quantization = self.quantization(node)?;
        let shape = self.graph.picture(name)?;
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

    /// Scale and zero point of a `QuantizeLinear` or `DequantizeLinear` of a whole tensor. Signed bytes are seen as
    /// unsigned ones with both byte and zero point moved by 128.
    fn quantization(&self, node: &NodeProto) -> Option<Quantization> {
        let [scale] = *self.graph.floats(node.input.get(1)?)? else { return None };
        let zero_point = match node.input.get(2).filter(|name| !name.is_empty()) {
            None => 0,
            Some(name) => {
                let [zero_point] = *self.graph.integers(name)? else { return None };
                let moved =
                    if self.graph.constant(name)?.data_type == 3 { zero_point + 128 } else { zero_point };
                u8::try_from(moved).ok()?
            }
        };
        Quantization::new(scale, zero_point).ok()
    }

    /// The bytes behind a dequantized value.
    fn behind(&self, value: &str) -> Option<&'a str> {
        let (_, node) = self.graph.maker(value).filter(|(_, node)| node.op_type == "DequantizeLinear")?;
        let name = node.input.first()?.as_str();
        self.bytes.contains_key(name).then_some(name)
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
                inputs: node.input.first().map(|real| Value::Real(real)).into_iter().collect(),
                output: Value::Bytes(name),
            });
            group.nodes.push(index);
            self.taken.extend(&group.nodes);
            self.groups.push(group);
        }
    }

    /// The pattern that ends in the `QuantizeLinear` `anchor`.
    fn anchored(&self, anchor: &'a NodeProto, bytes: Bytes) -> Option<Group<'a>> {
        let output = Value::Bytes(anchor.output.first()?);
        let mut nodes = Vec::new();
        let mut functions = Vec::new();
        let mut value = anchor.input.first()?.as_str();
        // Back through everything that works on one value, as long as nobody else looks at it.
        loop {
            if let Some(source) = self.behind(value) {
                functions.reverse();
                let same = self.bytes.get(source)?.shape == bytes.shape;
                let inputs = vec![Value::Bytes(source)];
                return same.then_some(Group { kind: Kind::Table(functions), nodes, inputs, output });
            }
            let (index, node) = self.graph.maker(value).filter(|_| self.graph.is_private(value))?;
            // A file may hold a circle; one output keeps the walk on values that it has not seen.
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
                        None => Some(real_attribute(node, name)),
                        Some(input) => self.graph.floats(input)?.first().copied().map(Some),
                    };
                Function::Clamp(Clamp { low: limit(1, "min")?, high: limit(2, "max")? })
            }
            "HardSwish" => Function::HardSwish,
            "HardSigmoid" => {
                let or = |name, otherwise| real_attribute(node, name).unwrap_or(otherwise);
                Function::HardSigmoid(or("alpha", 0.2), or("beta", 0.5))
            }
            "Sigmoid" => Function::Sigmoid,
            _ => return None,
        })
    }

    fn core(&self, node: &'a NodeProto, clamp: Clamp, output: Bytes) -> Option<(Kind<'a>, Vec<Value<'a>>)> {
        let input = |index: usize| node.input.get(index).map(String::as_str);
        let bytes = |index: usize| self.behind(input(index)?);
        let shape = |name: &str| self.bytes.get(name).map(|bytes| bytes.shape);
        let plain = clamp == Clamp::default();
        match node.op_type.as_str() {
            "Conv" | "Gemm" => {
                let (convolution, source) = self.convolution(node, clamp)?;
                Some((Kind::Convolve(Box::new(convolution)), vec![Value::Bytes(source)]))
            }
            "Add" => {
                let (left, right) = (bytes(0)?, bytes(1)?);
                let same = shape(left)? == output.shape && shape(right)? == output.shape;
                same.then(|| (Kind::Add(clamp), vec![Value::Bytes(left), Value::Bytes(right)]))
            }
            "Mul" if plain => match (bytes(0), bytes(1)) {
                (Some(left), Some(right)) => {
                    let weights = [output.shape[0], 1, 1];
                    let (input, weight) =
                        if shape(right)? == weights { (left, right) } else { (right, left) };
                    let fits = shape(weight)? == weights && shape(input)? == output.shape;
                    fits.then(|| (Kind::Scale, vec![Value::Bytes(input), Value::Bytes(weight)]))
                }
                _ => self.compose(input(0)?, input(1)?, output),
            },
            "MaxPool" if plain && node.output.len() == 1 => {
                let shape = shape_of(&windows(node, None)?, output.shape[0]);
                Some((Kind::MaxPool(shape), vec![Value::Bytes(bytes(0)?)]))
            }
            "GlobalAveragePool" if plain => Some((Kind::Average, vec![Value::Bytes(bytes(0)?)])),
            _ => None,
        }
    }

    /// `mask * image`, in any order: planes, and one plane for all of them.
    fn compose(&self, left: &'a str, right: &'a str, output: Bytes) -> Option<(Kind<'a>, Vec<Value<'a>>)> {
        let plane = [1, output.shape[1], output.shape[2]];
        let (image, mask) = if self.graph.picture(right)? == plane { (left, right) } else { (right, left) };
        let real = |value: &str| self.behind(value).is_none() && !self.graph.is_constant(value);
        let fits = self.graph.picture(mask)? == plane && self.graph.picture(image)? == output.shape;
        (fits && real(image) && real(mask))
            .then(|| (Kind::Compose, vec![Value::Real(image), Value::Real(mask)]))
    }

    fn convolution(&self, node: &'a NodeProto, clamp: Clamp) -> Option<(Convolution<'a>, &'a str)> {
        let source = self.behind(node.input.first()?)?;
        let input = self.bytes.get(source)?;
        let [channels, height, width] = input.shape;
        let (_, weight) =
            self.graph.maker(node.input.get(1)?).filter(|(_, n)| n.op_type == "DequantizeLinear")?;
        let weights = self.graph.constant(weight.input.first()?)?;
        let dims: Option<Vec<usize>> = weights.dims.iter().map(|side| usize::try_from(*side).ok()).collect();
        let gemm = node.op_type == "Gemm";
        let transposed = gemm && attribute(node, "transB").unwrap_or(0) == 0;
        let (outputs, each, shape, depthwise) = if gemm {
            let one = |name| real_attribute(node, name).is_none_or(|value| value == 1.0);
            let [a, b] = <[usize; 2]>::try_from(dims?).ok()?;
            let (outputs, inputs) = if transposed { (b, a) } else { (a, b) };
            let pixel = attribute(node, "transA").unwrap_or(0) == 0 && [height, width] == [1, 1];
            if !one("alpha") || !one("beta") || !pixel || inputs != channels {
                return None;
            }
            (outputs, inputs, point(outputs), false)
        } else {
            let [outputs, inputs, rows, columns] = <[usize; 4]>::try_from(dims?).ok()?;
            let windows =
                windows(node, Some([rows, columns])).filter(|windows| windows.kernel == [rows, columns])?;
            let group = attribute(node, "group").unwrap_or(1);
            let depthwise = group > 1;
            let fits = if depthwise {
                usize::try_from(group) == Ok(channels) && outputs == channels && inputs == 1
            } else {
                group == 1 && inputs == channels
            };
            if !fits {
                return None;
            }
            (outputs, inputs * rows * columns, shape_of(&windows, outputs), depthwise)
        };
        let scales = self.weight_scales(weight, weights, outputs, if transposed { 1 } else { 0 })?;
        let units: Vec<f64> =
            scales.iter().map(|scale| f64::from(*scale) * f64::from(input.quantization.scale)).collect();
        let bias = self.bias(node.input.get(2).map(String::as_str).unwrap_or_default(), &units)?;
        let [rows, columns] = shape.output(height, width)?;
        let multiplications = (outputs * each) as u64 * (rows * columns) as u64;
        let convolution =
            Convolution { shape, depthwise, weights, transposed, scales, bias, clamp, multiplications };
        Some((convolution, source))
    }

    /// One scale an output channel, if the weights are symmetric.
    fn weight_scales(
        &self,
        node: &NodeProto,
        weights: &TensorProto,
        outputs: usize,
        axis: i64,
    ) -> Option<Vec<f32>> {
        let zero = match weights.data_type {
            3 => 0,
            2 => 128,
            _ => return None,
        };
        let zero_points = match node.input.get(2).filter(|name| !name.is_empty()) {
            None => vec![0],
            Some(name) => self.graph.integers(name)?,
        };
        let mut scales = self.graph.floats(node.input.get(1)?)?;
        if scales.len() == 1 {
            scales = vec![scales[0]; outputs];
        } else if scales.len() != outputs || !is_axis(attribute(node, "axis").unwrap_or(1), axis, weights) {
            return None;
        }
        let good = |scale: &f32| Quantization::new(*scale, 0).is_ok();
        let symmetric = zero_points.iter().all(|point| *point == zero);
        (symmetric && scales.iter().all(good)).then_some(scales)
    }

    /// The bias in units of the sums; zeros if there is none.
    fn bias(&self, value: &str, units: &[f64]) -> Option<Vec<i32>> {
        if value.is_empty() {
            return Some(vec![0; units.len()]);
        }
        let reals: Vec<f64> = if let Some(floats) = self.graph.floats(value) {
            floats.into_iter().map(f64::from).collect()
        } else {
            let (_, node) = self.graph.maker(value).filter(|(_, node)| node.op_type == "DequantizeLinear")?;
            let integers = self.graph.integers(node.input.first()?)?;
            let scales = self.graph.floats(node.input.get(1)?)?;
            let zeros = match node.input.get(2).filter(|name| !name.is_empty()) {
                None => true,
                Some(name) => self.graph.integers(name)?.iter().all(|point| *point == 0),
            };
            if !zeros || (scales.len() != 1 && scales.len() != integers.len()) {
                return None;
            }
            let scale =
                |index: usize| f64::from(scales.get(index).or(scales.first()).copied().unwrap_or(f32::NAN));
            integers.into_iter().enumerate().map(|(index, value)| value as f64 * scale(index)).collect()
        };
        if reals.len() != units.len() {
            return None;
        }
        let whole = |(real, unit): (f64, &f64)| {
            let steps = (real / unit).round_ties_even();
            (steps.abs() < f64::from(i32::MAX)).then_some(steps as i32)
        };
        reals.into_iter().zip(units).map(whole).collect()
    }

    /// What works on real numbers and reads or follows bytes: the way of the map, and the logits.
    fn find_reals(&mut self) {
        for (index, node) in self.graph.nodes.iter().enumerate() {
            if self.taken.contains(&index) || self.banned.contains(&index) {
                continue;
            }
            let Some((kind, inputs)) = self.real(node) else { continue };
            let Some(output) = node.output.first() else { continue };
            self.taken.insert(index);
            self.groups.push(Group { kind, nodes: vec![index], inputs, output: Value::Real(output) });
        }
    }

    fn real(&self, node: &'a NodeProto) -> Option<(Kind<'a>, Vec<Value<'a>>)> {
        let output = node.output.first()?.as_str();
        let real = |index: usize| {
            let name = node.input.get(index)?.as_str();
            let fits = self.behind(name).is_none() && !self.graph.is_constant(name);
            (fits && self.graph.picture(name).is_some()).then_some(name)
        };
        match node.op_type.as_str() {
            "Conv" | "Gemm" => {
                let (convolution, source) = self.convolution(node, Clamp::default())?;
                let fits = !convolution.depthwise;
                fits.then(|| (Kind::Convolve(Box::new(convolution)), vec![Value::Bytes(source)]))
            }
            "Resize" => {
                let input = real(0)?;
                let ([channels, ..], [others, ..]) =
                    (self.graph.picture(input)?, self.graph.picture(output)?);
                let modes = text_is(node, "mode", &["linear"])
                    && text_is(node, "coordinate_transformation_mode", &["half_pixel"])
                    && node.attribute.iter().any(|a| a.name == "mode")
                    && attribute(node, "antialias").unwrap_or(0) == 0
                    && attribute(node, "exclude_outside").unwrap_or(0) == 0
                    && !node.attribute.iter().any(|a| a.name == "axes")
                    && text_is(node, "keep_aspect_ratio_policy", &["stretch"]);
                (modes && channels == others && self.is_exact(node)? && self.graph.shape(output)?.len() == 4)
                    .then(|| (Kind::Resize, vec![Value::Real(input)]))
            }
            "Add" => {
                let (left, right) = (real(0)?, real(1)?);
                let same = self.graph.shape(left)? == self.graph.shape(right)?;
                same.then(|| (Kind::AddReal, vec![Value::Real(left), Value::Real(right)]))
            }
            "Sigmoid" => Some((Kind::Sigmoid, vec![Value::Real(real(0)?)])),
            _ => None,
        }
    }

    /// Whether a Resize goes by sizes, or by scales that give whole sides: others move the centres of the pixels.
    fn is_exact(&self, node: &NodeProto) -> Option<bool> {
        let Some(scales) = node.input.get(2).filter(|name| !name.is_empty()) else { return Some(true) };
        let input = self.graph.shape(node.input.first()?)?;
        let whole = |(side, scale): (&usize, f32)| (*side as f32 * scale).fract() == 0.0;
        Some(input.iter().zip(self.graph.floats(scales)?).all(whole))
    }

    /// Dequantizations that somebody outside the groups reads become groups, the others are absorbed.
    fn find_dequantized(&mut self) -> HashSet<usize> {
        let mut absorbed = HashSet::new();
        for (index, node) in self.graph.nodes.iter().enumerate() {
            let Some(output) = node.output.first().filter(|_| node.op_type == "DequantizeLinear") else {
                continue;
            };
            let outside = self.graph.readers(output).iter().any(|reader| !self.taken.contains(reader));
            let needed = outside || self.graph.is_output(output);
            if let Some(source) = self.behind(output) {
                absorbed.insert(index);
                if needed {
                    let (inputs, output) = (vec![Value::Bytes(source)], Value::Real(output));
                    self.groups.push(Group { kind: Kind::Dequantize, nodes: Vec::new(), inputs, output });
                }
            } else if !needed {
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

/// Whether `found`, which may count from behind, is `axis`.
fn is_axis(found: i64, axis: i64, weights: &TensorProto) -> bool {
    found == axis || found + weights.dims.len() as i64 == axis
}

fn point(channels: usize) -> ConvShape {
    ConvShape { channels, kernel: [1; 2], stride: [1; 2], dilation: [1; 2], padding: Halo::default() }
}

fn shape_of(windows: &Windows, channels: usize) -> ConvShape {
    let [top, left, bottom, right] = windows.padding;
    let Windows { kernel, stride, dilation, .. } = *windows;
    ConvShape { channels, kernel, stride, dilation, padding: Halo { top, left, bottom, right } }
}
