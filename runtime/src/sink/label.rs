//! A line of text in an image.

use image::{Rgb, RgbImage};

use comet_engine::image::{draw_text, text_width};

const WHITE: Rgb<u8> = Rgb([255; 3]);
/// Height of the line as a part of the image's shorter side.
const PART: f32 = 1.0 / 14.0;
/// Smallest and largest height of the line in pixels.
const HEIGHT: (f32, f32) = (14.0, 112.0);
/// What is left of the image below the box, of 256: bright letters can be read on it, whatever the image shows.
const BELOW: u32 = 64;

/// Writes `text` on a dark, translucent box in the upper left corner; what does not fit is cut off.
pub(super) fn draw_label(image: &mut RgbImage, text: &str) {
    let height = (image.width().min(image.height()) as f32 * PART).clamp(HEIGHT.0, HEIGHT.1);
    draw_label_of(image, text, height);
}

/// The same with a line of `height` pixels.
pub(super) fn draw_label_of(image: &mut RgbImage, text: &str, height: f32) {
    let margin = (height * 0.35).ceil();
    let columns = (text_width(text, height) as f32 + 2.0 * margin).ceil() as u32;
    let rows = (height + margin).ceil() as u32;
    darken(image, columns, rows);
    draw_text(image, margin as i32, (margin * 0.5) as i32, text, height, WHITE);
}

fn darken(image: &mut RgbImage, columns: u32, rows: u32) {
    for row in 0..rows.min(image.height()) {
        for column in 0..columns.min(image.width()) {
            if let Some(pixel) = image.get_pixel_mut_checked(column, row) {
                pixel.0 = pixel.0.map(|byte| ((u32::from(byte) * BELOW) >> 8) as u8);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_can_be_read_on_bright_and_dark_images() {
        for shade in [0, 128, 255] {
            let mut image = RgbImage::from_pixel(160, 120, Rgb([shade; 3]));
            draw_label(&mut image, "three 99 %");
            let corner: Vec<u8> = (0..60)
                .flat_map(|x| (0..14).map(move |y| (x, y)))
                .map(|(x, y)| image.get_pixel(x, y).0[0])
                .collect();
            let (bright, dark) =
                (corner.iter().filter(|v| **v > 200).count(), corner.iter().filter(|v| **v < 80).count());
            assert!(bright > 10 && dark > 100, "{shade}: {bright} bright and {dark} dark pixels");
            assert_eq!(image.get_pixel(159, 119).0, [shade; 3], "the rest stays as it is");
        }
    }

    #[test]
    fn what_does_not_fit_is_cut_off() {
        draw_label(&mut RgbImage::new(40, 20), &"\u{1F600} three 99 %".repeat(40));
        for size in [(1, 1), (3, 2), (0, 0)] {
            draw_label(&mut RgbImage::new(size.0, size.1), "three");
        }
    }
}
