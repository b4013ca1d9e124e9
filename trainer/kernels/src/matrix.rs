//! Matrix products.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};

/// A matrix in a slice, row after row.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    pub values: &'a [f32],
    pub rows: usize,
    pub columns: usize,
}

impl<'a> Matrix<'a> {
    pub(crate) fn new(values: &'a [f32], rows: usize, columns: usize) -> Self {
        Self { values, rows, columns }
    }

    fn view(self) -> MatRef<'a, f32> {
        MatRef::from_row_major_slice(self.values, self.rows, self.columns)
    }
}

/// What happens to the values that `out` holds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Onto {
    Replace,
    Add,
}

impl From<Onto> for Accum {
    fn from(onto: Onto) -> Self {
        match onto {
            Onto::Replace => Self::Replace,
            Onto::Add => Self::Add,
        }
    }
}

fn product(out: &mut [f32], onto: Onto, a: MatRef<'_, f32>, b: MatRef<'_, f32>) {
    let out = MatMut::from_row_major_slice_mut(out, a.nrows(), b.ncols());
    matmul(out, onto.into(), a, b, 1.0, Par::Seq);
}

/// `out = a b`, on this thread.
pub(crate) fn multiply(out: &mut [f32], onto: Onto, a: Matrix<'_>, b: Matrix<'_>) {
    product(out, onto, a.view(), b.view());
}

/// `out = a b^T`, on this thread.
pub(crate) fn multiply_transposed(out: &mut [f32], onto: Onto, a: Matrix<'_>, b: Matrix<'_>) {
    product(out, onto, a.view(), b.view().transpose());
}

/// `out = a^T b`, on this thread.
pub(crate) fn transposed_multiply(out: &mut [f32], onto: Onto, a: Matrix<'_>, b: Matrix<'_>) {
    product(out, onto, a.view().transpose(), b.view());
}
