//! The dot products of the tiles that do most of the work, in assembly: left to itself, the compiler loads all activations
//! first, which leaves too few registers, and then moves sums in and out of memory.

use std::arch::asm;
use std::arch::x86_64::*;

use super::macros::tier;

/// Vectors of output channels that one tile holds.
pub(super) const VECTORS: usize = 4;

/// The sums of a tile of six pixels by four vectors, if that is what these are.
#[inline(always)]
pub(super) fn whole<const P: usize, const V: usize>(
    sums: &mut [[__m512i; V]; P],
) -> Option<&mut [[__m512i; VECTORS]; 6]> {
    // SAFETY: the two types are the same.
    (P == 6 && V == VECTORS).then(|| unsafe { &mut *std::ptr::from_mut(sums).cast() })
}

/// A pixel's 4 bytes, broadcast, times the weights of four vectors of channels.
macro_rules! row {
    ($dot:literal, $window:literal, $a:literal, $b:literal, $c:literal, $d:literal) => {
        concat!(
            "vpbroadcastd {bytes}, dword ptr [{",
            $window,
            "} + {offset}]\n",
            $dot,
            " {",
            $a,
            "}, {bytes}, {w0}\n",
            $dot,
            " {",
            $b,
            "}, {bytes}, {w1}\n",
            $dot,
            " {",
            $c,
            "}, {bytes}, {w2}\n",
            $dot,
            " {",
            $d,
            "}, {bytes}, {w3}",
        )
    };
}

/// Six rows of activations times the weights of four vectors of channels, by one form of the instruction. The weights are
/// four streams: read as one, they keep the processor's prefetching busy with the ends of pages.
macro_rules! six_by_four {
    ($(#[$meta:meta])* $name:ident, $dot:literal) => {
        tier! {
        $(#[$meta])*
        ///
        /// # Safety
        /// There must be a step, 4 bytes at each step of each window, four times `size` bytes of weights,
        /// of which each step takes 64, and the tier.
        /// What lies `ahead` bytes behind each step's weights is fetched from slower memory, and need not exist.
        #[inline]
        pub(super) unsafe fn $name(
            steps: &[u32],
            windows: [*const u8; 6],
            weights: *const i8,
            size: usize,
            ahead: usize,
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
                    row!($dot, "p0", "0", "1", "2", "3"),
                    row!($dot, "p1", "4", "5", "6", "7"),
                    row!($dot, "p2", "8", "9", "10", "11"),
                    "prefetcht1 [{w} + {ahead}]",
                    row!($dot, "p3", "12", "13", "14", "15"),
                    row!($dot, "p4", "16", "17", "18", "19"),
                    row!($dot, "p5", "20", "21", "22", "23"),
                    "add {w}, 64",
                    "add {step}, 4",
                    "cmp {step}, {end}",
                    "jne 2b",
                    inout(zmm_reg) sums[0][0], inout(zmm_reg) sums[0][1],
                    inout(zmm_reg) sums[0][2], inout(zmm_reg) sums[0][3],
                    inout(zmm_reg) sums[1][0], inout(zmm_reg) sums[1][1],
                    inout(zmm_reg) sums[1][2], inout(zmm_reg) sums[1][3],
                    inout(zmm_reg) sums[2][0], inout(zmm_reg) sums[2][1],
                    inout(zmm_reg) sums[2][2], inout(zmm_reg) sums[2][3],
                    inout(zmm_reg) sums[3][0], inout(zmm_reg) sums[3][1],
                    inout(zmm_reg) sums[3][2], inout(zmm_reg) sums[3][3],
                    inout(zmm_reg) sums[4][0], inout(zmm_reg) sums[4][1],
                    inout(zmm_reg) sums[4][2], inout(zmm_reg) sums[4][3],
                    inout(zmm_reg) sums[5][0], inout(zmm_reg) sums[5][1],
                    inout(zmm_reg) sums[5][2], inout(zmm_reg) sums[5][3],
                    p0 = in(reg) windows[0], p1 = in(reg) windows[1], p2 = in(reg) windows[2],
                    p3 = in(reg) windows[3], p4 = in(reg) windows[4], p5 = in(reg) windows[5],
                    offset = out(reg) _, step = inout(reg) steps.start => _, end = in(reg) steps.end,
                    w = inout(reg) weights => _, size = in(reg) size, thrice = in(reg) 3 * size,
                    ahead = in(reg) ahead,
                    w0 = out(zmm_reg) scratch[0], w1 = out(zmm_reg) scratch[1], w2 = out(zmm_reg) scratch[2],
                    w3 = out(zmm_reg) scratch[3], bytes = out(zmm_reg) scratch[4],
                    options(nostack, readonly),
                );
                let _ = scratch;
            }
        }
        }
    };
}

six_by_four!(
    /// Products of four bytes with four signed bytes.
    bytes,
    "vpdpbusd"
);
six_by_four!(
    /// Products of two 16-bit numbers with two others.
    words,
    "vpdpwssd"
);
