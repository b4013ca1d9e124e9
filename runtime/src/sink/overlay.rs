//! Pictures with the map and the class drawn in.

use std::path::Path;

use super::files::FrameFolder;
use super::label::draw_label;
use super::{FrameResult, Sink, SinkError};
use crate::image::{OverlayStyle, draw_overlay, encode_jpeg};

const QUALITY: u8 = 90;

/// Writes each picture with its map as JPEG: `<stem>.overlay.jpg`.
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
        let mask = &result.explanation.mask;
        let mut drawn = draw_overlay(&result.picture, mask, result.region, &self.style);
        draw_label(&mut drawn, &caption(result));
        let jpeg = encode_jpeg(&drawn, QUALITY);
        result.record.overlay_file = Some(self.files.write(&result.record, jpeg)?);
        Ok(())
    }
}

/// Class and probability, or why there is none.
pub(super) fn caption(result: &FrameResult) -> String {
    match (&result.record.class, result.record.probability) {
        (Some(class), Some(probability)) => format!("{class} {:.0} %", 100.0 * probability),
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
    use crate::sink::record::sample::result;

    #[test]
    fn the_overlay_has_the_pictures_size_and_is_noted() {
        let folder = tempfile::tempdir().unwrap();
        let mut sink = OverlayFiles::new(folder.path(), OverlayStyle::default()).unwrap();
        let mut result = result("a.png", 0, [0.0, 1.0, 0.0]);
        sink.accept(&mut result).unwrap();
        let file = result.record.overlay_file.unwrap();
        assert!(file.ends_with("a.overlay.jpg"));
        assert_eq!(image::open(file).unwrap().into_rgb8().dimensions(), (8, 6));
    }
}
