//! Uncompressed images in the layouts of cameras and videos, and their way to RGB.

use std::fmt;
use std::iter::repeat_n;

use image::RgbImage;

use comet_engine::image::MAX_PIXELS;

/// How the bytes of an uncompressed image are arranged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// One byte of brightness a pixel.
    Gray,
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red.
    Bgr,
    /// Y U Y V: two pixels share their colour.
    Yuyv,
    /// A plane of Y, then one of U V pairs, one pair for 2 x 2 pixels.
    Nv12,
    /// Planes of Y, U and V; colour for 2 x 2 pixels.
    Yuv420,
    /// Planes of Y, U and V; colour for two pixels side by side.
    Yuv422,
    /// Planes of Y, U and V of the same size.
    Yuv444,
}

impl Layout {
    /// Size of an image in bytes; `None` if it is beyond counting.
    pub fn bytes(self, width: u32, height: u32) -> Option<usize> {
        let (width, height) = (usize::try_from(width).ok()?, usize::try_from(height).ok()?);
        let luma = width.checked_mul(height)?;
        let pairs = width.div_ceil(2);
        match self {
            Self::Gray => Some(luma),
            Self::Rgb | Self::Bgr | Self::Yuv444 => luma.checked_mul(3),
            Self::Yuyv => pairs.checked_mul(4)?.checked_mul(height),
            Self::Nv12 | Self::Yuv420 => {
                luma.checked_add(pairs.checked_mul(height.div_ceil(2))?.checked_mul(2)?)
            }
            Self::Yuv422 => luma.checked_add(pairs.checked_mul(height)?.checked_mul(2)?),
        }
    }
}

/// Which byte values stand for black and white. Colours are those of ITU-R BT.601: cameras send these, and the header
/// of Y4M cannot name others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ValueRange {
    /// 16 to 235, as in video.
    #[default]
    Limited,
    /// 0 to 255, as in JPEG.
    Full,
}

impl ValueRange {
    /// BT.601 in 8-bit fixed point.
    fn rgb(self, y: u8, u: u8, v: u8) -> [u8; 3] {
        let (u, v) = (i32::from(u) - 128, i32::from(v) - 128);
        let sums = match self {
            Self::Limited => {
                let y = 298 * (i32::from(y) - 16);
                [y + 409 * v, y - 100 * u - 208 * v, y + 516 * u]
            }
            Self::Full => {
                let y = 256 * i32::from(y);
                [y + 359 * v, y - 88 * u - 183 * v, y + 454 * u]
            }
        };
        sums.map(|sum| ((sum + 128) >> 8).clamp(0, 255) as u8)
    }
}

/// An uncompressed image that has as many bytes as its size asks for.
#[derive(Clone, PartialEq)]
pub struct RawImage {
    layout: Layout,
    range: ValueRange,
    width: u32,
    height: u32,
    bytes: Vec<u8>,
}

impl fmt::Debug for RawImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {} x {}", self.layout, self.width, self.height)
    }
}

impl RawImage {
    /// Wraps `bytes`; what stands behind the image is cut off.
    ///
    /// `None` if there are too few bytes, no pixels, or more than [`MAX_PIXELS`].
    pub fn new(
        layout: Layout,
        range: ValueRange,
        (width, height): (u32, u32),
        mut bytes: Vec<u8>,
    ) -> Option<Self> {
        let pixels = u64::from(width) * u64::from(height);
        let needed = layout.bytes(width, height)?;
        if pixels == 0 || pixels > MAX_PIXELS || bytes.len() < needed {
            return None;
        }
        bytes.truncate(needed);
        Some(Self { layout, range, width, height, bytes })
    }

    /// The image as RGB; colour that several pixels share is repeated.
    pub fn to_rgb(&self) -> RgbImage {
        let mut rgb = Vec::with_capacity(3 * self.width as usize * self.height as usize);
        match self.layout {
            Layout::Rgb => rgb.extend_from_slice(&self.bytes),
            Layout::Bgr => {
                let pixels = self.bytes.chunks_exact(3);
                rgb.extend(pixels.flat_map(|pixel| pixel.iter().rev().copied()));
            }
            Layout::Gray => {
                rgb.extend(self.bytes.iter().flat_map(|&y| self.range.rgb(y, 128, 128)));
            }
            Layout::Yuyv => self.packed(&mut rgb),
            Layout::Nv12 => self.two_planes(&mut rgb),
            Layout::Yuv420 => self.three_planes(&mut rgb, 2, 2),
            Layout::Yuv422 => self.three_planes(&mut rgb, 2, 1),
            Layout::Yuv444 => self.three_planes(&mut rgb, 1, 1),
        }
        RgbImage::from_raw(self.width, self.height, rgb).unwrap_or_default()
    }

    fn packed(&self, rgb: &mut Vec<u8>) {
        let width = self.width as usize;
        for row in self.bytes.chunks_exact(4 * width.div_ceil(2)) {
            let luma = row.iter().step_by(2).take(width).copied();
            let chroma = row.iter().skip(1).step_by(2).copied();
            let pairs = chroma.clone().step_by(2).zip(chroma.skip(1).step_by(2));
            self.push_row(rgb, luma, spread(pairs, 2));
        }
    }

    fn two_planes(&self, rgb: &mut Vec<u8>) {
        let (width, height) = (self.width as usize, self.height as usize);
        let (luma, chroma) = self.bytes.split_at_checked(width * height).unwrap_or_default();
        let colours = chroma.chunks_exact(2 * width.div_ceil(2)).flat_map(|row| repeat_n(row, 2));
        for (luma, row) in luma.chunks_exact(width).zip(colours) {
            let pairs = row.iter().step_by(2).zip(row.iter().skip(1).step_by(2));
            self.push_row(rgb, luma.iter().copied(), spread(pairs.map(|(&u, &v)| (u, v)), 2));
        }
    }

    /// `across` and `down`: how many columns and rows share their colour.
    fn three_planes(&self, rgb: &mut Vec<u8>, across: usize, down: usize) {
        let (width, height) = (self.width as usize, self.height as usize);
        let (luma, chroma) = self.bytes.split_at_checked(width * height).unwrap_or_default();
        let (u, v) = chroma.split_at_checked(chroma.len() / 2).unwrap_or_default();
        let columns = width.div_ceil(across);
        let colours = u.chunks_exact(columns).zip(v.chunks_exact(columns));
        let colours = colours.flat_map(|rows| repeat_n(rows, down));
        for (luma, (u, v)) in luma.chunks_exact(width).zip(colours) {
            let pairs = u.iter().copied().zip(v.iter().copied());
            self.push_row(rgb, luma.iter().copied(), spread(pairs, across));
        }
    }

    fn push_row(
        &self,
        rgb: &mut Vec<u8>,
        luma: impl Iterator<Item = u8>,
        chroma: impl Iterator<Item = (u8, u8)>,
    ) {
        rgb.extend(luma.zip(chroma).flat_map(|(y, (u, v))| self.range.rgb(y, u, v)));
    }
}

fn spread(pairs: impl Iterator<Item = (u8, u8)>, across: usize) -> impl Iterator<Item = (u8, u8)> {
    pairs.flat_map(move |pair| repeat_n(pair, across))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rgb(layout: Layout, range: ValueRange, size: (u32, u32), bytes: &[u8]) -> Vec<u8> {
        RawImage::new(layout, range, size, bytes.to_vec()).unwrap().to_rgb().into_raw()
    }

    #[test]
    fn black_white_and_red_of_bt601() {
        let limited = ValueRange::Limited;
        assert_eq!(limited.rgb(16, 128, 128), [0, 0, 0]);
        assert_eq!(limited.rgb(235, 128, 128), [255, 255, 255]);
        let red = limited.rgb(81, 90, 240);
        assert!(red[0] >= 253 && red[1] <= 2 && red[2] <= 2, "{red:?}");
        assert_eq!(ValueRange::Full.rgb(200, 128, 128), [200, 200, 200]);
    }

    #[test]
    fn every_layout_gives_each_pixel_its_own_brightness_and_odd_sizes_work() {
        let grey = [10, 20, 30, 40, 50, 60, 70, 80, 90];
        let wanted: Vec<u8> = grey.iter().flat_map(|&y| [y; 3]).collect();
        let full = ValueRange::Full;
        let with_chroma = |count: usize| [&grey[..], &vec![128; count]].concat();
        assert_eq!(rgb(Layout::Gray, full, (3, 3), &grey), wanted);
        assert_eq!(rgb(Layout::Nv12, full, (3, 3), &with_chroma(8)), wanted);
        assert_eq!(rgb(Layout::Yuv420, full, (3, 3), &with_chroma(8)), wanted);
        assert_eq!(rgb(Layout::Yuv422, full, (3, 3), &with_chroma(12)), wanted);
        assert_eq!(rgb(Layout::Yuv444, full, (3, 3), &with_chroma(18)), wanted);
        let yuyv = [10, 128, 20, 128, 30, 128, 0, 128];
        assert_eq!(rgb(Layout::Yuyv, full, (3, 1), &yuyv), wanted[..9]);
        assert_eq!(rgb(Layout::Bgr, full, (1, 1), &[1, 2, 3, 99]), [3, 2, 1]);
    }

    #[test]
    fn too_few_bytes_and_absurd_sizes_are_refused() {
        let new = |size, count| RawImage::new(Layout::Rgb, ValueRange::Full, size, vec![0; count]);
        assert!(new((2, 2), 11).is_none());
        assert!(new((0, 2), 0).is_none());
        assert!(new((u32::MAX, u32::MAX), 16).is_none());
    }
}
