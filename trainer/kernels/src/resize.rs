//! Bilinear resizing with half-pixel centres (PyTorch's `align_corners=False`, ONNX's `half_pixel`).

use rayon::prelude::*;

use crate::parallel::vectorized;
use crate::shape::Shape;

/// The two samples that a new sample lies between, and the share of the second.
#[derive(Clone, Copy)]
struct Between {
    below: usize,
    above: usize,
    share: f32,
}

fn samples(from: usize, to: usize) -> Vec<Between> {
    (0..to)
        .map(|index| {
            let position = ((index as f64 + 0.5) * from as f64 / to as f64 - 0.5).max(0.0);
            let below = (position.floor() as usize).min(from.saturating_sub(1));
            let above = (below + 1).min(from.saturating_sub(1));
            Between { below, above, share: (position - below as f64) as f32 }
        })
        .collect()
}

/// `x`, shape `input`, at `height x width`.
pub fn resize(x: &[f32], input: Shape, [height, width]: [usize; 2]) -> Vec<f32> {
    let (rows, columns) = (samples(input.height, height), samples(input.width, width));
    let channels = input.channels;
    let line = input.width * channels;
    let mut y = vec![0f32; input.batch * height * width * channels];
    y.par_chunks_mut((height * width * channels).max(1)).zip(x.par_chunks(input.image().max(1))).for_each(
        |(y, x)| {
            vectorized(|| {
                let mut blended = vec![0f32; line];
                for (row, y) in rows.iter().zip(y.chunks_exact_mut(width * channels)) {
                    blend(
                        &mut blended,
                        &x[row.below * line..][..line],
                        &x[row.above * line..][..line],
                        row.share,
                    );
                    for (column, y) in columns.iter().zip(y.chunks_exact_mut(channels)) {
                        let below = &blended[column.below * channels..][..channels];
                        let above = &blended[column.above * channels..][..channels];
                        blend(y, below, above, column.share);
                    }
                }
            });
        },
    );
    y
}

#[inline(always)]
fn blend(out: &mut [f32], below: &[f32], above: &[f32], share: f32) {
    for ((out, below), above) in out.iter_mut().zip(below).zip(above) {
        *out = below * (1.0 - share) + above * share;
    }
}

/// The gradient of a loss by `x`, shape `input`, given its gradient `dy` by [`resize`].
pub fn resize_gradient(dy: &[f32], input: Shape, [height, width]: [usize; 2]) -> Vec<f32> {
    let (rows, columns) = (samples(input.height, height), samples(input.width, width));
    let channels = input.channels;
    let line = input.width * channels;
    let mut dx = vec![0f32; input.len()];
    dx.par_chunks_mut(input.image().max(1)).zip(dy.par_chunks((height * width * channels).max(1))).for_each(
        |(dx, dy)| {
            vectorized(|| {
                let mut gathered = vec![0f32; line];
                for (row, dy) in rows.iter().zip(dy.chunks_exact(width * channels)) {
                    gathered.fill(0.0);
                    for (column, dy) in columns.iter().zip(dy.chunks_exact(channels)) {
                        add(&mut gathered[column.below * channels..][..channels], dy, 1.0 - column.share);
                        add(&mut gathered[column.above * channels..][..channels], dy, column.share);
                    }
                    add(&mut dx[row.below * line..][..line], &gathered, 1.0 - row.share);
                    add(&mut dx[row.above * line..][..line], &gathered, row.share);
                }
            });
        },
    );
    dx
}

#[inline(always)]
fn add(to: &mut [f32], from: &[f32], share: f32) {
    for (to, from) in to.iter_mut().zip(from) {
        *to += from * share;
    }
}
