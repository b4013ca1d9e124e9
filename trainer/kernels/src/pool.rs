//! Pooling, and gates that scale channels.

use rayon::prelude::*;

use crate::parallel::vectorized;
use crate::shape::{Geometry, Shape};

/// The largest value of each window, channel by channel. Padding is never the largest.
pub fn max_pool(x: &[f32], input: Shape, geometry: Geometry) -> Vec<f32> {
    let output = geometry.output(input, input.channels);
    let mut y = vec![f32::NEG_INFINITY; output.len()];
    y.par_chunks_mut(output.image().max(1)).zip(x.par_chunks(input.image().max(1))).for_each(|(y, x)| {
        vectorized(|| {
            for (position, y) in y.chunks_exact_mut(output.channels).enumerate() {
                for_taps(geometry, input, output, position, |at| {
                    for (y, x) in y.iter_mut().zip(&x[at..]) {
                        // A value that is not a number is taken, and no comparison with it is true: it stays.
                        *y = if *x > *y || x.is_nan() { *x } else { *y };
                    }
                });
            }
        });
    });
    y
}

#[inline(always)]
fn for_taps(geometry: Geometry, input: Shape, output: Shape, position: usize, mut visit: impl FnMut(usize)) {
    let (oy, ox) = (position / output.width, position % output.width);
    let [height, width] = geometry.kernel;
    for ky in 0..height {
        let Some(y) = geometry.row(oy, ky, input.height) else { continue };
        for kx in 0..width {
            if let Some(x) = geometry.column(ox, kx, input.width) {
                visit((y * input.width + x) * input.channels);
            }
        }
    }
}

/// The gradient of a loss by `x`, given its gradient `dy` by the output `y`. Of several largest values the first, row
/// by row, has it.
pub fn max_pool_gradient(dy: &[f32], x: &[f32], y: &[f32], input: Shape, geometry: Geometry) -> Vec<f32> {
    let output = geometry.output(input, input.channels);
    let channels = input.channels;
    let mut dx = vec![0f32; input.len()];
    let images = dx.par_chunks_mut(input.image().max(1)).zip(x.par_chunks(input.image().max(1)));
    let outputs = y.par_chunks(output.image().max(1)).zip(dy.par_chunks(output.image().max(1)));
    images.zip(outputs).for_each(|((dx, x), (y, dy))| {
        vectorized(|| {
            // What is still to be given away at one position.
            let mut left = vec![0f32; channels];
            for (position, (y, dy)) in y.chunks_exact(channels).zip(dy.chunks_exact(channels)).enumerate() {
                left.copy_from_slice(dy);
                for_taps(geometry, input, output, position, |at| {
                    let x = &x[at..at + channels];
                    let dx = &mut dx[at..at + channels];
                    for (((dx, x), y), left) in dx.iter_mut().zip(x).zip(y).zip(&mut left) {
                        let given = if *x == *y { *left } else { 0.0 };
                        *dx += given;
                        *left -= given;
                    }
                });
            }
        });
    });
    dx
}

/// The mean of each image over its positions, channel by channel: `[batch, channels]`.
pub fn mean(x: &[f32], input: Shape) -> Vec<f32> {
    let share = 1.0 / input.plane() as f32;
    let mut means = vec![0f32; input.batch * input.channels];
    means.par_chunks_mut(input.channels.max(1)).zip(x.par_chunks(input.image().max(1))).for_each(
        |(mean, x)| {
            vectorized(|| {
                for x in x.chunks_exact(input.channels) {
                    for (mean, x) in mean.iter_mut().zip(x) {
                        *mean += x;
                    }
                }
                mean.iter_mut().for_each(|mean| *mean *= share);
            });
        },
    );
    means
}

/// The gradient of a loss by `x`, given its gradient by [`mean`].
pub fn mean_gradient(dy: &[f32], input: Shape) -> Vec<f32> {
    let share = 1.0 / input.plane() as f32;
    let mut dx = vec![0f32; input.len()];
    dx.par_chunks_mut(input.image().max(1)).zip(dy.par_chunks(input.channels.max(1))).for_each(|(dx, dy)| {
        vectorized(|| {
            for dx in dx.chunks_exact_mut(input.channels) {
                for (dx, dy) in dx.iter_mut().zip(dy) {
                    *dx = dy * share;
                }
            }
        });
    });
    dx
}

/// Each channel of each image times its gate `[batch, channels]`.
pub fn scale(x: &[f32], input: Shape, gate: &[f32]) -> Vec<f32> {
    let mut y = vec![0f32; input.len()];
    let images = y.par_chunks_mut(input.image().max(1)).zip(x.par_chunks(input.image().max(1)));
    images.zip(gate.par_chunks(input.channels.max(1))).for_each(|((y, x), gate)| {
        vectorized(|| {
            let rows = y.chunks_exact_mut(input.channels).zip(x.chunks_exact(input.channels));
            for (y, x) in rows {
                for ((y, x), gate) in y.iter_mut().zip(x).zip(gate) {
                    *y = x * gate;
                }
            }
        });
    });
    y
}

/// The gradients of a loss by `x` and by the gate, given its gradient `dy` by [`scale`].
pub fn scale_gradient(dy: &[f32], x: &[f32], input: Shape, gate: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let mut by_gate = vec![0f32; input.batch * input.channels];
    let images = dy.par_chunks(input.image().max(1)).zip(x.par_chunks(input.image().max(1)));
    by_gate.par_chunks_mut(input.channels.max(1)).zip(images).for_each(|(sums, (dy, x))| {
        vectorized(|| {
            for (dy, x) in dy.chunks_exact(input.channels).zip(x.chunks_exact(input.channels)) {
                for ((sum, dy), x) in sums.iter_mut().zip(dy).zip(x) {
                    *sum += dy * x;
                }
            }
        });
    });
    (scale(dy, input, gate), by_gate)
}
