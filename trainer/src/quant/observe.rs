//! Ranges and channel means of the values inside a float graph, measured with the runtime's engine.

use std::collections::BTreeMap;

use comet_edge::engine::Probe;
use comet_edge::engine::proto::{ModelProto, NodeProto};

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
    let names: Vec<&String> = inside.iter().chain([&graph.input]).collect();
    let mut extents = vec![Extent(f32::INFINITY, f32::NEG_INFINITY); names.len()];
    let channels = channels_of_inputs(graph);
    let mut sums: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    let each = |visit: &mut dyn FnMut(usize, &str, &[f32])| -> Result<(), QuantError> {
        for picture in pictures {
            let values = probe.run(picture).map_err(QuantError::Engine)?;
            let all = values.iter().map(Vec::as_slice).chain([picture.as_slice()]);
            for (index, (values, name)) in all.zip(&names).enumerate() {
                visit(index, name, values);
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
            add_channel_sums(sums.entry(name.to_owned()).or_insert_with(|| vec![0.0; count]), values);
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
    let n = pictures.len() as f64;
    for mean in sums.values_mut().flatten() {
        *mean /= n;
    }
    Ok(Observations { ranges, channel_means: sums })
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
