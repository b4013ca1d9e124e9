//! How an activation tensor lies in memory.

use std::ops::Range;

use crate::Fault;

/// Channels of a pixel are padded to a multiple of this, so that every kernel may store whole vectors.
pub(crate) const BLOCK: usize = 16;
/// Input channels that one dot product takes.
pub(crate) const GROUP: usize = 4;
/// Bytes behind the last pixel that a kernel may read (never write): the widest load of any tier.
const SLACK: usize = 64;
/// No tensor of a network for cameras comes near this many bytes.
const MAX_BYTES: usize = 1 << 30;

/// Pixels around a tensor that a convolution reads as its padding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Halo {
    /// Rows above.
    pub top: usize,
    /// Columns to the left.
    pub left: usize,
    /// Rows below.
    pub bottom: usize,
    /// Columns to the right.
    pub right: usize,
}

impl Halo {
    /// The smallest halo that covers both.
    pub fn union(self, other: Self) -> Self {
        Self {
            top: self.top.max(other.top),
            left: self.left.max(other.left),
            bottom: self.bottom.max(other.bottom),
            right: self.right.max(other.right),
        }
    }

    /// Whether every side has 0 pixels.
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }
}

/// A tensor of bytes, `[height, width, channels]`, inside a halo, channels padded to whole blocks of 16
/// (or of 4: [`image`](Self::image)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    channels: usize,
    height: usize,
    width: usize,
    halo: Halo,
    pixel: usize,
}

impl Layout {
    /// A tensor of this shape.
    ///
    /// # Errors
    /// [`Fault::Shape`] if a side is zero or the tensor would be larger than 1 GiB.
    pub fn new(channels: usize, height: usize, width: usize, halo: Halo) -> Result<Self, Fault> {
        Self::with_pixel(channels, height, width, halo, channels.checked_next_multiple_of(BLOCK))
    }

    /// A tensor of this shape whose pixels are padded to multiples of 4 bytes alone: an image, which only
    /// [`Quantize`](crate::Quantize) and [`Compose`](crate::Compose) write and only [`Conv`](crate::Conv) reads.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn image(channels: usize, height: usize, width: usize, halo: Halo) -> Result<Self, Fault> {
        Self::with_pixel(channels, height, width, halo, channels.checked_next_multiple_of(GROUP))
    }

    fn with_pixel(
        channels: usize,
        height: usize,
        width: usize,
        halo: Halo,
        pixel: Option<usize>,
    ) -> Result<Self, Fault> {
        if channels == 0 || height == 0 || width == 0 {
            return Err(Fault::Shape("a tensor has no values"));
        }
        let side = |inner: usize, before: usize, after: usize| inner.checked_add(before)?.checked_add(after);
        let bytes = || {
            let rows = side(height, halo.top, halo.bottom)?;
            let columns = side(width, halo.left, halo.right)?;
            rows.checked_mul(columns)?.checked_mul(pixel?)
        };
        match bytes().zip(pixel) {
            Some((bytes, pixel)) if bytes <= MAX_BYTES => Ok(Self { channels, height, width, halo, pixel }),
            _ => Err(Fault::Shape("a tensor is larger than 1 GiB")),
        }
    }

    /// Channels.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Rows, without the halo.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Columns, without the halo.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The pixels around it.
    pub fn halo(&self) -> Halo {
        self.halo
    }

    /// Bytes from one pixel to the next.
    pub fn pixel(&self) -> usize {
        self.pixel
    }

    /// Bytes from one row to the next.
    pub fn row(&self) -> usize {
        (self.halo.left + self.width + self.halo.right) * self.pixel()
    }

    /// Bytes before the first pixel.
    pub fn origin(&self) -> usize {
        self.halo.top * self.row() + self.halo.left * self.pixel()
    }

    /// Bytes of pixels and halo.
    pub fn bytes(&self) -> usize {
        (self.halo.top + self.height + self.halo.bottom) * self.row()
    }

    /// Bytes that a slice holding this tensor must have: [`bytes`](Self::bytes), and room for the last vector load.
    pub fn len(&self) -> usize {
        self.bytes() + SLACK
    }

    /// Always false: a layout has at least one value.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Whether the two tensors have the same shape, whatever their halos.
    pub fn same_shape(&self, other: &Self) -> bool {
        (self.channels, self.height, self.width) == (other.channels, other.height, other.width)
    }

    /// Writes `value` into every pixel of the halo.
    ///
    /// # Errors
    /// [`Fault::Shape`] if `tensor` is shorter than [`len`](Self::len).
    pub fn fill_halo(&self, tensor: &mut [u8], value: u8) -> Result<(), Fault> {
        self.check(tensor.len())?;
        let tensor = &mut tensor[..self.bytes()];
        let (left, right) = (self.halo.left * self.pixel(), self.halo.right * self.pixel());
        for (index, row) in tensor.chunks_exact_mut(self.row()).enumerate() {
            if index < self.halo.top || index >= self.halo.top + self.height {
                row.fill(value);
            } else {
                let inner = row.len() - right;
                if let Some(edge) = row.get_mut(..left) {
                    edge.fill(value);
                }
                if let Some(edge) = row.get_mut(inner..) {
                    edge.fill(value);
                }
            }
        }
        Ok(())
    }

    /// Bytes of row `y` without the halo, padding of the channels included.
    pub(crate) fn inner(&self, y: usize) -> Range<usize> {
        let start = self.origin() + y * self.row();
        start..start + self.width * self.pixel
    }

    /// Whether kernels may store whole vectors of channels.
    pub(crate) fn is_blocked(&self) -> bool {
        self.pixel.is_multiple_of(BLOCK)
    }

    pub(crate) fn check(&self, slice: usize) -> Result<(), Fault> {
        if slice < self.len() { Err(Fault::Shape("a slice is shorter than its layout")) } else { Ok(()) }
    }
}
