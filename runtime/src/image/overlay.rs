//! Drawing a map over the picture that it explains.

use std::str::FromStr;

use image::{GrayImage, Rgb, RgbImage};

use super::{Mask, resize};

/// Colour scales for maps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Colormap {
    /// Perceptually even and safe for colour-blind readers.
    #[default]
    Viridis,
    /// More colours, for screens.
    Turbo,
}

impl FromStr for Colormap {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "viridis" => Ok(Self::Viridis),
            "turbo" => Ok(Self::Turbo),
            _ => Err(format!("unknown colour map '{name}'; there are viridis and turbo")),
        }
    }
}

impl Colormap {
    /// The 256 colours from 0 to 1.
    pub fn table(self) -> [Rgb<u8>; 256] {
        let gradient = match self {
            Self::Viridis => colorous::VIRIDIS,
            Self::Turbo => colorous::TURBO,
        };
        std::array::from_fn(|index| {
            let colour = gradient.eval_rational(index, 256);
            Rgb([colour.r, colour.g, colour.b])
        })
    }
}

/// How a map is laid over a picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OverlayStyle {
    /// Colour scale.
    pub colormap: Colormap,
    /// 0 shows the picture only, 1 the map only.
    pub opacity: f32,
    /// Draws the border of the region with a map value of at least 0.5.
    pub contour: bool,
}

impl Default for OverlayStyle {
    fn default() -> Self {
        Self { colormap: Colormap::Viridis, opacity: 0.5, contour: true }
    }
}

/// Lays `mask` over the `region` of `picture` that the model saw; the rest is darkened, since it was not seen.
pub fn draw_overlay(
    picture: &RgbImage,
    mask: &Mask,
    region: (u32, u32, u32, u32),
    style: &OverlayStyle,
) -> RgbImage {
    let (x, y, width, height) = region;
    let gray = mask.to_gray8();
    let gray = resize(&gray, (0, 0, gray.width(), gray.height()), (width, height));
    let table = style.colormap.table();
    let weight = (style.opacity.clamp(0.0, 1.0) * 256.0) as u32;
    let blend =
        |below: u8, above: u8| ((u32::from(below) * (256 - weight) + u32::from(above) * weight) >> 8) as u8;
    let mut drawn = picture.clone();
    for (column, row, pixel) in drawn.enumerate_pixels_mut() {
        let inside = column.checked_sub(x).zip(row.checked_sub(y));
        let value = inside.and_then(|(c, r)| gray.get_pixel_checked(c, r).map(|p| (c, r, p.0)));
        match value {
            None => pixel.0 = pixel.0.map(|byte| byte / 3),
            Some((c, r, _)) if style.contour && on_contour(&gray, c, r) => pixel.0 = [255; 3],
            Some((_, _, [level])) => {
                if let Some(Rgb(colour)) = table.get(usize::from(level)) {
                    for (below, &above) in pixel.0.iter_mut().zip(colour) {
                        *below = blend(*below, above);
                    }
                }
            }
        }
    }
    drawn
}

/// Whether the pixel is inside the map's 0.5 level while a neighbour is outside.
fn on_contour(gray: &GrayImage, column: u32, row: u32) -> bool {
    let inside = |c: Option<u32>, r: Option<u32>| match c.zip(r) {
        Some((c, r)) => gray.get_pixel_checked(c, r).is_none_or(|pixel| pixel.0[0] >= 128),
        None => true,
    };
    inside(Some(column), Some(row))
        && !(inside(column.checked_sub(1), Some(row))
            && inside(column.checked_add(1), Some(row))
            && inside(Some(column), row.checked_sub(1))
            && inside(Some(column), row.checked_add(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opacity_zero_leaves_the_seen_region_as_it_is_and_darkens_the_rest() {
        let picture = RgbImage::from_pixel(6, 4, Rgb([90, 120, 150]));
        let mask = Mask::new(2, 2, vec![0.2; 4]).unwrap();
        let style = OverlayStyle { opacity: 0.0, ..OverlayStyle::default() };
        let drawn = draw_overlay(&picture, &mask, (1, 0, 4, 4), &style);
        assert_eq!(drawn.get_pixel(0, 0).0, [30, 40, 50]);
        assert_eq!(drawn.get_pixel(2, 2).0, [90, 120, 150]);
    }

    #[test]
    fn the_contour_follows_the_half_level() {
        let picture = RgbImage::from_pixel(4, 4, Rgb([0, 0, 0]));
        let mut values = vec![0.0; 16];
        for index in [5, 6, 9, 10] {
            values[index] = 1.0;
        }
        let mask = Mask::new(4, 4, values).unwrap();
        let drawn = draw_overlay(&picture, &mask, (0, 0, 4, 4), &OverlayStyle::default());
        assert_eq!(drawn.get_pixel(1, 1).0, [255; 3]);
        assert_ne!(drawn.get_pixel(0, 0).0, [255; 3]);
    }
}
