//! What a pattern of a quantized graph does.

use std::collections::{HashMap, HashSet};

use comet_kernels::{ConvShape, Quantization};

use comet_onnx::proto::TensorProto;

/// A tensor of bytes between two fused steps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bytes {
    /// Channels, height, width.
    pub(crate) shape: [usize; 3],
    pub(crate) quantization: Quantization,
}

/// Limits of a fused activation, in real numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Clamp {
    pub(crate) low: Option<f32>,
    pub(crate) high: Option<f32>,
}

impl Clamp {
    /// This clamp, and then another one.
    pub(crate) fn then(self, next: Self) -> Self {
        let within = |limit: f32| next.apply(limit);
        Self { low: self.low.map(within).or(next.low), high: self.high.map(within).or(next.high) }
    }

    /// `x` inside the limits; ONNX gives the upper one where the two contradict each other.
    pub(crate) fn apply(self, x: f32) -> f32 {
        let x = self.low.map_or(x, |low| x.max(low));
        self.high.map_or(x, |high| x.min(high))
    }
}

/// A convolution or fully connected layer.
pub(crate) struct Convolution<'a> {
    pub(crate) shape: ConvShape,
    pub(crate) depthwise: bool,
    pub(crate) weights: &'a TensorProto,
    /// Whether the weights are `[inputs, outputs]` and have to be turned.
    pub(crate) transposed: bool,
    /// One an output channel.
    pub(crate) scales: Vec<f32>,
    /// In units of input scale x weight scale.
    pub(crate) bias: Vec<i32>,
    pub(crate) clamp: Clamp,
    pub(crate) multiplications: u64,
}

/// A function of one value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Function {
    Clamp(Clamp),
    HardSwish,
    /// Slope and offset.
    HardSigmoid(f32, f32),
    Sigmoid,
}

/// One fused operation.
pub(crate) enum Kind<'a> {
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
    /// All channels, bytes to bytes.
    ResizeBytes(Clamp),
    Dequantize,
    /// Of real planes.
    Resize,
    AddReal,
    Sigmoid,
}

impl Kind<'_> {
    /// A name for reports.
    pub(crate) fn name(&self) -> &'static str {
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
            Self::ResizeBytes(_) => "int8 bilinear resize",
            Self::Dequantize => "dequantize",
            Self::Resize => "bilinear resize",
            Self::AddReal => "addition",
            Self::Sigmoid => "sigmoid",
        }
    }
}

/// A value that a group reads or writes, by its name in the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum TensorRef<'a> {
    /// The output of a `QuantizeLinear`.
    Quantized(&'a str),
    /// A tensor of floats.
    Float(&'a str),
}

/// A pattern that was found: the nodes it replaces and what they do.
pub(crate) struct Group<'a> {
    pub(crate) kind: Kind<'a>,
    /// Nodes that are replaced, `DequantizeLinear`s not counted.
    pub(crate) nodes: Vec<usize>,
    pub(crate) inputs: Vec<TensorRef<'a>>,
    pub(crate) output: TensorRef<'a>,
}

/// Everything that was found.
pub(crate) struct Fusion<'a> {
    pub(crate) groups: Vec<Group<'a>>,
    pub(crate) bytes: HashMap<&'a str, Bytes>,
    /// Nodes that neither a group nor tract runs: dequantizations that every reader took over.
    pub(crate) absorbed: HashSet<usize>,
}
