//! The first overlays of a run on one sheet, to be looked at together.

use std::path::{Path, PathBuf};

use image::{Rgb, RgbImage};

use comet_engine::image::{OverlayStyle, draw_overlay, encode_png, resize};
use comet_engine::prediction::FrameResult;
use comet_engine::storage::write_atomically;

use super::files::make;
use super::interface::{Sink, SinkError};
use super::label::draw_label_of;
use super::overlay::caption;

/// Overlays on a sheet unless another number is asked for.
const USUAL: usize = 12;
/// The most that are taken: all of them wait in memory.
const MOST: usize = 400;
/// Columns and rows of a cell in pixels, without the gap.
const CELL: (u32, u32) = (240, 180);
const GAP: u32 = 6;
/// Height of a line of text in pixels.
const LINE: f32 = 20.0;
const PAPER: Rgb<u8> = Rgb([28, 31, 36]);
/// As many cells in a row, where there are so many.
const IN_A_ROW: u32 = 4;

/// Draws the first results of a run as thumbnails with class and probability, and writes them as one PNG at the end.
pub struct ContactSheet {
    path: PathBuf,
    style: OverlayStyle,
    limit: usize,
    cells: Vec<RgbImage>,
}

impl ContactSheet {
    /// A sheet with the first twelve results, to be written to `path`. Its folder is made if it is not there.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn new(path: &Path, style: OverlayStyle) -> Result<Self, SinkError> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            make(folder)?;
        }
        Ok(Self { path: path.to_owned(), style, limit: USUAL, cells: Vec::new() })
    }

    /// Takes the first `limit` results, 1 to 400.
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit.clamp(1, MOST);
        self
    }
}

impl Sink for ContactSheet {
    fn accept(&mut self, result: &mut FrameResult) -> Result<(), SinkError> {
        if self.cells.len() < self.limit {
            self.cells.push(cell(result, &self.style));
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        if self.cells.is_empty() {
            return Ok(());
        }
        let written = encode_png(&sheet(&self.cells)).and_then(|png| write_atomically(&self.path, &png));
        self.cells.clear();
        written.map_err(|fault| SinkError::new(self.path.display().to_string(), fault))
    }
}

/// The overlay at the size of a cell, in its middle.
fn cell(result: &FrameResult, style: &OverlayStyle) -> RgbImage {
    let (width, height) = result.image.dimensions();
    let scale =
        (f64::from(CELL.0) / f64::from(width.max(1))).min(f64::from(CELL.1) / f64::from(height.max(1)));
    let scaled = |pixels: u32| (f64::from(pixels) * scale).round() as u32;
    let size = (scaled(width).clamp(1, CELL.0), scaled(height).clamp(1, CELL.1));
    let small = resize(&*result.image, (0, 0, width, height), size);
    let (x, y, columns, rows) = result.region;
    // Drawn after scaling: contours stay as thin as the sheet can show them.
    let region = (scaled(x), scaled(y), scaled(columns).clamp(1, size.0), scaled(rows).clamp(1, size.1));
    let drawn = draw_overlay(&small, &result.explanation.mask, region, style);
    let mut cell = RgbImage::from_pixel(CELL.0, CELL.1, PAPER);
    paste(&mut cell, &drawn, ((CELL.0 - size.0) / 2, (CELL.1 - size.1) / 2));
    draw_label_of(&mut cell, &caption(result), LINE);
    cell
}

fn sheet(cells: &[RgbImage]) -> RgbImage {
    let count = u32::try_from(cells.len()).unwrap_or(u32::MAX);
    let columns = count.clamp(1, IN_A_ROW);
    let rows = count.div_ceil(columns);
    let pixels = |cells: u32, side: u32| cells * (side + GAP) + GAP;
    let mut sheet = RgbImage::from_pixel(pixels(columns, CELL.0), pixels(rows, CELL.1), PAPER);
    for (number, cell) in (0..count).zip(cells) {
        let place = (number % columns * (CELL.0 + GAP) + GAP, number / columns * (CELL.1 + GAP) + GAP);
        paste(&mut sheet, cell, place);
    }
    sheet
}

fn paste(onto: &mut RgbImage, image: &RgbImage, (left, top): (u32, u32)) {
    image::imageops::replace(onto, image, i64::from(left), i64::from(top));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::sample::result;

    fn sheet_of(count: u64, limit: usize) -> Option<(u32, u32)> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/sheet.png");
        let mut sink = ContactSheet::new(&path, OverlayStyle::default()).unwrap().limit(limit);
        for number in 0..count {
            sink.accept(&mut result("a.jpg", number, [0.0, 1.0, 0.0])).unwrap();
        }
        sink.finish().unwrap();
        path.exists().then(|| image::open(&path).unwrap().into_rgb8().dimensions())
    }

    #[test]
    fn the_first_results_stand_in_rows() {
        assert_eq!(sheet_of(1, 12), Some((252, 192)));
        assert_eq!(sheet_of(5, 12), Some((4 * 246 + 6, 2 * 186 + 6)));
        assert_eq!(sheet_of(50, 12), Some((4 * 246 + 6, 3 * 186 + 6)));
        assert_eq!(sheet_of(50, 2), Some((2 * 246 + 6, 192)));
        assert_eq!(sheet_of(0, 12), None, "no sheet without a result");
    }

    #[test]
    fn images_of_any_shape_have_a_cell() {
        for (width, height) in [(1, 1), (4000, 2), (2, 4000), (640, 480)] {
            let mut result = result("a.jpg", 0, [0.0, 1.0, 0.0]);
            result.image = std::sync::Arc::new(RgbImage::new(width, height));
            result.region = (0, 0, width, height);
            assert_eq!(cell(&result, &OverlayStyle::default()).dimensions(), CELL);
        }
    }
}
