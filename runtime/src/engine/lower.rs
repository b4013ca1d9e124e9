//! Turns a region into a program: packs weights, chooses layouts, plans memory.

use std::collections::HashMap;

use comet_kernels::{
    Add, ChannelScale, Compose, Conv, Depthwise, Dequantize, Fault, GlobalAverage, Halo, Layout, MaxPool,
    Quantization, Quantize, Resize, Table, Target, Tier, sigmoid,
};

use super::arena::{Need, plan};
use super::fuse::{Bytes, Clamp, Convolution, Function, Fusion, Group, Kind, Value};
use super::graph::{Graph, signed_bytes};
use super::program::{Program, Real, Step, Tensor};
use super::segment::Region;

/// Most bytes of activations; far more than any network for cameras needs.
const MOST_MEMORY: usize = 512 << 20;

/// Why a region cannot be lowered: the group at fault, if it is one, so that it can be left to tract.
pub(super) struct Refusal {
    pub(super) group: Option<usize>,
    pub(super) fault: Fault,
}

/// The name of bytes that travel from one region to another as real numbers.
pub(super) fn travelling(name: &str) -> String {
    format!("{name}#real")
}

/// Lowers `region` for `tier`.
pub(super) fn lower<'a>(
    graph: &Graph<'a>,
    fusion: &Fusion<'a>,
    region: &Region<'a>,
    tier: Tier,
) -> Result<Program, Refusal> {
    let plan = Placement::new(graph, fusion, region).map_err(|fault| Refusal { group: None, fault })?;
    let lowering = Lowering { graph, tier, plan: &plan };
    let whole = |fault| Refusal { group: None, fault };
    let (mut steps, mut names) = (Vec::new(), Vec::new());
    for name in &region.imports {
        let from = plan.real(&travelling(name)).map_err(whole)?;
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
        let (tensor, to) = (plan.tensor(name).map_err(whole)?, plan.place(&travelling(name)).map_err(whole)?);
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

/// Where every value of a region lies.
struct Placement<'a> {
    tensors: HashMap<&'a str, (Bytes, Tensor)>,
    values: HashMap<String, Real>,
    inputs: Vec<usize>,
    outputs: Vec<(std::ops::Range<usize>, Vec<usize>)>,
    bytes: usize,
    reals: usize,
}

const UNKNOWN: Fault = Fault::Shape("a value of unknown shape");

impl<'a> Placement<'a> {
    fn new(graph: &Graph<'a>, fusion: &Fusion<'a>, region: &Region<'a>) -> Result<Self, Fault> {
        let groups: Vec<&Group<'_>> = region.groups.iter().map(|index| &fusion.groups[*index]).collect();
        // Imports are made before the first group, exports and outputs live to the end.
        let end = groups.len() + 1;
        let mut lives: HashMap<Value<'a>, (usize, usize)> = HashMap::new();
        lives.extend(region.imports.iter().map(|name| (Value::Bytes(name), (0, 0))));
        for (index, group) in groups.iter().enumerate() {
            let step = index + 1;
            lives.insert(group.output, (step, step));
            for input in &group.inputs {
                if let Some(life) = lives.get_mut(input) {
                    life.1 = step;
                }
            }
        }
        let kept = region.outputs.iter().map(|name| Value::Real(name));
        for value in kept.chain(region.exports.iter().map(|name| Value::Bytes(name))) {
            if let Some(life) = lives.get_mut(&value) {
                life.1 = end;
            }
        }
        let readers = |value: Value<'_>| {
            groups.iter().flat_map(|group| &group.inputs).filter(|input| **input == value).count()
        };
        // A function of one value may write over its input if nobody else needs that.
        let mut owners: HashMap<Value<'_>, Value<'_>> = HashMap::new();
        for group in &groups {
            if let ([input], Kind::Table(_) | Kind::Sigmoid) = (group.inputs.as_slice(), &group.kind) {
                let alone = readers(*input) == 1 && lives.get(input).is_some_and(|life| life.1 < end);
                let blocked = match input {
                    Value::Bytes(name) => !is_picture(fusion, &groups, name),
                    Value::Real(_) => true,
                };
                if alone && blocked {
                    let owner = owners.get(input).copied().unwrap_or(*input);
                    owners.insert(group.output, owner);
                    let last = lives.get(&group.output).map_or(end, |life| life.1);
                    if let Some(life) = lives.get_mut(&owner) {
                        life.1 = last.max(life.1);
                    }
                }
            }
        }
        let owner = |value: Value<'a>| owners.get(&value).copied().unwrap_or(value);
        let mut halos: HashMap<Value<'_>, Halo> = HashMap::new();
        for group in &groups {
            if let (Kind::Convolve(conv), Some(input)) = (&group.kind, group.inputs.first()) {
                let halo = halos.entry(owner(*input)).or_default();
                *halo = halo.union(conv.shape.padding);
            }
        }
        let names: Vec<&'a str> = lives
            .keys()
            .filter_map(|value| if let Value::Bytes(name) = value { Some(*name) } else { None })
            .collect();
        let mut layouts = HashMap::new();
        for name in names {
            let bytes = fusion.bytes.get(name).ok_or(UNKNOWN)?;
            let halo = halos.get(&owner(Value::Bytes(name))).copied().unwrap_or_default();
            let [channels, height, width] = bytes.shape;
            let layout = if is_picture(fusion, &groups, name) { Layout::picture } else { Layout::new };
            layouts.insert(name, layout(channels, height, width, halo)?);
        }
        // In a fixed order, so that every load plans the same memory.
        let mut owned: Vec<Value<'_>> =
            lives.keys().copied().filter(|value| owner(*value) == *value).collect();
        owned.sort_by_key(|value| match value {
            Value::Bytes(name) => (lives[value].0, 0, *name),
            Value::Real(name) => (lives[value].0, 1, *name),
        });
        let (mut bytes, mut reals) = (Vec::new(), Vec::new());
        let length =
            |name: &str| graph.shape(name).map(|shape| shape.iter().product::<usize>()).ok_or(UNKNOWN);
        for value in owned {
            let (from, to) = lives[&value];
            match value {
                Value::Bytes(name) => bytes.push((value, Need { length: layouts[name].len(), from, to })),
                Value::Real(name) => reals.push((value, Need { length: length(name)?, from, to })),
            }
        }
        let needs = |list: &[(Value<'_>, Need)]| list.iter().map(|(_, need)| *need).collect::<Vec<_>>();
        let (byte_places, byte_total) = plan(&needs(&bytes));
        let (real_places, mut real_total) = plan(&needs(&reals));
        let place: HashMap<Value<'_>, std::ops::Range<usize>> = bytes
            .iter()
            .map(|(value, _)| *value)
            .zip(byte_places)
            .chain(reals.iter().map(|(value, _)| *value).zip(real_places))
            .collect();
        let mut tensors = HashMap::new();
        let mut values = HashMap::new();
        for value in lives.keys() {
            let place = place.get(&owner(*value)).ok_or(UNKNOWN)?.clone();
            match value {
                Value::Bytes(name) => {
                    let (bytes, layout) = (fusion.bytes[name], layouts[name]);
                    let zero_point = bytes.quantization.zero_point;
                    tensors.insert(*name, (bytes, Tensor { place, layout, zero_point }));
                }
                Value::Real(name) => {
                    values.insert((*name).to_owned(), Real::Arena(place));
                }
            }
        }
        let mut inputs = Vec::new();
        for name in &region.inputs {
            values.insert((*name).to_owned(), Real::Input(inputs.len()));
            inputs.push(length(name)?);
        }
        for name in &region.imports {
            values.insert(travelling(name), Real::Input(inputs.len()));
            inputs.push(fusion.bytes.get(name).ok_or(UNKNOWN)?.shape.iter().product());
        }
        let mut outputs = Vec::new();
        for name in &region.outputs {
            let place = place.get(&owner(Value::Real(name))).ok_or(UNKNOWN)?.clone();
            outputs.push((place, graph.shape(name).ok_or(UNKNOWN)?.to_vec()));
        }
        for name in &region.exports {
            let [channels, height, width] = fusion.bytes.get(name).ok_or(UNKNOWN)?.shape;
            let place = real_total..real_total + channels * height * width;
            real_total = place.end;
            values.insert(travelling(name), Real::Arena(place.clone()));
            outputs.push((place, vec![1, channels, height, width]));
        }
        Ok(Self { tensors, values, inputs, outputs, bytes: byte_total, reals: real_total })
    }

    fn tensor(&self, name: &str) -> Result<(Bytes, Tensor), Fault> {
        self.tensors.get(name).cloned().ok_or(UNKNOWN)
    }

    fn real(&self, name: &str) -> Result<Real, Fault> {
        self.values.get(name).cloned().ok_or(UNKNOWN)
    }

    fn place(&self, name: &str) -> Result<std::ops::Range<usize>, Fault> {
        match self.real(name)? {
            Real::Arena(place) => Ok(place),
            Real::Input(_) => Err(UNKNOWN),
        }
    }
}

/// Whether a tensor goes from a quantization straight into convolutions: then its few channels need no padding to 16.
fn is_picture(fusion: &Fusion<'_>, groups: &[&Group<'_>], name: &str) -> bool {
    let value = Value::Bytes(name);
    let few = fusion.bytes.get(name).is_some_and(|bytes| bytes.shape[0] <= 4);
    let made = groups.iter().find(|group| group.output == value);
    let quantized = made.is_none_or(|group| matches!(group.kind, Kind::Quantize | Kind::Compose));
    let mut readers = groups.iter().filter(|group| group.inputs.contains(&value));
    few && quantized && readers.all(|group| matches!(&group.kind, Kind::Convolve(conv) if !conv.depthwise))
}

struct Lowering<'l, 'a> {
    graph: &'l Graph<'a>,
    tier: Tier,
    plan: &'l Placement<'a>,
}

impl Lowering<'_, '_> {
    fn group(&self, group: &Group<'_>, steps: &mut Vec<Step>) -> Result<(), Fault> {
        let tensor = |index: usize| match group.inputs.get(index) {
            Some(Value::Bytes(name)) => self.plan.tensor(name),
            _ => Err(UNKNOWN),
        };
        let real = |index: usize| match group.inputs.get(index) {
            Some(Value::Real(name)) => self.plan.real(name),
            _ => Err(UNKNOWN),
        };
        let to = || match group.output {
            Value::Bytes(name) => self.plan.tensor(name),
            Value::Real(_) => Err(UNKNOWN),
        };
        let to_real = || match group.output {
            Value::Real(name) => self.plan.place(name),
            Value::Bytes(_) => Err(UNKNOWN),
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
                Value::Bytes(_) => self.convolve(conv, tensor(0)?, to()?)?,
                Value::Real(name) => self.convolve_real(conv, tensor(0)?, name, to_real()?)?,
            },
            Kind::Add(clamp) => {
                let ((left, a), (right, b), (bytes, to)) = (tensor(0)?, tensor(1)?, to()?);
                let from = [left.quantization, right.quantization];
                let target = target(bytes.quantization, *clamp);
                let layouts = [a.layout, b.layout];
                let kernel = Add::new(tier, layouts, from, to.layout, bytes.quantization.scale, target)?;
                Step::Add { kernel, left: a.place, right: b.place, to }
            }
            Kind::Table(functions) => table(tier, tensor(0)?, to()?, |x| apply(functions, x))?,
            Kind::MaxPool(shape) => {
                let ((bytes, from), (output, to)) = (tensor(0)?, to()?);
                let kernel = MaxPool::new(tier, *shape, from.layout, to.layout)?;
                steps.push(Step::MaxPool { kernel, from: from.place, to: to.clone() });
                if bytes.quantization == output.quantization {
                    return Ok(());
                }
                let pooled = (Bytes { quantization: bytes.quantization, ..output }, to.clone());
                table(tier, pooled, (output, to), |x| x)?
            }
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
            Kind::Dequantize => {
                let (bytes, from) = tensor(0)?;
                let kernel = Dequantize::new(from.layout, bytes.quantization);
                Step::Dequantize { kernel, from: from.place, to: to_real()? }
            }
            Kind::Resize => {
                let size = |value: &Value<'_>| match value {
                    Value::Real(name) => self.graph.picture(name).map(|[_, h, w]| [h, w]).ok_or(UNKNOWN),
                    Value::Bytes(_) => Err(UNKNOWN),
                };
                let input = group.inputs.first().ok_or(UNKNOWN)?;
                let kernel = Resize::new(tier, size(input)?, size(&group.output)?)?;
                Step::Resize { kernel, from: real(0)?, to: to_real()? }
            }
            Kind::AddReal => Step::AddReal { left: real(0)?, right: real(1)?, to: to_real()? },
            Kind::Sigmoid => Step::Sigmoid { from: real(0)?, to: to_real()? },
        };
        steps.push(step);
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
        let target = target(output.quantization, conv.clamp);
        let (input, zero_point) = (from.layout, bytes.quantization.zero_point);
        let (shape, bias) = (&conv.shape, conv.bias.as_slice());
        if conv.depthwise {
            let kernel = Depthwise::new(
                self.tier,
                shape,
                input,
                zero_point,
                &weights,
                bias,
                &multipliers,
                to.layout,
                target,
            )?;
            return Ok(Step::Depthwise { kernel, from: from.place, to });
        }
        let kernel =
            Conv::new(self.tier, shape, input, zero_point, &weights, bias, &multipliers, to.layout, target)?;
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
        let [channels, height, width] = self.graph.picture(name).ok_or(UNKNOWN)?;
        let output = Layout::new(channels, height, width, Halo::default())?;
        let kernel = Conv::new(
            self.tier,
            &conv.shape,
            from.layout,
            bytes.quantization.zero_point,
            &weights,
            &conv.bias,
            &multipliers,
            output,
            Target::Reals,
        )?;
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
    let weights = signed_bytes(conv.weights).ok_or(Fault::Shape("weights that are no bytes"))?;
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
