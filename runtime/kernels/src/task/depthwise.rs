//! A depthwise convolution as the inner loops see it: checked, and in pointers.

use crate::requantize::Rounding;
use crate::threads::Shares;

/// Taps that AVX-512 takes at a time.
pub(crate) const QUAD: usize = 4;
/// Channels that it takes at a time.
pub(crate) const WIDE: usize = 64;

/// A depthwise convolution for an inner loop: checked, and in pointers.
#[derive(Clone, Copy)]
pub(crate) struct DepthwiseTask<'a> {
    /// The first tap of the first window.
    pub(crate) source: *const u8,
    /// Bytes between windows that are neighbours in a column.
    pub(crate) row: usize,
    /// Bytes between windows that are neighbours in a row.
    pub(crate) column: usize,
    pub(crate) taps: &'a [usize],
    pub(crate) weights: *const i16,
    pub(crate) bias: *const i32,
    pub(crate) multipliers: *const f32,
    /// Whether every sum times its multiplier fits into 32 bits, so that the conversion needs no clamp before it.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "only the loops for x86-64 read it"))]
    pub(crate) bounded: bool,
    /// Channels to write: padded to 16.
    pub(crate) channels: usize,
    /// Channels of weights, bias and multipliers: padded to the width of the packing.
    pub(crate) padded: usize,
    /// Columns of the output, or vectors of several pixels.
    pub(crate) width: usize,
    /// Bytes to write of the last of these.
    #[cfg_attr(
        not(target_arch = "x86_64"),
        allow(dead_code, reason = "only AVX-512 has vectors of several pixels")
    )]
    pub(crate) last: usize,
    pub(crate) output: Shares<u8>,
    pub(crate) origin: usize,
    pub(crate) output_row: usize,
    pub(crate) output_pixel: usize,
    pub(crate) rounding: Rounding,
}

// SAFETY: what the pointers show is read only, but for the output, of which every thread writes its own rows.
unsafe impl Sync for DepthwiseTask<'_> {}

impl DepthwiseTask<'_> {
    /// Bytes to write of a vector of channels; `last` is whether it is the last of its row.
    #[inline(always)]
    #[cfg_attr(
        not(target_arch = "x86_64"),
        allow(dead_code, reason = "only AVX-512 writes parts of vectors")
    )]
    pub(crate) fn room(&self, block: usize, last: bool) -> usize {
        let channels = self.channels.wrapping_sub(block.wrapping_mul(WIDE));
        if last { channels.min(self.last) } else { channels }
    }
}
