//! A look at an ONNX graph: who makes a value, who reads it, what is constant, and which shapes follow.

use std::collections::{HashMap, HashSet};

use super::proto::{GraphProto, NodeProto, TensorProto, dimensions};

/// A graph with indices. Names are those of the file.
pub(super) struct Graph<'a> {
    pub(super) nodes: &'a [NodeProto],
    makers: HashMap<&'a str, usize>,
    readers: HashMap<&'a str, Vec<usize>>,
    constants: HashMap<&'a str, &'a TensorProto>,
    outputs: HashSet<&'a str>,
    shapes: HashMap<&'a str, Vec<usize>>,
}

impl<'a> Graph<'a> {
    /// Indexes `graph`, whose input has the shape `input`.
    pub(super) fn new(graph: &'a GraphProto, input: &[usize]) -> Self {
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
        let mut graph = Self { nodes: &graph.node, makers, readers, constants, outputs, shapes };
        graph.infer_shapes();
        graph
    }

    /// The node that makes `value`.
    pub(super) fn maker(&self, value: &str) -> Option<(usize, &'a NodeProto)> {
        let index = *self.makers.get(value)?;
        Some((index, self.nodes.get(index)?))
    }

    /// The nodes that read `value`, one entry a use.
    pub(super) fn readers(&self, value: &str) -> &[usize] {
        self.readers.get(value).map_or(&[], Vec::as_slice)
    }

    pub(super) fn is_output(&self, value: &str) -> bool {
        self.outputs.contains(value)
    }

    pub(super) fn is_constant(&self, value: &str) -> bool {
        self.constants.contains_key(value)
    }

    /// Whether nothing but one use of one node depends on `value`.
    pub(super) fn is_private(&self, value: &str) -> bool {
        self.readers(value).len() == 1 && !self.is_output(value)
    }

    /// The shape of `value`, where it is known.
    pub(super) fn shape(&self, value: &str) -> Option<&[usize]> {
        self.shapes.get(value).map(Vec::as_slice)
    }

    /// Channels, height and width of `value`: `[1, C, H, W]`, or `[1, C]` as one pixel.
    pub(super) fn picture(&self, value: &str) -> Option<[usize; 3]> {
        match *self.shape(value)? {
            [1, channels, height, width] => Some([channels, height, width]),
            [1, channels] => Some([channels, 1, 1]),
            _ => None,
        }
    }

    /// A value with more than `limit` elements, as far as shapes are known.
    pub(super) fn larger_than(&self, limit: usize) -> Option<&'a str> {
        let count =
            |shape: &[usize]| shape.iter().try_fold(1usize, |product, side| product.checked_mul(*side));
        let large = |shape: &[usize]| count(shape).is_none_or(|count| count > limit);
        // The first by name, so that a file is always refused with the same words.
        self.shapes.iter().filter(|(_, shape)| large(shape)).map(|(name, _)| *name).min()
    }

    pub(super) fn constant(&self, value: &str) -> Option<&'a TensorProto> {
        self.constants.get(value).copied()
    }

    pub(super) fn floats(&self, value: &str) -> Option<Vec<f32>> {
        floats(self.constant(value)?)
    }

    /// Integers of any type up to 64 bits.
    pub(super) fn integers(&self, value: &str) -> Option<Vec<i64>> {
        integers(self.constant(value)?)
    }

    fn infer_shapes(&mut self) {
        for node in self.nodes {
            let Some(output) = node.output.first() else { continue };
            if let Some(shape) = self.infer(node).filter(|shape| shape.iter().all(|side| *side > 0)) {
                self.shapes.insert(output, shape);
            }
        }
    }

    /// The shape that `node` gives. Only what can be part of a fused region needs to be known here.
    fn infer(&self, node: &NodeProto) -> Option<Vec<usize>> {
        let shape = |index: usize| self.shape(node.input.get(index)?);
        let constant = |index: usize| -> Option<Vec<usize>> {
            let tensor = self.constant(node.input.get(index)?)?;
            tensor.dims.iter().map(|side| usize::try_from(*side).ok()).collect()
        };
        match node.op_type.as_str() {
            "QuantizeLinear" | "Relu" | "Clip" | "HardSwish" | "HardSigmoid" | "Sigmoid" | "Identity" => {
                Some(shape(0)?.to_vec())
            }
            "DequantizeLinear" => shape(0).map(<[usize]>::to_vec).or_else(|| constant(0)),
            "Add" | "Mul" | "Sub" | "Div" => broadcast(shape(0)?, shape(1)?),
            "Conv" | "QLinearConv" => {
                let index = if node.op_type == "Conv" { 1 } else { 3 };
                let weight = shape(index).map(<[usize]>::to_vec).or_else(|| constant(index))?;
                let [outputs, _, rows, columns] = <[usize; 4]>::try_from(weight).ok()?;
                let [height, width] = windows(node, Some([rows, columns]))?.output(shape(0)?)?;
                Some(vec![1, outputs, height, width])
            }
            "MaxPool" | "AveragePool" => {
                let channels = *shape(0)?.get(1)?;
                let [height, width] = windows(node, None)?.output(shape(0)?)?;
                Some(vec![1, channels, height, width])
            }
            "GlobalAveragePool" => match *shape(0)? {
                [1, channels, _, _] => Some(vec![1, channels, 1, 1]),
                _ => None,
            },
            "Flatten" if attribute(node, "axis").unwrap_or(1) == 1 => match shape(0)? {
                [1, rest @ ..] => Some(vec![1, rest.iter().product()]),
                _ => None,
            },
            "Gemm" => {
                let weight = shape(1).map(<[usize]>::to_vec).or_else(|| constant(1))?;
                let [rows, columns] = <[usize; 2]>::try_from(weight).ok()?;
                Some(vec![1, if attribute(node, "transB") == Some(1) { rows } else { columns }])
            }
            "Resize" => self.infer_resize(node),
            _ => None,
        }
    }

    fn infer_resize(&self, node: &NodeProto) -> Option<Vec<usize>> {
        let input = self.shape(node.input.first()?)?;
        if let Some(sizes) = node.input.get(3).and_then(|name| self.integers(name)) {
            return sizes.into_iter().map(|side| usize::try_from(side).ok()).collect();
        }
        let scales = self.floats(node.input.get(2)?)?;
        let scaled = |(side, scale): (&usize, &f32)| (*side as f32 * scale).floor() as usize;
        (scales.len() == input.len()).then(|| input.iter().zip(&scales).map(scaled).collect())
    }
}

/// Sides of windows that slide over a picture.
pub(super) struct Windows {
    pub(super) kernel: [usize; 2],
    pub(super) stride: [usize; 2],
    pub(super) dilation: [usize; 2],
    /// Top, left, bottom, right.
    pub(super) padding: [usize; 4],
}

impl Windows {
    fn output(&self, input: &[usize]) -> Option<[usize; 2]> {
        let [1, _, height, width] = *input else { return None };
        let side = |axis: usize, inner: usize| {
            let window =
                (self.kernel[axis].checked_sub(1)?).checked_mul(self.dilation[axis])?.checked_add(1)?;
            let padded = inner.checked_add(self.padding[axis])?.checked_add(self.padding[axis + 2])?;
            Some(padded.checked_sub(window)?.checked_div(self.stride[axis])? + 1)
        };
        Some([side(0, height)?, side(1, width)?])
    }
}

/// The windows of a convolution or pooling node, if they are explicit and two-dimensional. A convolution need not name
/// its `kernel`, which is its weights'.
pub(super) fn windows(node: &NodeProto, kernel: Option<[usize; 2]>) -> Option<Windows> {
    let strings = node.attribute.iter().find(|a| a.name == "auto_pad").map(|a| a.s.as_slice());
    if !matches!(strings, None | Some(b"" | b"NOTSET")) || attribute(node, "ceil_mode").unwrap_or(0) != 0 {
        return None;
    }
    fn sides<const N: usize>(node: &NodeProto, name: &str, otherwise: Option<usize>) -> Option<[usize; N]> {
        let Some(found) = node.attribute.iter().find(|a| a.name == name).filter(|a| !a.ints.is_empty())
        else {
            return otherwise.map(|value| [value; N]);
        };
        let sides: Option<Vec<usize>> = found.ints.iter().map(|side| usize::try_from(*side).ok()).collect();
        sides?.try_into().ok()
    }
    Some(Windows {
        kernel: sides(node, "kernel_shape", None).or(kernel)?,
        stride: sides(node, "strides", Some(1))?,
        dilation: sides(node, "dilations", Some(1))?,
        padding: sides(node, "pads", Some(0))?,
    })
}

/// An integer attribute.
pub(super) fn attribute(node: &NodeProto, name: &str) -> Option<i64> {
    node.attribute.iter().find(|a| a.name == name).map(|a| a.i)
}

/// A real attribute.
pub(super) fn real_attribute(node: &NodeProto, name: &str) -> Option<f32> {
    node.attribute.iter().find(|a| a.name == name).map(|a| a.f)
}

/// Whether a text attribute is absent or one of `values`.
pub(super) fn text_is(node: &NodeProto, name: &str, values: &[&str]) -> bool {
    let found = node.attribute.iter().find(|a| a.name == name);
    found.is_none_or(|a| values.iter().any(|value| value.as_bytes() == a.s))
}

fn broadcast(left: &[usize], right: &[usize]) -> Option<Vec<usize>> {
    if left.len() != right.len() {
        return None;
    }
    let side = |(left, right): (&usize, &usize)| match (*left, *right) {
        (left, right) if left == right => Some(left),
        (1, side) | (side, 1) => Some(side),
        _ => None,
    };
    left.iter().zip(right).map(side).collect()
}

/// The values of a tensor of floats.
pub(super) fn floats(tensor: &TensorProto) -> Option<Vec<f32>> {
    if tensor.data_type != 1 {
        return None;
    }
    let (words, _) = tensor.raw_data.as_chunks::<4>();
    let raw = words.iter().map(|word| f32::from_le_bytes(*word));
    Some(tensor.float_data.iter().copied().chain(raw).collect())
}

/// The values of a tensor of signed bytes; unsigned ones are moved by 128, as zero points are that come with them.
pub(super) fn signed_bytes(tensor: &TensorProto) -> Option<Vec<i8>> {
    let narrow = tensor.int32_data.iter();
    let raw = tensor.raw_data.iter();
    match tensor.data_type {
        3 => {
            let narrow: Option<Vec<i8>> = narrow.map(|value| i8::try_from(*value).ok()).collect();
            Some(narrow?.into_iter().chain(raw.map(|byte| byte.cast_signed())).collect())
        }
        2 => {
            let narrow: Option<Vec<u8>> = narrow.map(|value| u8::try_from(*value).ok()).collect();
            let all = narrow?.into_iter().chain(raw.copied());
            Some(all.map(|byte| (byte ^ 0x80).cast_signed()).collect())
        }
        _ => None,
    }
}

/// The values of a tensor of integers.
pub(super) fn integers(tensor: &TensorProto) -> Option<Vec<i64>> {
    let raw = tensor.raw_data.as_slice();
    let narrow = tensor.int32_data.iter().map(|value| i64::from(*value));
    Some(match tensor.data_type {
        2 => narrow.chain(raw.iter().map(|byte| i64::from(*byte))).collect(),
        3 => narrow.chain(raw.iter().map(|byte| i64::from(byte.cast_signed()))).collect(),
        6 => narrow
            .chain(raw.as_chunks::<4>().0.iter().map(|word| i64::from(i32::from_le_bytes(*word))))
            .collect(),
        7 => {
            let raw = raw.as_chunks::<8>().0.iter().map(|word| i64::from_le_bytes(*word));
            tensor.int64_data.iter().copied().chain(raw).collect()
        }
        _ => return None,
    })
}
