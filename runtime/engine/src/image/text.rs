//! Text in images, with smooth edges.

use std::sync::LazyLock;

use ab_glyph::{Font, FontRef, GlyphId, PxScaleFont, ScaleFont, point};
use image::{Rgb, RgbImage};

/// DejaVu Sans with the letters of the European languages; see `runtime/engine/assets/README.md`.
static FONT: LazyLock<Option<FontRef<'static>>> =
    LazyLock::new(|| FontRef::try_from_slice(include_bytes!("../../assets/DejaVuSans-subset.ttf")).ok());

/// The heights of a line that are drawn.
const SMALLEST: f32 = 4.0;
const LARGEST: f32 = 512.0;
/// Text farther away than this is in no image; the font's arithmetic is exact up to here.
const FARTHEST: u32 = 1 << 20;

/// Writes one line of text; `x` and `y` are its upper left corner, `px` is the height of a line in pixels.
///
/// Line breaks and other control characters become spaces. A letter that the font lacks is drawn as a box, and
/// whatever lies outside of the image is left out.
pub fn draw_text(image: &mut RgbImage, x: i32, y: i32, text: &str, px: f32, colour: Rgb<u8>) {
    let Some(font) = font(px).filter(|_| x.unsigned_abs().max(y.unsigned_abs()) < FARTHEST) else { return };
    let baseline = y as f32 + font.ascent();
    let right = image.width() as f32;
    for (glyph, left) in glyphs(&font, text) {
        let left = x as f32 + left;
        if left > right {
            return;
        }
        let glyph = glyph.with_scale_and_position(font.scale(), point(left, baseline));
        let Some(outline) = font.outline_glyph(glyph) else { continue };
        let corner = outline.px_bounds().min;
        outline.draw(|column, row, coverage| {
            let (column, row) = (corner.x as i64 + i64::from(column), corner.y as i64 + i64::from(row));
            if let (Ok(column), Ok(row)) = (u32::try_from(column), u32::try_from(row))
                && let Some(pixel) = image.get_pixel_mut_checked(column, row)
            {
                blend(pixel, colour, coverage);
            }
        });
    }
}

/// How many columns [`draw_text`] needs for a text.
pub fn text_width(text: &str, px: f32) -> u32 {
    let Some(font) = font(px) else { return 0 };
    let last = glyphs(&font, text).last();
    last.map_or(0, |(glyph, left)| (left + font.h_advance(glyph)).ceil() as u32)
}

fn font(px: f32) -> Option<PxScaleFont<&'static FontRef<'static>>> {
    let font = FONT.as_ref()?;
    px.is_finite().then(|| font.as_scaled(px.clamp(SMALLEST, LARGEST)))
}

/// Each letter's shape, and how far it stands from the start of the line.
fn glyphs(font: &PxScaleFont<&'static FontRef<'static>>, text: &str) -> impl Iterator<Item = (GlyphId, f32)> {
    let mut left = 0.0;
    text.chars().map(move |letter| {
        let glyph = font.glyph_id(if letter.is_control() { ' ' } else { letter });
        let place = left;
        left += font.h_advance(glyph);
        (glyph, place)
    })
}

fn blend(pixel: &mut Rgb<u8>, colour: Rgb<u8>, coverage: f32) {
    let weight = (coverage.clamp(0.0, 1.0) * 256.0) as u32;
    for (below, above) in pixel.0.iter_mut().zip(colour.0) {
        *below = ((u32::from(*below) * (256 - weight) + u32::from(above) * weight) >> 8) as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHITE: Rgb<u8> = Rgb([255; 3]);

    fn drawn(text: &str, px: f32) -> RgbImage {
        let mut image = RgbImage::new(200, 40);
        draw_text(&mut image, 4, 4, text, px, WHITE);
        image
    }

    fn inked(image: &RgbImage) -> usize {
        image.pixels().filter(|pixel| pixel.0 != [0; 3]).count()
    }

    #[test]
    fn text_has_solid_and_smooth_pixels_and_stays_within_its_width() {
        let image = drawn("three 99 %", 20.0);
        assert!(image.pixels().any(|pixel| pixel.0[0] > 250));
        assert!(image.pixels().any(|pixel| (60..200).contains(&pixel.0[0])));
        let width = 4 + text_width("three 99 %", 20.0) + 1;
        assert!(image.enumerate_pixels().all(|(x, _, pixel)| x <= width || pixel.0 == [0; 3]));
        assert!(image.enumerate_pixels().all(|(_, y, pixel)| (4..25).contains(&y) || pixel.0 == [0; 3]));
    }

    #[test]
    fn accents_are_letters_of_their_own() {
        assert_ne!(drawn("é", 20.0), drawn("e", 20.0));
        assert_ne!(drawn("ő", 20.0), drawn("o", 20.0));
        assert_ne!(drawn("€", 20.0), drawn("\u{1F600}", 20.0));
        assert!(inked(&drawn("\u{1F600}", 20.0)) > 0);
    }

    #[test]
    fn control_characters_are_drawn_as_spaces() {
        assert_eq!(drawn("a\nb\u{7}c", 16.0), drawn("a b c", 16.0));
        assert_eq!(text_width("a\r\nb", 16.0), text_width("a  b", 16.0));
    }

    #[test]
    fn no_place_size_or_text_is_too_odd() {
        for (x, y) in [(-30, -10), (i32::MIN, i32::MAX), (i32::MAX, i32::MIN), (199, 39)] {
            for px in [0.0, -1.0, f32::NAN, f32::INFINITY, 1e9] {
                draw_text(&mut RgbImage::new(20, 10), x, y, "\u{1F600} three", px, WHITE);
            }
        }
        draw_text(&mut RgbImage::new(0, 0), 0, 0, &"three ".repeat(1000), 20.0, WHITE);
        assert_eq!((text_width("", 20.0), text_width("a", f32::NAN)), (0, 0));
    }
}
