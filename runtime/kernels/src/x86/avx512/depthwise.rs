//! Depthwise convolution: four taps at a time, 64 channels wide.

use std::arch::x86_64::*;
use std::ops::Range;

use super::macros::{each, tier};
use super::round::{Narrow, put};
use crate::task::depthwise::{DepthwiseTask, QUAD, WIDE};
use crate::task::tiles::each_depthwise_tile;

tier! {
/// # Safety
/// The task must be checked and packed in quads, rows inside it, and the tier available.
pub(crate) unsafe fn depthwise(task: &DepthwiseTask<'_>, rows: Range<usize>) {
    each_depthwise_tile!(task, rows, WIDE, tile);
}
}

tier! {
/// `P` pixels of 64 channels.
///
/// # Safety
/// As `depthwise`.
unsafe fn tile<const P: usize>(task: &DepthwiseTask<'_>, row: usize, column: usize, block: usize) {
    // SAFETY: windows lie inside the input, and behind the last pixel there is room for one more load; everything with
    // one value a channel is padded to whole blocks.
    unsafe {
        let first = task.source.add(row * task.row + column * task.column + block * WIDE);
        let mut windows = [first; P];
        each!(p < P, windows[p] = first.add(p.wrapping_mul(task.column)));
        let mut weights = task.weights.add(block * task.taps.len() * WIDE / 2);
        let bias = task.bias.add(block * WIDE);
        let mut start = [_mm512_setzero_si512(); QUAD];
        each!(v < QUAD, start[v] = _mm512_loadu_si512(bias.add(v * 16).cast()));
        let mut sums = [start; P];
        for taps in task.taps.as_chunks::<QUAD>().0 {
            each!(p < P, {
                let window = windows[p];
                let bytes = interleave([
                    _mm512_loadu_si512(window.add(taps[0]).cast()),
                    _mm512_loadu_si512(window.add(taps[1]).cast()),
                    _mm512_loadu_si512(window.add(taps[2]).cast()),
                    _mm512_loadu_si512(window.add(taps[3]).cast()),
                ]);
                each!(v < QUAD, {
                    let row = _mm512_loadu_si512(weights.add(v * 32).cast());
                    sums[p][v] = _mm512_dpbusd_epi32(sums[p][v], bytes[v], row);
                });
            });
            weights = weights.add(QUAD * WIDE / 2);
        }
        let scale = task.multipliers.add(block * WIDE);
        let mut scales = [_mm512_setzero_ps(); QUAD];
        each!(v < QUAD, scales[v] = _mm512_loadu_ps(scale.add(v * 16)));
        let narrow = Narrow::new(task.rounding, task.bounded);
        let at = task.origin + row * task.output_row + column * task.output_pixel + block * WIDE;
        let at = task.output.pointer().add(at);
        each!(p < P, {
            let mut units = [_mm512_setzero_si512(); QUAD];
            each!(v < QUAD, units[v] = narrow.units(sums[p][v], scales[v]));
            // Packing puts the channels back into their order.
            let bytes = narrow.bytes(units);
            let at = at.add(p.wrapping_mul(task.output_pixel));
            put(at, bytes, task.room(block, column + p + 1 == task.width));
        });
    }
}
}

tier! {
/// Bytes of four taps side by side: `[v]` holds channels `4 v .. 4 v + 4` of each 16.
///
/// # Safety
/// The tier must be available.
#[inline]
unsafe fn interleave([a, b, c, d]: [__m512i; QUAD]) -> [__m512i; QUAD] {
    let (low, high) = (_mm512_unpacklo_epi8(a, b), _mm512_unpackhi_epi8(a, b));
    let (low_2, high_2) = (_mm512_unpacklo_epi8(c, d), _mm512_unpackhi_epi8(c, d));
    [
        _mm512_unpacklo_epi16(low, low_2),
        _mm512_unpackhi_epi16(low, low_2),
        _mm512_unpacklo_epi16(high, high_2),
        _mm512_unpackhi_epi16(high, high_2),
    ]
}
}
