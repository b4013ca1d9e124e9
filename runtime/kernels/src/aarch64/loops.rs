//! The convolution of the tiers with dot products: they differ in one instruction and in how bytes are read.
//!
//! A tile is 4 pixels of 16 channels. Of the 32 registers, 16 hold sums, 4 activations, 1 the mask that flips
//! their signs, and 11 are left for weights on their way. For 16 input channels a tile takes 20 loads and 64
//! products, and 4 flips where there is a mask. Cortex-A76 starts two vector instructions and two loads a
//! cycle: 34 cycles for 68 vector instructions, of which 94 % are products, and 10 cycles for the loads
//! beside them (counted, not measured). 6 pixels would need 24 + 6 + 1 registers and leave one for weights.
//! They would save loads, which are not what this waits for; flips stay one to 16 products.

/// Groups of 4 input channels in a vector of activations.
pub(super) const LANES: usize = 4;

/// Adds the products of group `$lane` of the vectors `$bytes` to the sums of a tile of `$pixels`.
macro_rules! group {
    ($lane:tt, $pixels:ident, $sums:ident, $weights:ident, $bytes:ident) => {
        for v in 0..VECTORS {
            let row = vld1q_s8($weights.add(($lane * VECTORS + v) * 16));
            for p in 0..$pixels {
                $sums[p][v] = dot::<$lane>($sums[p][v], row, $bytes[p]);
            }
        }
    };
}

/// The loops with the features of a tier and its instruction for dot products. The module that asks for them has
/// - `load(*const u8) -> uint8x16_t`: 16 bytes as the instruction takes them;
/// - `start(task, block) -> [int32x4_t; VECTORS]`: what the sums of a block start from.
macro_rules! loops {
    ($features:literal, $instruction:literal) => {
        /// Adds, for each of 4 channels, the products of its 4 weights with the 4 bytes of lane `LANE`.
        #[inline]
        #[target_feature(enable = $features)]
        fn dot<const LANE: usize>(mut sums: int32x4_t, weights: int8x16_t, bytes: uint8x16_t) -> int32x4_t {
            // SAFETY: the instruction belongs to the features of this function, and touches nothing but the
            // registers named.
            unsafe {
                asm!(
                    concat!($instruction, " {sums:v}.4s, {weights:v}.16b, {bytes:v}.4b[{lane}]"),
                    sums = inout(vreg) sums,
                    weights = in(vreg) weights,
                    bytes = in(vreg) bytes,
                    lane = const LANE,
                    options(pure, nomem, nostack, preserves_flags),
                );
            }
            sums
        }

        /// # Safety
        /// The task must be checked, pixels and blocks inside it, and the features available.
        #[target_feature(enable = $features)]
        pub(crate) unsafe fn conv(task: &ConvTask<'_>, pixels: Range<usize>, blocks: Range<usize>) {
            for block in blocks {
                // SAFETY: passed on.
                let first = unsafe { start(task, block) };
                for (pixel, count) in even_tiles(pixels.len(), 4) {
                    let pixel = pixels.start + pixel;
                    // SAFETY: passed on.
                    unsafe {
                        match count {
                            1 => tile::<1>(task, pixel, block, &first),
                            2 => tile::<2>(task, pixel, block, &first),
                            3 => tile::<3>(task, pixel, block, &first),
                            _ => tile::<4>(task, pixel, block, &first),
                        }
                    }
                }
            }
        }

        /// `P` pixels of 16 channels, 4 groups at a time.
        ///
        /// # Safety
        /// As `conv`.
        #[target_feature(enable = $features)]
        unsafe fn tile<const P: usize>(
            task: &ConvTask<'_>,
            pixel: usize,
            block: usize,
            first: &[int32x4_t; VECTORS],
        ) {
            // SAFETY: windows and weights are inside what the task describes. A vector of activations starts
            // at a group of a tap, and behind the last pixel there is room for one more load.
            unsafe {
                let windows = task.windows::<P>(pixel);
                let mut weights = task.weights.add(block * task.block_bytes());
                let mut sums = [*first; P];
                for (mut offset, groups) in runs(task.taps, task.groups) {
                    let mut bytes = [vdupq_n_u8(0); P];
                    for _ in 0..groups / LANES {
                        for p in 0..P {
                            bytes[p] = load(windows[p].add(offset));
                        }
                        group!(0, P, sums, weights, bytes);
                        group!(1, P, sums, weights, bytes);
                        group!(2, P, sums, weights, bytes);
                        group!(3, P, sums, weights, bytes);
                        weights = weights.add(LANES * BLOCK * GROUP);
                        offset = offset.wrapping_add(LANES * GROUP);
                    }
                    let rest = groups % LANES;
                    if rest > 0 {
                        for p in 0..P {
                            bytes[p] = load(windows[p].add(offset));
                        }
                        group!(0, P, sums, weights, bytes);
                        if rest > 1 {
                            group!(1, P, sums, weights, bytes);
                        }
                        if rest > 2 {
                            group!(2, P, sums, weights, bytes);
                        }
                        weights = weights.add(rest * BLOCK * GROUP);
                    }
                }
                let mut writer = Writer::new(task, pixel, block);
                for sums in &sums {
                    writer.put(*sums);
                }
            }
        }
    };
}

pub(super) use {group, loops};
