//! The masked picture: what the predictor sees.

use crate::add::each_row;
use crate::quantize::{CHUNK, interleave};
use crate::requantize::Rounding;
use crate::threads::Shares;
use crate::versions::versions;
use crate::{Fault, Layout, Pool, Quantization, Tier};

/// `quantize(mask * image)`: COMET's compositing `m * x + (1 - m) * q` with the mean pixel `q = 0`, straight into the
/// predictor's input.
#[derive(Debug)]
pub struct Compose {
    tier: Tier,
    output: Layout,
    scale: f32,
    rounding: Rounding,
}

impl Compose {
    /// Composes into `output`.
    ///
    /// # Errors
    /// [`Fault::Tier`] if the processor lacks the tier.
    pub fn new(tier: Tier, output: Layout, to: Quantization) -> Result<Self, Fault> {
        let rounding = Rounding::new(to.check()?.zero_point, 0, 255);
        Ok(Self { tier: tier.check()?, output, scale: to.scale, rounding })
    }

    /// Composes an image `[channels, height, width]` with a mask `[height, width]`.
    ///
    /// # Errors
    /// [`Fault::Shape`] if a slice has another size than its layout; [`Fault::Thread`] if a thread died.
    pub fn run(&self, pool: &Pool, image: &[f32], mask: &[f32], output: &mut [u8]) -> Result<(), Fault> {
        self.output.check(output.len())?;
        let (width, plane) = (self.output.width(), self.output.width() * self.output.height());
        if image.len() != plane * self.output.channels() || mask.len() != plane {
            return Err(Fault::Shape("planes of another size than the tensor"));
        }
        each_row(pool, &self.output, Shares::new(output), &|y, row| {
            let mask = &mask[y * width..][..width];
            let planes = |channel: usize| &image[channel * plane + y * width..][..width];
            if let (3, 4) = (self.output.channels(), self.output.pixel()) {
                let rows = [planes(0), planes(1), planes(2)];
                return interleave(self.tier, rows, Some(mask), (self.scale, self.rounding), row);
            }
            for channel in 0..self.output.channels() {
                let source = planes(channel);
                spread(
                    self.tier,
                    source,
                    mask,
                    (self.scale, self.rounding),
                    (self.output.pixel(), channel),
                    row,
                );
            }
        })
    }
}

versions! {
    /// `pixels` is the size of a pixel and the channel to write.
    fn spread(source: &[f32], mask: &[f32], to: (f32, Rounding), pixels: (usize, usize), row: &mut [u8]) {
        let (scale, rounding) = to;
        let (size, channel) = pixels;
        let parts = source.chunks(CHUNK).zip(mask.chunks(CHUNK)).zip(row.chunks_mut(CHUNK * size));
        for ((source, mask), row) in parts {
            let mut bytes = [0u8; CHUNK];
            for ((byte, real), mask) in bytes.iter_mut().zip(source).zip(mask) {
                *byte = rounding.byte(*real * *mask / scale);
            }
            for (pixel, byte) in row.chunks_exact_mut(size).zip(bytes) {
                pixel[channel] = byte;
            }
        }
    }
}
