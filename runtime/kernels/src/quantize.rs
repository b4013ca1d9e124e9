//! From planes of real numbers to bytes and back: the edges of an integer region.

use crate::requantize::Rounding;
use crate::rows::each_row;
use crate::threads::Shares;
use crate::versions::versions;
use crate::{Fault, Layout, Pool, Quantization, Tier};

/// Values of a row that are quantized before they are spread over the pixels.
const CHUNK: usize = 128;

/// `[channels, height, width]` real numbers to bytes: ONNX `QuantizeLinear`.
#[derive(Debug)]
pub struct Quantize {
    tier: Tier,
    output: Layout,
    scale: f32,
    rounding: Rounding,
}

impl Quantize {
    /// Quantizes into `output`.
    ///
    /// # Errors
    /// [`Fault::Tier`] if the processor lacks the tier.
    pub fn new(tier: Tier, output: Layout, to: Quantization) -> Result<Self, Fault> {
        let rounding = Rounding::new(to.check()?.zero_point, 0, 255);
        Ok(Self { tier: tier.check()?, output, scale: to.scale, rounding })
    }

    /// Quantizes.
    ///
    /// # Errors
    /// [`Fault::Shape`] if a slice has another size than its layout; [`Fault::Thread`] if a thread died.
    pub fn run(&self, pool: &Pool, input: &[f32], output: &mut [u8]) -> Result<(), Fault> {
        self.run_masked(pool, input, None, output)
    }

    /// Quantizes every value times its mask, if there is one: `[height, width]`, the same for all channels.
    pub(crate) fn run_masked(
        &self,
        pool: &Pool,
        input: &[f32],
        mask: Option<&[f32]>,
        output: &mut [u8],
    ) -> Result<(), Fault> {
        self.output.check(output.len())?;
        let (width, plane) = (self.output.width(), self.output.width() * self.output.height());
        if input.len() != plane * self.output.channels() || mask.is_some_and(|mask| mask.len() != plane) {
            return Err(Fault::Shape("planes do not have the size of the tensor"));
        }
        let to = (self.scale, self.rounding);
        each_row(pool, &self.output, Shares::new(output), &|y, row| {
            let source = |channel: usize| &input[channel * plane + y * width..][..width];
            let mask = mask.map(|mask| &mask[y * width..][..width]);
            if let (3, 4) = (self.output.channels(), self.output.pixel()) {
                return interleave(self.tier, [source(0), source(1), source(2)], mask, to, row);
            }
            for channel in 0..self.output.channels() {
                spread(self.tier, source(channel), mask, to, (self.output.pixel(), channel), row);
            }
        })
    }
}

versions! {
    /// One plane into one channel; `pixels` is the size of a pixel and the channel to write.
    fn spread(
        source: &[f32],
        mask: Option<&[f32]>,
        to: (f32, Rounding),
        pixels: (usize, usize),
        row: &mut [u8],
    ) {
        let (scale, rounding) = to;
        let (size, channel) = pixels;
        for (index, (source, row)) in source.chunks(CHUNK).zip(row.chunks_mut(CHUNK * size)).enumerate() {
            let mut bytes = [0u8; CHUNK];
            if let Some(mask) = mask {
                for ((byte, real), mask) in bytes.iter_mut().zip(source).zip(&mask[index * CHUNK..]) {
                    *byte = rounding.byte(*real * *mask / scale);
                }
            } else {
                for (byte, real) in bytes.iter_mut().zip(source) {
                    *byte = rounding.byte(*real / scale);
                }
            }
            for (pixel, byte) in row.chunks_exact_mut(size).zip(bytes) {
                pixel[channel] = byte;
            }
        }
    }
}

versions! {
    /// Three planes to pixels of four bytes.
    fn interleave(rows: [&[f32]; 3], mask: Option<&[f32]>, to: (f32, Rounding), row: &mut [u8]) {
        let (scale, rounding) = to;
        let (pixels, _) = row.as_chunks_mut::<4>();
        let values = pixels.iter_mut().zip(rows[0]).zip(rows[1]).zip(rows[2]);
        let pack = |red: f32, green: f32, blue: f32| {
            let byte = |real: f32| u32::from(rounding.byte(real / scale));
            (byte(red) | byte(green) << 8 | byte(blue) << 16).to_le_bytes()
        };
        if let Some(mask) = mask {
            for ((((pixel, red), green), blue), mask) in values.zip(mask) {
                *pixel = pack(red * mask, green * mask, blue * mask);
            }
        } else {
            for (((pixel, red), green), blue) in values {
                *pixel = pack(*red, *green, *blue);
            }
        }
    }
}

/// Bytes to `[channels, height, width]` real numbers: ONNX `DequantizeLinear`.
#[derive(Debug)]
pub struct Dequantize {
    input: Layout,
    from: Quantization,
}

impl Dequantize {
    /// Dequantizes `input`.
    pub fn new(input: Layout, from: Quantization) -> Self {
        Self { input, from }
    }

    /// Dequantizes.
    ///
    /// # Errors
    /// [`Fault::Shape`] if a slice has another size than its layout.
    pub fn run(&self, input: &[u8], output: &mut [f32]) -> Result<(), Fault> {
        self.input.check(input.len())?;
        let (width, plane) = (self.input.width(), self.input.width() * self.input.height());
        if output.len() != plane * self.input.channels() {
            return Err(Fault::Shape("planes do not have the size of the tensor"));
        }
        for (channel, plane) in output.chunks_exact_mut(plane).enumerate() {
            for (y, row) in plane.chunks_exact_mut(width).enumerate() {
                let pixels = input[self.input.inner(y)].chunks_exact(self.input.pixel());
                for (real, pixel) in row.iter_mut().zip(pixels) {
                    *real = self.from.real(pixel[channel]);
                }
            }
        }
        Ok(())
    }
}
