//! Turns a region into a program: prepares a kernel for each group and packs its weights.

use comet_kernels::{
    Add, ChannelScale, Compose, Conv, ConvShape, ConvSpec, Depthwise, Dequantize, Fault, GlobalAverage, Halo,
    Layout, MaxPool, Quantization, Quantize, Resize, ResizeBytes, Table, Target, Tier, sigmoid,
};

use comet_onnx::GraphView;
use comet_onnx::tensor::signed_bytes;

use super::pattern::{Bytes, Clamp, Convolution, Function, Fusion, Group, Kind, TensorRef};
use super::placement::{Placement, UNKNOWN, exported_tensor_name};
use super::program::{Program, Real, Step, Tensor};
use super::segment::Region;

/// Most bytes of activations; far more than any network for cameras needs.
const MOST_MEMORY: usize = 512 << 20;

/// Why a region cannot be lowered: the group at fault, if it is one, so that it can be left to tract.
pub(crate) struct Refusal {
    pub(crate) group: Option<usize>,
    pub(crate) fault: Fault,
}

/// Lowers `region` for `tier`.
pub(crate) fn lower<'a>(
    graph: &GraphView<'a>,
    fusion: &Fusion<'a>,
    region: &Region<'a>,
    tier: Tier,
) -> Result<Program, Refusal> {
    let plan = Placement::new(graph, fusion, region).map_err(|fault| Refusal { group: None, fault })?;
    let lowering = Lowering { graph, tier, plan: &plan };
    let whole = |fault| Refusal { group: None, fault };
    let (mut steps, mut names) = (Vec::new(), Vec::new());
    for name in &region.imports {
        let from = plan.real(&exported_tensor_name(name)).map_err(whole)?;
        steps.push(lowering.quantize(from, plan.tensor(name).map_err(whole)?).map_err(whole)?);
        names.push((*name).to_owned());
    }
    for index in &region.groups {
        let group = &fusion.groups[*index];
        let count = steps.len();
        lowering.group(group, &mut steps).map_err(|fault| Refusal { group: Some(*index), fault })?;
        let name = group.nodes.first().and_then(|node| graph.nodes.get(*node)).map_or("", |node| &node.name);
        names.extend((count..steps.len()).map(|_| format!("{} ({})", name, group.kind.name())));
    }
    for name in &region.exports {
        let (tensor, to) =
            (plan.tensor(name).map_err(whole)?, plan.place(&exported_tensor_name(name)).map_err(whole)?);
        let kernel = Dequantize::new(tensor.1.layout, tensor.0.quantization);
        steps.push(Step::Dequantize { kernel, from: tensor.1.place, to });
        names.push((*name).to_owned());
    }
    if plan.bytes > MOST_MEMORY || plan.reals > MOST_MEMORY / 4 {
        return Err(whole(Fault::Shape("it needs more than 512 MB for its activations")));
    }
    Ok(Program {
        tier,
        steps,
        names,
        inputs: plan.inputs,
        outputs: plan.outputs,
        bytes: plan.bytes,
        reals: plan.reals,
    })
}

struct Lowering<'l, 'a> {
    graph: &'l GraphView<'a>,
    tier: Tier,
    plan: &'l Placement<'a>,
}

impl Lowering<'_, '_> {
    fn group(&self, group: &Group<'_>, steps: &mut Vec<Step>) -> Result<(), Fault> {
        let tensor = |index: usize| match group.inputs.get(index) {
            Some(TensorRef::Quantized(name)) => self.plan.tensor(name),
            _ => Err(UNKNOWN),
        };
        let real = |index: usize| match group.inputs.get(index) {
            Some(TensorRef::Float(name)) => self.plan.real(name),
            _ => Err(UNKNOWN),
        };
        let to = || match group.output {
            TensorRef::Quantized(name) => self.plan.tensor(name),
            TensorRef::Float(_) => Err(UNKNOWN),
        };
        let to_real = || match group.output {
            TensorRef::Float(name) => self.plan.place(name),
            TensorRef::Quantized(_) => Err(UNKNOWN),
        };
        let tier = self.tier;
        let step = match &group.kind {
            Kind::Quantize => self.quantize(real(0)?, to()?)?,
            Kind::Compose => {
                let (bytes, to) = to()?;
                let kernel = Compose::new(tier, to.layout, bytes.quantization)?;
                Step::Compose { kernel, image: real(0)?, mask: real(1)?, to }
            }
            Kind::Convolve(conv) => match group.output {
                TensorRef::Quantized(_) => self.convolve(conv, tensor(0)?, to()?)?,
                TensorRef::Float(name) => self.convolve_real(conv, tensor(0)?, name, to_real()?)?,
            },
            Kind::Add(clamp) => self.add(*clamp, tensor(0)?, tensor(1)?, to()?)?,
            Kind::Table(functions) => table(tier, tensor(0)?, to()?, |x| apply(functions, x))?,
            Kind::MaxPool(shape) => return self.max_pool(*shape, tensor(0)?, to()?, steps),
            Kind::Average => {
                let ((bytes, from), (output, to)) = (tensor(0)?, to()?);
                let input = (from.layout, bytes.quantization);
                let kernel = GlobalAverage::new(tier, input, (to.layout, output.quantization))?;
                Step::Average { kernel, from: from.place, to }
            }
            Kind::Scale => {
                let ((bytes, from), (factor, weight), (output, to)) = (tensor(0)?, tensor(1)?, to()?);
                let kernel = ChannelScale::new(
                    tier,
                    (from.layout, bytes.quantization),
                    (weight.layout, factor.quantization),
                    (to.layout, output.quantization),
                )?;
                Step::Scale { kernel, from: from.place, weight: weight.place, to }
            }
            Kind::ResizeBytes(clamp) => self.resize_bytes(*clamp, tensor(0)?, to()?)?,
            Kind::Dequantize => {
                let (bytes, from) = tensor(0)?;
                let kernel = Dequantize::new(from.layout, bytes.quantization);
                Step::Dequantize { kernel, from: from.place, to: to_real()? }
            }
            Kind::Resize => {
                let input = group.inputs.first().ok_or(UNKNOWN)?;
                let kernel = Resize::new(tier, self.size(input)?, self.size(&group.output)?)?;
                Step::Resize { kernel, from: real(0)?, to: to_real()? }
            }
            Kind::AddReal => Step::AddReal { left: real(0)?, right: real(1)?, to: to_real()? },
            Kind::Sigmoid => Step::Sigmoid { from: real(0)?, to: to_real()? },
        };
        steps.push(step);
        Ok(())
    }

    fn add(
        &self,
        clamp: Clamp,
        (left, a): (Bytes, Tensor),
        (right, b): (Bytes, Tensor),
        (bytes, to): (Bytes, Tensor),
    ) -> Result<Step, Fault> {
        let from = [left.quantization, right.quantization];
        let target = target(bytes.quantization, clamp);
        let layouts = [a.layout, b.layout];
        let kernel = Add::new(self.tier, layouts, from, to.layout, bytes.quantization.scale, target)?;
        Ok(Step::Add { kernel, left: a.place, right: b.place, to })
    }

    fn resize_bytes(
        &self,
        clamp: Clamp,
        (bytes, from): (Bytes, Tensor),
        (output, to): (Bytes, Tensor),
    ) -> Result<Step, Fault> {
        let (input, scale) = ((from.layout, bytes.quantization), output.quantization.scale);
        let target = target(output.quantization, clamp);
        let kernel = ResizeBytes::new(self.tier, input, to.layout, scale, target)?;
        Ok(Step::ResizeBytes { kernel, from: from.place, to })
    }

    /// Height and width of a float value.
    fn size(&self, value: &TensorRef<'_>) -> Result<[usize; 2], Fault> {
        match value {
            TensorRef::Float(name) => self.graph.image(name).map(|[_, h, w]| [h, w]).ok_or(UNKNOWN),
            TensorRef::Quantized(_) => Err(UNKNOWN),
        }
    }

    /// The largest bytes, and a table behind them where the output is quantized in another way.
    fn max_pool(
        &self,
        shape: ConvShape,
        (bytes, from): (Bytes, Tensor),
        (output, to): (Bytes, Tensor),
        steps: &mut Vec<Step>,
    ) -> Result<(), Fault> {
        let kernel = MaxPool::new(self.tier, shape, from.layout, to.layout)?;
        steps.push(Step::MaxPool { kernel, from: from.place, to: to.clone() });
        if bytes.quantization != output.quantization {
            let pooled = (Bytes { quantization: bytes.quantization, ..output }, to.clone());
            steps.push(table(self.tier, pooled, (output, to), |x| x)?);
        }
        Ok(())
    }

    fn quantize(&self, from: Real, (bytes, to): (Bytes, Tensor)) -> Result<Step, Fault> {
        let kernel = Quantize::new(self.tier, to.layout, bytes.quantization)?;
        Ok(Step::Quantize { kernel, from, to })
    }

    fn convolve(
        &self,
        conv: &Convolution<'_>,
        (bytes, from): (Bytes, Tensor),
        (output, to): (Bytes, Tensor),
    ) -> Result<Step, Fault> {
        let weights = weights(conv)?;
        let factor = |scale: &f32| bytes.quantization.scale * scale / output.quantization.scale;
        let multipliers: Vec<f32> = conv.scales.iter().map(factor).collect();
        let spec = ConvSpec {
            shape: conv.shape,
            input: from.layout,
            zero_point: bytes.quantization.zero_point,
            weights: &weights,
            bias: &conv.bias,
            multipliers: &multipliers,
            output: to.layout,
            target: target(output.quantization, conv.clamp),
        };
        if conv.depthwise {
            let kernel = Depthwise::new(self.tier, &spec)?;
            return Ok(Step::Depthwise { kernel, from: from.place, to });
        }
        let kernel = Conv::new(self.tier, &spec)?;
        Ok(Step::Convolve { kernel, from: from.place, to })
    }

    fn convolve_real(
        &self,
        conv: &Convolution<'_>,
        (bytes, from): (Bytes, Tensor),
        name: &str,
        to: std::ops::Range<usize>,
    ) -> Result<Step, Fault> {
        let weights = weights(conv)?;
        let multipliers: Vec<f32> =
            conv.scales.iter().map(|scale| bytes.quantization.scale * scale).collect();
        let [channels, height, width] = self.graph.image(name).ok_or(UNKNOWN)?;
        let output = Layout::new(channels, height, width, Halo::default())?;
        let spec = ConvSpec {
            shape: conv.shape,
            input: from.layout,
            zero_point: bytes.quantization.zero_point,
            weights: &weights,
            bias: &conv.bias,
            multipliers: &multipliers,
            output,
            target: Target::Reals,
        };
        let kernel = Conv::new(self.tier, &spec)?;
        Ok(Step::ConvolveReal { kernel, from: from.place, to })
    }
}

fn table(
    tier: Tier,
    (bytes, from): (Bytes, Tensor),
    (output, to): (Bytes, Tensor),
    function: impl Fn(f32) -> f32,
) -> Result<Step, Fault> {
    let input = (from.layout, bytes.quantization);
    let kernel = Table::new(tier, input, (to.layout, output.quantization), function)?;
    Ok(if from.place == to.place {
        Step::TableInPlace { kernel, tensor: to }
    } else {
        Step::Table { kernel, from: from.place, to }
    })
}

/// `[outputs, inputs, rows, columns]`
fn weights(conv: &Convolution<'_>) -> Result<Vec<i8>, Fault> {
    let weights = signed_bytes(conv.weights).ok_or(Fault::Shape("weights that are not bytes"))?;
    if !conv.transposed {
        return Ok(weights);
    }
    let outputs = conv.shape.channels;
    let inputs = (weights.len() / outputs.max(1)).max(1);
    let turned = |index: usize| weights.get(index % inputs * outputs + index / inputs).copied().unwrap_or(0);
    Ok((0..weights.len()).map(turned).collect())
}

/// Bytes with the limits of a fused activation.
fn target(output: Quantization, clamp: Clamp) -> Target {
    Target::Bytes {
        zero_point: output.zero_point,
        low: clamp.low.map_or(0, |low| output.byte(low)),
        high: clamp.high.map_or(255, |high| output.byte(high)),
    }
}

/// Applies activations one after another, by operations that every processor rounds alike.
fn apply(functions: &[Function], x: f32) -> f32 {
    functions.iter().fold(x, |x, function| match *function {
        Function::Clamp(clamp) => clamp.apply(x),
        Function::HardSwish => x * (x / 6.0 + 0.5).clamp(0.0, 1.0),
        Function::HardSigmoid(slope, offset) => (slope * x + offset).clamp(0.0, 1.0),
        Function::Sigmoid => {
            let mut value = [x];
            // The portable kernel is always there.
            match sigmoid(Tier::Scalar, &mut value) {
                Ok(()) => value[0],
                Err(_) => f32::NAN,
            }
        }
    })
}
