//! Portable inner loops: the reference for every tier.

use std::ops::Range;

use crate::layout::{BLOCK, GROUP};
use crate::task::conv::{ConvTask, Sink};
use crate::task::depthwise::DepthwiseTask;

/// Writes the finished sums of 16 channels of one pixel.
///
/// # Safety
/// The task must be checked, and pixel and block inside it.
#[inline(always)]
pub(crate) unsafe fn store(task: &ConvTask<'_>, pixel: usize, block: usize, sums: &[i32; BLOCK]) {
    let first = block * BLOCK;
    for (lane, sum) in sums.iter().enumerate() {
        // SAFETY: multipliers are padded to whole blocks.
        let real = *sum as f32 * unsafe { *task.multipliers.add(first + lane) };
        match task.sink {
            Sink::Bytes { start, origin, row, pixel: step, rounding } => {
                let at = origin + pixel / task.width * row + pixel % task.width * step + first + lane;
                // SAFETY: inside the output's layout, whose pixels are padded to whole blocks.
                unsafe { *start.pointer().add(at) = rounding.byte(real) };
            }
            Sink::Reals { start, plane } if first + lane < task.channels => {
                // SAFETY: inside the planes of the real channels.
                unsafe { *start.pointer().add((first + lane) * plane + pixel) = real };
            }
            Sink::Reals { .. } => (),
        }
    }
}

/// # Safety
/// The task must be checked, pixels and blocks inside it.
pub(crate) unsafe fn conv(task: &ConvTask<'_>, pixels: Range<usize>, blocks: Range<usize>) {
    for pixel in pixels {
        // SAFETY: the window exists.
        let [window] = unsafe { task.windows::<1>(pixel) };
        for block in blocks.clone() {
            let mut sums = [0i32; BLOCK];
            for (lane, sum) in sums.iter_mut().enumerate() {
                // SAFETY: padded to whole blocks.
                *sum = unsafe { *task.bias.add(block * BLOCK + lane) };
            }
            // SAFETY: the block exists.
            let mut weights = unsafe { task.weights.add(block * task.block_bytes()) };
            for tap in task.taps {
                for group in 0..task.groups {
                    // SAFETY: taps of a window lie inside the input, pixels are padded to whole groups, and there are
                    // 64 weights for each group.
                    unsafe {
                        let bytes = window.add(tap + group * GROUP).cast::<[u8; GROUP]>().read();
                        for sum in &mut sums {
                            let row = weights.cast::<[i8; GROUP]>().read();
                            for (byte, weight) in bytes.iter().zip(row) {
                                *sum = sum.wrapping_add(i32::from(*byte) * i32::from(weight));
                            }
                            weights = weights.add(GROUP);
                        }
                    }
                }
            }
            // SAFETY: passed on.
            unsafe { store(task, pixel, block, &sums) };
        }
    }
}

/// # Safety
/// The task must be checked, rows and blocks inside it.
pub(crate) unsafe fn depthwise(task: &DepthwiseTask<'_>, rows: Range<usize>) {
    for row in rows {
        for column in 0..task.width {
            for channel in 0..task.channels {
                // SAFETY: windows lie inside the input, everything else is padded to whole blocks.
                unsafe {
                    let window = task.source.add(row * task.row + column * task.column + channel);
                    let mut sum = *task.bias.add(channel);
                    for (index, tap) in task.taps.iter().enumerate() {
                        let weight = *task.weights.add(index * task.padded + channel);
                        sum = sum.wrapping_add(i32::from(*window.add(*tap)) * i32::from(weight));
                    }
                    let real = sum as f32 * *task.multipliers.add(channel);
                    let at = task.origin + row * task.output_row + column * task.output_pixel + channel;
                    *task.output.pointer().add(at) = task.rounding.byte(real);
                }
            }
        }
    }
}
