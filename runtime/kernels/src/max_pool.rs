//! Largest value of each window.

use std::ops::Range;

use crate::layout::BLOCK;
use crate::rows::each_row;
use crate::threads::Shares;
use crate::versions::versions;
use crate::{ConvShape, Fault, Layout, Pool, Tier};

/// Max pooling. Padding never wins: windows are cut at the edges, so no halo is needed.
#[derive(Debug)]
pub struct MaxPool {
    tier: Tier,
    shape: ConvShape,
    input: Layout,
    output: Layout,
}

impl MaxPool {
    /// Pools with the windows of `shape`. The quantization does not change.
    ///
    /// # Errors
    /// [`Fault::Shape`] if shapes do not belong together, or a window could lie in the padding alone.
    pub fn new(tier: Tier, shape: ConvShape, input: Layout, output: Layout) -> Result<Self, Fault> {
        let size = shape.output(input.height(), input.width());
        let channels =
            input.channels() == output.channels() && input.pixel() == output.pixel() && input.is_blocked();
        if size != Some([output.height(), output.width()]) || !channels {
            return Err(Fault::Shape("the output does not have the shape that pooling gives"));
        }
        let padding = shape.padding;
        // Without dilation a window is one piece, so that padding smaller than the kernel never fills it.
        let fits = |axis: usize, padding: usize| shape.dilation[axis] == 1 && padding < shape.kernel[axis];
        if !fits(0, padding.top.max(padding.bottom)) || !fits(1, padding.left.max(padding.right)) {
            return Err(Fault::Shape("a window could lie in the padding alone"));
        }
        Ok(Self { tier: tier.check()?, shape, input, output })
    }

    /// Pools.
    ///
    /// # Errors
    /// [`Fault::Shape`] if a slice is shorter than its layout; [`Fault::Thread`] if a thread died.
    pub fn run(&self, pool: &Pool, input: &[u8], output: &mut [u8]) -> Result<(), Fault> {
        self.input.check(input.len())?;
        self.output.check(output.len())?;
        let start = Shares::new(output);
        let ConvShape { kernel, stride, padding, .. } = self.shape;
        let rows = |y: usize| window(y * stride[0], kernel[0], padding.top, self.input.height());
        let columns = |x: usize| window(x * stride[1], kernel[1], padding.left, self.input.width());
        each_row(pool, &self.output, start, &|y, row| {
            let rows = rows(y);
            let source = &input[self.input.inner(rows.start).start..self.input.inner(rows.end - 1).end];
            let size = (self.input.pixel(), self.input.row(), rows.len());
            for (x, pixel) in row.chunks_exact_mut(self.output.pixel()).enumerate() {
                largest(self.tier, source, size, columns(x), pixel);
            }
        })
    }
}

/// The part of a window of `size` from `start` on, in padded coordinates, that lies inside of `0..length`; never empty,
/// because padding is smaller than the window and the window fits into the padded side.
fn window(start: usize, size: usize, padding: usize, length: usize) -> Range<usize> {
    start.saturating_sub(padding)..(start + size - padding).min(length)
}

versions! {
    /// The largest bytes of some columns; `size` is that of a pixel and a row, and the number of rows.
    fn largest(source: &[u8], size: (usize, usize, usize), columns: Range<usize>, output: &mut [u8]) {
        // Whole cache lines where there are any: their maximum stays in a register or two.
        let (wide, narrow) = output.as_chunks_mut::<64>();
        let (halves, narrow) = narrow.as_chunks_mut::<32>();
        let (half, rest) = (wide.len() * 64, wide.len() * 64 + halves.len() * 32);
        for (index, output) in wide.iter_mut().enumerate() {
            *output = most(source, size, columns.clone(), index * 64);
        }
        for (index, output) in halves.iter_mut().enumerate() {
            *output = most(source, size, columns.clone(), half + index * 32);
        }
        for (index, output) in narrow.as_chunks_mut::<BLOCK>().0.iter_mut().enumerate() {
            *output = most(source, size, columns.clone(), rest + index * BLOCK);
        }
    }
}

#[inline(always)]
fn most<const N: usize>(
    source: &[u8],
    (pixel, row, rows): (usize, usize, usize),
    columns: Range<usize>,
    start: usize,
) -> [u8; N] {
    let mut most = [0u8; N];
    for y in 0..rows {
        let first = y.wrapping_mul(row).wrapping_add(columns.start.wrapping_mul(pixel)).wrapping_add(start);
        for x in 0..columns.len() {
            let at = first.wrapping_add(x.wrapping_mul(pixel));
            let Some(values) = source.get(at..).and_then(<[u8]>::first_chunk::<N>) else { continue };
            most = larger(&most, values);
        }
    }
    most
}

/// The larger of each two bytes. Less than a cache line the compiler, left to itself, takes byte by byte.
#[inline(always)]
fn larger<const N: usize>(a: &[u8; N], b: &[u8; N]) -> [u8; N] {
    let mut larger = *a;
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    if N < 64 {
        use std::arch::x86_64::*;
        let (blocks, _) = larger.as_chunks_mut::<BLOCK>();
        for (block, b) in blocks.iter_mut().zip(b.as_chunks::<BLOCK>().0) {
            // SAFETY: every x86-64 processor has SSE2, and the blocks are one vector each.
            unsafe {
                let b = _mm_loadu_si128(b.as_ptr().cast());
                let most = _mm_max_epu8(_mm_loadu_si128(block.as_ptr().cast()), b);
                _mm_storeu_si128(block.as_mut_ptr().cast(), most);
            }
        }
        return larger;
    }
    for (larger, b) in larger.iter_mut().zip(b) {
        *larger = (*larger).max(*b);
    }
    larger
}
