//! AVX-VNNI: `vpdpbusd` multiplies 32 pairs of bytes. Only the convolution differs from AVX2.

use std::arch::x86_64::*;
use std::ops::Range;

use crate::layout::{BLOCK, GROUP};
use crate::scalar;
use crate::task::conv::{ConvTask, Sink};
use crate::task::tiles::even_tiles;

use super::avx2::round;

/// The inner loops for one form of the instruction: AVX-VNNI has it with a VEX prefix, AVX-512 VL with an EVEX prefix.
macro_rules! loops {
    ($features:literal, $dot:ident) => {
        /// # Safety
        /// The task must be checked, pixels and blocks inside it, and the features available.
        #[target_feature(enable = $features)]
        pub(crate) unsafe fn conv(task: &ConvTask<'_>, pixels: Range<usize>, blocks: Range<usize>) {
            for block in blocks {
                for (pixel, count) in even_tiles(pixels.len(), 6) {
                    let pixel = pixels.start + pixel;
                    // SAFETY: passed on.
                    unsafe {
                        match count {
                            1 => tile::<1>(task, pixel, block),
                            2 => tile::<2>(task, pixel, block),
                            3 => tile::<3>(task, pixel, block),
                            4 => tile::<4>(task, pixel, block),
                            5 => tile::<5>(task, pixel, block),
                            _ => tile::<6>(task, pixel, block),
                        }
                    }
                }
            }
        }

        /// `P` pixels of 16 channels: 12 sums, two vectors of weights, one of activations.
        ///
        /// # Safety
        /// As `conv`.
        #[target_feature(enable = $features)]
        unsafe fn tile<const P: usize>(task: &ConvTask<'_>, pixel: usize, block: usize) {
            // SAFETY: windows and weights are inside what the task describes.
            unsafe {
                let windows = task.windows::<P>(pixel);
                let mut weights = task.weights.add(block * task.block_bytes());
                let bias = task.bias.add(block * BLOCK);
                let start = [_mm256_loadu_si256(bias.cast()), _mm256_loadu_si256(bias.add(8).cast())];
                let mut sums = [start; P];
                for offset in task.steps {
                    let low = _mm256_loadu_si256(weights.cast());
                    let high = _mm256_loadu_si256(weights.add(32).cast());
                    for p in 0..P {
                        let four = windows[p].add(*offset as usize).cast::<i32>().read_unaligned();
                        let bytes = _mm256_set1_epi32(four);
                        sums[p][0] = $dot(sums[p][0], bytes, low);
                        sums[p][1] = $dot(sums[p][1], bytes, high);
                    }
                    weights = weights.add(BLOCK * GROUP);
                }
                // A copy: sums whose address is known elsewhere would not stay in registers.
                let done = sums;
                store(task, pixel, block, &done);
            }
        }
    };
}

loops!("avx2,avxvnni", _mm256_dpbusd_avx_epi32);

/// # Safety
/// As `conv`.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn store<const P: usize>(task: &ConvTask<'_>, pixel: usize, block: usize, sums: &[[__m256i; 2]; P]) {
    // SAFETY: multipliers and pixels are padded to whole blocks.
    unsafe {
        let Sink::Bytes { start, origin, row, pixel: step, rounding } = task.sink else {
            for (p, sums) in sums.iter().enumerate() {
                let mut total = [0i32; BLOCK];
                _mm256_storeu_si256(total.as_mut_ptr().cast(), sums[0]);
                _mm256_storeu_si256(total.as_mut_ptr().add(8).cast(), sums[1]);
                scalar::store(task, pixel + p, block, &total);
            }
            return;
        };
        let scales = task.multipliers.add(block * BLOCK);
        let scales = [_mm256_loadu_ps(scales), _mm256_loadu_ps(scales.add(8))];
        let (mut y, mut x) = (pixel / task.width, pixel % task.width);
        for sums in sums {
            let low = round(_mm256_mul_ps(_mm256_cvtepi32_ps(sums[0]), scales[0]), rounding);
            let high = round(_mm256_mul_ps(_mm256_cvtepi32_ps(sums[1]), scales[1]), rounding);
            let words = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packs_epi32(low, high));
            let bytes = _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words));
            let at = start.pointer().add(origin + y * row + x * step + block * BLOCK);
            _mm_storeu_si128(at.cast(), bytes);
            x += 1;
            if x == task.width {
                (y, x) = (y + 1, 0);
            }
        }
    }
}

/// The same loops on processors that tests are more likely to find.
#[cfg(test)]
pub(crate) mod evex {
    use super::*;
    loops!("avx2,avx512vnni,avx512vl", _mm256_dpbusd_epi32);
}
