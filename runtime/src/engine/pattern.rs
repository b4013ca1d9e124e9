//! What a pattern of a quantized graph does.

use std::collections::{HashMap, HashSet};

use comet_kernels::{ConvShape, Quantization};

use super::proto::TensorProto;

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
    pub(super) fn then(self, next: Self) -> Self {
        let within = |limit: f32| next.apply(limit);
        Self { low: self.low.map(within).or(next.low), high: self.high.map(within).or(next.high) }
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
