//! Maps and inputs as files, to compare engines and to look at what the model saw.

use std::io::{self, Cursor};
use std::path::{Path, PathBuf};

use image::ImageFormat;

use super::names::FrameNames;
use super::{FrameResult, Sink, SinkError};
use crate::storage::write_whole;

/// Writes each map as 16-bit grey PNG of the model's input size: `<stem>.mask.png`, 65,535 = 1.0.
pub struct MaskFiles {
    folder: PathBuf,
    names: FrameNames,
}

impl MaskFiles {
    /// Writes into `folder`, which is made if it is not there.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn new(folder: &Path) -> Result<Self, SinkError> {
        Ok(Self { folder: make(folder)?, names: FrameNames::default() })
    }
}

impl Sink for MaskFiles {
    fn accept(&mut self, result: &mut FrameResult) -> Result<(), SinkError> {
        let record = &mut result.record;
        let stem = self.names.stem(&record.source, record.frame);
        let path = self.folder.join(format!("{stem}.mask.png"));
        let mut png = Cursor::new(Vec::new());
        let encoded = result.explanation.mask.to_gray16().write_to(&mut png, ImageFormat::Png);
        let written = encoded.map_err(io::Error::other).and_then(|()| write_whole(&path, png.get_ref()));
        record.mask_file = Some(note(&path, written)?);
        Ok(())
    }
}

/// Writes each input as raw little-endian f32 `[3, height, width]`, as the network got it: `<stem>.input.f32`.
pub struct InputFiles {
    folder: PathBuf,
    names: FrameNames,
}

impl InputFiles {
    /// Writes into `folder`, which is made if it is not there.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn new(folder: &Path) -> Result<Self, SinkError> {
        Ok(Self { folder: make(folder)?, names: FrameNames::default() })
    }
}

impl Sink for InputFiles {
    fn accept(&mut self, result: &mut FrameResult) -> Result<(), SinkError> {
        let record = &mut result.record;
        let stem = self.names.stem(&record.source, record.frame);
        let path = self.folder.join(format!("{stem}.input.f32"));
        let bytes: Vec<u8> = result.tensor.iter().flat_map(|value| value.to_le_bytes()).collect();
        record.input_file = Some(note(&path, write_whole(&path, &bytes))?);
        Ok(())
    }
}

/// Writes each answered picture as PNG, `<stem>.frame.png`: what a camera showed can be answered again.
pub struct FrameFiles {
    folder: PathBuf,
    names: FrameNames,
}

impl FrameFiles {
    /// Writes into `folder`, which is made if it is not there.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn new(folder: &Path) -> Result<Self, SinkError> {
        Ok(Self { folder: make(folder)?, names: FrameNames::default() })
    }
}

impl Sink for FrameFiles {
    fn accept(&mut self, result: &mut FrameResult) -> Result<(), SinkError> {
        let record = &mut result.record;
        let stem = self.names.stem(&record.source, record.frame);
        let path = self.folder.join(format!("{stem}.frame.png"));
        let mut png = Cursor::new(Vec::new());
        let encoded = result.picture.write_to(&mut png, ImageFormat::Png);
        let written = encoded.map_err(io::Error::other).and_then(|()| write_whole(&path, png.get_ref()));
        note(&path, written).map(drop)
    }
}

/// Makes the folder of a sink.
pub(super) fn make(folder: &Path) -> Result<PathBuf, SinkError> {
    std::fs::create_dir_all(folder).map_err(|fault| SinkError::new(folder.display().to_string(), fault))?;
    Ok(folder.to_path_buf())
}

/// The name for the record, once the file is there.
pub(super) fn note(path: &Path, written: io::Result<()>) -> Result<String, SinkError> {
    let name = path.display().to_string();
    match written {
        Ok(()) => Ok(name),
        Err(fault) => Err(SinkError::new(name, fault)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::record::sample::result;

    #[test]
    fn a_map_keeps_sixteen_bits_and_its_file_is_noted() {
        let folder = tempfile::tempdir().unwrap();
        let mut sink = MaskFiles::new(&folder.path().join("new")).unwrap();
        let mut first = result("x/a.jpg", 0, [0.0; 3]);
        sink.accept(&mut first).unwrap();
        let path = folder.path().join("new/a.mask.png");
        assert_eq!(first.record.mask_file, Some(path.display().to_string()));
        let map = image::open(&path).unwrap().into_luma16();
        assert_eq!(map.into_raw(), [0, 16_384, 49_151, 65_535]);
        let mut second = result("y/a.jpg", 1, [0.0; 3]);
        sink.accept(&mut second).unwrap();
        assert!(second.record.mask_file.unwrap().ends_with("a.000001.mask.png"));
    }

    #[test]
    fn an_input_is_written_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let mut sink = InputFiles::new(folder.path()).unwrap();
        sink.accept(&mut result("a.jpg", 0, [0.0; 3])).unwrap();
        let bytes = std::fs::read(folder.path().join("a.input.f32")).unwrap();
        let values: Vec<f32> =
            bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        assert_eq!(values, (0..12).map(|n| n as f32).collect::<Vec<_>>());
    }

    #[test]
    fn a_folder_that_is_taken_away_is_an_error_that_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let mut sink = InputFiles::new(&folder.path().join("gone")).unwrap();
        std::fs::remove_dir(folder.path().join("gone")).unwrap();
        let mut lost = result("a.jpg", 0, [0.0; 3]);
        assert!(sink.accept(&mut lost).unwrap_err().name.ends_with("a.input.f32"));
        assert!(lost.record.input_file.is_none());
    }
}
