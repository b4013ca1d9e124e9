//! Mean over all pixels.

use crate::requantize::{Rounding, check_scale};
use crate::versions::versions;
use crate::{Fault, Layout, Quantization, Tier};

/// Channels whose sums are kept on the stack at a time.
const CHUNK: usize = 64;

/// Global average pooling: one pixel, the mean of all.
#[derive(Debug)]
pub struct GlobalAverage {
    tier: Tier,
    input: Layout,
    output: Layout,
    /// Zero point times the number of pixels.
    offset: i32,
    factor: f32,
    rounding: Rounding,
}

impl GlobalAverage {
    /// The mean of `input` as the one pixel of `output`.
    ///
    /// # Errors
    /// [`Fault`] if shapes do not belong together or a scale is not valid.
    pub fn new(
        tier: Tier,
        (input, from): (Layout, Quantization),
        (output, to): (Layout, Quantization),
    ) -> Result<Self, Fault> {
        let one = (output.height(), output.width(), output.channels()) == (1, 1, input.channels());
        if !one || input.pixel() != output.pixel() {
            return Err(Fault::Shape("a mean over all pixels is one pixel"));
        }
        for quantization in [from, to] {
            quantization.check()?;
        }
        let pixels = i32::try_from(input.height() * input.width()).ok().filter(|pixels| *pixels < 1 << 22);
        let pixels = pixels.ok_or(Fault::Shape("too many pixels for a mean"))?;
        let factor = from.scale / (to.scale * pixels as f32);
        check_scale(factor)?;
        Ok(Self {
            tier: tier.check()?,
            input,
            output,
            offset: i32::from(from.zero_point) * pixels,
            factor,
            rounding: Rounding::new(to.zero_point, 0, 255),
        })
    }

    /// Averages.
    ///
    /// # Errors
    /// [`Fault::Shape`] if a slice is shorter than its layout.
    pub fn run(&self, input: &[u8], output: &mut [u8]) -> Result<(), Fault> {
        self.input.check(input.len())?;
        self.output.check(output.len())?;
        let output = &mut output[self.output.inner(0)];
        for (index, output) in output.chunks_mut(CHUNK).enumerate() {
            let mut sums = [0i32; CHUNK];
            for y in 0..self.input.height() {
                let row = &input[self.input.inner(y)];
                sum_row(self.tier, row, (self.input.pixel(), index * CHUNK), &mut sums[..output.len()]);
            }
            for (byte, sum) in output.iter_mut().zip(sums) {
                *byte = self.rounding.byte((sum - self.offset) as f32 * self.factor);
            }
        }
        Ok(())
    }
}

versions! {
    /// `pixels` is the size of a pixel and the first of the channels that the sums belong to.
    fn sum_row(row: &[u8], pixels: (usize, usize), sums: &mut [i32]) {
        let (size, first) = pixels;
        if let Ok(sums) = <&mut [i32; CHUNK]>::try_from(&mut *sums) {
            // The usual case, with a length that the compiler knows: the sums stay in registers.
            let mut local = *sums;
            for pixel in row.chunks_exact(size) {
                for (sum, byte) in local.iter_mut().zip(&pixel[first..first + CHUNK]) {
                    *sum = sum.wrapping_add(i32::from(*byte));
                }
            }
            *sums = local;
            return;
        }
        for pixel in row.chunks_exact(size) {
            for (sum, byte) in sums.iter_mut().zip(&pixel[first..]) {
                *sum = sum.wrapping_add(i32::from(*byte));
            }
        }
    }
}
