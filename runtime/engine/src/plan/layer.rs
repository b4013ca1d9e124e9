//! Convolutions and fully connected layers as integer kernels need them: symmetric weights, one scale an output channel,
//! an integer bias.

use comet_kernels::{ConvShape, Halo, Quantization};

use comet_onnx::attribute::{float_of, int_of};
use comet_onnx::{Windows, windows};

use super::finder::Finder;
use super::pattern::{Clamp, Convolution};
use comet_onnx::proto::{NodeProto, TensorProto};

impl<'a> Finder<'_, 'a> {
    pub(crate) fn convolution(
        &self,
        node: &'a NodeProto,
        clamp: Clamp,
    ) -> Option<(Convolution<'a>, &'a str)> {
        let source = self.behind(node.input.first()?)?;
        let input = self.bytes.get(source)?;
        let [channels, height, width] = input.shape;
        let (_, weight) =
            self.graph.maker(node.input.get(1)?).filter(|(_, n)| n.op_type == "DequantizeLinear")?;
        let weights = self.graph.constant(weight.input.first()?)?;
        let dims: Option<Vec<usize>> = weights.dims.iter().map(|side| usize::try_from(*side).ok()).collect();
        let gemm = node.op_type == "Gemm";
        let transposed = gemm && int_of(node, "transB").unwrap_or(0) == 0;
        let (outputs, each, shape, depthwise) = if gemm {
            let one = |name| float_of(node, name).is_none_or(|value| value == 1.0);
            let [a, b] = <[usize; 2]>::try_from(dims?).ok()?;
            let (outputs, inputs) = if transposed { (b, a) } else { (a, b) };
            let pixel = int_of(node, "transA").unwrap_or(0) == 0 && [height, width] == [1, 1];
            if !one("alpha") || !one("beta") || !pixel || inputs != channels {
                return None;
            }
            (outputs, inputs, point(outputs), false)
        } else {
            let [outputs, inputs, rows, columns] = <[usize; 4]>::try_from(dims?).ok()?;
            let windows =
                windows(node, Some([rows, columns])).filter(|windows| windows.kernel == [rows, columns])?;
            let group = int_of(node, "group").unwrap_or(1);
            let depthwise = group > 1;
            let fits = if depthwise {
                usize::try_from(group) == Ok(channels) && outputs == channels && inputs == 1
            } else {
                group == 1 && inputs == channels
            };
            if !fits {
                return None;
            }
            (outputs, inputs * rows * columns, shape_of(&windows, outputs), depthwise)
        };
        let scales = self.weight_scales(weight, weights, outputs, if transposed { 1 } else { 0 })?;
        let units: Vec<f64> =
            scales.iter().map(|scale| f64::from(*scale) * f64::from(input.quantization.scale)).collect();
        let bias = self.bias(node.input.get(2).map(String::as_str).unwrap_or_default(), &units)?;
        let [rows, columns] = shape.output(height, width)?;
        let multiplications = (outputs * each) as u64 * (rows * columns) as u64;
        let convolution =
            Convolution { shape, depthwise, weights, transposed, scales, bias, clamp, multiplications };
        Some((convolution, source))
    }

    /// One scale an output channel, if the weights are symmetric.
    fn weight_scales(
        &self,
        node: &NodeProto,
        weights: &TensorProto,
        outputs: usize,
        axis: i64,
    ) -> Option<Vec<f32>> {
        let zero = match weights.data_type {
            3 => 0,
            2 => 128,
            _ => return None,
        };
        let zero_points = match node.input.get(2).filter(|name| !name.is_empty()) {
            None => vec![0],
            Some(name) => self.graph.integers(name)?,
        };
        let mut scales = self.graph.floats(node.input.get(1)?)?;
        if scales.len() == 1 {
            scales = vec![scales[0]; outputs];
        } else if scales.len() != outputs || !is_axis(int_of(node, "axis").unwrap_or(1), axis, weights) {
            return None;
        }
        let good = |scale: &f32| Quantization::new(*scale, 0).is_ok();
        let symmetric = zero_points.iter().all(|point| *point == zero);
        (symmetric && scales.iter().all(good)).then_some(scales)
    }

    /// The bias in units of the sums; zeros for a layer without bias.
    fn bias(&self, value: &str, units: &[f64]) -> Option<Vec<i32>> {
        if value.is_empty() {
            return Some(vec![0; units.len()]);
        }
        let reals: Vec<f64> = if let Some(floats) = self.graph.floats(value) {
            floats.into_iter().map(f64::from).collect()
        } else {
            let (_, node) = self.graph.maker(value).filter(|(_, node)| node.op_type == "DequantizeLinear")?;
            let integers = self.graph.integers(node.input.first()?)?;
            let scales = self.graph.floats(node.input.get(1)?)?;
            let zeros = match node.input.get(2).filter(|name| !name.is_empty()) {
                None => true,
                Some(name) => self.graph.integers(name)?.iter().all(|point| *point == 0),
            };
            if !zeros || (scales.len() != 1 && scales.len() != integers.len()) {
                return None;
            }
            let scale =
                |index: usize| f64::from(scales.get(index).or(scales.first()).copied().unwrap_or(f32::NAN));
            integers.into_iter().enumerate().map(|(index, value)| value as f64 * scale(index)).collect()
        };
        if reals.len() != units.len() {
            return None;
        }
        let whole = |(real, unit): (f64, &f64)| {
            let steps = (real / unit).round_ties_even();
            (steps.abs() < f64::from(i32::MAX)).then_some(steps as i32)
        };
        reals.into_iter().zip(units).map(whole).collect()
    }
}

/// Whether `found`, which may count from behind, is `axis`.
fn is_axis(found: i64, axis: i64, weights: &TensorProto) -> bool {
    found == axis || found + weights.dims.len() as i64 == axis
}

fn point(channels: usize) -> ConvShape {
    ConvShape { channels, kernel: [1; 2], stride: [1; 2], dilation: [1; 2], padding: Halo::default() }
}

/// Windows with a number of output channels.
pub(crate) fn shape_of(windows: &Windows, channels: usize) -> ConvShape {
    let [top, left, bottom, right] = windows.padding;
    let Windows { kernel, stride, dilation, .. } = *windows;
    ConvShape { channels, kernel, stride, dilation, padding: Halo { top, left, bottom, right } }
}
