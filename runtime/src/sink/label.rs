//! A line of text in a picture, from a bitmap font of 8 x 8 pixels.

use font8x8::legacy::BASIC_LEGACY;
use image::{Rgb, RgbImage};

const GLYPH: u32 = 8;
/// Columns of a picture for each step of magnification: text stays readable on large pictures.
const COLUMNS_A_STEP: u32 = 320;

/// Writes `text` on a dark bar into the upper left corner; what does not fit is cut off.
pub(super) fn draw_label(picture: &mut RgbImage, text: &str) {
    let scale = (picture.width() / COLUMNS_A_STEP).clamp(1, 8);
    let letters = u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
    let width = letters.saturating_add(1).saturating_mul(GLYPH * scale).min(picture.width());
    let height = (2 * GLYPH * scale).min(picture.height());
    for row in 0..height {
        for column in 0..width {
            if let Some(pixel) = picture.get_pixel_mut_checked(column, row) {
                pixel.0 = pixel.0.map(|byte| byte / 4);
            }
        }
    }
    let start = GLYPH * scale / 2;
    let places = (0..).map(|letter: u32| start + letter * GLYPH * scale);
    for (character, left) in text.chars().zip(places).take_while(|(_, left)| *left < width) {
        draw_glyph(picture, &glyph(character), (left, start), scale);
    }
}

fn glyph(character: char) -> [u8; 8] {
    let of = |character: char| BASIC_LEGACY.get(character as usize).copied();
    of(character).or_else(|| of('?')).unwrap_or_default()
}

/// Each byte is a row; its lowest bit is the leftmost pixel.
fn draw_glyph(picture: &mut RgbImage, glyph: &[u8; 8], (left, top): (u32, u32), scale: u32) {
    for row in 0..GLYPH * scale {
        let bits = glyph.get((row / scale) as usize).copied().unwrap_or_default();
        for column in (0..GLYPH * scale).filter(|column| (bits >> (column / scale)) & 1 == 1) {
            if let Some(pixel) = picture.get_pixel_mut_checked(left + column, top + row) {
                *pixel = Rgb([255; 3]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_drawn_and_what_does_not_fit_is_cut_off() {
        let mut picture = RgbImage::new(40, 20);
        draw_label(&mut picture, "I");
        let white = |picture: &RgbImage| picture.pixels().filter(|p| p.0 == [255; 3]).count();
        assert!(white(&picture) > 8);
        draw_label(&mut picture, &"\u{1F600} three 99 %".repeat(40));
        for size in [(1, 1), (3, 2), (0, 0)] {
            draw_label(&mut RgbImage::new(size.0, size.1), "three");
        }
    }
}
