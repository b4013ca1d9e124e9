//! Images with the map and the class drawn in.

use std::path::Path;

use image::RgbImage;

use comet_engine::image::{OverlayStyle, draw_overlay, encode_jpeg};
use comet_engine::prediction::FrameResult;

use super::files::FrameFolder;
use super::interface::{Sink, SinkError};
use super::label::draw_label;
use super::printable::printable;

const QUALITY: u8 = 90;

/// Writes each image with its map as JPEG: `<stem>.overlay.jpg`.
pub struct OverlayFiles {
    files: FrameFolder,
    style: OverlayStyle,
}

impl OverlayFiles {
    /// Writes into `folder`, which is made if it is not there.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn new(folder: &Path, style: OverlayStyle) -> Result<Self, SinkError> {
        Ok(Self { files: FrameFolder::new(folder, "overlay.jpg")?, style })
    }
}

impl Sink for OverlayFiles {
    fn accept(&mut self, result: &mut FrameResult) -> Result<(), SinkError> {
        let jpeg = encode_jpeg(&drawn(result, &self.style), QUALITY);
        result.record.overlay_file = Some(self.files.write(&result.record, jpeg)?);
        Ok(())
    }
}

/// The image with the attribution map, and with class and probability in its corner.
pub(super) fn drawn(result: &FrameResult, style: &OverlayStyle) -> RgbImage {
    let mut drawn = draw_overlay(&result.image, &result.explanation.mask, result.region, style);
    draw_label(&mut drawn, &caption(result));
    drawn
}

/// Class and probability, or why they are missing.
pub(super) fn caption(result: &FrameResult) -> String {
    match (&result.record.class, result.record.probability) {
        (Some(class), Some(probability)) => format!("{} {:.0} %", printable(class), 100.0 * probability),
        _ => result
            .record
            .flags
            .first()
            .map_or_else(|| "no class".into(), |flag| flag.to_string().replace('_', " ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::sample::result;

    #[test]
    fn the_overlay_has_the_images_size_and_is_noted() {
        let folder = tempfile::tempdir().unwrap();
        let mut sink = OverlayFiles::new(folder.path(), OverlayStyle::default()).unwrap();
        let mut result = result("a.png", 0, [0.0, 1.0, 0.0]);
        sink.accept(&mut result).unwrap();
        let file = result.record.overlay_file.unwrap();
        assert!(file.ends_with("a.overlay.jpg"));
        assert_eq!(image::open(file).unwrap().into_rgb8().dimensions(), (8, 6));
    }

    #[test]
    fn a_class_name_with_a_line_break_stays_on_one_line() {
        let mut result = result("a.png", 0, [0.0, 1.0, 0.0]);
        result.record.class = Some("two\n\u{1b}[2J".into());
        let caption = caption(&result);
        assert!(caption.starts_with("two\\n\\u{1b}[2J ") && !caption.contains('\n'), "{caption}");
    }
}
