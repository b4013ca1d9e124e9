//! Largest value of each window.

use crate::add::each_row;
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
    /// Pools with the windows of `shape`. Quantization stays what it is.
    ///
    /// # Errors
    /// [`Fault::Shape`] if shapes do not belong together, or a window could lie in the padding alone.
    pub fn new(tier: Tier, shape: ConvShape, input: Layout, output: Layout) -> Result<Self, Fault> {
        let size = shape.output(input.height(), input.width());
        let channels = input.channels() == output.channels() && input.pixel() == output.pixel();
        if size != Some([output.height(), output.width()]) || !channels {
            return Err(Fault::Shape("the output has another shape than pooling gives"));
        }
        let padding = shape.padding;
        let reach = |axis: usize| (shape.kernel[axis] - 1) * shape.dilation[axis];
        if padding.top.max(padding.bottom) > reach(0) || padding.left.max(padding.right) > reach(1) {
            return Err(Fault::Shape("a window lies in the padding alone"));
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
        let ConvShape { kernel, stride, dilation, padding, .. } = self.shape;
        each_row(pool, &self.output, start, &|y, row| {
            row.fill(0);
            for tap in 0..kernel[0] {
                let above = (y * stride[0] + tap * dilation[0]).checked_sub(padding.top);
                let Some(above) = above.filter(|above| *above < self.input.height()) else { continue };
                let source = &input[self.input.inner(above)];
                let columns = Columns {
                    pixel: self.input.pixel(),
                    taps: kernel[1],
                    stride: stride[1],
                    dilation: dilation[1],
                    left: padding.left,
                };
                largest(self.tier, source, columns, row);
            }
        })
    }
}

#[derive(Clone, Copy)]
struct Columns {
    pixel: usize,
    taps: usize,
    stride: usize,
    dilation: usize,
    left: usize,
}

versions! {
    fn largest(source: &[u8], columns: Columns, output: &mut [u8]) {
        let width = source.len() / columns.pixel;
        for (x, output) in output.chunks_exact_mut(columns.pixel).enumerate() {
            for tap in 0..columns.taps {
                let at = (x * columns.stride + tap * columns.dilation).checked_sub(columns.left);
                let Some(at) = at.filter(|at| *at < width) else { continue };
                let source = &source[at * columns.pixel..][..columns.pixel];
                for (byte, other) in output.iter_mut().zip(source) {
                    *byte = (*byte).max(*other);
                }
            }
        }
    }
}
