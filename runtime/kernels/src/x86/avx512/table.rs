//! Table lookup.

use std::arch::x86_64::*;

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
            let result = _mm512_mask_blend_epi8(_mm512_movepi8_mask(index), low, high);
            _mm512_storeu_si512(chunk.as_mut_ptr().cast(), result);
        }
    }
    for byte in rest {
        *byte = table[usize::from(*byte)];
    }
}
