//! Pictures with the map and the class drawn in.

use std::io;
use std::path::{Path, PathBuf};

use image::codecs::jpeg::JpegEncoder;

use super::files::{make, note};
use super::label::draw_label;
use super::names::FrameNames;
use super::{FrameResult, Sink, SinkError};
use crate::image::{OverlayStyle, draw_overlay};
use crate::storage::write_whole;

const QUALITY: u8 = 90;

/// Writes each picture with its map as JPEG: `<stem>.overlay.jpg`.
pub struct OverlayFiles {
    folder: PathBuf,
    style: OverlayStyle,
    names: FrameNames,
}

impl OverlayFiles {
    /// Writes into `folder`, which is made if it is not there.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn new(folder: &Path, style: OverlayStyle) -> Result<Self, SinkError> {
        Ok(Self { folder: make(folder)?, style, names: FrameNames::default() })
    }
}

impl Sink for OverlayFiles {
    fn accept(&mut self, result: &mut FrameResult) -> Result<(), SinkError> {
        let mask = &result.explanation.mask;
        let mut drawn = draw_overlay(&result.picture, mask, result.region, &self.style);
        draw_label(&mut drawn, &caption(result));
        let record = &mut result.record;
        let stem = self.names.stem(&record.source, record.frame);
        let path = self.folder.join(format!("{stem}.overlay.jpg"));
        let mut jpeg = Vec::new();
        let encoded = JpegEncoder::new_with_quality(&mut jpeg, QUALITY).encode_image(&drawn);
        let written = encoded.map_err(io::Error::other).and_then(|()| write_whole(&path, &jpeg));
        record.overlay_file = Some(note(&path, written)?);
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
