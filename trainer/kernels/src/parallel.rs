//! Cutting work into pieces, and compiling loops for the processor's vectors.

use std::cell::RefCell;

use rayon::prelude::*;

/// Values that a piece of element-wise work should have: a few hundred microseconds of a core's second-level cache.
const PIECE: usize = 1 << 15;

/// Runs `work` compiled for the widest vectors of this processor.
#[inline]
pub(crate) fn vectorized<R>(work: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(work)
}

/// Threads that share the work.
pub(crate) fn threads() -> usize {
    rayon::current_num_threads()
}

/// Rows of `row` values in a piece of element-wise work. The pieces do not depend on the number of threads, so that
/// sums over them do not either.
pub(crate) fn rows_of_piece(row: usize) -> usize {
    (PIECE / row.max(1)).max(1)
}

/// Calls `work(first_row, rows)` on pieces of `out`, which has rows of `row` values.
pub(crate) fn for_pieces(out: &mut [f32], row: usize, work: impl Fn(usize, &mut [f32]) + Sync) {
    let rows = rows_of_piece(row);
    out.par_chunks_mut(rows * row).enumerate().for_each(|(index, piece)| {
        vectorized(|| work(index * rows, piece));
    });
}

/// Sums `parts` column by column in their order, in double precision.
pub(crate) fn sum_in_order(parts: &[Vec<f32>], length: usize) -> Vec<f64> {
    let mut total = vec![0f64; length];
    for part in parts {
        for (total, value) in total.iter_mut().zip(part) {
            *total += f64::from(*value);
        }
    }
    total
}

thread_local! {
    static SCRATCH: RefCell<[Vec<f32>; 2]> = const { RefCell::new([Vec::new(), Vec::new()]) };
}

/// Lends two pieces of this thread's memory, whatever values they hold. `work` must not call rayon, which could run
/// another piece of work on this thread meanwhile.
pub(crate) fn with_scratch<R>(lengths: [usize; 2], work: impl FnOnce(&mut [f32], &mut [f32]) -> R) -> R {
    SCRATCH.with_borrow_mut(|[first, second]| {
        let [a, b] = lengths;
        if first.len() < a {
            first.resize(a, 0.0);
        }
        if second.len() < b {
            second.resize(b, 0.0);
        }
        work(first.get_mut(..a).unwrap_or_default(), second.get_mut(..b).unwrap_or_default())
    })
}

/// Cuts `0..total` into at most `count` ranges of about the same length.
pub(crate) fn ranges(total: usize, count: usize) -> Vec<std::ops::Range<usize>> {
    let length = total.div_ceil(count.max(1)).max(1);
    (0..total).step_by(length).map(|start| start..(start + length).min(total)).collect()
}

/// Cuts `values` into one slice for each of `ranges` of rows of `row` values.
pub(crate) fn split_rows<'a>(
    mut values: &'a mut [f32],
    ranges: &[std::ops::Range<usize>],
    row: usize,
) -> Vec<&'a mut [f32]> {
    let mut parts = Vec::with_capacity(ranges.len());
    for range in ranges {
        let (part, rest) = values.split_at_mut(range.len() * row);
        parts.push(part);
        values = rest;
    }
    parts
}
