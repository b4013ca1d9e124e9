//! Maps, inputs and images as files, to compare engines and to look at what the model saw.

use std::io;
use std::path::{Path, PathBuf};

use comet_engine::image::encode_png;
use comet_engine::prediction::{FrameResult, Record};
use comet_engine::storage::write_whole;

use super::interface::{Sink, SinkError};
use super::names::FrameNames;

/// A folder that gets a file of one kind for each frame.
pub(super) struct FrameFolder {
    folder: PathBuf,
    kind: &'static str,
    names: FrameNames,
}

impl FrameFolder {
    /// Makes the folder if it is not there. Files are called `<stem>.<kind>`.
    pub(super) fn new(folder: &Path, kind: &'static str) -> Result<Self, SinkError> {
        Ok(Self { folder: make(folder)?, kind, names: FrameNames::default() })
    }

    /// Writes the file of the frame that `record` is about, and gives its name.
    pub(super) fn write(
        &mut self,
        record: &Record,
        contents: io::Result<Vec<u8>>,
    ) -> Result<String, SinkError> {
        let stem = self.names.stem(&record.source, record.frame);
        let path = self.folder.join(format!("{stem}.{}", self.kind));
        let name = path.display().to_string();
        match contents.and_then(|contents| write_whole(&path, &contents)) {
            Ok(()) => Ok(name),
            Err(fault) => Err(SinkError::new(name, fault)),
        }
    }
}

/// Writes each attribution map as 16-bit grey PNG of the model's input size: `<stem>.mask.png`, 65,535 = 1.0.
pub struct MaskFiles(FrameFolder);

impl MaskFiles {
    /// Writes into `folder`, which is made if it is not there.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn new(folder: &Path) -> Result<Self, SinkError> {
        FrameFolder::new(folder, "mask.png").map(Self)
    }
}

impl Sink for MaskFiles {
    fn accept(&mut self, result: &mut FrameResult) -> Result<(), SinkError> {
        let map = result.explanation.mask.to_gray16();
        let png = encode_png(&map);
        result.record.mask_file = Some(self.0.write(&result.record, png)?);
        Ok(())
    }
}

/// Writes each input as raw little-endian f32 `[3, height, width]`, as the network received it: `<stem>.input.f32`.
pub struct InputFiles(FrameFolder);

impl InputFiles {
    /// Writes into `folder`, which is made if it is not there.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn new(folder: &Path) -> Result<Self, SinkError> {
        FrameFolder::new(folder, "input.f32").map(Self)
    }
}

impl Sink for InputFiles {
    fn accept(&mut self, result: &mut FrameResult) -> Result<(), SinkError> {
        let bytes = result.tensor.iter().flat_map(|value| value.to_le_bytes()).collect();
        result.record.input_file = Some(self.0.write(&result.record, Ok(bytes))?);
        Ok(())
    }
}

/// Writes each classified image as PNG, `<stem>.frame.png`: what a camera showed can be classified again.
pub struct FrameFiles(FrameFolder);

impl FrameFiles {
    /// Writes into `folder`, which is made if it is not there.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn new(folder: &Path) -> Result<Self, SinkError> {
        FrameFolder::new(folder, "frame.png").map(Self)
    }
}

impl Sink for FrameFiles {
    fn accept(&mut self, result: &mut FrameResult) -> Result<(), SinkError> {
        let png = encode_png(&result.image);
        self.0.write(&result.record, png).map(drop)
    }
}

/// Makes the folder of a sink.
pub(super) fn make(folder: &Path) -> Result<PathBuf, SinkError> {
    std::fs::create_dir_all(folder).map_err(|fault| SinkError::new(folder.display().to_string(), fault))?;
    Ok(folder.to_path_buf())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::sample::result;

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
    fn a_name_as_long_as_a_file_system_takes_gets_its_files() {
        let folder = tempfile::tempdir().unwrap();
        let source = format!("{}.png", "n".repeat(250));
        let mut files = FrameFolder::new(folder.path(), "overlay.jpg").unwrap();
        let name = files.write(&result(&source, 0, [0.0; 3]).record, Ok(vec![1])).unwrap();
        assert_eq!(std::fs::read(name).unwrap(), [1]);
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
