//! Dot products: `sdot` multiplies 16 pairs of signed bytes.
//!
//! Activations are flipped to `x - 128`, and the sums start from what that takes away.

use std::arch::aarch64::*;
use std::arch::asm;
use std::ops::Range;

use crate::layout::{BLOCK, GROUP};
use crate::task::conv::ConvTask;
use crate::task::tiles::even_tiles;

use super::bias::{self, FLIP, flipped_start};
use super::loops::{LANES, group, loops};
use super::output::{VECTORS, Writer};
use super::runs::runs;

loops!("neon,dotprod", "sdot");
flipped_start!("neon,dotprod", |sums, row| dot::<0>(sums, row, vdupq_n_u8(1)));

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
