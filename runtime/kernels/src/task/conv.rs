//! A convolution as the inner loops see it: checked, and in pointers.

use crate::layout::{BLOCK, GROUP};
use crate::requantize::Rounding;
use crate::threads::Shares;

/// Where a convolution writes.
#[derive(Clone, Copy)]
pub(crate) enum Sink {
    Bytes { start: Shares<u8>, origin: usize, row: usize, pixel: usize, rounding: Rounding },
    Reals { start: Shares<f32>, plane: usize },
}

/// A convolution for an inner loop: checked, and in pointers.
#[derive(Clone, Copy)]
pub(crate) struct ConvTask<'a> {
    /// The first tap of the first window.
    pub(crate) source: *const u8,
    /// Bytes between windows that are neighbours in a column.
    pub(crate) row: usize,
    /// Bytes between windows that are neighbours in a row.
    pub(crate) column: usize,
    pub(crate) taps: &'a [usize],
    /// Bytes from the first tap of a window to each group of each tap: one loop instead of two keeps sums in registers.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "only the loops for x86-64 read it"))]
    pub(crate) steps: &'a [u32],
    /// Input channels / 4, rounded up.
    pub(crate) groups: usize,
    pub(crate) weights: *const i8,
    pub(crate) bias: *const i32,
    pub(crate) multipliers: *const f32,
    /// Whether every sum times its multiplier fits into 32 bits, so that the conversion needs no clamp before it.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "only the loops for x86-64 read it"))]
    pub(crate) bounded: bool,
    /// Columns of the output.
    pub(crate) width: usize,
    /// Channels of the output.
    pub(crate) channels: usize,
    pub(crate) sink: Sink,
}

// SAFETY: what the pointers show is read only, but for the sink, of which every thread writes its own part.
unsafe impl Sync for ConvTask<'_> {}

impl ConvTask<'_> {
    /// Bytes of the packed weights of 16 output channels.
    #[inline(always)]
    pub(crate) fn block_bytes(&self) -> usize {
        self.taps.len() * self.groups * BLOCK * GROUP
    }

    /// The first tap of each of `P` windows from number `pixel` on.
    ///
    /// # Safety
    /// The windows must exist.
    #[inline(always)]
    pub(crate) unsafe fn windows<const P: usize>(&self, pixel: usize) -> [*const u8; P] {
        let (mut row, mut column) = (pixel / self.width, pixel % self.width);
        std::array::from_fn(|_| {
            // SAFETY: inside the input, as the caller proves.
            let window = unsafe {
                self.source.add(row.wrapping_mul(self.row).wrapping_add(column.wrapping_mul(self.column)))
            };
            column = column.wrapping_add(1);
            if column == self.width {
                (row, column) = (row.wrapping_add(1), 0);
            }
            window
        })
    }
}

/// Walks over the pixels of the output, without a division at each.
#[derive(Clone, Copy)]
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "only the loops for x86-64 walk"))]
pub(crate) struct Cursor {
    /// The next pixel's number and column.
    pub(crate) pixel: usize,
    column: usize,
    /// The first tap of its window.
    window: *const u8,
    /// Where it is written: bytes from the start of the sink, if that takes bytes.
    place: usize,
    /// Bytes from one place to the next, and from one row to the next.
    step: usize,
    row: usize,
}

#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "only the loops for x86-64 walk"))]
impl Cursor {
    /// Starts at number `pixel`.
    #[inline(always)]
    pub(crate) fn new(task: &ConvTask<'_>, pixel: usize) -> Self {
        let (y, x) = (pixel / task.width, pixel % task.width);
        let (origin, row, step) = match task.sink {
            Sink::Bytes { origin, row, pixel, .. } => (origin, row, pixel),
            Sink::Reals { .. } => (0, 0, 0),
        };
        let window = task.source.wrapping_add(y * task.row + x * task.column);
        Self { pixel, column: x, window, place: origin + y * row + x * step, step, row }
    }

    /// Windows and places of the next `P` pixels; it goes on to those behind them.
    #[inline(always)]
    pub(crate) fn take<const P: usize>(&mut self, task: &ConvTask<'_>) -> ([*const u8; P], [usize; P]) {
        let (mut windows, mut places) = ([self.window; P], [self.place; P]);
        self.pixel = self.pixel.wrapping_add(P);
        if self.column.wrapping_add(P) < task.width {
            // The usual case: nothing here waits for the pixel before.
            for p in 0..P {
                windows[p] = self.window.wrapping_add(p.wrapping_mul(task.column));
                places[p] = self.place.wrapping_add(p.wrapping_mul(self.step));
            }
            self.column = self.column.wrapping_add(P);
            self.window = self.window.wrapping_add(P.wrapping_mul(task.column));
            self.place = self.place.wrapping_add(P.wrapping_mul(self.step));
        } else {
            for p in 0..P {
                (windows[p], places[p]) = (self.window, self.place);
                self.advance(task);
            }
        }
        (windows, places)
    }

    #[inline(always)]
    fn advance(&mut self, task: &ConvTask<'_>) {
        self.column = self.column.wrapping_add(1);
        self.window = self.window.wrapping_add(task.column);
        self.place = self.place.wrapping_add(self.step);
        if self.column == task.width {
            let back = |step: usize| task.width.wrapping_mul(step);
            self.column = 0;
            self.window = self.window.wrapping_add(task.row.wrapping_sub(back(task.column)));
            self.place = self.place.wrapping_add(self.row.wrapping_sub(back(self.step)));
        }
    }
}
