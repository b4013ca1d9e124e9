//! Kernels that write one row of the output at a time.

use crate::threads::Shares;
use crate::{Fault, Layout, Pool};

/// Bytes of output below which one thread does it all.
const SMALL: usize = 100_000;

/// Gives each row of `layout` inside `output` to `task`, rows shared between the threads.
pub(crate) fn each_row(
    pool: &Pool,
    layout: &Layout,
    output: Shares<u8>,
    task: &(dyn Fn(usize, &mut [u8]) + Sync),
) -> Result<(), Fault> {
    let rows = layout.height();
    let grain = if rows * layout.row() < SMALL { rows } else { 1 };
    pool.split(rows, grain, &|share| {
        for y in share {
            let inner = layout.inner(y);
            // SAFETY: callers checked the output against the layout; rows do not overlap and belong to one thread.
            let row =
                unsafe { std::slice::from_raw_parts_mut(output.pointer().add(inner.start), inner.len()) };
            task(y, row);
        }
    })
}
