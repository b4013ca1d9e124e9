//! Where every value of a region lies: layouts, what may share a place, and the plan of the memory.

use std::collections::HashMap;
use std::ops::Range;

use comet_kernels::{Fault, Halo, Layout};

use super::arena::{Need, plan};
use super::pattern::{Bytes, Fusion, Group, Kind, TensorRef};
use super::program::{Real, Tensor};
use super::segment::Region;
use comet_onnx::GraphView;

/// The name of bytes that are passed from one region to another as real numbers.
pub(crate) fn exported_tensor_name(name: &str) -> String {
    format!("{name}#real")
}

/// Where every value of a region lies.
pub(crate) struct Placement<'a> {
    tensors: HashMap<&'a str, (Bytes, Tensor)>,
    values: HashMap<String, Real>,
    pub(crate) inputs: Vec<usize>,
    pub(crate) outputs: Vec<(Range<usize>, Vec<usize>)>,
    pub(crate) bytes: usize,
    pub(crate) reals: usize,
}

/// A name that the graph does not explain.
pub(crate) const UNKNOWN: Fault = Fault::Shape("a value of unknown shape");

/// The first and the last step in which a value is needed. Imports are made in step 0, group `n` is step `n + 1`.
type Lives<'a> = HashMap<TensorRef<'a>, (usize, usize)>;
/// For a value that is written over another one: whose place it takes.
type Owners<'a> = HashMap<TensorRef<'a>, TensorRef<'a>>;

impl<'a> Placement<'a> {
    pub(crate) fn new(
        graph: &GraphView<'a>,
        fusion: &Fusion<'a>,
        region: &Region<'a>,
    ) -> Result<Self, Fault> {
        let groups: Vec<&Group<'_>> = region.groups.iter().map(|index| &fusion.groups[*index]).collect();
        let mut lives = lives(region, &groups);
        let owners = owners(fusion, &groups, &mut lives);
        let owner = |value: TensorRef<'a>| owners.get(&value).copied().unwrap_or(value);
        let layouts = layouts(fusion, &groups, &lives, &owners)?;
        let (place, byte_total, real_total) = places(graph, &lives, &owners, &layouts)?;
        let mut tensors = HashMap::new();
        let mut values = HashMap::new();
        for value in lives.keys() {
            let place = place.get(&owner(*value)).ok_or(UNKNOWN)?.clone();
            match value {
                TensorRef::Quantized(name) => {
                    let (bytes, layout) = (fusion.bytes[name], layouts[name]);
                    let zero_point = bytes.quantization.zero_point;
                    tensors.insert(*name, (bytes, Tensor { place, layout, zero_point }));
                }
                TensorRef::Float(name) => {
                    values.insert((*name).to_owned(), Real::Arena(place));
                }
            }
        }
        let mut placement = Self {
            tensors,
            values,
            inputs: Vec::new(),
            outputs: Vec::new(),
            bytes: byte_total,
            reals: real_total,
        };
        placement.place_inputs(graph, fusion, region)?;
        for name in &region.outputs {
            let place = place.get(&owner(TensorRef::Float(name))).ok_or(UNKNOWN)?.clone();
            placement.outputs.push((place, graph.shape(name).ok_or(UNKNOWN)?.to_vec()));
        }
        placement.place_exports(fusion, region)?;
        Ok(placement)
    }

    fn place_inputs(
        &mut self,
        graph: &GraphView<'a>,
        fusion: &Fusion<'a>,
        region: &Region<'a>,
    ) -> Result<(), Fault> {
        for name in &region.inputs {
            self.values.insert((*name).to_owned(), Real::Input(self.inputs.len()));
            self.inputs.push(length(graph, name)?);
        }
        for name in &region.imports {
            self.values.insert(exported_tensor_name(name), Real::Input(self.inputs.len()));
            self.inputs.push(fusion.bytes.get(name).ok_or(UNKNOWN)?.shape.iter().product());
        }
        Ok(())
    }

    /// Bytes that a later region reads get a place as floats behind everything else.
    fn place_exports(&mut self, fusion: &Fusion<'a>, region: &Region<'a>) -> Result<(), Fault> {
        for name in &region.exports {
            let [channels, height, width] = fusion.bytes.get(name).ok_or(UNKNOWN)?.shape;
            let place = self.reals..self.reals + channels * height * width;
            self.reals = place.end;
            self.values.insert(exported_tensor_name(name), Real::Arena(place.clone()));
            self.outputs.push((place, vec![1, channels, height, width]));
        }
        Ok(())
    }

    pub(crate) fn tensor(&self, name: &str) -> Result<(Bytes, Tensor), Fault> {
        self.tensors.get(name).cloned().ok_or(UNKNOWN)
    }

    pub(crate) fn real(&self, name: &str) -> Result<Real, Fault> {
        self.values.get(name).cloned().ok_or(UNKNOWN)
    }

    pub(crate) fn place(&self, name: &str) -> Result<Range<usize>, Fault> {
        match self.real(name)? {
            Real::Arena(place) => Ok(place),
            Real::Input(_) => Err(UNKNOWN),
        }
    }
}

fn length(graph: &GraphView<'_>, name: &str) -> Result<usize, Fault> {
    graph.shape(name).map(|shape| shape.iter().product::<usize>()).ok_or(UNKNOWN)
}

fn lives<'a>(region: &Region<'a>, groups: &[&Group<'a>]) -> Lives<'a> {
    let mut lives: Lives<'a> = HashMap::new();
    lives.extend(region.imports.iter().map(|name| (TensorRef::Quantized(name), (0, 0))));
    for (index, group) in groups.iter().enumerate() {
        let step = index + 1;
        lives.insert(group.output, (step, step));
        for input in &group.inputs {
            if let Some(life) = lives.get_mut(input) {
                life.1 = step;
            }
        }
    }
    // Exports and outputs live to the end.
    let kept = region.outputs.iter().map(|name| TensorRef::Float(name));
    for value in kept.chain(region.exports.iter().map(|name| TensorRef::Quantized(name))) {
        if let Some(life) = lives.get_mut(&value) {
            life.1 = groups.len() + 1;
        }
    }
    lives
}

/// A function of one value may write over its input if nothing else reads that; the place then lives as long as both.
fn owners<'a>(fusion: &Fusion<'a>, groups: &[&Group<'a>], lives: &mut Lives<'a>) -> Owners<'a> {
    let end = groups.len() + 1;
    let readers = |value: TensorRef<'_>| {
        groups.iter().flat_map(|group| &group.inputs).filter(|input| **input == value).count()
    };
    let mut owners: Owners<'a> = HashMap::new();
    for group in groups {
        let ([input], Kind::Table(_) | Kind::Sigmoid) = (group.inputs.as_slice(), &group.kind) else {
            continue;
        };
        let alone = readers(*input) == 1 && lives.get(input).is_some_and(|life| life.1 < end);
        let blocked = match input {
            TensorRef::Quantized(name) => !is_image(fusion, groups, name),
            TensorRef::Float(_) => true,
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
    owners
}

/// The layout of every tensor of bytes, with a halo as wide as its convolutions need.
fn layouts<'a>(
    fusion: &Fusion<'a>,
    groups: &[&Group<'a>],
    lives: &Lives<'a>,
    owners: &Owners<'a>,
) -> Result<HashMap<&'a str, Layout>, Fault> {
    let owner = |value: TensorRef<'a>| owners.get(&value).copied().unwrap_or(value);
    let mut halos: HashMap<TensorRef<'_>, Halo> = HashMap::new();
    for group in groups {
        if let (Kind::Convolve(conv), Some(input)) = (&group.kind, group.inputs.first()) {
            let halo = halos.entry(owner(*input)).or_default();
            *halo = halo.union(conv.shape.padding);
        }
    }
    let mut layouts = HashMap::new();
    for value in lives.keys() {
        let TensorRef::Quantized(name) = *value else { continue };
        let bytes = fusion.bytes.get(name).ok_or(UNKNOWN)?;
        let halo = halos.get(&owner(*value)).copied().unwrap_or_default();
        let [channels, height, width] = bytes.shape;
        let layout = if is_image(fusion, groups, name) { Layout::image } else { Layout::new };
        layouts.insert(name, layout(channels, height, width, halo)?);
    }
    Ok(layouts)
}

type Places<'a> = HashMap<TensorRef<'a>, Range<usize>>;

/// A place for every value that has one of its own, and how many bytes and floats there are in all.
fn places<'a>(
    graph: &GraphView<'a>,
    lives: &Lives<'a>,
    owners: &Owners<'a>,
    layouts: &HashMap<&'a str, Layout>,
) -> Result<(Places<'a>, usize, usize), Fault> {
    // In a fixed order, so that every load plans the same memory.
    let mut owned: Vec<TensorRef<'_>> =
        lives.keys().copied().filter(|value| owners.get(value).is_none_or(|owner| owner == value)).collect();
    owned.sort_by_key(|value| match value {
        TensorRef::Quantized(name) => (lives[value].0, 0, *name),
        TensorRef::Float(name) => (lives[value].0, 1, *name),
    });
    let (mut bytes, mut reals) = (Vec::new(), Vec::new());
    for value in owned {
        let (from, to) = lives[&value];
        match value {
            TensorRef::Quantized(name) => {
                bytes.push((value, Need { length: layouts[name].len(), from, to }));
            }
            TensorRef::Float(name) => reals.push((value, Need { length: length(graph, name)?, from, to })),
        }
    }
    let needs = |list: &[(TensorRef<'_>, Need)]| list.iter().map(|(_, need)| *need).collect::<Vec<_>>();
    let (byte_places, byte_total) = plan(&needs(&bytes));
    let (real_places, real_total) = plan(&needs(&reals));
    let values = bytes.iter().chain(&reals).map(|(value, _)| *value);
    let places = values.zip(byte_places.into_iter().chain(real_places)).collect();
    Ok((places, byte_total, real_total))
}

/// Whether a tensor goes from a quantization straight into convolutions: then its few channels need no padding to 16.
fn is_image(fusion: &Fusion<'_>, groups: &[&Group<'_>], name: &str) -> bool {
    let value = TensorRef::Quantized(name);
    let few = fusion.bytes.get(name).is_some_and(|bytes| bytes.shape[0] <= 4);
    let made = groups.iter().find(|group| group.output == value);
    let quantized = made.is_none_or(|group| matches!(group.kind, Kind::Quantize | Kind::Compose));
    let mut readers = groups.iter().filter(|group| group.inputs.contains(&value));
    few && quantized && readers.all(|group| matches!(&group.kind, Kind::Convolve(conv) if !conv.depthwise))
}
