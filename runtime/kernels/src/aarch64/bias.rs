//! What the sums of 16 channels start from.

use std::arch::aarch64::*;

use super::output::VECTORS;

/// Turns a byte into the signed byte 128 below it.
pub(super) const FLIP: u8 = 0x80;

/// The biases of a block.
///
/// # Safety
/// 16 biases must lie at `bias`.
#[inline]
#[target_feature(enable = "neon")]
pub(super) unsafe fn plain(bias: *const i32) -> [int32x4_t; VECTORS] {
    // SAFETY: as the caller proves.
    unsafe { [vld1q_s32(bias), vld1q_s32(bias.add(4)), vld1q_s32(bias.add(8)), vld1q_s32(bias.add(12))] }
}

/// The biases of a block for bytes that were flipped: `sum(x * w) = sum((x - 128) * w) + 128 * sum(w)`.
///
/// # Safety
/// As `plain`.
#[inline]
#[target_feature(enable = "neon")]
pub(super) unsafe fn flipped(bias: *const i32, weights: [int32x4_t; VECTORS]) -> [int32x4_t; VECTORS] {
    // SAFETY: passed on.
    let mut sums = unsafe { plain(bias) };
    for (sum, weights) in sums.iter_mut().zip(weights) {
        *sum = vaddq_s32(*sum, vshlq_n_s32::<7>(weights));
    }
    sums
}
