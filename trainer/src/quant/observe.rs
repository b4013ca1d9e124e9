//! Ranges and channel means of the values inside a float graph, measured with the runtime's engine.

use std::collections::{BTreeMap, BTreeSet};

use comet_edge::engine::proto::{ModelProto, NodeProto};
use comet_edge::engine::{LEFT_OUT, Probe};

use super::QuantError;
use super::range::{Histogram, Method, QuantRange};
use super::scheme::Scheme;
use crate::export::{Graph, attribute};

const BINS: usize = 2048;

/// What calibration found.
#[derive(Clone, Debug, Default)]
pub struct Observations {
    /// Range of each quantized value.
    pub ranges: BTreeMap<String, QuantRange>,
    /// Mean of each channel of the inputs of convolutions and of the last layer.
    pub channel_means: BTreeMap<String, Vec<f64>>,
}

/// Minimum and maximum so far.
#[derive(Clone, Copy)]
struct Extent(f32, f32);

/// Runs `graph`, packed as the float file `model`, on normalised calibration pictures.
pub fn observe(
    graph: &Graph,
    model: &ModelProto,
    size: (usize, usize),
    scheme: &Scheme,
    pictures: &[Vec<f32>],
    method: Method,
) -> Result<Observations, QuantError> {
    if pictures.is_empty() {
        return Err(QuantError::NoPictures);
    }
    // The input is no value inside; it is measured directly.
    let inside: Vec<String> = scheme.values.iter().filter(|name| **name != graph.input).cloned().collect();
    let input = [1, 3, size.0, size.1];
    let probe = Probe::new(model, input, &inside).map_err(QuantError::Engine)?;
    let detector = WholePictures::new(graph, model, input, &inside)?;
    let names: Vec<&String> = inside.iter().chain([&graph.input]).collect();
    let mut extents = vec![Extent(f32::INFINITY, f32::NEG_INFINITY); names.len()];
    let channels = channels_of_inputs(graph);
    // For each value how many pictures were added, and the sums of its channels' means.
    let mut sums: BTreeMap<String, (usize, Vec<f64>)> = BTreeMap::new();
    let each = |visit: &mut dyn FnMut(usize, &str, &[f32])| -> Result<(), QuantError> {
        for picture in pictures {
            let values = probe.run(picture).map_err(QuantError::Engine)?;
            let all = values.iter().map(Vec::as_slice).chain([picture.as_slice()]);
            for (index, (values, name)) in all.zip(&names).enumerate() {
                visit(index, name, values);
            }
            if let Some(detector) = &detector {
                let values = detector.probe.run(picture).map_err(QuantError::Engine)?;
                for (values, (index, name)) in values.iter().zip(&detector.places) {
                    visit(*index, name, values);
                }
            }
        }
        Ok(())
    };
    each(&mut |index, name, values| {
        if let Some(extent) = extents.get_mut(index) {
            for &value in values {
                // NaN must not vanish in a comparison.
                extent.0 = if value < extent.0 || value.is_nan() { value } else { extent.0 };
                extent.1 = if value > extent.1 { value } else { extent.1 };
            }
        }
        if let Some(&count) = channels.get(name) {
            let (seen, sums) = sums.entry(name.to_owned()).or_insert_with(|| (0, vec![0.0; count]));
            *seen += 1;
            add_channel_sums(sums, values);
        }
    })?;
    for (extent, name) in extents.iter().zip(&names) {
        if !extent.0.is_finite() || !extent.1.is_finite() {
            return Err(QuantError::NotFinite((*name).clone()));
        }
    }
    let mut histograms: Vec<Histogram> =
        extents.iter().map(|extent| Histogram::new(extent.0, extent.1.max(extent.0 + 1e-6), BINS)).collect();
    if method != Method::MinMax {
        each(&mut |index, _, values| {
            if let Some(histogram) = histograms.get_mut(index) {
                histogram.add(values);
            }
        })?;
    }
    let mut ranges: BTreeMap<String, QuantRange> = names
        .iter()
        .zip(&histograms)
        .map(|(name, histogram)| ((*name).clone(), histogram.range(method)))
        .collect();
    for name in &scheme.unit {
        ranges.insert(name.clone(), QuantRange::covering(0.0, 1.0));
    }
    share_ranges(scheme, &mut ranges);
    let mean = |(name, (seen, sums)): (String, (usize, Vec<f64>))| {
        (name, sums.into_iter().map(|sum| sum / seen.max(1) as f64).collect::<Vec<f64>>())
    };
    Ok(Observations { ranges, channel_means: sums.into_iter().map(mean).collect() })
}

/// The detector alone, to be run on whole pictures: it is asked about them as well as about what a map leaves out, and
/// its ranges must hold both.
struct WholePictures {
    probe: Probe,
    /// Index and name of each value that it gives.
    places: Vec<(usize, String)>,
}

impl WholePictures {
    /// `None` if none of the values `inside` the graph is the detector's.
    fn new(
        graph: &Graph,
        model: &ModelProto,
        input: [usize; 4],
        inside: &[String],
    ) -> Result<Option<Self>, QuantError> {
        let mut made: BTreeSet<&str> = BTreeSet::new();
        for node in &graph.nodes {
            if node.input.iter().any(|input| input == LEFT_OUT || made.contains(input.as_str())) {
                made.extend(node.output.iter().map(String::as_str));
            }
        }
        let numbered = inside.iter().cloned().enumerate();
        let places: Vec<_> = numbered.filter(|(_, name)| made.contains(name.as_str())).collect();
        if places.is_empty() {
            return Ok(None);
        }
        let names: Vec<String> = places.iter().map(|(_, name)| name.clone()).collect();
        let probe = Probe::behind(model, LEFT_OUT, input, &names).map_err(QuantError::Engine)?;
        Ok(Some(Self { probe, places }))
    }
}

/// A value that only passes numbers on has the range of its source. Sources come before their readers.
fn share_ranges(scheme: &Scheme, ranges: &mut BTreeMap<String, QuantRange>) {
    for value in &scheme.values {
        if let Some(range) = scheme.same_as.get(value).and_then(|source| ranges.get(source)).copied() {
            ranges.insert(value.clone(), range);
        }
    }
}

/// Channels of the values that convolutions and the last layer read.
fn channels_of_inputs(graph: &Graph) -> BTreeMap<String, usize> {
    let channels = |node: &NodeProto| {
        let weight = graph.floats(node.input.get(1)?)?;
        let group = attribute::int_of(node, "group").unwrap_or(1).max(1) as usize;
        Some((node.input.first()?.clone(), weight.dims.get(1)? * group))
    };
    let layers = graph.nodes.iter().filter(|node| ["Conv", "Gemm"].contains(&node.op_type.as_str()));
    layers.filter_map(channels).collect()
}

/// Adds each channel's mean over the picture.
fn add_channel_sums(sums: &mut [f64], values: &[f32]) {
    let pixels = values.len() / sums.len().max(1);
    for (sum, channel) in sums.iter_mut().zip(values.chunks(pixels.max(1))) {
        *sum += channel.iter().map(|&value| f64::from(value)).sum::<f64>() / pixels.max(1) as f64;
    }
}
