//! AVX2: bytes are widened to 16 bits and `vpmaddwd` multiplies 16 pairs. `vpmaddubsw` would take twice as many, but
//! it saturates.

use std::arch::x86_64::*;
use std::ops::Range;

use crate::layout::{BLOCK, GROUP};
use crate::requantize::Rounding;
use crate::scalar;
use crate::task::conv::ConvTask;
use crate::task::depthwise::DepthwiseTask;
use crate::task::tiles::{each_depthwise_tile, even_tiles};

/// # Safety
/// The task must be checked, pixels and blocks inside it, and AVX2 available.
#[target_feature(enable = "avx2")]
pub(crate) unsafe fn conv(task: &ConvTask<'_>, pixels: Range<usize>, blocks: Range<usize>) {
    for block in blocks {
        for (pixel, count) in even_tiles(pixels.len(), 3) {
            let pixel = pixels.start + pixel;
            // SAFETY: passed on.
            unsafe {
                match count {
                    1 => tile::<1>(task, pixel, block),
                    2 => tile::<2>(task, pixel, block),
                    _ => tile::<3>(task, pixel, block),
                }
            }
        }
    }
}

/// `P` pixels of 16 channels. A vector of sums holds two halves of each of 4 channels.
///
/// # Safety
/// As `conv`.
#[target_feature(enable = "avx2")]
unsafe fn tile<const P: usize>(task: &ConvTask<'_>, pixel: usize, block: usize) {
    // SAFETY: windows and weights are inside what the task describes.
    unsafe {
        let windows = task.windows::<P>(pixel);
        let mut weights = task.weights.add(block * task.block_bytes());
        let mut sums = [[_mm256_setzero_si256(); 4]; P];
        for offset in task.steps {
            let bytes: [__m256i; P] = std::array::from_fn(|p| {
                let four = windows[p].add(*offset as usize).cast::<i32>().read_unaligned();
                _mm256_broadcastq_epi64(_mm_cvtepu8_epi16(_mm_cvtsi32_si128(four)))
            });
            let row: [__m256i; 4] = std::array::from_fn(|quarter| {
                _mm256_cvtepi8_epi16(_mm_loadu_si128(weights.add(quarter * 16).cast()))
            });
            for (sums, bytes) in sums.iter_mut().zip(bytes) {
                for (sum, row) in sums.iter_mut().zip(row) {
                    *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(bytes, row));
                }
            }
            weights = weights.add(BLOCK * GROUP);
        }
        // A copy: sums whose address is known elsewhere would not stay in registers.
        let sums = { sums };
        for (p, sums) in sums.iter().enumerate() {
            let mut halves = [0i32; 2 * BLOCK];
            for (quarter, sum) in sums.iter().enumerate() {
                _mm256_storeu_si256(halves.as_mut_ptr().add(quarter * 8).cast(), *sum);
            }
            let total: [i32; BLOCK] = std::array::from_fn(|lane| {
                let bias = *task.bias.add(block * BLOCK + lane);
                bias.wrapping_add(halves[2 * lane]).wrapping_add(halves[2 * lane + 1])
            });
            scalar::store(task, pixel + p, block, &total);
        }
    }
}

/// # Safety
/// The task must be checked, rows inside it, and AVX2 available.
#[target_feature(enable = "avx2")]
pub(crate) unsafe fn depthwise(task: &DepthwiseTask<'_>, rows: Range<usize>) {
    each_depthwise_tile!(task, rows, BLOCK, depthwise_tile);
}

/// `P` pixels of 16 channels, two taps at a time.
///
/// # Safety
/// As `depthwise`.
#[target_feature(enable = "avx2")]
unsafe fn depthwise_tile<const P: usize>(task: &DepthwiseTask<'_>, row: usize, column: usize, block: usize) {
    // SAFETY: windows lie inside the input; everything with one value a channel is padded to whole blocks.
    unsafe {
        let first = task.source.add(row * task.row + column * task.column + block * BLOCK);
        let windows: [*const u8; P] = std::array::from_fn(|p| first.add(p.wrapping_mul(task.column)));
        let mut weights = task.weights.add(block * task.taps.len() * BLOCK);
        let bias = task.bias.add(block * BLOCK);
        let start = [_mm256_loadu_si256(bias.cast()), _mm256_loadu_si256(bias.add(8).cast())];
        let mut sums = [start; P];
        for pair in task.taps.chunks_exact(2) {
            let (a, b) = (pair[0], pair[1]);
            let low = _mm256_loadu_si256(weights.cast());
            let high = _mm256_loadu_si256(weights.add(BLOCK).cast());
            for p in 0..P {
                let a = _mm256_cvtepu8_epi16(_mm_loadu_si128(windows[p].add(a).cast()));
                let b = _mm256_cvtepu8_epi16(_mm_loadu_si128(windows[p].add(b).cast()));
                let first = _mm256_madd_epi16(_mm256_unpacklo_epi16(a, b), low);
                let second = _mm256_madd_epi16(_mm256_unpackhi_epi16(a, b), high);
                sums[p][0] = _mm256_add_epi32(sums[p][0], first);
                sums[p][1] = _mm256_add_epi32(sums[p][1], second);
            }
            weights = weights.add(2 * BLOCK);
        }
        let scales = task.multipliers.add(block * BLOCK);
        let scales = [_mm256_loadu_ps(scales), _mm256_loadu_ps(scales.add(8))];
        let at = task.origin + row * task.output_row + column * task.output_pixel + block * BLOCK;
        for (p, sums) in sums.iter().enumerate() {
            let low = round(_mm256_mul_ps(_mm256_cvtepi32_ps(sums[0]), scales[0]), task.rounding);
            let high = round(_mm256_mul_ps(_mm256_cvtepi32_ps(sums[1]), scales[1]), task.rounding);
            // Packing puts the channels back into their order, within each half of the vector.
            let words = _mm256_packs_epi32(low, high);
            let bytes = _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words));
            _mm_storeu_si128(task.output.pointer().add(at + p * task.output_pixel).cast(), bytes);
        }
    }
}

/// Units of the output's scale to bytes in 32-bit lanes.
///
/// # Safety
/// AVX2 must be available.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) unsafe fn round(real: __m256, rounding: Rounding) -> __m256i {
    let low = _mm256_max_ps(real, _mm256_set1_ps(rounding.low));
    let clamped = _mm256_min_ps(low, _mm256_set1_ps(rounding.high));
    _mm256_add_epi32(_mm256_cvtps_epi32(clamped), _mm256_set1_epi32(rounding.zero_point))
}
