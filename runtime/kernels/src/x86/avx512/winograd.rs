//! The three steps of Winograd's minimal filtering: the numbers are explained in `src/winograd.rs`.

use std::arch::x86_64::*;

use super::macros::{each, tier};
use super::round::Narrow;
use super::tile::{self, VECTORS, whole};
use crate::layout::BLOCK;
use crate::task::conv::Sink;
use crate::task::tiles::even_tiles;
use crate::task::winograd::{LANES, PANEL, POINTS, REACH, SIDE, Strip, TOGETHER};

tier! {
/// Transforms, multiplies and transforms back.
///
/// # Safety
/// The strip must be as it says, and the tier available.
pub(crate) unsafe fn winograd(strip: &Strip<'_>) {
    // SAFETY: passed on.
    unsafe {
        for (index, tile) in strip.tiles.clone().enumerate() {
            for channel in (0..strip.inputs).step_by(LANES) {
                read_tile(strip, index, tile, channel);
            }
        }
        for point in 0..POINTS {
            for panel in (0..strip.outputs).step_by(PANEL) {
                for (first, count) in even_tiles(strip.tiles.len(), TOGETHER) {
                    match count {
                        1 => multiply::<1>(strip, point, panel, first),
                        2 => multiply::<2>(strip, point, panel, first),
                        3 => multiply::<3>(strip, point, panel, first),
                        4 => multiply::<4>(strip, point, panel, first),
                        5 => multiply::<5>(strip, point, panel, first),
                        _ => multiply::<6>(strip, point, panel, first),
                    }
                }
            }
        }
        for (index, tile) in strip.tiles.clone().enumerate() {
            for channel in (0..strip.outputs).step_by(BLOCK) {
                write_tile(strip, index, tile, channel);
            }
        }
    }
}
}

tier! {
/// `B' d B` of 32 channels of the tile that is number `index` of the strip.
///
/// # Safety
/// As `winograd`.
#[allow(clippy::needless_range_loop, reason = "columns lie across the rows")]
unsafe fn read_tile(strip: &Strip<'_>, index: usize, tile: usize, channel: usize) {
    let (task, [y, x]) = (strip.task, [tile / strip.columns, tile % strip.columns]);
    // SAFETY: a tile reads the windows of its pixels; the scratch memory has room for every tile.
    unsafe {
        let first = task.source.add(SIDE * (y * task.row + x * task.column) + channel);
        let mut rows = [[_mm512_setzero_si512(); REACH]; REACH];
        for (y, row) in rows.iter_mut().enumerate() {
            let mut pixels = [_mm512_setzero_si512(); REACH];
            for (x, pixel) in pixels.iter_mut().enumerate() {
                let bytes = _mm256_loadu_si256(first.add(y * task.row + x * task.column).cast());
                *pixel = _mm512_cvtepu8_epi16(bytes);
            }
            *row = input_transform(pixels);
        }
        let to = strip.values.add(index * POINTS * strip.inputs + channel);
        for column in 0..REACH {
            let values = input_transform([
                rows[0][column], rows[1][column], rows[2][column], rows[3][column], rows[4][column], rows[5][column],
            ]);
            for (row, value) in values.into_iter().enumerate() {
                _mm512_storeu_si512(to.add((row * REACH + column) * strip.inputs).cast(), value);
            }
        }
    }
}
}

tier! {
/// `B' d`
///
/// # Safety
/// The tier must be available.
#[inline]
unsafe fn input_transform(d: [__m512i; REACH]) -> [__m512i; REACH] {
    let four_times = |a| _mm512_slli_epi16::<2>(a);
    let even = _mm512_sub_epi16(d[4], four_times(d[2]));
    let odd = _mm512_sub_epi16(d[3], four_times(d[1]));
    let near = _mm512_sub_epi16(d[4], d[2]);
    let far = _mm512_sub_epi16(d[3], d[1]);
    let twice = _mm512_add_epi16(far, far);
    let first = _mm512_add_epi16(four_times(_mm512_sub_epi16(d[0], d[2])), near);
    let last = _mm512_sub_epi16(_mm512_sub_epi16(d[5], d[3]), _mm512_add_epi16(twice, twice));
    [
        first,
        _mm512_add_epi16(even, odd),
        _mm512_sub_epi16(even, odd),
        _mm512_add_epi16(near, twice),
        _mm512_sub_epi16(near, twice),
        last,
    ]
}
}

tier! {
/// One product a channel pair, of `P` tiles with 64 output channels, summed over the input channels.
///
/// # Safety
/// As `winograd`.
unsafe fn multiply<const P: usize>(strip: &Strip<'_>, point: usize, panel: usize, first: usize) {
    // SAFETY: weights and scratch memory are as the strip says.
    unsafe {
        let values = strip.values.add((first * POINTS + point) * strip.inputs);
        let size = BLOCK * strip.inputs;
        let mut weights = strip.weights.add((point * strip.outputs + panel) * strip.inputs);
        let mut sums = [[_mm512_setzero_si512(); VECTORS]; P];
        let mut windows = [values.cast::<u8>().cast_const(); P];
        each!(p < P, windows[p] = values.add(p * POINTS * strip.inputs).cast());
        if let Some(sums) = whole(&mut sums) {
            let mut six = [windows[0]; 6];
            each!(p < P, six[p % 6] = windows[p]);
            tile::words(strip.steps, six, weights.cast(), size_of::<i16>() * size, 0, sums);
        } else {
            for step in strip.steps {
                let mut row = [_mm512_setzero_si512(); VECTORS];
                each!(v < VECTORS, row[v] = _mm512_loadu_si512(weights.add(v * size).cast()));
                each!(p < P, {
                    let pair = _mm512_set1_epi32(windows[p].add(*step as usize).cast::<i32>().read_unaligned());
                    each!(v < VECTORS, sums[p][v] = _mm512_dpwssd_epi32(sums[p][v], pair, row[v]));
                });
                weights = weights.add(2 * BLOCK);
            }
        }
        let to = strip.sums.add((first * POINTS + point) * strip.outputs + panel);
        each!(p < P, {
            let to = to.add(p * POINTS * strip.outputs);
            each!(v < VECTORS, _mm512_storeu_si512(to.add(v * BLOCK).cast(), sums[p][v]));
        });
    }
}
}

tier! {
/// `A' m A` of 16 channels, and what every convolution does with its sums.
///
/// # Safety
/// As `winograd`.
#[allow(clippy::needless_range_loop, reason = "columns lie across the rows")]
unsafe fn write_tile(strip: &Strip<'_>, index: usize, tile: usize, channel: usize) {
    let (task, [y, x]) = (strip.task, [tile / strip.columns, tile % strip.columns]);
    let Sink::Bytes { start, origin, row: row_bytes, pixel, rounding } = task.sink else { return };
    // SAFETY: the scratch memory holds every tile, and the output every pixel of it.
    unsafe {
        let from = strip.sums.add(index * POINTS * strip.outputs + channel);
        let mut rows = [[_mm512_setzero_si512(); SIDE]; REACH];
        for (row, sums) in rows.iter_mut().enumerate() {
            let point = |column: usize| _mm512_loadu_si512(from.add((row * REACH + column) * strip.outputs).cast());
            *sums = output_transform([point(0), point(1), point(2), point(3), point(4), point(5)]);
        }
        let bias = _mm512_loadu_si512(task.bias.add(channel).cast());
        let scales = _mm512_loadu_ps(task.multipliers.add(channel));
        let narrow = Narrow::new(rounding, task.bounded);
        let at = origin + SIDE * (y * row_bytes + x * pixel) + channel;
        let at = start.pointer().add(at);
        for column in 0..SIDE {
            let sums = output_transform([
                rows[0][column], rows[1][column], rows[2][column], rows[3][column], rows[4][column], rows[5][column],
            ]);
            for (row, sum) in sums.into_iter().enumerate() {
                // 576 = 64 * 9, and 9 times this is 1 in 32 bits.
                let times_64 = _mm512_mullo_epi32(sum, _mm512_set1_epi32(0x38e3_8e39));
                let sum = _mm512_add_epi32(_mm512_srai_epi32::<6>(times_64), bias);
                let bytes = narrow.one(narrow.units(sum, scales));
                _mm_storeu_si128(at.add(row * row_bytes + column * pixel).cast(), bytes);
            }
        }
    }
}
}

tier! {
/// `A' m`, of sums of which the last is half as large as the others.
///
/// # Safety
/// The tier must be available.
#[inline]
unsafe fn output_transform(m: [__m512i; REACH]) -> [__m512i; SIDE] {
    let (sum, difference) = (_mm512_add_epi32(m[1], m[2]), _mm512_sub_epi32(m[1], m[2]));
    let (far_sum, far) = (_mm512_add_epi32(m[3], m[4]), _mm512_sub_epi32(m[3], m[4]));
    let last = _mm512_add_epi32(m[5], _mm512_slli_epi32::<2>(far));
    [
        _mm512_add_epi32(m[0], _mm512_add_epi32(sum, far_sum)),
        _mm512_add_epi32(difference, _mm512_add_epi32(far, far)),
        _mm512_add_epi32(sum, _mm512_slli_epi32::<2>(far_sum)),
        _mm512_add_epi32(difference, _mm512_add_epi32(last, last)),
    ]
}
}
