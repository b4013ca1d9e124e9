//! From sums to bytes in memory.

use std::arch::aarch64::*;

use crate::layout::BLOCK;
use crate::requantize::Rounding;
use crate::scalar;
use crate::task::conv::{ConvTask, Sink};

/// Vectors of 32 bits that hold a block of channels.
pub(super) const VECTORS: usize = BLOCK / 4;

/// The multipliers of a block.
///
/// # Safety
/// 16 multipliers must lie at `multipliers`.
#[inline]
#[target_feature(enable = "neon")]
pub(super) unsafe fn scales(multipliers: *const f32) -> [float32x4_t; VECTORS] {
    // SAFETY: as the caller proves.
    unsafe {
        [
            vld1q_f32(multipliers),
            vld1q_f32(multipliers.add(4)),
            vld1q_f32(multipliers.add(8)),
            vld1q_f32(multipliers.add(12)),
        ]
    }
}

/// Sums to units of the output's scale, and these to bytes.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn bytes(
    sums: [int32x4_t; VECTORS],
    scales: &[float32x4_t; VECTORS],
    rounding: Rounding,
) -> uint8x16_t {
    let (low, high) = (vdupq_n_f32(rounding.low), vdupq_n_f32(rounding.high));
    let zero_point = vdupq_n_s32(rounding.zero_point);
    let mut words = [vdup_n_s16(0); VECTORS];
    for v in 0..VECTORS {
        let real = vmulq_f32(vcvtq_f32_s32(sums[v]), scales[v]);
        let clamped = vminq_f32(vmaxq_f32(real, low), high);
        words[v] = vmovn_s32(vaddq_s32(vcvtnq_s32_f32(clamped), zero_point));
    }
    // Clamping left 0..=255, so narrowing may cut.
    let first = vmovn_s16(vcombine_s16(words[0], words[1]));
    let second = vmovn_s16(vcombine_s16(words[2], words[3]));
    vreinterpretq_u8_s8(vcombine_s8(first, second))
}

/// Writes the pixels of a tile, one after another.
///
/// It takes sums by value: a reference to a tile's sums would keep them in memory while they are added up.
pub(super) struct Writer<'a> {
    task: &'a ConvTask<'a>,
    scales: [float32x4_t; VECTORS],
    block: usize,
    row: usize,
    column: usize,
}

impl<'a> Writer<'a> {
    /// A writer whose first pixel is number `pixel`.
    ///
    /// # Safety
    /// The task must be checked, and the block inside it.
    #[inline]
    #[target_feature(enable = "neon")]
    pub(super) unsafe fn new(task: &'a ConvTask<'a>, pixel: usize, block: usize) -> Self {
        // SAFETY: multipliers are padded to whole blocks.
        let scales = unsafe { scales(task.multipliers.add(block * BLOCK)) };
        Self { task, scales, block, row: pixel / task.width, column: pixel % task.width }
    }

    /// Writes the finished sums of the next pixel.
    ///
    /// # Safety
    /// The pixel must be inside the task.
    #[inline]
    #[target_feature(enable = "neon")]
    pub(super) unsafe fn put(&mut self, sums: [int32x4_t; VECTORS]) {
        match self.task.sink {
            Sink::Bytes { start, origin, row, pixel: step, rounding } => {
                let at = origin
                    .wrapping_add(self.row.wrapping_mul(row))
                    .wrapping_add(self.column.wrapping_mul(step))
                    .wrapping_add(self.block.wrapping_mul(BLOCK));
                // SAFETY: inside the output's layout, whose pixels are padded to whole blocks.
                unsafe { vst1q_u8(start.pointer().add(at), bytes(sums, &self.scales, rounding)) };
            }
            Sink::Reals { .. } => {
                let mut total = [0i32; BLOCK];
                let pixel = self.row.wrapping_mul(self.task.width).wrapping_add(self.column);
                // SAFETY: the vectors fill the array; the rest is passed on.
                unsafe {
                    for (v, sum) in sums.iter().enumerate() {
                        vst1q_s32(total.as_mut_ptr().add(v * 4), *sum);
                    }
                    scalar::store(self.task, pixel, self.block, &total);
                }
            }
        }
        self.column = self.column.wrapping_add(1);
        if self.column == self.task.width {
            (self.row, self.column) = (self.row.wrapping_add(1), 0);
        }
    }
}
