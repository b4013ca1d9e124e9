//! Channels times their factors.

use std::arch::x86_64::*;

use super::macros::{each, tier};
use super::round::Narrow;
use crate::requantize::Rounding;

/// Channels that are scaled together.
pub(crate) const WIDE: usize = 64;

tier! {
/// Scales 64 channels, from number `first` on, of every pixel of a row; `size` is that of a pixel.
///
/// # Safety
/// The tier must be available.
pub(crate) unsafe fn scale(
    input: &[u8],
    factors: &[f32; WIDE],
    (size, first): (usize, usize),
    zero_point: i32,
    (rounding, bounded): (Rounding, bool),
    output: &mut [u8],
) {
    // In the order in which bytes are widened below: of each 16 channels, four in each vector.
    let mut places = [[0.0; 16]; 4];
    for (channel, factor) in factors.iter().enumerate() {
        places[channel % 16 / 4][channel / 16 * 4 + channel % 4] = *factor;
    }
    let narrow = Narrow::new(rounding, bounded);
    for (output, input) in output.chunks_exact_mut(size).zip(input.chunks_exact(size)) {
        let (Some(input), Some(output)) = (
            input.get(first..).and_then(<[u8]>::first_chunk::<WIDE>),
            output.get_mut(first..).and_then(<[u8]>::first_chunk_mut::<WIDE>),
        ) else { return };
        const V: usize = 4;
        // SAFETY: the arrays are one vector each.
        unsafe {
            let (bytes, zero) = (_mm512_loadu_si512(input.as_ptr().cast()), _mm512_setzero_si512());
            let (low, high) = (_mm512_unpacklo_epi8(bytes, zero), _mm512_unpackhi_epi8(bytes, zero));
            let mut units = [
                _mm512_unpacklo_epi16(low, zero),
                _mm512_unpackhi_epi16(low, zero),
                _mm512_unpacklo_epi16(high, zero),
                _mm512_unpackhi_epi16(high, zero),
            ];
            each!(v < V, {
                let value = _mm512_sub_epi32(units[v], _mm512_set1_epi32(zero_point));
                units[v] = narrow.units(value, _mm512_loadu_ps(places[v].as_ptr()));
            });
            _mm512_storeu_si512(output.as_mut_ptr().cast(), narrow.bytes(units));
        }
    }
}
}
