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

/// Defines `start`: the biases of a block, and 128 times the sum of each channel's weights, as activations are read as
/// `x - 128`. One pass for all pixels of a call. `$add` adds the 4 weights of each of 4 channels, `$row`, to `$sums`.
macro_rules! flipped_start {
    ($features:literal, |$sums:ident, $row:ident| $add:expr) => {
        /// What the sums of a block start from.
        ///
        /// # Safety
        /// The task must be checked, and the block inside it.
        #[target_feature(enable = $features)]
        unsafe fn start(task: &ConvTask<'_>, block: usize) -> [int32x4_t; VECTORS] {
            let mut totals = [vdupq_n_s32(0); VECTORS];
            // SAFETY: weights and biases are padded to whole blocks.
            unsafe {
                let mut weights = task.weights.add(block * task.block_bytes());
                for _ in 0..task.taps.len() * task.groups {
                    for (v, total) in totals.iter_mut().enumerate() {
                        let ($sums, $row) = (*total, vld1q_s8(weights.add(v * 16)));
                        *total = $add;
                    }
                    weights = weights.add(BLOCK * GROUP);
                }
                bias::flipped(task.bias.add(block * BLOCK), totals)
            }
        }
    };
}

pub(super) use flipped_start;
