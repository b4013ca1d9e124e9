//! Convolution: tiles of up to eight pixels by up to four vectors of channels.

use std::arch::x86_64::*;
use std::ops::Range;

use super::macros::{each, tier};
use super::round::{Narrow, put};
use super::tile::{self, VECTORS, whole};
use crate::layout::{BLOCK, GROUP};
use crate::scalar;
use crate::task::conv::{ConvTask, Cursor, Sink};
use crate::task::tiles::even_tiles;

tier! {
/// # Safety
/// The task must be checked, pixels and blocks inside it, and the tier available.
pub(crate) unsafe fn conv(task: &ConvTask<'_>, pixels: Range<usize>, blocks: Range<usize>) {
    for (block, vectors) in even_tiles(blocks.len(), VECTORS) {
        let block = blocks.start + block;
        // 32 registers: sums, weights, and one for the activations.
        let limit = match vectors {
            1 => 8,
            2 | 3 => 7,
            _ => 6,
        };
        let mut cursor = Cursor::new(task, pixels.start);
        let behind = blocks.end.saturating_sub(block + vectors);
        for (index, (_, count)) in even_tiles(pixels.len(), limit).enumerate() {
            // One of the streams of weights that come next, a tile: they wait in a slower cache.
            let ahead = if index < behind.min(VECTORS) { (vectors + index) * task.block_bytes() } else { 0 };
            // SAFETY: passed on.
            unsafe {
                match vectors {
                    1 => tiles::<1>(task, &mut cursor, count, block, ahead),
                    2 => tiles::<2>(task, &mut cursor, count, block, ahead),
                    3 => tiles::<3>(task, &mut cursor, count, block, ahead),
                    _ => tiles::<4>(task, &mut cursor, count, block, ahead),
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
unsafe fn tiles<const V: usize>(
    task: &ConvTask<'_>,
    cursor: &mut Cursor,
    count: usize,
    block: usize,
    ahead: usize,
) {
    // SAFETY: passed on.
    unsafe {
        match count {
            1 => tile::<1, V>(task, cursor, block, 0),
            2 => tile::<2, V>(task, cursor, block, 0),
            3 => tile::<3, V>(task, cursor, block, 0),
            4 => tile::<4, V>(task, cursor, block, 0),
            5 => tile::<5, V>(task, cursor, block, 0),
            7 if V < VECTORS => tile::<7, V>(task, cursor, block, 0),
            8 if V == 1 => tile::<8, V>(task, cursor, block, 0),
            _ => tile::<6, V>(task, cursor, block, ahead),
        }
    }
}
}

tier! {
/// `P` pixels of `16 * V` channels.
///
/// # Safety
/// As `conv`.
unsafe fn tile<const P: usize, const V: usize>(
    task: &ConvTask<'_>,
    cursor: &mut Cursor,
    block: usize,
    ahead: usize,
) {
    // SAFETY: windows and weights are inside what the task describes.
    unsafe {
        let first = cursor.pixel;
        let (windows, places) = cursor.take::<P>(task);
        let size = task.block_bytes();
        let mut weights = task.weights.add(block * size);
        let bias = task.bias.add(block * BLOCK);
        let mut start = [_mm512_setzero_si512(); V];
        each!(v < V, start[v] = _mm512_loadu_si512(bias.add(v * BLOCK).cast()));
        let mut sums = [start; P];
        if let Some(sums) = whole(&mut sums) {
            let mut six = [task.source; 6];
            each!(p < P, six[p % 6] = windows[p]);
            tile::bytes(task.steps, six, weights, size, ahead, sums);
        } else {
            for offset in task.steps {
                let offset = *offset as usize;
                let mut row = [_mm512_setzero_si512(); V];
                each!(v < V, row[v] = _mm512_loadu_si512(weights.add(v * size).cast()));
                each!(p < P, {
                    let bytes = _mm512_set1_epi32(windows[p].add(offset).cast::<i32>().read_unaligned());
                    each!(v < V, sums[p][v] = _mm512_dpbusd_epi32(sums[p][v], bytes, row[v]));
                });
                weights = weights.add(BLOCK * GROUP);
            }
        }
        store(task, first, places, block, sums);
    }
}
}

tier! {
/// Writes the sums of `P` pixels from number `first` on.
///
/// # Safety
/// As `conv`.
#[inline]
unsafe fn store<const P: usize, const V: usize>(
    task: &ConvTask<'_>,
    first: usize,
    places: [usize; P],
    block: usize,
    sums: [[__m512i; V]; P],
) {
    // SAFETY: multipliers and pixels are padded to whole blocks.
    unsafe {
        match task.sink {
            Sink::Bytes { start, rounding, .. } => {
                let scale = task.multipliers.add(block * BLOCK);
                let mut scales = [_mm512_setzero_ps(); V];
                each!(v < V, scales[v] = _mm512_loadu_ps(scale.add(v * BLOCK)));
                let narrow = Narrow::new(rounding, task.bounded);
                let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
                let start = start.pointer().add(block * BLOCK);
                each!(p < P, if V > 1 {
                    let mut units = [_mm512_setzero_si512(); VECTORS];
                    each!(v < V, units[v] = narrow.units(sums[p][v], scales[v]));
                    // Packing leaves the four vectors interleaved by quarters.
                    let bytes = _mm512_permutexvar_epi32(order, narrow.bytes(units));
                    put(start.add(places[p]), bytes, V * BLOCK);
                } else if p % VECTORS == 0 {
                    // One vector a pixel: four pixels are packed together.
                    let near = |q: usize| if p + q < P { p + q } else { p };
                    let unit = |q: usize| narrow.units(sums[near(q)][0], scales[0]);
                    let bytes = narrow.bytes([unit(0), unit(1), unit(2), unit(3)]);
                    let bytes = _mm512_permutexvar_epi32(order, bytes);
                    if p + 3 < P && places[near(3)].wrapping_sub(places[p]) == 3 * BLOCK {
                        put(start.add(places[p]), bytes, 4 * BLOCK);
                    } else {
                        let quarter = |q: usize| start.add(places[near(q)]).cast();
                        if p + 3 < P {
                            _mm_storeu_si128(quarter(3), _mm512_extracti32x4_epi32::<3>(bytes));
                        }
                        if p + 2 < P {
                            _mm_storeu_si128(quarter(2), _mm512_extracti32x4_epi32::<2>(bytes));
                        }
                        if p + 1 < P {
                            _mm_storeu_si128(quarter(1), _mm512_extracti32x4_epi32::<1>(bytes));
                        }
                        _mm_storeu_si128(quarter(0), _mm512_castsi512_si128(bytes));
                    }
                });
            }
            Sink::Reals { .. } => {
                each!(p < P, each!(v < V, reals(task, first + p, block + v, sums[p][v])));
            }
        }
    }
}
}

tier! {
/// Out of line: real numbers are written by small layers alone.
///
/// # Safety
/// As `conv`.
#[inline(never)]
unsafe fn reals(task: &ConvTask<'_>, pixel: usize, block: usize, sums: __m512i) {
    let mut total = [0; BLOCK];
    // SAFETY: the array is one vector; the rest is passed on.
    unsafe {
        _mm512_storeu_si512(total.as_mut_ptr().cast(), sums);
        scalar::store(task, pixel, block, &total);
    }
}
}
