//! The operators as the ONNX specification writes them, one output value at a time, padding spelled out.
//!
//! Tensors are `[height, width, channels]` without halo.

use comet_kernels::{ConvShape, Quantization, Target};

/// A tensor of bytes.
#[derive(Clone, Copy)]
pub(crate) struct Tensor<'a> {
    pub(crate) values: &'a [u8],
    pub(crate) channels: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
}

impl Tensor<'_> {
    /// `None` outside: the padding.
    fn at(&self, [y, x]: [i64; 2], channel: usize) -> Option<u8> {
        let (y, x) = (usize::try_from(y).ok()?, usize::try_from(x).ok()?);
        let inside = y < self.height && x < self.width;
        inside.then(|| self.values[(y * self.width + x) * self.channels + channel])
    }
}

/// Height and width that `Conv` and `MaxPool` give, if a window fits.
pub(crate) fn output_size(shape: ConvShape, height: usize, width: usize) -> Option<[usize; 2]> {
    let side = |axis: usize, padded: usize| {
        let window = (shape.kernel[axis] - 1) * shape.dilation[axis] + 1;
        (padded >= window).then(|| (padded - window) / shape.stride[axis] + 1)
    };
    let padding = shape.padding;
    Some([side(0, padding.top + height + padding.bottom)?, side(1, padding.left + width + padding.right)?])
}

/// Every pixel of the output.
fn pixels(shape: ConvShape, input: Tensor<'_>) -> Vec<[usize; 2]> {
    let [height, width] = output_size(shape, input.height, input.width).unwrap();
    (0..height).flat_map(|y| (0..width).map(move |x| [y, x])).collect()
}

/// Where the taps of one window lie in the input or in its padding, in the order of the weights.
fn window(shape: ConvShape, [y, x]: [usize; 2]) -> impl Iterator<Item = [i64; 2]> {
    let ConvShape { kernel, stride, dilation, padding, .. } = shape;
    (0..kernel[0]).flat_map(move |row| {
        (0..kernel[1]).map(move |column| {
            [
                (y * stride[0] + row * dilation[0]) as i64 - padding.top as i64,
                (x * stride[1] + column * dilation[1]) as i64 - padding.left as i64,
            ]
        })
    })
}

/// Sums of `Conv` with this many groups: `bias + sum((x - zero_point) * weight)` over taps inside the input.
pub(crate) fn sums(
    shape: ConvShape,
    groups: usize,
    input: Tensor<'_>,
    zero_point: u8,
    weights: &[i8],
    bias: &[i32],
) -> Vec<i64> {
    let (from, to) = (input.channels / groups, shape.channels / groups);
    let taps = shape.kernel[0] * shape.kernel[1];
    let mut sums = Vec::new();
    for pixel in pixels(shape, input) {
        for (channel, bias) in bias.iter().enumerate() {
            let mut sum = i64::from(*bias);
            for (tap, place) in window(shape, pixel).enumerate() {
                for index in 0..from {
                    if let Some(byte) = input.at(place, channel / to * from + index) {
                        let weight = weights[(channel * from + index) * taps + tap];
                        sum += i64::from(steps(byte, zero_point)) * i64::from(weight);
                    }
                }
            }
            sums.push(sum);
        }
    }
    sums
}

/// `MaxPool`; 0 where a window, spread by its dilation, misses the input.
pub(crate) fn max_pool(shape: ConvShape, input: Tensor<'_>) -> Vec<u8> {
    let largest = |pixel: [usize; 2], channel: usize| {
        window(shape, pixel).filter_map(|place| input.at(place, channel)).max().unwrap_or(0)
    };
    let pixels = pixels(shape, input).into_iter();
    pixels.flat_map(|pixel| (0..input.channels).map(move |channel| largest(pixel, channel))).collect()
}

/// How many steps of the scale a byte lies above zero.
pub(crate) fn steps(byte: u8, zero_point: u8) -> i32 {
    i32::from(byte) - i32::from(zero_point)
}

/// The byte for a real number in units of the output's scale.
pub(crate) fn requantize(real: f32, target: Target) -> u8 {
    let Target::Bytes { zero_point, low, high } = target else { unreachable!("real numbers are not bytes") };
    let zero = f32::from(zero_point);
    let clamped = real.clamp(f32::from(low) - zero, f32::from(high) - zero);
    (clamped.round_ties_even() as i32 + i32::from(zero_point)) as u8
}

/// The byte for a real number by exact arithmetic, to see that kernels are near it.
pub(crate) fn ideal(real: f64, scale: f32, target: Target) -> u8 {
    let Target::Bytes { zero_point, low, high } = target else { unreachable!("real numbers are not bytes") };
    let byte = (real / f64::from(scale)).round_ties_even() + f64::from(zero_point);
    byte.clamp(f64::from(low), f64::from(high)) as u8
}

/// `QuantizeLinear`: `saturate(round(real / scale) + zero_point)`; NaN, which ONNX leaves open, gives 0.
pub(crate) fn quantize(real: f32, to: Quantization) -> u8 {
    if real.is_nan() {
        return 0;
    }
    let steps = f64::from((real / to.scale).round_ties_even());
    (steps + f64::from(to.zero_point)).clamp(0.0, 255.0) as u8
}

/// `DequantizeLinear`.
pub(crate) fn dequantize(byte: u8, from: Quantization) -> f32 {
    steps(byte, from.zero_point) as f32 * from.scale
}

/// From planes, `[channels, height, width]`, to pixels, `[height, width, channels]`.
pub(crate) fn interleave(planes: &[f32], channels: usize) -> Vec<f32> {
    let plane = planes.len() / channels;
    (0..planes.len()).map(|index| planes[index % channels * plane + index / channels]).collect()
}

/// `Resize` of one plane, linear, half-pixel centres, the edge repeated, in double precision.
pub(crate) fn resize(plane: &[f32], from: [usize; 2], to: [usize; 2]) -> Vec<f64> {
    let place = |axis: usize, index: usize| {
        let ratio = to[axis] as f64 / from[axis] as f64;
        let last = from[axis] - 1;
        let centre = ((index as f64 + 0.5) / ratio - 0.5).clamp(0.0, last as f64);
        let first = (centre.floor() as usize).min(last);
        (first, (first + 1).min(last), centre - first as f64)
    };
    let value = |y: usize, x: usize| f64::from(plane[y * from[1] + x]);
    let blended = |y: usize, x: usize| {
        let (top, bottom, down) = place(0, y);
        let (left, right, across) = place(1, x);
        let above = value(top, left) * (1.0 - across) + value(top, right) * across;
        let below = value(bottom, left) * (1.0 - across) + value(bottom, right) * across;
        above * (1.0 - down) + below * down
    };
    let mut resized = Vec::new();
    for y in 0..to[0] {
        resized.extend((0..to[1]).map(|x| blended(y, x)));
    }
    resized
}
