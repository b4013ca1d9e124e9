//! NEON without dot products: `smull` and `smlal` add two products of signed bytes in 16 bits, `sadalp` adds
//! those in pairs to sums of 32 bits.

use std::arch::aarch64::*;
use std::ops::Range;

use crate::layout::{BLOCK, GROUP};
use crate::task::conv::ConvTask;
use crate::task::depthwise::DepthwiseTask;
use crate::task::tiles::{each_depthwise_tile, even_tiles};

use super::bias::{self, FLIP, flipped_start};
use super::output::{self, VECTORS, Writer};
use super::runs::runs;

/// # Safety
/// The task must be checked, pixels and blocks inside it, and no weight -128.
#[target_feature(enable = "neon")]
pub(crate) unsafe fn conv(task: &ConvTask<'_>, pixels: Range<usize>, blocks: Range<usize>) {
    for block in blocks {
        // SAFETY: passed on.
        let first = unsafe { start(task, block) };
        for (pixel, count) in even_tiles(pixels.len(), 2) {
            let pixel = pixels.start + pixel;
            // SAFETY: passed on.
            unsafe {
                match count {
                    1 => tile::<1>(task, pixel, block, &first),
                    _ => tile::<2>(task, pixel, block, &first),
                }
            }
        }
    }
}

flipped_start!("neon", |sums, row| vpadalq_s16(sums, vpaddlq_s8(row)));

/// `P` pixels of 16 channels, two groups at a time. A vector of sums holds two halves of each of 2 channels.
///
/// With 2 pixels, 16 of the 32 registers hold sums, 4 activations, 2 weights and 4 products.
///
/// # Safety
/// As `conv`.
#[target_feature(enable = "neon")]
unsafe fn tile<const P: usize>(
    task: &ConvTask<'_>,
    pixel: usize,
    block: usize,
    first: &[int32x4_t; VECTORS],
) {
    // SAFETY: windows and weights are inside what the task describes. A vector of activations starts at a
    // group of a tap, and behind the last pixel there is room for one more load.
    unsafe {
        let windows = task.windows::<P>(pixel);
        let mut weights = task.weights.add(block * task.block_bytes());
        let mut halves = [[vdupq_n_s32(0); 2 * VECTORS]; P];
        for (mut offset, groups) in runs(task.taps, task.groups) {
            let mut bytes = [[vdupq_n_s8(0); 2]; P];
            for _ in 0..groups / 2 {
                for p in 0..P {
                    bytes[p] = load(windows[p].add(offset));
                }
                for v in 0..VECTORS {
                    let a = vld1q_s8(weights.add(v * 16));
                    let b = vld1q_s8(weights.add(BLOCK * GROUP + v * 16));
                    for p in 0..P {
                        let [x, y] = bytes[p];
                        // At most 2 * 127 * 128, which 16 bits hold.
                        let low = vmull_s8(vget_low_s8(a), vget_low_s8(x));
                        let low = vmlal_s8(low, vget_low_s8(b), vget_low_s8(y));
                        let high = vmlal_high_s8(vmull_high_s8(a, x), b, y);
                        halves[p][2 * v] = vpadalq_s16(halves[p][2 * v], low);
                        halves[p][2 * v + 1] = vpadalq_s16(halves[p][2 * v + 1], high);
                    }
                }
                weights = weights.add(2 * BLOCK * GROUP);
                offset = offset.wrapping_add(2 * GROUP);
            }
            if groups % 2 == 1 {
                for p in 0..P {
                    bytes[p] = load(windows[p].add(offset));
                }
                for v in 0..VECTORS {
                    let a = vld1q_s8(weights.add(v * 16));
                    for p in 0..P {
                        let x = bytes[p][0];
                        let low = vmull_s8(vget_low_s8(a), vget_low_s8(x));
                        halves[p][2 * v] = vpadalq_s16(halves[p][2 * v], low);
                        halves[p][2 * v + 1] = vpadalq_s16(halves[p][2 * v + 1], vmull_high_s8(a, x));
                    }
                }
                weights = weights.add(BLOCK * GROUP);
            }
        }
        let mut writer = Writer::new(task, pixel, block);
        for halves in &halves {
            let mut sums = *first;
            for (v, sum) in sums.iter_mut().enumerate() {
                *sum = vaddq_s32(*sum, vpaddq_s32(halves[2 * v], halves[2 * v + 1]));
            }
            writer.put(sums);
        }
    }
}

/// Two groups of 4 bytes, less 128 each, every group repeated through a vector.
///
/// # Safety
/// 8 bytes must lie at `bytes`.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn load(bytes: *const u8) -> [int8x16_t; 2] {
    // SAFETY: as the caller proves.
    let bytes = unsafe { vld1_u8(bytes) };
    let groups = vreinterpret_s32_u8(veor_u8(bytes, vdup_n_u8(FLIP)));
    [vreinterpretq_s8_s32(vdupq_lane_s32::<0>(groups)), vreinterpretq_s8_s32(vdupq_lane_s32::<1>(groups))]
}

/// # Safety
/// The task must be checked, and rows inside it.
#[target_feature(enable = "neon")]
pub(crate) unsafe fn depthwise(task: &DepthwiseTask<'_>, rows: Range<usize>) {
    each_depthwise_tile!(task, rows, BLOCK, depthwise_tile);
}

/// `P` pixels of 16 channels.
///
/// With 4 pixels, 16 of the 32 registers hold sums, 2 weights and 3 activations.
///
/// # Safety
/// As `depthwise`.
#[target_feature(enable = "neon")]
unsafe fn depthwise_tile<const P: usize>(task: &DepthwiseTask<'_>, row: usize, column: usize, block: usize) {
    // SAFETY: windows lie inside the input; everything with one value a channel is padded to whole blocks.
    unsafe {
        let first = task.source.add(row * task.row + column * task.column + block * BLOCK);
        let windows: [*const u8; P] = std::array::from_fn(|p| first.add(p.wrapping_mul(task.column)));
        let mut weights = task.weights.add(block * BLOCK);
        let mut sums = [bias::plain(task.bias.add(block * BLOCK)); P];
        for tap in task.taps {
            let low = vld1q_s16(weights);
            let high = vld1q_s16(weights.add(8));
            for p in 0..P {
                let bytes = vld1q_u8(windows[p].add(*tap));
                let first = vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(bytes)));
                let second = vreinterpretq_s16_u16(vmovl_high_u8(bytes));
                sums[p][0] = vmlal_s16(sums[p][0], vget_low_s16(first), vget_low_s16(low));
                sums[p][1] = vmlal_high_s16(sums[p][1], first, low);
                sums[p][2] = vmlal_s16(sums[p][2], vget_low_s16(second), vget_low_s16(high));
                sums[p][3] = vmlal_high_s16(sums[p][3], second, high);
            }
            // Behind the last tap this points past the weights.
            weights = weights.wrapping_add(task.padded);
        }
        let scales = output::scales(task.multipliers.add(block * BLOCK));
        let at = task.origin + row * task.output_row + column * task.output_pixel + block * BLOCK;
        let mut at = task.output.pointer().add(at);
        for sums in &sums {
            vst1q_u8(at, output::bytes(*sums, &scales, task.rounding));
            at = at.wrapping_add(task.output_pixel);
        }
    }
}

/// Looks 16 bytes up at a time.
///
/// # Safety
/// NEON must be available.
#[target_feature(enable = "neon")]
pub(crate) unsafe fn look_up(table: &[u8; 256], bytes: &mut [u8]) {
    // SAFETY: the table has four times four vectors.
    let quarter = |index: usize| unsafe { vld1q_u8_x4(table.as_ptr().add(64 * index)) };
    let (a, b, c, d) = (quarter(0), quarter(1), quarter(2), quarter(3));
    let (whole, rest) = bytes.as_chunks_mut::<16>();
    for chunk in whole {
        // SAFETY: the chunk is one vector.
        unsafe {
            // `tbl` gives 0 for an index outside its quarter of the table, `tbx` keeps the result before it.
            let index = vld1q_u8(chunk.as_ptr());
            let result = vqtbl4q_u8(a, index);
            let result = vqtbx4q_u8(result, b, vsubq_u8(index, vdupq_n_u8(64)));
            let result = vqtbx4q_u8(result, c, vsubq_u8(index, vdupq_n_u8(128)));
            let result = vqtbx4q_u8(result, d, vsubq_u8(index, vdupq_n_u8(192)));
            vst1q_u8(chunk.as_mut_ptr(), result);
        }
    }
    for byte in rest {
        *byte = table[usize::from(*byte)];
    }
}
