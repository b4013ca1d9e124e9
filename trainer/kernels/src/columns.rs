//! The windows of a convolution as rows of a matrix (im2col), and back (col2im).

use std::ops::Range;

use crate::shape::{Geometry, Shape};

/// A part of a window's values: some taps of whole channels.
///
/// A row of the matrix holds, for every tap `ky, kx` in this order, the channels at the position that it reads.
#[derive(Clone, Copy)]
pub(crate) struct Windows {
    pub input: Shape,
    pub output: Shape,
    pub geometry: Geometry,
}

impl Windows {
    pub(crate) fn new(input: Shape, geometry: Geometry) -> Self {
        Self { input, output: geometry.output(input, 0), geometry }
    }

    /// Values of a window.
    pub(crate) fn columns(&self) -> usize {
        self.geometry.taps() * self.input.channels
    }

    /// Image, row and column of an output position.
    fn place(&self, position: usize) -> (usize, usize, usize) {
        let (image, within) = (position / self.output.plane(), position % self.output.plane());
        (image, within / self.output.width, within % self.output.width)
    }

    /// The taps `kx` of output column `ox` that are within the image.
    fn columns_within(&self, ox: usize) -> Range<usize> {
        let [_, width] = self.geometry.kernel;
        let within = |kx: &usize| self.geometry.column(ox, *kx, self.input.width).is_some();
        let start = (0..width).find(within).unwrap_or(width);
        let end = (start..width).find(|kx| !within(kx)).unwrap_or(width);
        start..end
    }

    /// Calls `copy(matrix_range, input_range)` for every run of values that a window has in common with the image,
    /// and `outside(matrix_range)` for every run that lies in the padding.
    #[inline(always)]
    fn runs(
        &self,
        position: usize,
        mut within: impl FnMut(Range<usize>, usize),
        mut outside: impl FnMut(Range<usize>),
    ) {
        let ([kernel_height, kernel_width], channels) = (self.geometry.kernel, self.input.channels);
        let (image, oy, ox) = self.place(position);
        let taps = self.columns_within(ox);
        let one_run = self.geometry.dilation[1] == 1 || kernel_width == 1;
        for ky in 0..kernel_height {
            let start = ky * kernel_width * channels;
            let end = start + kernel_width * channels;
            let Some(y) = self.geometry.row(oy, ky, self.input.height).filter(|_| !taps.is_empty()) else {
                outside(start..end);
                continue;
            };
            let row = image * self.input.image() + y * self.input.width * channels;
            let at = |kx: usize| start + kx * channels;
            if taps.start > 0 {
                outside(start..at(taps.start));
            }
            let runs = if one_run { 1 } else { taps.len() };
            let length = if one_run { taps.len() } else { 1 };
            for run in 0..runs {
                let kx = taps.start + run;
                if let Some(x) = self.geometry.column(ox, kx, self.input.width) {
                    within(at(kx)..at(kx + length), row + x * channels);
                }
            }
            if taps.end < kernel_width {
                outside(at(taps.end)..end);
            }
        }
    }

    /// Writes the windows of `positions` into `matrix`, one a row.
    pub(crate) fn gather(&self, input: &[f32], positions: Range<usize>, matrix: &mut [f32]) {
        for (position, row) in positions.zip(matrix.chunks_exact_mut(self.columns())) {
            // Two closures that borrow the row: one run is written at a time.
            let cell = std::cell::RefCell::new(row);
            self.runs(
                position,
                |to, from| {
                    let length = to.len();
                    cell.borrow_mut()[to].copy_from_slice(&input[from..from + length]);
                },
                |to| cell.borrow_mut()[to].fill(0.0),
            );
        }
    }

    /// Adds the rows of `matrix` to the places that the windows of `positions` read. `first` is the index of the first
    /// value of `image`.
    pub(crate) fn scatter(&self, matrix: &[f32], positions: Range<usize>, image: &mut [f32], first: usize) {
        for (position, row) in positions.zip(matrix.chunks_exact(self.columns())) {
            self.runs(
                position,
                |from, to| {
                    let to = to - first;
                    let to = &mut image[to..to + from.len()];
                    for (to, from) in to.iter_mut().zip(&row[from]) {
                        *to += from;
                    }
                },
                |_| (),
            );
        }
    }
}
