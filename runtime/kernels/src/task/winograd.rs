//! A part of a convolution by minimal filtering, as the inner loops see it.

use std::ops::Range;

use super::conv::ConvTask;
use crate::layout::BLOCK;

/// Rows and columns of the output that a tile gives.
pub(crate) const SIDE: usize = 4;
/// Rows and columns of the input that it reads.
pub(crate) const REACH: usize = SIDE + 2;
/// Products of a tile, for each pair of an input and an output channel.
pub(crate) const POINTS: usize = REACH * REACH;
/// Output channels that are multiplied together: four vectors.
pub(crate) const PANEL: usize = 4 * BLOCK;
/// Input channels that are transformed together: a vector of 16-bit numbers.
pub(crate) const LANES: usize = 32;
/// Tiles that are multiplied together.
pub(crate) const TOGETHER: usize = 6;

/// What one thread transforms and multiplies at a time.
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "only AVX-512 has a use for it"))]
pub(crate) struct Strip<'a> {
    pub(crate) task: &'a ConvTask<'a>,
    pub(crate) tiles: Range<usize>,
    /// Tiles in a row of the output.
    pub(crate) columns: usize,
    /// Bytes from the first input channel to each pair.
    pub(crate) steps: &'a [u32],
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    /// `[36][outputs / 16][inputs / 2][16][2]`
    pub(crate) weights: *const i16,
    /// Room for `[tiles][36][inputs]`.
    pub(crate) values: *mut i16,
    /// Room for `[tiles][36][outputs]`.
    pub(crate) sums: *mut i32,
}
