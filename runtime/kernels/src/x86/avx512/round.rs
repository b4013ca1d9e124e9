//! From sums to bytes.

use std::arch::x86_64::*;

use super::macros::tier;
use crate::requantize::Rounding;

/// What turns sums into bytes.
#[derive(Clone, Copy)]
pub(super) struct Narrow {
    rounding: Rounding,
    bounded: bool,
}

impl Narrow {
    /// `bounded` says that no sum times its multiplier leaves 32 bits.
    pub(super) fn new(rounding: Rounding, bounded: bool) -> Self {
        Self { rounding, bounded }
    }

    tier! {
    /// Sums to whole units of the output's scale.
    ///
    /// # Safety
    /// The tier must be available.
    #[inline]
    pub(super) unsafe fn units(self, sums: __m512i, scales: __m512) -> __m512i {
        let real = _mm512_mul_ps(_mm512_cvtepi32_ps(sums), scales);
        if self.bounded {
            return _mm512_cvtps_epi32(real);
        }
        // Out of range, the conversion gives the same number for both signs.
        let low = _mm512_max_ps(real, _mm512_set1_ps(self.rounding.low));
        _mm512_cvtps_epi32(_mm512_min_ps(low, _mm512_set1_ps(self.rounding.high)))
    }
    }

    tier! {
    /// Units to bytes. Each quarter of the result holds the four bytes of that quarter of each of the four vectors.
    ///
    /// # Safety
    /// The tier must be available.
    #[inline]
    pub(super) unsafe fn bytes(self, units: [__m512i; 4]) -> __m512i {
        let move_by = _mm512_set1_epi16(self.rounding.zero_point as i16);
        let smallest = _mm512_set1_epi8(self.rounding.lowest() as i8);
        let largest = _mm512_set1_epi8(self.rounding.highest() as i8);
        let low = _mm512_adds_epi16(_mm512_packs_epi32(units[0], units[1]), move_by);
        let high = _mm512_adds_epi16(_mm512_packs_epi32(units[2], units[3]), move_by);
        let bytes = _mm512_packus_epi16(low, high);
        _mm512_min_epu8(_mm512_max_epu8(bytes, smallest), largest)
    }
    }

    tier! {
    /// The units of one vector to bytes.
    ///
    /// # Safety
    /// The tier must be available.
    #[inline]
    pub(super) unsafe fn one(self, units: __m512i) -> __m128i {
        let moved = _mm512_add_epi32(units, _mm512_set1_epi32(self.rounding.zero_point));
        let low = _mm512_max_epi32(moved, _mm512_set1_epi32(i32::from(self.rounding.lowest())));
        _mm512_cvtepi32_epi8(_mm512_min_epi32(low, _mm512_set1_epi32(i32::from(self.rounding.highest()))))
    }
    }
}

tier! {
/// Writes the first `count` bytes, a multiple of 16, of a vector.
///
/// # Safety
/// There must be room.
#[inline]
pub(super) unsafe fn put(at: *mut u8, bytes: __m512i, count: usize) {
    // SAFETY: as the caller proves.
    unsafe {
        if count >= 64 {
            _mm512_storeu_si512(at.cast(), bytes);
            return;
        }
        if count >= 32 {
            _mm256_storeu_si256(at.cast(), _mm512_castsi512_si256(bytes));
        }
        match count {
            16 => _mm_storeu_si128(at.cast(), _mm512_castsi512_si128(bytes)),
            48 => _mm_storeu_si128(at.add(32).cast(), _mm512_extracti32x4_epi32::<2>(bytes)),
            _ => (),
        }
    }
}
}
