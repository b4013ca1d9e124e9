//! The file's cases: their inputs, and what PyTorch found.
//!
//! The file holds no inputs: both sides draw them from names, see its `formula`. PyTorch's tensors are
//! `[batch, channels, height, width]`; the layers' are channels last.

use comet_training_kernels::Shape;
use serde_json::Value;

use crate::random::SplitMix64;

/// Largest error of a value, as a share of its tensor's root mean square.
///
/// PyTorch's own float32 run is off by up to 2e-6 (`float32_deviation` in the file), sums of 800 values one after the
/// other by up to 1e-5.
const SHARE: f64 = 2e-5;

pub(crate) fn golden() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/layers.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

pub(crate) fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

/// `[batch, channels, height, width]` to `[batch, height, width, channels]`.
fn channels_last(values: &[f32], shape: Shape) -> Vec<f32> {
    let (plane, channels) = (shape.height * shape.width, shape.channels);
    let from = |to: usize| {
        let (position, channel) = (to / channels, to % channels);
        (position / plane * channels + channel) * plane + position % plane
    };
    (0..values.len()).map(|to| values[from(to)]).collect()
}

/// The inverse of [`channels_last`].
pub(crate) fn channels_first(values: &[f32], shape: Shape) -> Vec<f32> {
    let (plane, channels) = (shape.height * shape.width, shape.channels);
    let from = |to: usize| {
        let (image, channel, at) = (to / plane / channels, to / plane % channels, to % plane);
        (image * plane + at) * channels + channel
    };
    (0..values.len()).map(|to| values[from(to)]).collect()
}

/// A layer with its inputs.
pub(crate) struct Case(Value);

impl Case {
    pub(crate) fn all(kind: &str) -> Vec<Self> {
        golden()[kind].as_array().unwrap().iter().cloned().map(Self).collect()
    }

    pub(crate) fn text(&self, key: &str) -> &str {
        self.0[key].as_str().unwrap()
    }

    pub(crate) fn flag(&self, key: &str) -> bool {
        self.0[key].as_bool().unwrap()
    }

    pub(crate) fn number(&self, key: &str) -> f64 {
        self.0[key].as_f64().unwrap()
    }

    pub(crate) fn size(&self, key: &str) -> usize {
        self.0[key].as_u64().unwrap() as usize
    }

    pub(crate) fn sizes<const N: usize>(&self, key: &str) -> [usize; N] {
        let sizes: Vec<usize> = numbers(&self.0[key]).into_iter().map(|size| size as usize).collect();
        sizes.try_into().unwrap()
    }

    pub(crate) fn input(&self) -> Shape {
        let [batch, channels, height, width] = self.sizes("input");
        Shape { batch, height, width, channels }
    }

    /// The input that is called `what`.
    pub(crate) fn draw(&self, what: &str, count: usize, value: impl Fn(f64) -> f64) -> Vec<f32> {
        let mut random = SplitMix64::named(&format!("{}/{what}", self.text("key")));
        (0..count).map(|_| value(random.uniform()) as f32).collect()
    }

    /// The same, channels last.
    pub(crate) fn draw_images(&self, what: &str, shape: Shape, value: impl Fn(f64) -> f64) -> Vec<f32> {
        channels_last(&self.draw(what, shape.len(), value), shape)
    }

    /// Compares with all tensors of the case.
    pub(crate) fn compare(&self, found: &[(&str, Vec<f32>)]) {
        let expected = self.0["tensors"].as_object().unwrap();
        assert_eq!(found.len(), expected.len(), "{}", self.text("key"));
        for (name, values) in found {
            self.compare_tensor(name, values, &expected[*name]);
        }
    }

    fn compare_tensor(&self, name: &str, found: &[f32], expected: &Value) {
        let what = format!("{}/{name}", self.text("key"));
        let count = found.len();
        assert_eq!(count, numbers(&expected["shape"]).into_iter().product::<f64>() as usize, "{what}");
        let norm = expected["norm"].as_f64().unwrap();
        let scale = norm / (count as f64).sqrt();
        let near = |part: &str, found: f64, expected: f64, scale: f64| {
            let limit = SHARE * scale;
            assert!(
                (found - expected).abs() <= limit,
                "{what}, {part}: {found} is not {expected} ({limit:e})"
            );
        };
        match expected.get("all") {
            Some(all) => {
                for (index, (found, expected)) in found.iter().zip(numbers(all)).enumerate() {
                    near(&format!("value {index}"), f64::from(*found), expected, scale);
                }
            }
            None => {
                for (index, expected) in numbers(&expected["at_eighths"]).into_iter().enumerate() {
                    let at = index * count / 8;
                    near(&format!("value {at}"), f64::from(found[at]), expected, scale);
                }
            }
        }
        near("norm", found.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt(), norm, norm);
        for (index, expected) in numbers(&expected["dots"]).into_iter().enumerate() {
            let mut random = SplitMix64::named(&format!("{what}/{index}"));
            let dot: f64 = found.iter().map(|value| f64::from(*value) * random.uniform()).sum();
            near(&format!("dot product {index}"), dot, expected, norm);
        }
    }
}
