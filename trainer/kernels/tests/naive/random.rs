//! Random shapes, windows and values.

use comet_training_kernels::{Geometry, Shape};

/// Numerical Recipes' linear congruential generator.
pub(crate) struct Random(u32);

impl Random {
    pub(crate) fn new(seed: u32) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        self.0 >> 8
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.next() as usize % limit
    }

    /// Between -1 and 1.
    pub(crate) fn values(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.next() as f32 / (1 << 23) as f32 - 1.0).collect()
    }

    /// Any window, with other zeros on each side; it may be larger than the image.
    pub(crate) fn geometry(&mut self) -> Geometry {
        let mut pair = |limit: usize| [1 + self.below(limit), 1 + self.below(limit)];
        let (kernel, stride, dilation) = (pair(5), pair(3), pair(2));
        let padding = [self.below(4), self.below(4), self.below(4), self.below(4)];
        Geometry { kernel, stride, dilation, padding }
    }

    pub(crate) fn shape(&mut self) -> Shape {
        Shape {
            batch: 1 + self.below(3),
            height: 1 + self.below(9),
            width: 1 + self.below(9),
            channels: 1 + self.below(70),
        }
    }
}
