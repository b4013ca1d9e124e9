//! Convolutions with one filter for each channel.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use crate::parallel::{ranges, sum_in_order, threads};
use crate::shape::{Geometry, Shape};

/// Neighbouring positions that share the loads of a filter.
const TILE: usize = 4;

/// `[channels, 1, height, width]` to `[height, width, channels]`.
fn weights_by_tap(weights: &[f32], channels: usize) -> Vec<f32> {
    let taps = weights.len() / channels.max(1);
    let mut sorted = vec![0f32; weights.len()];
    for (channel, filter) in weights.chunks_exact(taps).enumerate() {
        for (to, from) in sorted.iter_mut().skip(channel).step_by(channels).zip(filter) {
            *to = *from;
        }
    }
    sorted
}

/// Taps of one output position: where in the image, and where in the sorted weights, their channels begin.
type Taps = Vec<(usize, usize)>;

/// `V` vectors of `values` from `at` on.
#[inline(always)]
fn load<S: Simd, const V: usize>(simd: S, values: &[f32], at: usize) -> [S::f32s; V] {
    let (vectors, _) = S::as_simd_f32s(&values[at..at + V * S::F32_LANES]);
    vectors.first_chunk().copied().unwrap_or([simd.splat_f32s(0.0); V])
}

/// What is convolved: an image, where its first position is, how far the next one is, and the filters by tap.
#[derive(Clone, Copy)]
struct Source<'a> {
    x: &'a [f32],
    base: usize,
    step: usize,
    weights: &'a [f32],
}

impl Source<'_> {
    /// The sums over the taps for `P` neighbouring positions and `V` vectors of channels from `start` on.
    #[inline(always)]
    fn sums<S: Simd, const P: usize, const V: usize>(
        self,
        simd: S,
        taps: &[(usize, usize)],
        start: usize,
    ) -> [[S::f32s; V]; P] {
        let mut sums = [[simd.splat_f32s(0.0); V]; P];
        for &(at, tap) in taps {
            let w: [S::f32s; V] = load(simd, self.weights, tap + start);
            for (index, sums) in sums.iter_mut().enumerate() {
                let x: [S::f32s; V] = load(simd, self.x, self.base + at + start + index * self.step);
                for ((sum, x), w) in sums.iter_mut().zip(x).zip(w) {
                    *sum = simd.mul_add_e_f32s(x, w, *sum);
                }
            }
        }
        sums
    }

    /// Writes `P` neighbouring positions.
    #[inline(always)]
    fn positions<S: Simd, const P: usize>(
        self,
        simd: S,
        y: &mut [f32],
        channels: usize,
        taps: &[(usize, usize)],
    ) {
        let lanes = S::F32_LANES;
        let mut start = 0;
        while start + 2 * lanes <= channels {
            store(y, channels, start, self.sums::<S, P, 2>(simd, taps, start));
            start += 2 * lanes;
        }
        if start + lanes <= channels {
            store(y, channels, start, self.sums::<S, P, 1>(simd, taps, start));
            start += lanes;
        }
        if start < channels {
            self.rest(y, channels, taps, start);
        }
    }

    /// The channels that do not fill a vector.
    fn rest(self, y: &mut [f32], channels: usize, taps: &[(usize, usize)], start: usize) {
        for (index, y) in y.chunks_exact_mut(channels).enumerate() {
            let rest = &mut y[start..];
            rest.fill(0.0);
            for &(at, tap) in taps {
                let x = &self.x[self.base + at + start + index * self.step..];
                for ((y, x), w) in rest.iter_mut().zip(x).zip(&self.weights[tap + start..]) {
                    *y += x * w;
                }
            }
        }
    }
}

#[inline(always)]
fn store<T, const P: usize, const V: usize>(y: &mut [f32], channels: usize, start: usize, sums: [[T; V]; P])
where
    T: pulp::bytemuck::Pod,
{
    for (y, sums) in y.chunks_exact_mut(channels).zip(&sums) {
        let sums: &[f32] = pulp::bytemuck::cast_slice(sums);
        y[start..start + sums.len()].copy_from_slice(sums);
    }
}

/// One row of output positions of all channels of one image.
struct Row<'a, F> {
    y: &'a mut [f32],
    channels: usize,
    source: Source<'a>,
    /// Columns that have the same taps, each `step` values after the one before.
    inner: Range<usize>,
    /// The taps of a column.
    taps_of: F,
}

impl<F: FnMut(usize, &mut Taps)> WithSimd for Row<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let channels = self.channels;
        let columns = self.y.len() / channels;
        let mut taps = Taps::new();
        for column in (0..self.inner.start.min(columns)).chain(self.inner.end..columns) {
            taps.clear();
            (self.taps_of)(column, &mut taps);
            let y = &mut self.y[column * channels..][..channels];
            self.source.positions::<S, 1>(simd, y, channels, &taps);
        }
        if self.inner.is_empty() {
            return;
        }
        taps.clear();
        (self.taps_of)(self.inner.start, &mut taps);
        let y = &mut self.y[self.inner.start * channels..self.inner.end * channels];
        let mut source = self.source;
        let mut tiles = y.chunks_exact_mut(TILE * channels);
        for y in &mut tiles {
            source.positions::<S, TILE>(simd, y, channels, &taps);
            source.base += TILE * source.step;
        }
        for y in tiles.into_remainder().chunks_exact_mut(channels) {
            source.positions::<S, 1>(simd, y, channels, &taps);
            source.base += source.step;
        }
    }
}

/// The columns of the output whose windows lie within the image.
fn inner_columns(geometry: Geometry, input: Shape, output: Shape) -> Range<usize> {
    let last = geometry.kernel[1] - 1;
    let within = |ox: &usize| {
        geometry.column(*ox, 0, input.width).is_some() && geometry.column(*ox, last, input.width).is_some()
    };
    let start = (0..output.width).find(within).unwrap_or(output.width);
    let end = (start..output.width).find(|ox| !within(ox)).unwrap_or(output.width);
    start..end
}

/// The convolution of `x`, shape `input`, with one filter a channel, `weights` `[channels, 1, height, width]`.
pub fn depthwise(x: &[f32], input: Shape, weights: &[f32], geometry: Geometry) -> Vec<f32> {
    let channels = input.channels;
    let output = geometry.output(input, channels);
    let sorted = weights_by_tap(weights, channels);
    let inner = inner_columns(geometry, input, output);
    let step = geometry.stride[1] * channels;
    let mut y = vec![0f32; output.len()];
    y.par_chunks_mut(output.image().max(1)).zip(x.par_chunks(input.image().max(1))).for_each(|(y, x)| {
        for (oy, y) in y.chunks_exact_mut(output.width * channels).enumerate() {
            let taps_of = |ox, taps: &mut Taps| taps_of_output(geometry, input, (oy, ox), taps);
            let source = Source { x, base: 0, step, weights: &sorted };
            Arch::new().dispatch(Row { y, channels, source, inner: inner.clone(), taps_of });
        }
    });
    y
}

fn taps_of_output(geometry: Geometry, input: Shape, (oy, ox): (usize, usize), taps: &mut Taps) {
    let [height, width] = geometry.kernel;
    for ky in 0..height {
        let Some(y) = geometry.row(oy, ky, input.height) else { continue };
        for kx in 0..width {
            let Some(x) = geometry.column(ox, kx, input.width) else { continue };
            taps.push(((y * input.width + x) * input.channels, (ky * width + kx) * input.channels));
        }
    }
}

/// The gradient of a loss by `x`, given its gradient `dy` by the output.
pub fn depthwise_input_gradient(dy: &[f32], input: Shape, weights: &[f32], geometry: Geometry) -> Vec<f32> {
    let channels = input.channels;
    let output = geometry.output(input, channels);
    let sorted = weights_by_tap(weights, channels);
    let inner = inner_inputs(geometry, input, output);
    let mut dx = vec![0f32; input.len()];
    dx.par_chunks_mut(input.image().max(1)).zip(dy.par_chunks(output.image().max(1))).for_each(|(dx, dy)| {
        for (y, dx) in dx.chunks_exact_mut(input.width * channels).enumerate() {
            let taps_of = |x, taps: &mut Taps| taps_of_input(geometry, output, (y, x), taps);
            let source = Source { x: dy, base: 0, step: channels, weights: &sorted };
            Arch::new().dispatch(Row { y: dx, channels, source, inner: inner.clone(), taps_of });
        }
    });
    dx
}

/// The columns of the input that are read by every column of the filter, where all steps are 1.
fn inner_inputs(geometry: Geometry, input: Shape, output: Shape) -> Range<usize> {
    if geometry.stride[1] != 1 {
        return 0..0;
    }
    let [_, left, ..] = geometry.padding;
    let reach = (geometry.kernel[1] - 1) * geometry.dilation[1];
    let start = reach.saturating_sub(left);
    start..(output.width.saturating_sub(left)).clamp(start, input.width.max(start))
}

/// The output positions that read an input position, and by which tap.
fn taps_of_input(geometry: Geometry, output: Shape, (y, x): (usize, usize), taps: &mut Taps) {
    let ([height, width], [down, right]) = (geometry.kernel, geometry.stride);
    let [top, left, ..] = geometry.padding;
    let source = |at: usize, padding: usize, tap: usize, dilation: usize, stride: usize, end: usize| {
        let at = (at + padding).checked_sub(tap * dilation)?;
        (at % stride == 0 && at / stride < end).then_some(at / stride)
    };
    for ky in 0..height {
        let Some(oy) = source(y, top, ky, geometry.dilation[0], down, output.height) else { continue };
        for kx in 0..width {
            let Some(ox) = source(x, left, kx, geometry.dilation[1], right, output.width) else { continue };
            taps.push(((oy * output.width + ox) * output.channels, (ky * width + kx) * output.channels));
        }
    }
}

/// The gradient of a loss by the weights, given its gradient `dy` by the output.
pub fn depthwise_weight_gradient(dy: &[f32], x: &[f32], input: Shape, geometry: Geometry) -> Vec<f32> {
    let channels = input.channels;
    let output = geometry.output(input, channels);
    let length = geometry.taps() * channels;
    let parts: Vec<Vec<f32>> = ranges(input.batch, threads())
        .into_par_iter()
        .map(|images| {
            let mut sums = vec![0f32; length];
            for image in images {
                let dy = &dy[image * output.image()..(image + 1) * output.image()];
                let x = &x[image * input.image()..(image + 1) * input.image()];
                Arch::new().dispatch(ImageGradient { sums: &mut sums, dy, x, input, output, geometry });
            }
            sums
        })
        .collect();
    let sums = sum_in_order(&parts, length);
    let taps = geometry.taps();
    let mut weights = vec![0f32; length];
    for (channel, filter) in weights.chunks_exact_mut(taps).enumerate() {
        for (to, from) in filter.iter_mut().zip(sums.iter().skip(channel).step_by(channels)) {
            *to = *from as f32;
        }
    }
    weights
}

/// Adds the products of one image to the sums `[height, width, channels]`.
struct ImageGradient<'a> {
    sums: &'a mut [f32],
    dy: &'a [f32],
    x: &'a [f32],
    input: Shape,
    output: Shape,
    geometry: Geometry,
}

impl WithSimd for ImageGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let (channels, lanes) = (self.input.channels, S::F32_LANES);
        let mut start = 0;
        while start + 4 * lanes <= channels {
            self.channels::<S, 4>(simd, start);
            start += 4 * lanes;
        }
        while start + lanes <= channels {
            self.channels::<S, 1>(simd, start);
            start += lanes;
        }
        if start < channels {
            self.rest(start);
        }
    }
}

impl ImageGradient<'_> {
    /// `V` vectors of channels from `start` on, tap after tap: their part of the image stays in the first-level cache.
    #[inline(always)]
    fn channels<S: Simd, const V: usize>(&mut self, simd: S, start: usize) {
        let channels = self.input.channels;
        let step = self.geometry.stride[1] * channels;
        for tap in 0..self.geometry.taps() {
            let mut totals = [simd.splat_f32s(0.0); V];
            for_rows(self.input, self.output, self.geometry, tap, |dy_from, x_from, count| {
                let (mut dy_at, mut x_at) = (dy_from + start, x_from + start);
                for _ in 0..count {
                    let dy: [S::f32s; V] = load(simd, self.dy, dy_at);
                    let x: [S::f32s; V] = load(simd, self.x, x_at);
                    for ((total, dy), x) in totals.iter_mut().zip(dy).zip(x) {
                        *total = simd.mul_add_e_f32s(dy, x, *total);
                    }
                    dy_at += channels;
                    x_at += step;
                }
            });
            let totals: &[f32] = pulp::bytemuck::cast_slice(&totals);
            for (sum, total) in self.sums[tap * channels + start..].iter_mut().zip(totals) {
                *sum += total;
            }
        }
    }

    /// The channels from `start` on, which do not fill a vector.
    fn rest(&mut self, start: usize) {
        let channels = self.input.channels;
        let step = self.geometry.stride[1] * channels;
        for tap in 0..self.geometry.taps() {
            let sums = &mut self.sums[tap * channels..][start..channels];
            for_rows(self.input, self.output, self.geometry, tap, |dy_from, x_from, count| {
                for column in 0..count {
                    let dy = &self.dy[dy_from + column * channels + start..];
                    let x = &self.x[x_from + column * step + start..];
                    for ((sum, dy), x) in sums.iter_mut().zip(dy).zip(x) {
                        *sum += dy * x;
                    }
                }
            });
        }
    }
}

/// Calls `row(first of dy, first of x, columns)` for every output row of an image in which `tap` is within the image.
#[inline(always)]
fn for_rows(
    input: Shape,
    output: Shape,
    geometry: Geometry,
    tap: usize,
    mut row: impl FnMut(usize, usize, usize),
) {
    let [_, width] = geometry.kernel;
    let (ky, kx) = (tap / width, tap % width);
    let columns = columns_of_tap(geometry, input, output, kx);
    let Some(first) = geometry.column(columns.start, kx, input.width).filter(|_| !columns.is_empty()) else {
        return;
    };
    for oy in 0..output.height {
        if let Some(y) = geometry.row(oy, ky, input.height) {
            let dy_from = (oy * output.width + columns.start) * output.channels;
            row(dy_from, (y * input.width + first) * input.channels, columns.len());
        }
    }
}

/// The output columns whose tap `kx` is within the image.
fn columns_of_tap(geometry: Geometry, input: Shape, output: Shape, kx: usize) -> Range<usize> {
    let within = |ox: &usize| geometry.column(*ox, kx, input.width).is_some();
    let start = (0..output.width).find(within).unwrap_or(output.width);
    let end = (start..output.width).find(|ox| !within(ox)).unwrap_or(output.width);
    start..end
}
