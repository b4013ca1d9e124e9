//! Convolution: fully connected layers and 1x1 convolutions are its smallest cases. It runs by the definition, or by
//! [`crate::winograd`] where that gives the same sums sooner.

use crate::aligned::Aligned;
use crate::layout::{BLOCK, GROUP};
use crate::requantize::{Rounding, check_scale};
use crate::task::{Shared, Sink, Task, run_tile};
use crate::threads::Shares;
use crate::winograd::Winograd;
use crate::{ConvShape, Fault, Layout, Pool, Tier};

/// Less work than this is not worth waking a thread for (multiplications; about 50 microseconds of one AVX-512 core).
pub(crate) const WORTH_A_THREAD: usize = 8_000_000;

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

/// A convolution with packed weights.
pub struct Conv {
    tier: Tier,
    input: Layout,
    output: Layout,
    target: Target,
    /// `[channels / 16][tap][input channels / 4][16][4]`
    weights: Aligned<i8>,
    /// In place of these weights, where that is faster.
    winograd: Option<Winograd>,
    bias: Vec<i32>,
    multipliers: Vec<f32>,
    bounded: bool,
    taps: Vec<usize>,
    /// Bytes from the first tap of a window to each group of four channels of each tap.
    steps: Vec<u32>,
    groups: usize,
    start: usize,
    stride: [usize; 2],
}

impl std::fmt::Debug for Conv {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { tier, input, output, target, taps, .. } = self;
        f.debug_struct("Conv")
            .field("tier", tier)
            .field("input", input)
            .field("output", output)
            .field("target", target)
            .field("taps", &taps.len())
            .finish_non_exhaustive()
    }
}

impl Conv {
    /// Packs a convolution.
    ///
    /// `weights` are `[channels, input channels, rows, columns]`; `bias` is in units of input scale x weight scale;
    /// `multipliers` turn a channel's sums into units of the output. With [`Target::Reals`], `output` gives the shape
    /// alone.
    ///
    /// # Errors
    /// [`Fault`] if shapes do not belong together, a multiplier is no scale, or a sum could overflow.
    #[allow(clippy::too_many_arguments, reason = "a convolution is this many independent things")]
    pub fn new(
        tier: Tier,
        shape: &ConvShape,
        input: Layout,
        input_zero_point: u8,
        weights: &[i8],
        bias: &[i32],
        multipliers: &[f32],
        output: Layout,
        target: Target,
    ) -> Result<Self, Fault> {
        let tier = tier.check()?;
        if target != Target::Reals && !output.is_blocked() {
            return Err(Fault::Shape("a convolution writes whole blocks of channels"));
        }
        let lengths = [weights.len(), bias.len(), multipliers.len()];
        let taps = shape.prepare(&input, &output, input.channels(), lengths)?;
        let (channels, each) = (shape.channels, taps.len() * input.channels());
        let groups = input.channels().div_ceil(GROUP);
        let blocks = channels.div_ceil(BLOCK);
        let tier = for_weights(tier, weights);
        let winograd = match target {
            Target::Bytes { .. } => Winograd::new(tier, shape, &input, &output, weights),
            Target::Reals => None,
        };
        let size = if winograd.is_some() { 0 } else { blocks * taps.len() * groups * BLOCK * GROUP };
        let mut aligned = Aligned::zeros(size);
        let packed = aligned.as_mut_slice();
        let (mut biases, mut factors) = (vec![0; blocks * BLOCK], vec![0.0; blocks * BLOCK]);
        let mut bounded = true;
        for (channel, weights) in weights.chunks_exact(each).enumerate() {
            biases[channel] = fold_bias(weights, bias[channel], input_zero_point, channel)?;
            check_scale(multipliers[channel])?;
            bounded &= is_bounded(weights, biases[channel], multipliers[channel]);
            factors[channel] = multipliers[channel];
            if winograd.is_some() {
                continue;
            }
            for (position, weight) in weights.iter().enumerate() {
                let (from, tap) = (position / taps.len(), position % taps.len());
                let row = ((channel / BLOCK) * taps.len() + tap) * groups + from / GROUP;
                packed[(row * BLOCK + channel % BLOCK) * GROUP + from % GROUP] = *weight;
            }
        }
        Ok(Self {
            tier,
            input,
            output,
            target,
            weights: aligned,
            winograd,
            bias: biases,
            multipliers: factors,
            bounded,
            start: shape.start(&input),
            stride: shape.stride,
            steps: steps(&taps, groups)?,
            taps,
            groups,
        })
    }

    /// Multiplications of one run.
    pub fn multiplications(&self) -> usize {
        let each = self.taps.len() * self.input.channels() * self.output.channels();
        each * self.output.height() * self.output.width()
    }

    /// Convolves `input` into the bytes `output`.
    ///
    /// # Errors
    /// [`Fault::Shape`] if a slice is too short or the target is real numbers; [`Fault::Thread`] if a thread died.
    pub fn run(&self, pool: &Pool, input: &[u8], output: &mut [u8]) -> Result<(), Fault> {
        let Target::Bytes { zero_point, low, high } = self.target else {
            return Err(Fault::Shape("a convolution into real numbers was asked for bytes"));
        };
        self.input.check(input.len())?;
        self.output.check(output.len())?;
        let sink = Sink::Bytes {
            start: Shares::new(output),
            origin: self.output.origin(),
            row: self.output.row(),
            pixel: self.output.pixel(),
            rounding: Rounding::new(zero_point, low, high),
        };
        self.dispatch(pool, input, sink)
    }

    /// Convolves `input` into real numbers, `[channels, height, width]`.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_real(&self, pool: &Pool, input: &[u8], output: &mut [f32]) -> Result<(), Fault> {
        self.input.check(input.len())?;
        let plane = self.output.height() * self.output.width();
        if self.target != Target::Reals || output.len() != plane * self.output.channels() {
            return Err(Fault::Shape("the real numbers of a convolution have another place"));
        }
        self.dispatch(pool, input, Sink::Reals { start: Shares::new(output), plane })
    }

    fn dispatch(&self, pool: &Pool, input: &[u8], sink: Sink) -> Result<(), Fault> {
        let task = Task {
            source: input[self.start..].as_ptr(),
            row: self.stride[0] * self.input.row(),
            column: self.stride[1] * self.input.pixel(),
            taps: &self.taps,
            steps: &self.steps,
            groups: self.groups,
            weights: self.weights.as_ptr(),
            bias: self.bias.as_ptr(),
            multipliers: self.multipliers.as_ptr(),
            bounded: self.bounded,
            width: self.output.width(),
            channels: self.output.channels(),
            sink,
        };
        let task = Shared(task);
        if let Some(winograd) = &self.winograd {
            // SAFETY: `new` made it for these layouts and this tier, and the callers checked the slices.
            return unsafe { winograd.run(pool, &task) };
        }
        let pixels = self.output.height() * self.output.width();
        let blocks = self.output.channels().div_ceil(BLOCK);
        let run = |pixels, blocks| {
            // SAFETY: `new` proved that every window lies inside the input's layout and every pixel inside the
            // output's; the callers checked that the slices are as long as these layouts; the tier was checked; and
            // shares of different threads cover different pixels or different blocks.
            unsafe { run_tile(self.tier, task.get(), pixels, blocks) }
        };
        if self.multiplications() < WORTH_A_THREAD || pool.threads() == 1 {
            run(0..pixels, 0..blocks);
            return Ok(());
        }
        // Pixels are the better cut as long as every thread gets enough of them for full tiles.
        if pixels >= pool.threads() * 48 {
            pool.split(pixels, 24, &|share| run(share, 0..blocks))
        } else {
            pool.split(blocks, 1, &|share| run(0..pixels, share))
        }
    }
}

/// Where the bytes of each dot product lie in a window, taps outside, groups of channels inside.
fn steps(taps: &[usize], groups: usize) -> Result<Vec<u32>, Fault> {
    let steps =
        taps.iter().flat_map(|tap| (0..groups).map(move |group| u32::try_from(tap + group * GROUP).ok()));
    steps.collect::<Option<_>>().ok_or(Fault::Shape("a kernel too large"))
}

/// `bias - zero_point * sum(weights)`, so that kernels multiply the bytes as they are.
///
/// Refused is what could overflow: the kernels' partial sums go through every prefix of the products of bytes 0..=255
/// (or -128..=127, as some tiers read them) with the weights.
pub(crate) fn fold_bias(weights: &[i8], bias: i32, zero_point: u8, channel: usize) -> Result<i32, Fault> {
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
pub(crate) fn is_bounded(weights: &[i8], bias: i32, multiplier: f32) -> bool {
    let size: i64 = weights.iter().map(|weight| i64::from(*weight).abs()).sum();
    let largest = (i64::from(bias).abs() + 255 * size) as f64 * f64::from(multiplier);
    largest < f64::from(1 << 30)
}

/// `smull` and `smlal` add two products in 16 bits, which -128 x -128 twice would overflow. Quantizers do not write the
/// weight -128; a file that has it runs on the reference code.
pub(crate) fn for_weights(tier: Tier, weights: &[i8]) -> Tier {
    if tier == Tier::Neon && weights.contains(&i8::MIN) { Tier::Scalar } else { tier }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Halo;

    /// The integration tests have every tier of the processor; this one has the AVX-VNNI loops on more processors.
    #[test]
    fn every_tier_gives_the_integers_of_the_reference() {
        let halo = Halo { top: 1, left: 1, bottom: 1, right: 1 };
        for (channels, inputs, side) in [(16, 16, 5), (40, 20, 7), (1, 3, 4), (65, 33, 9)] {
            let input = Layout::new(inputs, side, side, halo).unwrap();
            let output = Layout::new(channels, side, side, Halo::default()).unwrap();
            let shape =
                ConvShape { channels, kernel: [3; 2], stride: [1; 2], dilation: [1; 2], padding: halo };
            let mut seed = 1u32;
            let mut next = || {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                seed >> 24
            };
            let weights: Vec<i8> = (0..channels * inputs * 9).map(|_| next() as i8).collect();
            let bias: Vec<i32> = (0..channels).map(|_| next() as i32 * 10).collect();
            let source: Vec<u8> = (0..input.len()).map(|_| next() as u8).collect();
            let scales = vec![0.001; channels];
            let run = |tier| {
                let target = Target::Bytes { zero_point: 100, low: 3, high: 250 };
                let conv =
                    Conv::new(tier, &shape, input, 7, &weights, &bias, &scales, output, target).unwrap();
                let mut bytes = vec![0; output.len()];
                conv.run(&Pool::new(1).unwrap(), &source, &mut bytes).unwrap();
                bytes
            };
            let reference = run(Tier::Scalar);
            for tier in Tier::available() {
                assert!(run(tier) == reference, "{tier:?}, {channels} channels");
            }
        }
    }

    #[test]
    fn a_bias_at_the_edge_of_overflow_is_refused() {
        assert!(fold_bias(&[127; 9], i32::MAX - 127 * 9 * 383, 0, 3).is_ok());
        assert_eq!(fold_bias(&[127; 9], i32::MAX - 127 * 9 * 383 + 1, 0, 3), Err(Fault::Overflow(3)));
        assert_eq!(fold_bias(&[1], i32::MIN, 0, 1), Err(Fault::Overflow(1)));
    }
}
