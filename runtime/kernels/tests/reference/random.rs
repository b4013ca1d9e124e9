//! A seeded generator, and the random things that all tests need.

use std::ops::RangeInclusive;

use comet_kernels::{Halo, Layout, Quantization, Target};

/// Numbers of channels around which vectors and blocks begin and end.
pub(crate) const EDGES: [usize; 12] = [1, 3, 4, 15, 16, 17, 31, 32, 33, 48, 64, 65];
/// The ends of the bytes, next to an end, and one between.
pub(crate) const ZERO_POINTS: [u8; 4] = [0, 1, 117, 255];

/// SplitMix64: small, fast, and good enough that neighbouring seeds give unrelated numbers.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^ (bits >> 31)
    }

    pub(crate) fn integer(&mut self, range: RangeInclusive<i64>) -> i64 {
        let count = (range.end() - range.start() + 1) as u64;
        range.start() + (self.bits() % count) as i64
    }

    pub(crate) fn size(&mut self, range: RangeInclusive<usize>) -> usize {
        let count = (range.end() - range.start() + 1) as u64;
        range.start() + (self.bits() % count) as usize
    }

    pub(crate) fn real(&mut self, range: RangeInclusive<f32>) -> f32 {
        let share = (self.bits() >> 40) as f32 / (1u32 << 24) as f32;
        range.start() + (range.end() - range.start()) * share
    }

    pub(crate) fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.size(0..=choices.len() - 1)]
    }

    /// True in `percent` of 100 cases.
    pub(crate) fn chance(&mut self, percent: usize) -> bool {
        self.size(1..=100) <= percent
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.bits() as u8
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.byte()).collect()
    }

    pub(crate) fn reals(&mut self, count: usize, range: RangeInclusive<f32>) -> Vec<f32> {
        (0..count).map(|_| self.real(range.clone())).collect()
    }

    /// A number of channels, most often one of [`EDGES`].
    pub(crate) fn channels(&mut self) -> usize {
        if self.chance(70) { self.pick(&EDGES) } else { self.size(1..=70) }
    }

    /// Channels, height and width of a small tensor.
    pub(crate) fn shape(&mut self) -> [usize; 3] {
        if cfg!(miri) {
            return [self.pick(&[1, 3, 16, 17]), self.size(1..=2), self.size(1..=3)];
        }
        [self.channels(), self.size(1..=7), self.size(1..=9)]
    }

    /// Up to `most` rows and columns on every side.
    pub(crate) fn halo(&mut self, most: usize) -> Halo {
        Halo {
            top: self.size(0..=most),
            left: self.size(0..=most),
            bottom: self.size(0..=most),
            right: self.size(0..=most),
        }
    }

    /// A tensor of this shape in some halo.
    pub(crate) fn layout(&mut self, [channels, height, width]: [usize; 3]) -> Layout {
        Layout::new(channels, height, width, self.halo(2)).unwrap()
    }

    pub(crate) fn quantization(&mut self) -> Quantization {
        Quantization::new(self.real(0.002..=0.05), self.pick(&ZERO_POINTS)).unwrap()
    }

    /// Bytes: all of them, those above zero (a ReLU), or any range.
    pub(crate) fn target(&mut self) -> Target {
        let zero_point = self.pick(&ZERO_POINTS);
        let (low, high) = match self.size(0..=3) {
            0 => (zero_point, 255),
            1 => {
                let (one, other) = (self.byte(), self.byte());
                (one.min(other), one.max(other))
            }
            _ => (0, 255),
        };
        Target::Bytes { zero_point, low, high }
    }
}
