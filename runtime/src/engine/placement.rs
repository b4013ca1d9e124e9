//! Where every value of a region lies: layouts, what may share a place, and the plan of the memory.

use std::collections::HashMap;
use std::ops::Range;

use comet_kernels::{Fault, Halo, Layout};

use super::arena::{Need, plan};
use super::graph::Graph;
use super::pattern::{Bytes, Fusion, Group, Kind, Value};
use super::program::{Real, Tensor};
use super::segment::Region;

/// The name of bytes that travel from one region to another as real numbers.
pub(super) fn travelling(name: &str) -> String {
    format!("{name}#real")
}

/// Where every value of a region lies.
pub(super) struct Placement<'a> {
    tensors: HashMap<&'a str, (Bytes, Tensor)>,
    values: HashMap<String, Real>,
    pub(super) inputs: Vec<usize>,
    pub(super) outputs: Vec<(Range<usize>, Vec<usize>)>,
    pub(super) bytes: usize,
    pub(super) reals: usize,
}

/// A name that the graph does not explain.
pub(super) const UNKNOWN: Fault = Fault::Shape("a value of unknown shape");

impl<'a> Placement<'a> {
    pub(super) fn new(graph: &Graph<'a>, fusion: &Fusion<'a>, region: &Region<'a>) -> Result<Self, Fault> {
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
        let place: HashMap<Value<'_>, Range<usize>> = bytes
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

    pub(super) fn tensor(&self, name: &str) -> Result<(Bytes, Tensor), Fault> {
        self.tensors.get(name).cloned().ok_or(UNKNOWN)
    }

    pub(super) fn real(&self, name: &str) -> Result<Real, Fault> {
        self.values.get(name).cloned().ok_or(UNKNOWN)
    }

    pub(super) fn place(&self, name: &str) -> Result<Range<usize>, Fault> {
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
