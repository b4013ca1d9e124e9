//! Dot products of mixed signs: `sudot` multiplies 16 pairs of signed weights and unsigned activations.

use std::arch::aarch64::*;
use std::arch::asm;
use std::ops::Range;

use crate::layout::{BLOCK, GROUP};
use crate::task::conv::ConvTask;
use crate::task::tiles::even_tiles;

use super::bias;
use super::loops::{LANES, group, loops};
use super::output::{VECTORS, Writer};
use super::runs::runs;

loops!("neon,dotprod,i8mm", "sudot");

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

/// The biases: bytes are multiplied as they are.
///
/// # Safety
/// The task must be checked, and the block inside it.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn start(task: &ConvTask<'_>, block: usize) -> [int32x4_t; VECTORS] {
    // SAFETY: biases are padded to whole blocks.
    unsafe { bias::plain(task.bias.add(block * BLOCK)) }
}
