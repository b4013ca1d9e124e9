//! Dot products: `sdot` multiplies 16 pairs of signed bytes.
//!
//! Activations are flipped to `x - 128`, and the sums start from what that takes away.

use std::arch::aarch64::*;
use std::arch::asm;
use std::ops::Range;

use crate::layout::{BLOCK, GROUP};
use crate::task::{Task, even_tiles};

use super::bias::{self, FLIP};
use super::loops::{LANES, group, loops};
use super::output::{VECTORS, Writer};
use super::runs::runs;

loops!("neon,dotprod");

/// 16 bytes, less 128 each.
///
/// # Safety
/// 16 bytes must lie at `bytes`.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn load(bytes: *const u8) -> uint8x16_t {
    // SAFETY: as the caller proves.
    let bytes = unsafe { vld1q_u8(bytes) };
    veorq_u8(bytes, vdupq_n_u8(FLIP))
}

/// Adds, for each of 4 channels, the products of its 4 weights with the 4 signed bytes of lane `LANE`.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn dot<const LANE: usize>(mut sums: int32x4_t, weights: int8x16_t, bytes: uint8x16_t) -> int32x4_t {
    // SAFETY: the instruction belongs to the features of this function, and touches nothing but the registers
    // named.
    unsafe {
        asm!(
            "sdot {sums:v}.4s, {weights:v}.16b, {bytes:v}.4b[{lane}]",
            sums = inout(vreg) sums,
            weights = in(vreg) weights,
            bytes = in(vreg) bytes,
            lane = const LANE,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sums
}

/// Biases, and 128 times the sum of each channel's weights: one pass for all pixels of a call.
///
/// # Safety
/// The task must be checked, and the block inside it.
#[target_feature(enable = "neon,dotprod")]
unsafe fn start(task: &Task<'_>, block: usize) -> [int32x4_t; VECTORS] {
    let ones = vdupq_n_u8(1);
    let mut sums = [vdupq_n_s32(0); VECTORS];
    // SAFETY: weights and biases are padded to whole blocks.
    unsafe {
        let mut weights = task.weights.add(block * task.block_bytes());
        for _ in 0..task.taps.len() * task.groups {
            for (v, sum) in sums.iter_mut().enumerate() {
                *sum = dot::<0>(*sum, vld1q_s8(weights.add(v * 16)), ones);
            }
            weights = weights.add(BLOCK * GROUP);
        }
        bias::flipped(task.bias.add(block * BLOCK), sums)
    }
}
