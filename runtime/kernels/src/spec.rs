//! What a convolution is made of, checked the same way for every kind of it.

use crate::requantize::check_scale;
use crate::{ConvShape, Fault, Layout};

/// What becomes of the sums.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target {
    /// Bytes: multiplied, rounded half to even, moved by `zero_point`, clamped to `low..=high` (a fused ReLU or clip).
    Bytes {
        /// The byte that stands for 0.
        zero_point: u8,
        /// The smallest byte.
        low: u8,
        /// The largest byte.
        high: u8,
    },
    /// Real numbers: multiplied only. They are written as planes, `[channels, height, width]`.
    Reals,
}

/// Everything that a [`Conv`](crate::Conv) or a [`Depthwise`](crate::Depthwise) is made of.
#[derive(Clone, Copy, Debug)]
pub struct ConvSpec<'a> {
    /// Geometry and output channels.
    pub shape: ConvShape,
    /// The tensor that is read; its halo has room for the padding.
    pub input: Layout,
    /// The byte of the input that stands for 0.
    pub zero_point: u8,
    /// `[channels, input channels, rows, columns]`; `[channels, 1, rows, columns]` of a depthwise convolution.
    pub weights: &'a [i8],
    /// One number an output channel, in units of input scale x weight scale.
    pub bias: &'a [i32],
    /// One number an output channel, which turns its sums into units of the output.
    pub multipliers: &'a [f32],
    /// The tensor that is written; with [`Target::Reals`] it gives the shape alone.
    pub output: Layout,
    /// What becomes of the sums.
    pub target: Target,
}

/// What the sums of one output channel start from and are multiplied with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Channel {
    pub(crate) bias: i32,
    pub(crate) multiplier: f32,
    /// Whether no sum of bytes times the weights, multiplied, leaves 32 bits.
    pub(crate) bounded: bool,
}

impl ConvSpec<'_> {
    /// Checks that shapes and lengths belong together, and gives the taps; `inputs` are the channels that one filter
    /// reads.
    pub(crate) fn taps(&self, inputs: usize) -> Result<Vec<usize>, Fault> {
        let lengths = [self.weights.len(), self.bias.len(), self.multipliers.len()];
        self.shape.prepare(&self.input, &self.output, inputs, lengths)
    }

    /// Checks an output channel, whose filter is `weights`; the channel must exist, as [`taps`](Self::taps) checks.
    pub(crate) fn channel(&self, index: usize, weights: &[i8]) -> Result<Channel, Fault> {
        let multiplier = self.multipliers[index];
        check_scale(multiplier)?;
        let bias = fold_bias(weights, self.bias[index], self.zero_point, index)?;
        Ok(Channel { bias, multiplier, bounded: is_bounded(weights, bias, multiplier) })
    }
}

/// `bias - zero_point * sum(weights)`, so that kernels multiply the bytes as they are.
///
/// Refused is what could overflow: the kernels' partial sums go through every prefix of the products of bytes 0..=255
/// (or -128..=127, as some tiers read them) with the weights.
fn fold_bias(weights: &[i8], bias: i32, zero_point: u8, channel: usize) -> Result<i32, Fault> {
    let sum: i64 = weights.iter().map(|weight| i64::from(*weight)).sum();
    let size: i64 = weights.iter().map(|weight| i64::from(*weight).abs()).sum();
    let folded = i64::from(bias) - i64::from(zero_point) * sum;
    let limit = i64::from(i32::MAX) - size * 255 - 128 * size;
    if folded.abs() > limit {
        return Err(Fault::Overflow(channel));
    }
    i32::try_from(folded).map_err(|_| Fault::Overflow(channel))
}

/// Whether no sum of bytes times these weights, multiplied, leaves 32 bits.
fn is_bounded(weights: &[i8], bias: i32, multiplier: f32) -> bool {
    let size: i64 = weights.iter().map(|weight| i64::from(*weight).abs()).sum();
    let largest = (i64::from(bias).abs() + 255 * size) as f64 * f64::from(multiplier);
    largest < f64::from(1 << 30)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bias_at_the_edge_of_overflow_is_refused() {
        assert!(fold_bias(&[127; 9], i32::MAX - 127 * 9 * 383, 0, 3).is_ok());
        assert_eq!(fold_bias(&[127; 9], i32::MAX - 127 * 9 * 383 + 1, 0, 3), Err(Fault::Overflow(3)));
        assert_eq!(fold_bias(&[1], i32::MIN, 0, 1), Err(Fault::Overflow(1)));
    }
}
