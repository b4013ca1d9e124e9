//! Ranges and channel means of the values inside a float graph, measured with the runtime's engine.

use std::collections::{BTreeMap, BTreeSet};

use comet_engine::model::LEFT_OUT;
use comet_engine::run::Probe;
use comet_onnx::proto::{ModelProto, NodeProto};
use comet_onnx::{GraphEditor, attribute};

use super::error::QuantError;
use super::range::{Histogram, Method, QuantRange};
use super::scheme::Scheme;

/// The mean of each channel of some values, by the value's name.
type ChannelMeans = BTreeMap<String, Vec<f64>>;

const BINS: usize = 2048;

/// What calibration found.
#[derive(Clone, Debug, Default)]
pub struct Observations {
    /// Range of each quantized value.
    pub ranges: BTreeMap<String, QuantRange>,
    /// Mean of each channel of the inputs of convolutions and of the last layer.
    pub channel_means: BTreeMap<String, Vec<f64>>,
}

/// Runs `graph`, packed as the float file `model`, on normalised calibration images.
pub fn observe(
    graph: &GraphEditor,
    model: &ModelProto,
    size: (usize, usize),
    scheme: &Scheme,
    images: &[Vec<f32>],
    method: Method,
) -> Result<Observations, QuantError> {
    if images.is_empty() {
        return Err(QuantError::NoImages);
    }
    // The input is not a value inside; it is measured directly.
    let inside: Vec<String> = scheme.values.iter().filter(|name| **name != graph.input).cloned().collect();
    let input = [1, 3, size.0, size.1];
    let calibration = Calibration {
        images,
        probe: Probe::new(model, input, &inside)?,
        detector: WholeImages::new(graph, model, input, &inside)?,
        names: inside.into_iter().chain([graph.input.clone()]).collect(),
    };
    let (extents, channel_means) = calibration.extents_and_means(&channels_of_inputs(graph))?;
    let histograms = calibration.histograms(&extents, method)?;
    let found = calibration.names.iter().zip(&histograms);
    let mut ranges: BTreeMap<String, QuantRange> =
        found.map(|(name, histogram)| (name.clone(), histogram.range(method))).collect();
    for name in &scheme.unit {
        ranges.insert(name.clone(), QuantRange::covering(0.0, 1.0));
    }
    share_ranges(scheme, &mut ranges);
    Ok(Observations { ranges, channel_means })
}

/// Minimum and maximum so far.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Extent {
    low: f32,
    high: f32,
}

impl Extent {
    const EMPTY: Self = Self { low: f32::INFINITY, high: f32::NEG_INFINITY };

    fn add(&mut self, values: &[f32]) {
        for &value in values {
            // NaN must not vanish in a comparison.
            self.low = if value < self.low || value.is_nan() { value } else { self.low };
            self.high = if value > self.high { value } else { self.high };
        }
    }

    fn is_finite(self) -> bool {
        self.low.is_finite() && self.high.is_finite()
    }
}

/// How many images were added, and the sums of the means of each channel.
struct ChannelSums {
    seen: usize,
    sums: Vec<f64>,
}

impl ChannelSums {
    /// Adds each channel's mean over an image.
    fn add(&mut self, values: &[f32]) {
        self.seen += 1;
        let pixels = (values.len() / self.sums.len().max(1)).max(1);
        for (sum, channel) in self.sums.iter_mut().zip(values.chunks(pixels)) {
            *sum += channel.iter().map(|&value| f64::from(value)).sum::<f64>() / pixels as f64;
        }
    }

    fn means(self) -> Vec<f64> {
        let seen = self.seen.max(1) as f64;
        self.sums.into_iter().map(|sum| sum / seen).collect()
    }
}

/// The values of a graph on the calibration images.
struct Calibration<'a> {
    images: &'a [Vec<f32>],
    probe: Probe,
    detector: Option<WholeImages>,
    /// Names of the values, in the probe's order; the input is the last one.
    names: Vec<String>,
}

impl Calibration<'_> {
    /// Gives `visit` the index, the name and the numbers of every value, for one image after the other.
    fn for_each(&self, visit: &mut dyn FnMut(usize, &str, &[f32])) -> Result<(), QuantError> {
        for image in self.images {
            let values = self.probe.run(image)?;
            let all = values.iter().map(Vec::as_slice).chain([image.as_slice()]);
            for (index, (values, name)) in all.zip(&self.names).enumerate() {
                visit(index, name, values);
            }
            if let Some(detector) = &self.detector {
                let values = detector.probe.run(image)?;
                for (values, (index, name)) in values.iter().zip(&detector.places) {
                    visit(*index, name, values);
                }
            }
        }
        Ok(())
    }

    /// The extent of each value, and the channel means of those in `channels`.
    fn extents_and_means(
        &self,
        channels: &BTreeMap<String, usize>,
    ) -> Result<(Vec<Extent>, ChannelMeans), QuantError> {
        let mut extents = vec![Extent::EMPTY; self.names.len()];
        let mut sums: BTreeMap<String, ChannelSums> = BTreeMap::new();
        self.for_each(&mut |index, name, values| {
            if let Some(extent) = extents.get_mut(index) {
                extent.add(values);
            }
            if let Some(&count) = channels.get(name) {
                let empty = || ChannelSums { seen: 0, sums: vec![0.0; count] };
                sums.entry(name.to_owned()).or_insert_with(empty).add(values);
            }
        })?;
        let odd = extents.iter().zip(&self.names).find(|(extent, _)| !extent.is_finite());
        if let Some(name) = odd.map(|(_, name)| name.clone()) {
            return Err(QuantError::NotFinite(name));
        }
        let means = sums.into_iter().map(|(name, sums)| (name, sums.means())).collect();
        Ok((extents, means))
    }

    /// The histogram of each value; empty, with the value's extent, if `method` needs no more than that.
    fn histograms(&self, extents: &[Extent], method: Method) -> Result<Vec<Histogram>, QuantError> {
        let empty = |extent: &Extent| Histogram::new(extent.low, extent.high.max(extent.low + 1e-6), BINS);
        let mut histograms: Vec<Histogram> = extents.iter().map(empty).collect();
        if method != Method::MinMax {
            self.for_each(&mut |index, _, values| {
                if let Some(histogram) = histograms.get_mut(index) {
                    histogram.add(values);
                }
            })?;
        }
        Ok(histograms)
    }
}

/// The detector alone, to be run on whole images: it is given them as well as what a map leaves out, and its ranges
/// must hold both.
struct WholeImages {
    probe: Probe,
    /// Index and name of each value that it gives.
    places: Vec<(usize, String)>,
}

impl WholeImages {
    /// `None` if none of the values `inside` the graph is the detector's.
    fn new(
        graph: &GraphEditor,
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
        let probe = Probe::behind(model, LEFT_OUT, input, &names)?;
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
fn channels_of_inputs(graph: &GraphEditor) -> BTreeMap<String, usize> {
    let channels = |node: &NodeProto| {
        let weight = graph.floats(node.input.get(1)?)?;
        let group = attribute::int_of(node, "group").unwrap_or(1).max(1) as usize;
        Some((node.input.first()?.clone(), weight.dims.get(1)? * group))
    };
    let layers = graph.nodes.iter().filter(|node| ["Conv", "Gemm"].contains(&node.op_type.as_str()));
    layers.filter_map(channels).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use comet_onnx::{TensorValues, node};

    #[test]
    fn an_extent_holds_the_smallest_and_the_largest_value() {
        let mut extent = Extent::EMPTY;
        assert!(!extent.is_finite(), "nothing was added");
        extent.add(&[0.5]);
        assert_eq!(extent, Extent { low: 0.5, high: 0.5 });
        extent.add(&[-1.0, 0.0, 2.0, 1.0]);
        assert_eq!(extent, Extent { low: -1.0, high: 2.0 });
        assert!(extent.is_finite());
    }

    #[test]
    fn one_value_that_is_not_finite_makes_the_extent_not_finite() {
        for odd in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for values in [[odd, 1.0, 2.0], [1.0, odd, 2.0], [1.0, 2.0, odd]] {
                let mut extent = Extent::EMPTY;
                extent.add(&values[..2]);
                extent.add(&values[2..]);
                assert!(!extent.is_finite(), "{values:?}: {extent:?}");
            }
        }
    }

    #[test]
    fn channel_means_are_over_pixels_and_images() {
        let mut sums = ChannelSums { seen: 0, sums: vec![0.0; 2] };
        sums.add(&[1.0, 3.0, 10.0, 30.0]);
        sums.add(&[4.0, 8.0, 0.0, 0.0]);
        assert_eq!(sums.means(), [4.0, 10.0]);
        assert_eq!(ChannelSums { seen: 0, sums: vec![0.0] }.means(), [0.0]);
    }

    #[test]
    fn channels_are_counted_over_all_groups() {
        let mut graph = GraphEditor::default();
        for (name, dims) in
            [("a.weight", vec![8usize, 4, 3, 3]), ("b.weight", vec![6, 1, 3, 3]), ("c.weight", vec![2, 6])]
        {
            let values = vec![0.0; dims.iter().product()];
            graph.set_floats(name, &TensorValues { dims, values });
        }
        graph.nodes = vec![
            node("Conv", &["image", "a.weight"], "x", vec![]),
            node("Conv", &["x", "b.weight"], "y", vec![attribute::int("group", 6)]),
            node("Relu", &["y"], "z", vec![]),
            node("Gemm", &["z", "c.weight"], "logits", vec![]),
        ];
        let expected = [("image", 4), ("x", 6), ("z", 6)].map(|(name, count)| (name.to_owned(), count));
        assert_eq!(channels_of_inputs(&graph), BTreeMap::from(expected));
    }

    #[test]
    fn a_value_that_passes_numbers_on_has_its_sources_range() {
        let scheme = Scheme {
            values: ["a", "b", "c"].map(str::to_owned).into(),
            same_as: [("b", "a"), ("c", "b")]
                .map(|(value, source)| (value.to_owned(), source.to_owned()))
                .into(),
            ..Scheme::default()
        };
        let range = |high: f32| QuantRange::covering(0.0, high);
        let mut ranges: BTreeMap<String, QuantRange> =
            [("a", 1.0), ("b", 2.0), ("c", 3.0)].map(|(name, high)| (name.to_owned(), range(high))).into();
        share_ranges(&scheme, &mut ranges);
        assert!(ranges.values().all(|found| *found == range(1.0)), "{ranges:?}");
    }
}
