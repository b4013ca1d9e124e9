//! The masked image: what the predictor sees.

use crate::{Fault, Layout, Pool, Quantization, Quantize, Tier};

/// `quantize(mask * image)`: COMET's compositing `m * x + (1 - m) * q` with the mean pixel `q = 0`, straight into the
/// predictor's input.
#[derive(Debug)]
pub struct Compose(Quantize);

impl Compose {
    /// Composes into `output`.
    ///
    /// # Errors
    /// As [`Quantize::new`].
    pub fn new(tier: Tier, output: Layout, to: Quantization) -> Result<Self, Fault> {
        Ok(Self(Quantize::new(tier, output, to)?))
    }

    /// Composes an image `[channels, height, width]` with a mask `[height, width]`.
    ///
    /// # Errors
    /// As [`Quantize::run`].
    pub fn run(&self, pool: &Pool, image: &[f32], mask: &[f32], output: &mut [u8]) -> Result<(), Fault> {
        self.0.run_masked(pool, image, Some(mask), output)
    }
}
