//! Convolutions in which every output channel sees every input channel.

use std::ops::Range;

use rayon::prelude::*;

use crate::columns::Windows;
use crate::matrix::{Matrix, Onto, multiply, multiply_transposed, transposed_multiply};
use crate::parallel::{ranges, split_rows, threads, vectorized, with_scratch};
use crate::shape::{Geometry, Shape};

/// Values of a piece of the window matrix: half of a second-level cache.
const BLOCK: usize = 1 << 17;
/// Fewer rows than this do not pay for packing the weights.
const LEAST_ROWS: usize = 256;

fn rows_of_block(columns: usize) -> usize {
    (BLOCK / columns.max(1)).max(LEAST_ROWS)
}

/// Blocks of `positions` that are gathered at a time.
fn blocks(positions: Range<usize>, rows: usize) -> impl Iterator<Item = Range<usize>> {
    let end = positions.end;
    positions.step_by(rows).map(move |start| start..(start + rows).min(end))
}

/// `[out, in, height, width]` to `[out, height, width, in]`: the order of a window's values.
fn weights_by_window(weights: &[f32], out: usize, channels: usize, taps: usize) -> Vec<f32> {
    let mut sorted = vec![0f32; weights.len()];
    let row = channels * taps;
    debug_assert_eq!(weights.len(), out * row);
    sorted.par_chunks_mut(row).zip(weights.par_chunks(row)).for_each(|(to, from)| {
        for (channel, from) in from.chunks_exact(taps).enumerate() {
            for (to, from) in to[channel..].iter_mut().step_by(channels).zip(from) {
                *to = *from;
            }
        }
    });
    sorted
}

/// The inverse of [`weights_by_window`].
fn weights_by_channel(sorted: &[f32], channels: usize, taps: usize) -> Vec<f32> {
    let mut weights = vec![0f32; sorted.len()];
    let row = channels * taps;
    weights.par_chunks_mut(row).zip(sorted.par_chunks(row)).for_each(|(to, from)| {
        for (channel, to) in to.chunks_exact_mut(taps).enumerate() {
            for (to, from) in to.iter_mut().zip(from[channel..].iter().step_by(channels)) {
                *to = *from;
            }
        }
    });
    weights
}

/// The convolution of `x`, shape `input`, with `weights` `[out, in, height, width]`.
pub fn dense(x: &[f32], input: Shape, weights: &[f32], out: usize, geometry: Geometry) -> Vec<f32> {
    let windows = Windows::new(input, geometry);
    let (columns, positions) = (windows.columns(), windows.output.positions());
    let mut y = vec![0f32; positions * out];
    if geometry.is_pointwise() {
        let parts = ranges(positions, threads());
        let outputs = split_rows(&mut y, &parts, out);
        parts.into_par_iter().zip(outputs).for_each(|(part, y)| {
            let rows = part.len();
            let x = &x[part.start * columns..part.end * columns];
            multiply_transposed(
                y,
                Onto::Replace,
                Matrix::new(x, rows, columns),
                Matrix::new(weights, out, columns),
            );
        });
        return y;
    }
    let sorted = weights_by_window(weights, out, input.channels, geometry.taps());
    let rows = rows_of_block(columns).min(positions.div_ceil(threads()).max(1));
    y.par_chunks_mut(rows * out).enumerate().for_each(|(index, y)| {
        let part = index * rows..index * rows + y.len() / out;
        with_scratch([part.len() * columns, 0], |matrix, _| {
            vectorized(|| windows.gather(x, part.clone(), matrix));
            let matrix = Matrix::new(matrix, part.len(), columns);
            multiply_transposed(y, Onto::Replace, matrix, Matrix::new(&sorted, out, columns));
        });
    });
    y
}

/// The gradient of a loss by `x`, given its gradient `dy` by the convolution's output.
pub fn dense_input_gradient(
    dy: &[f32],
    input: Shape,
    weights: &[f32],
    out: usize,
    geometry: Geometry,
) -> Vec<f32> {
    let windows = Windows::new(input, geometry);
    let (columns, positions) = (windows.columns(), windows.output.positions());
    let mut dx = vec![0f32; input.len()];
    if geometry.is_pointwise() {
        let parts = ranges(positions, threads());
        let outputs = split_rows(&mut dx, &parts, columns);
        parts.into_par_iter().zip(outputs).for_each(|(part, dx)| {
            let rows = part.len();
            let dy = &dy[part.start * out..part.end * out];
            multiply(dx, Onto::Replace, Matrix::new(dy, rows, out), Matrix::new(weights, out, columns));
        });
        return dx;
    }
    let sorted = weights_by_window(weights, out, input.channels, geometry.taps());
    let plane = windows.output.plane();
    // Windows overlap within an image, so each image belongs to one thread.
    let images = ranges(input.batch, threads());
    let outputs = split_rows(&mut dx, &images, input.image());
    let rows = rows_of_block(columns);
    images.into_par_iter().zip(outputs).for_each(|(images, dx)| {
        let first = images.start * input.image();
        for block in blocks(images.start * plane..images.end * plane, rows) {
            with_scratch([block.len() * columns, 0], |matrix, _| {
                let dy = &dy[block.start * out..block.end * out];
                multiply(
                    matrix,
                    Onto::Replace,
                    Matrix::new(dy, block.len(), out),
                    Matrix::new(&sorted, out, columns),
                );
                vectorized(|| windows.scatter(matrix, block.clone(), dx, first));
            });
        }
    });
    dx
}

/// The gradient of a loss by the weights `[out, in, height, width]`, given its gradient `dy` by the output.
pub fn dense_weight_gradient(
    dy: &[f32],
    x: &[f32],
    input: Shape,
    out: usize,
    geometry: Geometry,
) -> Vec<f32> {
    let windows = Windows::new(input, geometry);
    let (columns, positions) = (windows.columns(), windows.output.positions());
    if geometry.is_pointwise() {
        return pointwise_weight_gradient(dy, x, positions, [out, columns]);
    }
    let rows = rows_of_block(columns);
    // Each thread sums over its own positions; the sums are added in the threads' order.
    let parts = ranges(positions, threads().min(positions.div_ceil(rows)));
    let mut sums: Vec<Vec<f32>> = parts
        .into_par_iter()
        .map(|part| {
            let mut sum = vec![0f32; out * columns];
            for block in blocks(part, rows) {
                with_scratch([block.len() * columns, 0], |matrix, _| {
                    vectorized(|| windows.gather(x, block.clone(), matrix));
                    let dy = Matrix::new(&dy[block.start * out..block.end * out], block.len(), out);
                    transposed_multiply(&mut sum, Onto::Add, dy, Matrix::new(matrix, block.len(), columns));
                });
            }
            sum
        })
        .collect();
    let sum = add_in_order(&mut sums, out * columns);
    weights_by_channel(&sum, input.channels, geometry.taps())
}

fn pointwise_weight_gradient(
    dy: &[f32],
    x: &[f32],
    positions: usize,
    [out, columns]: [usize; 2],
) -> Vec<f32> {
    let parts = ranges(positions, threads().min(positions.div_ceil(LEAST_ROWS)));
    let mut sums: Vec<Vec<f32>> = parts
        .into_par_iter()
        .map(|part| {
            let mut sum = vec![0f32; out * columns];
            let dy = Matrix::new(&dy[part.start * out..part.end * out], part.len(), out);
            let x = Matrix::new(&x[part.start * columns..part.end * columns], part.len(), columns);
            transposed_multiply(&mut sum, Onto::Replace, dy, x);
            sum
        })
        .collect();
    add_in_order(&mut sums, out * columns)
}

/// The first with all others added to it, in their order; `length` zeros if there is none.
fn add_in_order(sums: &mut Vec<Vec<f32>>, length: usize) -> Vec<f32> {
    let others = sums.split_off(1.min(sums.len()));
    let mut total = sums.pop().unwrap_or_else(|| vec![0f32; length]);
    for other in &others {
        total.par_chunks_mut(1 << 15).zip(other.par_chunks(1 << 15)).for_each(|(total, other)| {
            for (total, value) in total.iter_mut().zip(other) {
                *total += value;
            }
        });
    }
    total
}
