//! Convolution: fully connected layers and 1x1 convolutions are its smallest cases. It runs by the definition, or by
//! [`crate::winograd`] where that gives the same sums faster.

use crate::aligned::Aligned;
use crate::layout::{BLOCK, GROUP};
use crate::requantize::Rounding;
use crate::task::conv::{ConvTask, Sink};
use crate::threads::{Shares, WORTH_A_THREAD};
use crate::winograd::Winograd;
use crate::{ConvSpec, Fault, Layout, Pool, Target, Tier, dispatch};

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
    /// # Errors
    /// [`Fault`] if shapes do not belong together, a multiplier is not a valid scale, or a sum could overflow.
    pub fn new(tier: Tier, spec: &ConvSpec<'_>) -> Result<Self, Fault> {
        let tier = tier.check()?;
        let ConvSpec { shape, input, output, target, .. } = *spec;
        if target != Target::Reals && !output.is_blocked() {
            return Err(Fault::Shape("a convolution writes whole blocks of channels"));
        }
        let taps = spec.taps(input.channels())?;
        let each = taps.len() * input.channels();
        let groups = input.channels().div_ceil(GROUP);
        let blocks = shape.channels.div_ceil(BLOCK);
        let tier = for_weights(tier, spec.weights);
        let winograd = match target {
            Target::Bytes { .. } => Winograd::new(tier, spec),
            Target::Reals => None,
        };
        let size = if winograd.is_some() { 0 } else { blocks * taps.len() * groups * BLOCK * GROUP };
        let mut aligned = Aligned::zeros(size);
        let packed = aligned.as_mut_slice();
        let (mut bias, mut multipliers) = (vec![0; blocks * BLOCK], vec![0.0; blocks * BLOCK]);
        let mut bounded = true;
        for (index, weights) in spec.weights.chunks_exact(each).enumerate() {
            let channel = spec.channel(index, weights)?;
            (bias[index], multipliers[index]) = (channel.bias, channel.multiplier);
            bounded &= channel.bounded;
            if winograd.is_some() {
                continue;
            }
            for (position, weight) in weights.iter().enumerate() {
                let (from, tap) = (position / taps.len(), position % taps.len());
                let row = ((index / BLOCK) * taps.len() + tap) * groups + from / GROUP;
                packed[(row * BLOCK + index % BLOCK) * GROUP + from % GROUP] = *weight;
            }
        }
        Ok(Self {
            tier,
            input,
            output,
            target,
            weights: aligned,
            winograd,
            bias,
            multipliers,
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
            return Err(Fault::Shape("a convolution into real numbers cannot write bytes"));
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
        self.convolve(pool, input, sink)
    }

    /// Convolves `input` into real numbers, `[channels, height, width]`.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_real(&self, pool: &Pool, input: &[u8], output: &mut [f32]) -> Result<(), Fault> {
        self.input.check(input.len())?;
        let plane = self.output.height() * self.output.width();
        if self.target != Target::Reals || output.len() != plane * self.output.channels() {
            return Err(Fault::Shape("the output is not the planes of real numbers of this convolution"));
        }
        self.convolve(pool, input, Sink::Reals { start: Shares::new(output), plane })
    }

    fn convolve(&self, pool: &Pool, input: &[u8], sink: Sink) -> Result<(), Fault> {
        let task = ConvTask {
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
            unsafe { dispatch::conv(self.tier, &task, pixels, blocks) }
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
    steps.collect::<Option<_>>().ok_or(Fault::Shape("the kernel is too large"))
}

/// `smull` and `smlal` add two products in 16 bits, which -128 x -128 twice would overflow. Quantizers do not write the
/// weight -128; a file that has it runs on the reference code.
fn for_weights(tier: Tier, weights: &[i8]) -> Tier {
    if tier == Tier::Neon && weights.contains(&i8::MIN) { Tier::Scalar } else { tier }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ConvShape, Halo};

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
            let spec = ConvSpec {
                shape,
                input,
                zero_point: 7,
                weights: &weights,
                bias: &bias,
                multipliers: &vec![0.001; channels],
                output,
                target: Target::Bytes { zero_point: 100, low: 3, high: 250 },
            };
            let run = |tier| {
                let conv = Conv::new(tier, &spec).unwrap();
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
}
