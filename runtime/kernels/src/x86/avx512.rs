//! AVX-512 VNNI: `vpdpbusd` multiplies 64 pairs of bytes.

use std::arch::asm;
use std::arch::x86_64::*;
use std::ops::Range;

use crate::depthwise::Task as DepthwiseTask;
use crate::layout::{BLOCK, GROUP};
use crate::requantize::Rounding;
use crate::task::{Sink, Task, even_tiles};

/// The features of the tier; `Tier::is_available` asks for the same.
macro_rules! tier {
    ($(#[$meta:meta])* $visibility:vis unsafe fn $($rest:tt)*) => {
        $(#[$meta])*
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
        $visibility unsafe fn $($rest)*
    };
}

/// Vectors of output channels that one tile holds.
const VECTORS: usize = 4;

tier! {
/// # Safety
/// The task must be checked, pixels and blocks inside it, and the tier available.
pub(crate) unsafe fn conv(task: &Task<'_>, pixels: Range<usize>, blocks: Range<usize>) {
    for (block, vectors) in even_tiles(blocks.len(), VECTORS) {
        let block = blocks.start + block;
        // 32 registers: sums, weights, and one for the activations.
        let limit = if vectors == 4 { 6 } else { 7 };
        for (pixel, count) in even_tiles(pixels.len(), limit) {
            let pixel = pixels.start + pixel;
            // SAFETY: passed on.
            unsafe {
                match vectors {
                    1 => tiles::<1>(task, pixel, count, block),
                    2 => tiles::<2>(task, pixel, count, block),
                    3 => tiles::<3>(task, pixel, count, block),
                    _ => tiles::<4>(task, pixel, count, block),
                }
            }
        }
    }
}
}

tier! {
/// # Safety
/// As `conv`.
#[inline]
unsafe fn tiles<const V: usize>(task: &Task<'_>, pixel: usize, count: usize, block: usize) {
    // SAFETY: passed on.
    unsafe {
        match count {
            1 => tile::<1, V>(task, pixel, block),
            2 => tile::<2, V>(task, pixel, block),
            3 => tile::<3, V>(task, pixel, block),
            4 => tile::<4, V>(task, pixel, block),
            5 => tile::<5, V>(task, pixel, block),
            7 if V < VECTORS => tile::<7, V>(task, pixel, block),
            _ => tile::<6, V>(task, pixel, block),
        }
    }
}
}

/// The sums of a tile of six pixels by four vectors, if that is what these are.
#[inline(always)]
fn whole<const P: usize, const V: usize>(
    sums: &mut [[__m512i; V]; P],
) -> Option<&mut [[__m512i; VECTORS]; 6]> {
    // SAFETY: the two types are the same.
    (P == 6 && V == VECTORS).then(|| unsafe { &mut *std::ptr::from_mut(sums).cast() })
}

/// A pixel's 4 bytes, broadcast, times the weights of four vectors of channels.
macro_rules! row {
    ($window:literal, $a:literal, $b:literal, $c:literal, $d:literal) => {
        concat!(
            "vpbroadcastd {bytes}, dword ptr [{",
            $window,
            "} + {offset}]\n",
            "vpdpbusd {",
            $a,
            "}, {bytes}, {w0}\n",
            "vpdpbusd {",
            $b,
            "}, {bytes}, {w1}\n",
            "vpdpbusd {",
            $c,
            "}, {bytes}, {w2}\n",
            "vpdpbusd {",
            $d,
            "}, {bytes}, {w3}",
        )
    };
}

tier! {
/// The dot products of the tile that does most of the work, written out: the compiler loads all activations first, which
/// leaves too few registers, and then moves sums in and out of memory.
///
/// # Safety
/// As `conv`; there must be a step.
#[inline]
unsafe fn six_by_four(
    steps: &[u32],
    windows: [*const u8; 6],
    weights: *const i8,
    size: usize,
    sums: &mut [[__m512i; VECTORS]; 6],
) {
    let steps = steps.as_ptr_range();
    // Of a type, so that the registers get the names of whole vectors.
    let mut scratch = [_mm512_setzero_si512(); 5];
    // SAFETY: it reads the steps, the bytes of the windows and the weights, and writes nothing but registers.
    unsafe {
        asm!(
            "2:",
            "mov {offset:e}, dword ptr [{step}]",
            "vmovdqu64 {w0}, [{w}]",
            "vmovdqu64 {w1}, [{w} + {size}]",
            "vmovdqu64 {w2}, [{w} + 2*{size}]",
            "vmovdqu64 {w3}, [{w} + {thrice}]",
            row!("p0", "0", "1", "2", "3"),
            row!("p1", "4", "5", "6", "7"),
            row!("p2", "8", "9", "10", "11"),
            row!("p3", "12", "13", "14", "15"),
            row!("p4", "16", "17", "18", "19"),
            row!("p5", "20", "21", "22", "23"),
            "add {w}, 64",
            "add {step}, 4",
            "cmp {step}, {end}",
            "jne 2b",
            inout(zmm_reg) sums[0][0], inout(zmm_reg) sums[0][1], inout(zmm_reg) sums[0][2], inout(zmm_reg) sums[0][3],
            inout(zmm_reg) sums[1][0], inout(zmm_reg) sums[1][1], inout(zmm_reg) sums[1][2], inout(zmm_reg) sums[1][3],
            inout(zmm_reg) sums[2][0], inout(zmm_reg) sums[2][1], inout(zmm_reg) sums[2][2], inout(zmm_reg) sums[2][3],
            inout(zmm_reg) sums[3][0], inout(zmm_reg) sums[3][1], inout(zmm_reg) sums[3][2], inout(zmm_reg) sums[3][3],
            inout(zmm_reg) sums[4][0], inout(zmm_reg) sums[4][1], inout(zmm_reg) sums[4][2], inout(zmm_reg) sums[4][3],
            inout(zmm_reg) sums[5][0], inout(zmm_reg) sums[5][1], inout(zmm_reg) sums[5][2], inout(zmm_reg) sums[5][3],
            p0 = in(reg) windows[0], p1 = in(reg) windows[1], p2 = in(reg) windows[2],
            p3 = in(reg) windows[3], p4 = in(reg) windows[4], p5 = in(reg) windows[5],
            offset = out(reg) _, step = inout(reg) steps.start => _, end = in(reg) steps.end,
            w = inout(reg) weights => _, size = in(reg) size, thrice = in(reg) 3 * size,
            w0 = out(zmm_reg) scratch[0], w1 = out(zmm_reg) scratch[1], w2 = out(zmm_reg) scratch[2],
            w3 = out(zmm_reg) scratch[3], bytes = out(zmm_reg) scratch[4],
            options(nostack, readonly),
        );
        let _ = scratch;
    }
}
}

tier! {
/// `P` pixels of `16 * V` channels.
///
/// # Safety
/// As `conv`.
unsafe fn tile<const P: usize, const V: usize>(task: &Task<'_>, pixel: usize, block: usize) {
    // SAFETY: windows and weights are inside what the task describes.
    unsafe {
        let windows = task.windows::<P>(pixel);
        let size = task.block_bytes();
        let mut weights = task.weights.add(block * size);
        let bias: [__m512i; V] =
            std::array::from_fn(|v| _mm512_loadu_si512(task.bias.add((block + v) * BLOCK).cast()));
        let mut sums = [bias; P];
        if let Some(sums) = whole(&mut sums) {
            let windows = std::array::from_fn(|p| windows[p.min(P - 1)]);
            six_by_four(task.steps, windows, weights, size, sums);
        } else {
            for offset in task.steps {
                let row: [__m512i; V] = std::array::from_fn(|v| _mm512_loadu_si512(weights.add(v * size).cast()));
                for p in 0..P {
                    let four = windows[p].add(*offset as usize).cast::<i32>().read_unaligned();
                    let bytes = _mm512_set1_epi32(four);
                    for v in 0..V {
                        sums[p][v] = _mm512_dpbusd_epi32(sums[p][v], bytes, row[v]);
                    }
                }
                weights = weights.add(BLOCK * GROUP);
            }
        }
        // A copy: sums whose address is known to somebody would not stay in registers.
        let done = sums;
        store(task, pixel, block, &done);
    }
}
}

tier! {
/// # Safety
/// As `conv`.
#[inline]
unsafe fn store<const P: usize, const V: usize>(
    task: &Task<'_>,
    pixel: usize,
    block: usize,
    sums: &[[__m512i; V]; P],
) {
    // SAFETY: multipliers and pixels are padded to whole blocks; planes are written for real channels alone.
    unsafe {
        let scales: [__m512; V] =
            std::array::from_fn(|v| _mm512_loadu_ps(task.multipliers.add((block + v) * BLOCK)));
        match task.sink {
            Sink::Bytes { start, origin, row, pixel: step, rounding } => {
                let (mut y, mut x) = (pixel / task.width, pixel % task.width);
                let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
                let move_by = _mm512_set1_epi16(rounding.zero_point as i16);
                let smallest = _mm512_set1_epi8(rounding.lowest() as i8);
                let largest = _mm512_set1_epi8(rounding.highest() as i8);
                for sums in sums {
                    let at = start.pointer().add(origin + y * row + x * step + block * BLOCK);
                    let whole: [__m512i; V] = std::array::from_fn(|v| {
                        let real = _mm512_mul_ps(_mm512_cvtepi32_ps(sums[v]), scales[v]);
                        if task.bounded { _mm512_cvtps_epi32(real) } else { round(real, rounding) }
                    });
                    // Vectors that do not exist are copies, whose bytes are not stored.
                    let pick = |v: usize| whole[if v < V { v } else { 0 }];
                    let low = _mm512_packs_epi32(pick(0), pick(1));
                    let high = _mm512_packs_epi32(pick(2), pick(3));
                    let bytes = _mm512_packus_epi16(_mm512_adds_epi16(low, move_by), _mm512_adds_epi16(high, move_by));
                    // Packing left the four vectors interleaved by quarters.
                    let bytes = _mm512_permutexvar_epi32(order, bytes);
                    let bytes = _mm512_min_epu8(_mm512_max_epu8(bytes, smallest), largest);
                    _mm512_mask_storeu_epi8(at.cast(), u64::MAX >> (64 - V * BLOCK), bytes);
                    x += 1;
                    if x == task.width {
                        (y, x) = (y + 1, 0);
                    }
                }
            }
            Sink::Reals { start, plane } => {
                for (p, sums) in sums.iter().enumerate() {
                    for v in 0..V {
                        let mut reals = [0.0f32; BLOCK];
                        let real = _mm512_mul_ps(_mm512_cvtepi32_ps(sums[v]), scales[v]);
                        _mm512_storeu_ps(reals.as_mut_ptr(), real);
                        for (lane, real) in reals.iter().enumerate() {
                            let channel = (block + v) * BLOCK + lane;
                            if channel < task.channels {
                                *start.pointer().add(channel * plane + pixel + p) = *real;
                            }
                        }
                    }
                }
            }
        }
    }
}
}

tier! {
/// Units of the output's scale to whole ones, clamped before the conversion, which out of range would give nonsense.
///
/// # Safety
/// The tier must be available.
#[inline]
unsafe fn round(real: __m512, rounding: Rounding) -> __m512i {
    let low = _mm512_max_ps(real, _mm512_set1_ps(rounding.low));
    let clamped = _mm512_min_ps(low, _mm512_set1_ps(rounding.high));
    _mm512_cvtps_epi32(clamped)
}
}

/// Channels of a depthwise block.
const WIDE: usize = 32;

tier! {
/// # Safety
/// The task must be checked, rows inside it, and the tier available.
pub(crate) unsafe fn depthwise(task: &DepthwiseTask<'_>, rows: Range<usize>) {
    for block in 0..task.padded / WIDE {
        for row in rows.clone() {
            for (column, count) in even_tiles(task.width, 7) {
                // SAFETY: passed on.
                unsafe {
                    match count {
                        1 => depthwise_tile::<1>(task, row, column, block),
                        2 => depthwise_tile::<2>(task, row, column, block),
                        3 => depthwise_tile::<3>(task, row, column, block),
                        4 => depthwise_tile::<4>(task, row, column, block),
                        5 => depthwise_tile::<5>(task, row, column, block),
                        6 => depthwise_tile::<6>(task, row, column, block),
                        _ => depthwise_tile::<7>(task, row, column, block),
                    }
                }
            }
        }
    }
}
}

tier! {
/// `P` pixels of 32 channels, two taps at a time.
///
/// # Safety
/// As `depthwise`.
unsafe fn depthwise_tile<const P: usize>(task: &DepthwiseTask<'_>, row: usize, column: usize, block: usize) {
    // SAFETY: windows lie inside the input, and behind the last pixel there is room for one more load; everything with
    // one value a channel is padded to whole blocks.
    unsafe {
        let first = task.source.add(row * task.row + column * task.column + block * WIDE);
        let windows: [*const u8; P] = std::array::from_fn(|p| first.add(p.wrapping_mul(task.column)));
        let mut weights = task.weights.add(block * task.taps.len() * WIDE);
        let bias = task.bias.add(block * WIDE);
        let start = [_mm512_loadu_si512(bias.cast()), _mm512_loadu_si512(bias.add(16).cast())];
        let mut sums = [start; P];
        for pair in task.taps.chunks_exact(2) {
            let (a, b) = (pair[0], pair[1]);
            let low = _mm512_loadu_si512(weights.cast());
            let high = _mm512_loadu_si512(weights.add(WIDE).cast());
            for p in 0..P {
                let a = _mm512_cvtepu8_epi16(_mm256_loadu_si256(windows[p].add(a).cast()));
                let b = _mm512_cvtepu8_epi16(_mm256_loadu_si256(windows[p].add(b).cast()));
                sums[p][0] = _mm512_dpwssd_epi32(sums[p][0], _mm512_unpacklo_epi16(a, b), low);
                sums[p][1] = _mm512_dpwssd_epi32(sums[p][1], _mm512_unpackhi_epi16(a, b), high);
            }
            weights = weights.add(2 * WIDE);
        }
        let scales = task.multipliers.add(block * WIDE);
        let scales = [_mm512_loadu_ps(scales), _mm512_loadu_ps(scales.add(16))];
        let at = task.origin + row * task.output_row + column * task.output_pixel + block * WIDE;
        let half = task.channels - block * WIDE < WIDE;
        let rounding = task.rounding;
        let move_by = _mm512_set1_epi16(rounding.zero_point as i16);
        let smallest = _mm256_set1_epi8(rounding.lowest() as i8);
        let largest = _mm256_set1_epi8(rounding.highest() as i8);
        let done = sums;
        for (p, sums) in done.iter().enumerate() {
            let whole: [__m512i; 2] = std::array::from_fn(|v| {
                let real = _mm512_mul_ps(_mm512_cvtepi32_ps(sums[v]), scales[v]);
                if task.bounded { _mm512_cvtps_epi32(real) } else { round(real, rounding) }
            });
            // Packing puts the channels back into their order.
            let words = _mm512_adds_epi16(_mm512_packs_epi32(whole[0], whole[1]), move_by);
            let bytes = _mm512_cvtusepi16_epi8(_mm512_max_epi16(words, _mm512_setzero_si512()));
            let bytes = _mm256_min_epu8(_mm256_max_epu8(bytes, smallest), largest);
            let at = task.output.pointer().add(at + p * task.output_pixel);
            if half {
                _mm_storeu_si128(at.cast(), _mm256_castsi256_si128(bytes));
            } else {
                _mm256_storeu_si256(at.cast(), bytes);
            }
        }
    }
}
}

/// Looks 64 bytes up at a time.
///
/// # Safety
/// AVX-512 BW and VBMI must be available.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi")]
pub(crate) unsafe fn look_up(table: &[u8; 256], bytes: &mut [u8]) {
    // SAFETY: the table has four vectors.
    let quarter = |index: usize| unsafe { _mm512_loadu_si512(table.as_ptr().add(64 * index).cast()) };
    let (a, b, c, d) = (quarter(0), quarter(1), quarter(2), quarter(3));
    let (whole, rest) = bytes.as_chunks_mut::<64>();
    for chunk in whole {
        // SAFETY: the chunk is one vector.
        unsafe {
            let index = _mm512_loadu_si512(chunk.as_ptr().cast());
            let low = _mm512_permutex2var_epi8(a, index, b);
            let high = _mm512_permutex2var_epi8(c, index, d);
            let answer = _mm512_mask_blend_epi8(_mm512_movepi8_mask(index), low, high);
            _mm512_storeu_si512(chunk.as_mut_ptr().cast(), answer);
        }
    }
    for byte in rest {
        *byte = table[usize::from(*byte)];
    }
}
