//! Geometry of windows that slide over a tensor.

use crate::{Fault, Halo, Layout};

/// Largest kernel, stride, dilation or padding; no network comes near it.
const LARGEST_SIDE: usize = 1 << 16;

/// Geometry of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvShape {
    /// Output channels.
    pub channels: usize,
    /// Rows and columns of the kernel.
    pub kernel: [usize; 2],
    /// Rows and columns from one window to the next.
    pub stride: [usize; 2],
    /// Rows and columns from one tap to the next.
    pub dilation: [usize; 2],
    /// Padding, which the input's halo provides.
    pub padding: Halo,
}

impl ConvShape {
    /// Height and width of the output for an input of `height` x `width`; `None` if no window fits.
    pub fn output(&self, height: usize, width: usize) -> Option<[usize; 2]> {
        let padding = self.padding;
        let side = |axis: usize, inner: usize, before: usize, after: usize| {
            let limits = [self.kernel[axis], self.stride[axis], self.dilation[axis], before, after];
            // A step of 0 would put all taps or all windows in one place; sides beyond any image overflow later.
            if self.dilation[axis] == 0 || limits.iter().any(|side| *side > LARGEST_SIDE) {
                return None;
            }
            let window =
                self.kernel[axis].checked_sub(1)?.checked_mul(self.dilation[axis])?.checked_add(1)?;
            let room = inner.checked_add(before)?.checked_add(after)?.checked_sub(window)?;
            Some(room.checked_div(self.stride[axis])? + 1)
        };
        Some([side(0, height, padding.top, padding.bottom)?, side(1, width, padding.left, padding.right)?])
    }

    /// Height and width of the output, if `input` has room for every window.
    fn fit(&self, input: &Layout) -> Result<[usize; 2], Fault> {
        let output =
            self.output(input.height(), input.width()).ok_or(Fault::Shape("no window fits the input"))?;
        let (need, have) = (self.padding, input.halo());
        if need.top > have.top
            || need.left > have.left
            || need.bottom > have.bottom
            || need.right > have.right
        {
            return Err(Fault::Shape("the input's halo is smaller than the padding"));
        }
        Ok(output)
    }

    /// Bytes from the first tap of the first window to each tap.
    fn taps(&self, input: &Layout) -> Vec<usize> {
        let [rows, columns] = self.kernel;
        let rows = (0..rows).map(|row| row * self.dilation[0] * input.row());
        rows.flat_map(|row| (0..columns).map(move |column| row + column * self.dilation[1] * input.pixel()))
            .collect()
    }

    /// Bytes before the first tap of the first window.
    pub(crate) fn start(&self, input: &Layout) -> usize {
        let halo = input.halo();
        (halo.top - self.padding.top) * input.row() + (halo.left - self.padding.left) * input.pixel()
    }

    /// Checks that everything a convolution is made of belongs together, and gives its taps. `inputs` are the channels
    /// that one filter reads, `lengths` those of weights, bias and multipliers.
    pub(crate) fn prepare(
        &self,
        input: &Layout,
        output: &Layout,
        inputs: usize,
        lengths: [usize; 3],
    ) -> Result<Vec<usize>, Fault> {
        let size = self.fit(input)?;
        if [output.height(), output.width()] != size || output.channels() != self.channels {
            return Err(Fault::Shape("the output does not have the shape that the convolution gives"));
        }
        let [rows, columns] = self.kernel;
        let filter = rows.checked_mul(columns).and_then(|taps| taps.checked_mul(inputs));
        let weights = filter.and_then(|filter| filter.checked_mul(self.channels));
        if lengths != [weights.unwrap_or(usize::MAX), self.channels, self.channels] {
            return Err(Fault::Shape("the numbers of weights, biases and multipliers do not fit the shape"));
        }
        Ok(self.taps(input))
    }
}
