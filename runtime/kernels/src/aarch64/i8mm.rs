//! Dot products of mixed signs: `sudot` multiplies 16 pairs of signed weights and unsigned activations.

use std::arch::aarch64::*;
use std::arch::asm;
use std::ops::Range;

use crate::layout::{BLOCK, GROUP};
use crate::task::{Task, even_tiles};

use super::bias;
use super::loops::{LANES, group, loops};
use super::output::{VECTORS, Writer};
use super::runs::runs;

loops!("neon,dotprod,i8mm");

/// 16 bytes.
///
/// # Safety
/// 16 bytes must lie at `bytes`.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn load(bytes: *const u8) -> uint8x16_t {
    // SAFETY: as the caller proves.
    unsafe { vld1q_u8(bytes) }
}

/// Adds, for each of 4 channels, the products of its 4 weights with the 4 bytes of lane `LANE`.
#[inline]
#[target_feature(enable = "neon,dotprod,i8mm")]
fn dot<const LANE: usize>(mut sums: int32x4_t, weights: int8x16_t, bytes: uint8x16_t) -> int32x4_t {
    // SAFETY: the instruction belongs to the features of this function, and touches nothing but the registers
    // named.
    unsafe {
        asm!(
            "sudot {sums:v}.4s, {weights:v}.16b, {bytes:v}.4b[{lane}]",
            sums = inout(vreg) sums,
            weights = in(vreg) weights,
            bytes = in(vreg) bytes,
            lane = const LANE,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sums
}

/// The biases: bytes are multiplied as they are.
///
/// # Safety
/// The task must be checked, and the block inside it.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn start(task: &Task<'_>, block: usize) -> [int32x4_t; VECTORS] {
    // SAFETY: biases are padded to whole blocks.
    unsafe { bias::plain(task.bias.add(block * BLOCK)) }
}
