//! Channels times their weights: squeeze-and-excitation.

use crate::add::each_row;
use crate::requantize::{Rounding, check_scale};
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
}

impl ChannelScale {
    /// `weight` is a tensor of one pixel.
    ///
    /// # Errors
    /// [`Fault`] if shapes do not belong together or a scale is none.
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
        each_row(pool, &self.output, start, &|y, row| {
            let input = &input[self.input.inner(y)];
            for (index, weight) in weight.chunks(CHUNK).enumerate() {
                let mut factors = [0.0f32; CHUNK];
                for (factor, weight) in factors.iter_mut().zip(weight) {
                    *factor = (i32::from(*weight) - self.zero_points[1]) as f32 * self.factor;
                }
                let factors = &factors[..weight.len()];
                let channels = index * CHUNK;
                let pixels = (self.output.pixel(), channels);
                scale(self.tier, input, factors, pixels, self.zero_points[0], self.rounding, row);
            }
        })
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
