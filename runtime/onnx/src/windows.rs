//! Windows that slide over an image: those of convolutions and poolings.

use crate::attribute;
use crate::proto::NodeProto;

/// Sides of windows that slide over an image.
pub struct Windows {
    /// Rows and columns of a window.
    pub kernel: [usize; 2],
    /// Steps between windows.
    pub stride: [usize; 2],
    /// Steps between the taps of a window.
    pub dilation: [usize; 2],
    /// Top, left, bottom, right.
    pub padding: [usize; 4],
}

impl Windows {
    /// Height and width of what the windows give on an input of the shape `[1, channels, height, width]`; `None` if the
    /// input is smaller than a window, or of another rank.
    pub fn output(&self, input: &[usize]) -> Option<[usize; 2]> {
        let [1, _, height, width] = *input else { return None };
        let side = |axis: usize, inner: usize| {
            let window =
                (self.kernel[axis].checked_sub(1)?).checked_mul(self.dilation[axis])?.checked_add(1)?;
            let padded = inner.checked_add(self.padding[axis])?.checked_add(self.padding[axis + 2])?;
            Some(padded.checked_sub(window)?.checked_div(self.stride[axis])? + 1)
        };
        Some([side(0, height)?, side(1, width)?])
    }
}

/// The windows of a convolution or pooling node, if they are explicit and two-dimensional. A convolution need not name
/// its `kernel`, which is its weights'.
pub fn windows(node: &NodeProto, kernel: Option<[usize; 2]>) -> Option<Windows> {
    if !attribute::text_is(node, "auto_pad", &["", "NOTSET"])
        || attribute::int_of(node, "ceil_mode").unwrap_or(0) != 0
    {
        return None;
    }
    fn sides<const N: usize>(node: &NodeProto, name: &str, otherwise: Option<usize>) -> Option<[usize; N]> {
        let Some(found) = attribute::find(node, name).filter(|a| !a.ints.is_empty()) else {
            return otherwise.map(|value| [value; N]);
        };
        let sides: Option<Vec<usize>> = found.ints.iter().map(|side| usize::try_from(*side).ok()).collect();
        sides?.try_into().ok()
    }
    Some(Windows {
        kernel: sides(node, "kernel_shape", None).or(kernel)?,
        stride: sides(node, "strides", Some(1))?,
        dilation: sides(node, "dilations", Some(1))?,
        padding: sides(node, "pads", Some(0))?,
    })
}
