//! Sizes of tensors and windows.

/// A tensor of images or features, channels last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Images.
    pub batch: usize,
    /// Rows of an image.
    pub height: usize,
    /// Columns of an image.
    pub width: usize,
    /// Values at a position.
    pub channels: usize,
}

impl Shape {
    /// Values in all.
    pub fn len(&self) -> usize {
        self.positions() * self.channels
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Positions of all images.
    pub fn positions(&self) -> usize {
        self.batch * self.plane()
    }

    /// Positions of one image.
    pub(crate) fn plane(&self) -> usize {
        self.height * self.width
    }

    /// Values of one image.
    pub(crate) fn image(&self) -> usize {
        self.plane() * self.channels
    }
}

/// The window of a convolution or a pooling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Height and width of the window.
    pub kernel: [usize; 2],
    /// Steps between windows, down and right.
    pub stride: [usize; 2],
    /// Steps between the taps of a window, down and right.
    pub dilation: [usize; 2],
    /// Zeros around the image: top, left, bottom, right.
    pub padding: [usize; 4],
}

impl Geometry {
    /// A square window with stride and zeros on all sides.
    pub fn square(kernel: usize, stride: usize, padding: usize) -> Self {
        Self { kernel: [kernel; 2], stride: [stride; 2], dilation: [1; 2], padding: [padding; 4] }
    }

    /// The shape that windows over `input` give.
    pub fn output(&self, input: Shape, channels: usize) -> Shape {
        let [top, left, bottom, right] = self.padding;
        Shape {
            batch: input.batch,
            height: self.steps(0, input.height + top + bottom),
            width: self.steps(1, input.width + left + right),
            channels,
        }
    }

    fn steps(&self, axis: usize, padded: usize) -> usize {
        let (kernel, dilation) = (self.kernel.get(axis), self.dilation.get(axis));
        let span = dilation.zip(kernel).map_or(1, |(dilation, kernel)| dilation * (kernel - 1) + 1);
        let stride = self.stride.get(axis).copied().unwrap_or(1);
        padded.checked_sub(span).map_or(0, |room| room / stride + 1)
    }

    /// Taps of a window.
    pub(crate) fn taps(&self) -> usize {
        let [height, width] = self.kernel;
        height * width
    }

    /// Whether each output position reads the same input position and no other.
    pub(crate) fn is_pointwise(&self) -> bool {
        self.kernel == [1; 2] && self.stride == [1; 2] && self.padding == [0; 4]
    }

    /// The row that tap `ky` of output row `oy` reads, if it is within the image.
    pub(crate) fn row(&self, oy: usize, ky: usize, height: usize) -> Option<usize> {
        let [top, ..] = self.padding;
        let ([stride, _], [dilation, _]) = (self.stride, self.dilation);
        (oy * stride + ky * dilation).checked_sub(top).filter(|&y| y < height)
    }

    /// The column that tap `kx` of output column `ox` reads, if it is within the image.
    pub(crate) fn column(&self, ox: usize, kx: usize, width: usize) -> Option<usize> {
        let [_, left, ..] = self.padding;
        let ([_, stride], [_, dilation]) = (self.stride, self.dilation);
        (ox * stride + kx * dilation).checked_sub(left).filter(|&x| x < width)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_sizes_are_those_of_pytorch() {
        let size = |height, geometry: Geometry| {
            geometry.output(Shape { batch: 1, height, width: height, channels: 1 }, 1).height
        };
        assert_eq!(size(224, Geometry::square(7, 2, 3)), 112);
        assert_eq!(size(7, Geometry::square(3, 2, 1)), 4);
        assert_eq!(size(8, Geometry { dilation: [2; 2], ..Geometry::square(5, 1, 4) }), 8);
        assert_eq!(size(8, Geometry { padding: [0, 0, 1, 1], ..Geometry::square(3, 2, 0) }), 4);
        assert_eq!(size(2, Geometry::square(5, 1, 0)), 0);
    }
}
