//! Contact sheets: many images with their maps at a glance.

use std::io::Cursor;

use comet_engine::image::{Colormap, Mask};
use image::imageops::{self, FilterType};
use image::{GrayImage, ImageBuffer, ImageFormat, Pixel, Rgb, RgbImage};

use crate::data::Sample;
use crate::metrics::Evaluation;

/// Room around entries, between the panels of an entry, and width of the frame, in pixels.
const MARGIN: u32 = 8;
const GAP: u32 = 3;
const FRAME: u32 = 3;
/// Panels of an entry.
const PANELS: u32 = 3;
/// Sides of a panel that make sense.
const CELL: (u32, u32) = (16, 512);
/// A sheet is for looking at; what is beyond is left out.
const MAX_ENTRIES: usize = 1000;
const MAX_COLUMNS: usize = 32;
/// Green and red that colour-blind readers can distinguish.
const RIGHT: Rgb<u8> = Rgb([0, 158, 115]);
const WRONG: Rgb<u8> = Rgb([213, 60, 20]);
const BACKGROUND: Rgb<u8> = Rgb([28, 30, 33]);
const TRUTH: Rgb<u8> = Rgb([255, 0, 255]);
const CONTOUR: Rgb<u8> = Rgb([255, 255, 255]);
/// Stands for "not shown".
const GRAY: u8 = 128;

/// What one entry of a sheet shows.
#[derive(Clone, Copy, Debug)]
pub struct SheetEntry<'a> {
    /// The image.
    pub image: &'a RgbImage,
    /// Its attribution map.
    pub mask: &'a Mask,
    /// Where the class is decided (255), if that is known.
    pub truth: Option<&'a GrayImage>,
    /// Whether the class is right: a green frame, else a red one.
    pub right: bool,
}

/// Draws entries row by row. Each shows, side by side and `cell_pixels` wide and high: the image with the
/// map's 0.5 contour in white and the true outline in magenta; the map in viridis; and the image as the
/// predictor saw it, `S(x) * x` with mid grey for what is hidden. Small images are enlarged.
pub fn contact_sheet(entries: &[SheetEntry<'_>], columns: usize, cell_pixels: u32) -> RgbImage {
    let entries = entries.get(..MAX_ENTRIES).unwrap_or(entries);
    let cell = cell_pixels.clamp(CELL.0, CELL.1);
    let columns = columns.clamp(1, entries.len().clamp(1, MAX_COLUMNS));
    let rows = entries.len().div_ceil(columns);
    let width = PANELS * cell + (PANELS - 1) * GAP + 2 * FRAME;
    let height = cell + 2 * FRAME;
    let mut sheet = RgbImage::from_pixel(
        MARGIN + columns as u32 * (width + MARGIN),
        MARGIN + rows as u32 * (height + MARGIN),
        BACKGROUND,
    );
    for (index, entry) in entries.iter().enumerate() {
        let x = MARGIN + (index % columns) as u32 * (width + MARGIN);
        let y = MARGIN + (index / columns) as u32 * (height + MARGIN);
        let frame = RgbImage::from_pixel(width, height, if entry.right { RIGHT } else { WRONG });
        imageops::replace(&mut sheet, &frame, x.into(), y.into());
        let inside = RgbImage::from_pixel(width - 2 * FRAME, cell, BACKGROUND);
        imageops::replace(&mut sheet, &inside, (x + FRAME).into(), (y + FRAME).into());
        for (panel, left) in panels(entry, cell).iter().zip((x + FRAME..).step_by((cell + GAP) as usize)) {
            let left = left + (cell - panel.width().min(cell)) / 2;
            let top = y + FRAME + (cell - panel.height().min(cell)) / 2;
            imageops::replace(&mut sheet, panel, left.into(), top.into());
        }
    }
    sheet
}

/// The sheet of an evaluation's examples. `samples` are the ones that were evaluated.
pub fn evaluation_sheet(
    evaluation: &Evaluation,
    samples: &[Sample],
    columns: usize,
    cell_pixels: u32,
) -> RgbImage {
    let entries = evaluation.examples.iter().filter_map(|example| {
        let sample = samples.get(example.image)?;
        Some(SheetEntry {
            image: &sample.image,
            mask: &example.mask,
            truth: sample.mask.as_ref(),
            right: example.predicted == Some(example.label),
        })
    });
    contact_sheet(&entries.collect::<Vec<_>>(), columns, cell_pixels)
}

/// An image as the bytes of a PNG file.
pub fn png_bytes(image: &RgbImage) -> Result<Vec<u8>, image::ImageError> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, ImageFormat::Png)?;
    Ok(bytes.into_inner())
}

/// Image with outlines, map, and masked-in image, none larger than `cell` pixels.
fn panels(entry: &SheetEntry<'_>, cell: u32) -> Vec<RgbImage> {
    let Some(size) = fitted(entry.image.dimensions(), cell) else {
        return Vec::new();
    };
    let image = scaled(entry.image, size);
    let map = scaled(&entry.mask.to_gray8(), size);
    let table = Colormap::Viridis.table();
    let mut coloured = RgbImage::new(size.0, size.1);
    let mut shown = image.clone();
    for ((colour, seen), level) in coloured.pixels_mut().zip(shown.pixels_mut()).zip(map.pixels()) {
        let [level] = level.0;
        if let Some(&entry) = table.get(usize::from(level)) {
            *colour = entry;
        }
        seen.0 = seen.0.map(|byte| blend(byte, GRAY, level));
    }
    let mut outlined = image;
    // The truth is drawn just outside its region and the contour just inside, so that a perfect map does not
    // hide the truth.
    if let Some(truth) = entry.truth {
        let truth = scaled(truth, size);
        draw_border(&mut outlined, |x, y| is_high(&truth, x, y), false, TRUTH);
    }
    draw_border(&mut outlined, |x, y| is_high(&map, x, y), true, CONTOUR);
    vec![outlined, coloured, shown]
}

/// The largest size of the image's shape that fits into a square; `None` for an image without pixels.
fn fitted((width, height): (u32, u32), cell: u32) -> Option<(u32, u32)> {
    let longest = width.max(height);
    if width == 0 || height == 0 {
        return None;
    }
    let side = |length: u32| {
        let scaled = u64::from(length) * u64::from(cell) / u64::from(longest);
        (scaled as u32).clamp(1, cell)
    };
    Some((side(width), side(height)))
}

/// Pixels stay visible as squares when an image is enlarged; when it shrinks they are averaged.
fn scaled<P>(image: &ImageBuffer<P, Vec<u8>>, size: (u32, u32)) -> ImageBuffer<P, Vec<u8>>
where
    P: Pixel<Subpixel = u8> + 'static,
{
    if size.0 >= image.width() && size.1 >= image.height() {
        return imageops::resize(image, size.0, size.1, FilterType::Nearest);
    }
    comet_engine::image::resize(image, (0, 0, image.width(), image.height()), size)
}

/// `weight` / 255 of `above`, the rest of `below`.
fn blend(above: u8, below: u8, weight: u8) -> u8 {
    let weight = u32::from(weight);
    ((u32::from(above) * weight + u32::from(below) * (255 - weight) + 127) / 255) as u8
}

fn is_high(map: &GrayImage, x: u32, y: u32) -> bool {
    map.get_pixel_checked(x, y).is_some_and(|pixel| pixel.0[0] >= 128)
}

/// Colours the pixels on one side of a region's border: its own outermost ones, or their neighbours outside.
fn draw_border(image: &mut RgbImage, region: impl Fn(u32, u32) -> bool, inside: bool, colour: Rgb<u8>) {
    let (width, height) = image.dimensions();
    for (x, y, pixel) in image.enumerate_pixels_mut() {
        let neighbours = [
            (x.checked_sub(1), Some(y)),
            (Some(x + 1).filter(|&x| x < width), Some(y)),
            (Some(x), y.checked_sub(1)),
            (Some(x), Some(y + 1).filter(|&y| y < height)),
        ];
        // Nothing is known beyond the image's edge: no border is drawn along it.
        let mut neighbours = neighbours.into_iter().filter_map(|(x, y)| x.zip(y));
        if region(x, y) == inside && neighbours.any(|(x, y)| region(x, y) != inside) {
            *pixel = colour;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Example;
    use image::Luma;

    fn mask(side: u32) -> Mask {
        let values = (0..side * side).map(|index| f32::from(u8::from(index % side >= side / 2)));
        Mask::new(side as usize, side as usize, values.collect()).unwrap()
    }

    #[test]
    fn the_sheet_holds_rows_and_columns_of_three_panels() {
        let image = RgbImage::from_pixel(8, 8, Rgb([200, 0, 0]));
        let mask = mask(8);
        let entry = SheetEntry { image: &image, mask: &mask, truth: None, right: true };
        let (width, height) = (3 * 96 + 2 * GAP + 2 * FRAME, 96 + 2 * FRAME);
        let sheet = contact_sheet(&[entry; 5], 2, 96);
        let expected = (MARGIN + 2 * (width + MARGIN), MARGIN + 3 * (height + MARGIN));
        assert_eq!(sheet.dimensions(), expected);
        assert_eq!(contact_sheet(&[], 4, 96).dimensions().1, MARGIN);
        assert_eq!(contact_sheet(&[entry], 9, 0).dimensions().1, 2 * MARGIN + 16 + 2 * FRAME);
    }

    #[test]
    fn frames_contours_maps_and_hidden_parts_have_their_colours() {
        let image = RgbImage::from_pixel(8, 8, Rgb([200, 0, 0]));
        let truth = GrayImage::from_fn(8, 8, |_, y| Luma([if y < 4 { 255 } else { 0 }]));
        let mask = mask(8);
        let entry = |right| SheetEntry { image: &image, mask: &mask, truth: Some(&truth), right };
        let sheet = contact_sheet(&[entry(true), entry(false)], 1, 32);
        let at = |x: u32, y: u32| *sheet.get_pixel(MARGIN + FRAME + x, MARGIN + FRAME + y);
        assert_eq!(*sheet.get_pixel(MARGIN, MARGIN), RIGHT);
        assert_eq!(*sheet.get_pixel(MARGIN, 2 * MARGIN + 32 + 2 * FRAME), WRONG);
        // The map covers the right half: its contour is the first column of that half. The truth covers the
        // upper half: its outline is the first row below.
        assert_eq!(at(16, 5), CONTOUR);
        assert_eq!(at(5, 16), TRUTH);
        assert_eq!(at(5, 5), Rgb([200, 0, 0]));
        let viridis = Colormap::Viridis.table();
        assert_eq!((at(32 + GAP, 0), at(32 + GAP + 31, 0)), (viridis[0], viridis[255]));
        assert_eq!(at(2 * (32 + GAP), 0), Rgb([GRAY; 3]));
        assert_eq!(at(2 * (32 + GAP) + 31, 31), Rgb([200, 0, 0]));
    }

    #[test]
    fn large_wide_and_empty_images_fit_as_well() {
        assert_eq!(fitted((224, 112), 96), Some((96, 48)));
        assert_eq!(fitted((1, 5000), 96), Some((1, 96)));
        assert_eq!(fitted((0, 4), 96), None);
        let empty = RgbImage::new(0, 0);
        let large = RgbImage::from_pixel(224, 112, Rgb([9; 3]));
        let mask = mask(8);
        for image in [&empty, &large] {
            let entry = SheetEntry { image, mask: &mask, truth: None, right: false };
            assert!(contact_sheet(&[entry], 1, 96).width() > 288);
        }
    }

    #[test]
    fn an_evaluations_sheet_shows_each_example_on_its_own_image() {
        let sample = |red: u8| Sample {
            image: RgbImage::from_pixel(8, 8, Rgb([red, 0, 0])),
            mask: Some(GrayImage::from_pixel(8, 8, Luma([255]))),
            class: 0,
        };
        let dark = Mask::new(8, 8, vec![0.0; 64]).unwrap();
        let example = |image: usize, label: usize| Example {
            image,
            mask: dark.clone(),
            logits: vec![1.0, 0.0],
            label,
            predicted: Some(0),
        };
        // The third example's image is not among the samples: it is left out.
        let examples = vec![example(1, 0), example(0, 1), example(2, 0)];
        let found = Evaluation { examples, ..Evaluation::default() };
        let sheet = evaluation_sheet(&found, &[sample(40), sample(80)], 1, 16);
        let height = 16 + 2 * FRAME;
        assert_eq!(sheet.height(), MARGIN + 2 * (height + MARGIN));
        let at = |x: u32, y: u32| *sheet.get_pixel(MARGIN + x, MARGIN + y);
        assert_eq!((at(0, 0), at(0, height + MARGIN)), (RIGHT, WRONG));
        let inside = FRAME + 8;
        assert_eq!(at(inside, inside), Rgb([80, 0, 0]));
        assert_eq!(at(inside, height + MARGIN + inside), Rgb([40, 0, 0]));
    }

    #[test]
    fn a_png_can_be_read_back() {
        let image = RgbImage::from_pixel(5, 4, Rgb([1, 2, 3]));
        let bytes = png_bytes(&image).unwrap();
        assert_eq!(comet_engine::image::decode_rgb(&bytes, "sheet").unwrap(), image);
    }
}
