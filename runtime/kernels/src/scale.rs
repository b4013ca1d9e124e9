//! Channels times their weights: squeeze-and-excitation.

use crate::requantize::{Rounding, check_scale};
use crate::rows::each_row;
use crate::threads::Shares;
use crate::versions::versions;
use crate::{Fault, Layout, Pool, Quantization, Tier};

/// Channels whose factors are kept on the stack at a time.
const CHUNK: usize = 256;

/// `output[y, x, c] = input[y, x, c] * weight[c]`.
#[derive(Debug)]
pub struct ChannelScale {
    tier: Tier,
    input: Layout,
    weight: Layout,
    output: Layout,
    zero_points: [i32; 2],
    factor: f32,
    rounding: Rounding,
    /// Whether every product fits into 32 bits, so that the conversion needs no clamp before it.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "only AVX-512 reads it"))]
    bounded: bool,
}

impl ChannelScale {
    /// `weight` is a tensor of one pixel.
    ///
    /// # Errors
    /// [`Fault`] if shapes do not belong together or a scale is not valid.
    pub fn new(
        tier: Tier,
        (input, from): (Layout, Quantization),
        (weight, by): (Layout, Quantization),
        (output, to): (Layout, Quantization),
    ) -> Result<Self, Fault> {
        let one = (weight.height(), weight.width(), weight.channels()) == (1, 1, input.channels());
        let pixels = input.pixel() == output.pixel() && input.pixel() == weight.pixel();
        if !one || !pixels || !input.same_shape(&output) {
            return Err(Fault::Shape("channels are scaled by another number of weights"));
        }
        for quantization in [from, by, to] {
            quantization.check()?;
        }
        let factor = from.scale * by.scale / to.scale;
        check_scale(factor)?;
        Ok(Self {
            tier: tier.check()?,
            input,
            weight,
            output,
            zero_points: [i32::from(from.zero_point), i32::from(by.zero_point)],
            factor,
            rounding: Rounding::new(to.zero_point, 0, 255),
            bounded: factor * (255.0 * 255.0) < (1 << 30) as f32,
        })
    }

    /// Scales.
    ///
    /// # Errors
    /// [`Fault::Shape`] if a slice is shorter than its layout; [`Fault::Thread`] if a thread died.
    pub fn run(&self, pool: &Pool, input: &[u8], weight: &[u8], output: &mut [u8]) -> Result<(), Fault> {
        self.input.check(input.len())?;
        self.weight.check(weight.len())?;
        self.output.check(output.len())?;
        let weight = &weight[self.weight.inner(0)];
        let start = Shares::new(output);
        for (index, weight) in weight.chunks(CHUNK).enumerate() {
            let mut factors = [0.0f32; CHUNK];
            for (factor, weight) in factors.iter_mut().zip(weight) {
                *factor = (i32::from(*weight) - self.zero_points[1]) as f32 * self.factor;
            }
            let factors = &factors[..weight.len()];
            each_row(pool, &self.output, start, &|y, row| {
                self.scale(&input[self.input.inner(y)], factors, index * CHUNK, row);
            })?;
        }
        Ok(())
    }

    /// Scales the channels from number `first` on that there are factors for.
    fn scale(&self, input: &[u8], factors: &[f32], first: usize, output: &mut [u8]) {
        let (size, zero_point) = (self.output.pixel(), self.zero_points[0]);
        #[cfg(target_arch = "x86_64")]
        let (first, factors) = if self.tier == Tier::Avx512Vnni {
            use crate::x86::avx512::scale::{WIDE, scale};
            let (wide, rest) = factors.as_chunks::<WIDE>();
            let to = (self.rounding, self.bounded);
            for (index, factors) in wide.iter().enumerate() {
                // SAFETY: the tier was checked.
                unsafe { scale(input, factors, (size, first + index * WIDE), zero_point, to, output) };
            }
            (first + wide.len() * WIDE, rest)
        } else {
            (first, factors)
        };
        if !factors.is_empty() {
            scale(self.tier, input, factors, (size, first), zero_point, self.rounding, output);
        }
    }
}

versions! {
    /// `pixels` is the size of a pixel and the first of the channels that the factors belong to.
    fn scale(
        input: &[u8],
        factors: &[f32],
        pixels: (usize, usize),
        zero_point: i32,
        rounding: Rounding,
        output: &mut [u8],
    ) {
        let (size, first) = pixels;
        for (output, input) in output.chunks_exact_mut(size).zip(input.chunks_exact(size)) {
            let channels = first..first + factors.len();
            for ((byte, input), factor) in output[channels.clone()].iter_mut().zip(&input[channels]).zip(factors) {
                *byte = rounding.byte(i32::from(*input).wrapping_sub(zero_point) as f32 * factor);
            }
        }
    }
}
