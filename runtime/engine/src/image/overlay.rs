//! Drawing an attribution map over the image that it explains.

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

/// What happens to the part of an image that the map leaves out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OverlayBackground {
    /// It is darkened, so that the map stands out.
    #[default]
    Dim,
    /// It is left as it is.
    Keep,
}

/// A name that stands for none of the choices.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown {what} '{name}'; there are {choices}")]
pub struct UnknownName {
    what: &'static str,
    name: String,
    choices: &'static str,
}

impl FromStr for Colormap {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "viridis" => Ok(Self::Viridis),
            "turbo" => Ok(Self::Turbo),
            _ => Err(UnknownName { what: "colour map", name: name.into(), choices: "viridis and turbo" }),
        }
    }
}

impl FromStr for OverlayBackground {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "dim" => Ok(Self::Dim),
            "keep" => Ok(Self::Keep),
            _ => Err(UnknownName { what: "background", name: name.into(), choices: "dim and keep" }),
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

/// How a map is laid over an image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OverlayStyle {
    /// Colour scale.
    pub colormap: Colormap,
    /// How much the colour covers where the map is 1; it covers less in proportion to the map's value. 0 shows the
    /// image only.
    pub opacity: f32,
    /// Draws the border of the region with a map value of at least 0.5.
    pub contour: bool,
    /// What happens where the map is 0, and around the region that the model saw.
    pub background: OverlayBackground,
}

/// Under this colour an image stays recognisable.
const DEFAULT_OPACITY: f32 = 0.45;
/// How much light is taken from where the map is 0.
const DIMMING: f32 = 0.65;
/// Rows and columns of an image for each pixel of the contour's width.
const PIXELS_A_LINE: u32 = 1000;

impl Default for OverlayStyle {
    fn default() -> Self {
        Self {
            colormap: Colormap::Viridis,
            opacity: DEFAULT_OPACITY,
            contour: true,
            background: OverlayBackground::Dim,
        }
    }
}

/// Lays `mask` over the `region` of `image` that the model saw; around it, `style` says what happens.
///
/// Only the map is tinted, and only so far that the image stays recognisable below it.
pub fn draw_overlay(
    image: &RgbImage,
    mask: &Mask,
    region: (u32, u32, u32, u32),
    style: &OverlayStyle,
) -> RgbImage {
    let (x, y, width, height) = region;
    let gray = mask.to_gray8();
    let gray = resize(&gray, (0, 0, gray.width(), gray.height()), (width, height));
    let shades = shades(style);
    let line = (image.width().max(image.height()) / PIXELS_A_LINE).max(1);
    let mut drawn = image.clone();
    for (column, row, pixel) in drawn.enumerate_pixels_mut() {
        let inside = column.checked_sub(x).zip(row.checked_sub(y));
        let value = inside.and_then(|(c, r)| gray.get_pixel_checked(c, r).map(|p| (c, r, p.0)));
        match value {
            None if style.background == OverlayBackground::Dim => pixel.0 = pixel.0.map(|byte| byte / 3),
            None => {}
            Some((c, r, [level])) => match style.contour.then(|| edge(&gray, (c, r), line)).flatten() {
                Some(Edge::Inner) => pixel.0 = [255; 3],
                // White alone would be lost on white.
                Some(Edge::Outer) => pixel.0 = pixel.0.map(|byte| byte / 4),
                None => {
                    if let Some(shade) = shades.get(usize::from(level)) {
                        shade.apply(pixel);
                    }
                }
            },
        }
    }
    drawn
}

/// What becomes of a pixel's colours, in parts of 256.
#[derive(Clone, Copy)]
struct Shade {
    kept: u32,
    added: [u32; 3],
}

impl Shade {
    fn apply(self, pixel: &mut Rgb<u8>) {
        for (colour, added) in pixel.0.iter_mut().zip(self.added) {
            *colour = ((u32::from(*colour) * self.kept + added) >> 8).min(255) as u8;
        }
    }
}

/// By the map's value, from 0 to 255.
fn shades(style: &OverlayStyle) -> [Shade; 256] {
    let opacity = if style.opacity.is_finite() { style.opacity.clamp(0.0, 1.0) } else { DEFAULT_OPACITY };
    let dimming = match style.background {
        OverlayBackground::Dim => DIMMING * (opacity / DEFAULT_OPACITY).min(1.0),
        OverlayBackground::Keep => 0.0,
    };
    let colours = style.colormap.table();
    std::array::from_fn(|level| {
        let value = level as f32 / 255.0;
        let weight = opacity * value;
        let light = 1.0 - dimming * (1.0 - value);
        let kept = ((1.0 - weight) * light * 256.0).round() as u32;
        let tint = (weight * 256.0).round() as u32;
        let Rgb(colour) = colours.get(level).copied().unwrap_or(Rgb([0; 3]));
        Shade { kept, added: colour.map(|byte| u32::from(byte) * tint) }
    })
}

/// The two sides of the contour.
enum Edge {
    Inner,
    Outer,
}

/// Whether the map's 0.5 level passes within `line` pixels of this one. The border of the map is not a contour.
fn edge(gray: &GrayImage, (column, row): (u32, u32), line: u32) -> Option<Edge> {
    let is_above = |c: Option<u32>, r: Option<u32>| {
        c.zip(r).and_then(|(c, r)| gray.get_pixel_checked(c, r)).map(|pixel| pixel.0[0] >= 128)
    };
    let here = is_above(Some(column), Some(row))?;
    let neighbours = [
        is_above(column.checked_sub(line), Some(row)),
        is_above(column.checked_add(line), Some(row)),
        is_above(Some(column), row.checked_sub(line)),
        is_above(Some(column), row.checked_add(line)),
    ];
    let differs = neighbours.into_iter().flatten().any(|there| there != here);
    differs.then_some(if here { Edge::Inner } else { Edge::Outer })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block_in_the_middle() -> Mask {
        let mut values = vec![0.0; 64];
        for row in 2..6 {
            values[8 * row + 2..8 * row + 6].fill(1.0);
        }
        Mask::new(8, 8, values).unwrap()
    }

    #[test]
    fn opacity_zero_leaves_the_seen_region_as_it_is_and_darkens_the_rest() {
        let image = RgbImage::from_pixel(6, 4, Rgb([90, 120, 150]));
        let mask = Mask::new(2, 2, vec![0.2; 4]).unwrap();
        let style = OverlayStyle { opacity: 0.0, ..OverlayStyle::default() };
        let drawn = draw_overlay(&image, &mask, (1, 0, 4, 4), &style);
        assert_eq!(drawn.get_pixel(0, 0).0, [30, 40, 50]);
        assert_eq!(drawn.get_pixel(2, 2).0, [90, 120, 150]);
    }

    #[test]
    fn a_kept_background_is_untouched_where_the_map_is_zero() {
        let image = RgbImage::from_pixel(10, 8, Rgb([90, 120, 150]));
        let style =
            OverlayStyle { background: OverlayBackground::Keep, contour: false, ..OverlayStyle::default() };
        let drawn = draw_overlay(&image, &block_in_the_middle(), (1, 0, 8, 8), &style);
        assert_eq!(drawn.get_pixel(0, 0), image.get_pixel(0, 0));
        assert_eq!(drawn.get_pixel(1, 0), image.get_pixel(1, 0));
        assert_ne!(drawn.get_pixel(5, 4), image.get_pixel(5, 4));
    }

    #[test]
    fn a_dimmed_background_is_darker_than_the_map() {
        let image = RgbImage::from_pixel(8, 8, Rgb([100; 3]));
        let style = OverlayStyle { contour: false, ..OverlayStyle::default() };
        let drawn = draw_overlay(&image, &block_in_the_middle(), (0, 0, 8, 8), &style);
        assert_eq!(drawn.get_pixel(0, 0).0, [35; 3]);
        assert!(drawn.get_pixel(4, 4).0[1] > 100);
    }

    #[test]
    fn the_image_stays_recognisable_below_the_strongest_tint() {
        let image = RgbImage::from_fn(8, 8, |x, y| Rgb([if (x + y) % 2 == 0 { 40 } else { 200 }; 3]));
        let style = OverlayStyle { contour: false, ..OverlayStyle::default() };
        let mask = Mask::new(8, 8, vec![1.0; 64]).unwrap();
        let drawn = draw_overlay(&image, &mask, (0, 0, 8, 8), &style);
        let (dark, light) = (drawn.get_pixel(0, 0).0, drawn.get_pixel(1, 0).0);
        for (dark, light) in dark.into_iter().zip(light) {
            assert!(light - dark >= 80, "{dark} and {light}");
        }
    }

    #[test]
    fn the_contour_is_white_inside_and_dark_outside_of_the_half_level() {
        let image = RgbImage::from_pixel(8, 8, Rgb([200; 3]));
        let drawn = draw_overlay(&image, &block_in_the_middle(), (0, 0, 8, 8), &OverlayStyle::default());
        assert_eq!(drawn.get_pixel(2, 3).0, [255; 3]);
        assert_eq!(drawn.get_pixel(1, 3).0, [50; 3]);
        assert_ne!(drawn.get_pixel(3, 3).0, [255; 3]);
        assert_ne!(drawn.get_pixel(0, 0).0, [50; 3]);
        let full = Mask::new(8, 8, vec![1.0; 64]).unwrap();
        let drawn = draw_overlay(&image, &full, (0, 0, 8, 8), &OverlayStyle::default());
        assert!(drawn.pixels().all(|pixel| pixel.0 != [255; 3]));
    }

    #[test]
    fn choices_have_names_and_others_are_refused_with_them() {
        assert_eq!("turbo".parse(), Ok(Colormap::Turbo));
        assert_eq!("keep".parse(), Ok(OverlayBackground::Keep));
        assert_eq!("dim".parse(), Ok(OverlayBackground::default()));
        let fault = "jet".parse::<Colormap>().unwrap_err().to_string();
        assert_eq!(fault, "unknown colour map 'jet'; there are viridis and turbo");
    }
}
