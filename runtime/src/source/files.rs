//! Images from a list of files.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::error::{SourceError, SourceErrorKind};
use super::frame::{Frame, Pixels};
use super::reader::Source;
use super::walk::FoundImages;

/// The largest image file that is read.
pub const MAX_IMAGE_BYTES: usize = comet_engine::image::MAX_FILE_BYTES as usize;

/// Gives the images of a list of files, in its order. Nothing is dropped.
pub struct FilesSource {
    name: String,
    /// Reported before the first image: what is missing from the list.
    unreadable: VecDeque<SourceError>,
    paths: Vec<PathBuf>,
    next: usize,
    number: u64,
    repeat: bool,
    /// Whether the current pass over the list has given an image: a list of nothing is not repeated.
    gave: bool,
}

impl FilesSource {
    /// Reads `paths`; `name` is for messages.
    pub fn new(name: impl Into<String>, paths: Vec<PathBuf>) -> Self {
        Self {
            name: name.into(),
            unreadable: VecDeque::new(),
            paths,
            next: 0,
            number: 0,
            repeat: false,
            gave: false,
        }
    }

    /// Reads what was found in a folder or by a pattern, after an error for each thing that could not be read.
    pub fn found(name: impl Into<String>, found: FoundImages) -> Self {
        Self { unreadable: found.unreadable.into(), ..Self::new(name, found.images) }
    }

    /// Begins again at the end of the list.
    pub fn repeating(mut self, repeat: bool) -> Self {
        self.repeat = repeat;
        self
    }

    fn next_path(&mut self) -> Option<PathBuf> {
        if self.next >= self.paths.len() && self.repeat && self.gave {
            self.next = 0;
            self.gave = false;
        }
        let path = self.paths.get(self.next)?.clone();
        self.next += 1;
        Some(path)
    }
}

impl Source for FilesSource {
    fn next(&mut self) -> Result<Option<Frame>, SourceError> {
        if let Some(error) = self.unreadable.pop_front() {
            return Err(error);
        }
        let Some(path) = self.next_path() else {
            return Ok(None);
        };
        let source = path.display().to_string();
        let number = self.number;
        self.number += 1;
        let captured = Instant::now();
        let bytes = match read_image(&path) {
            Ok(bytes) => bytes,
            // One file that cannot be read costs itself, not the run.
            Err(SourceErrorKind::Io(error)) => {
                return Err(SourceError::new(source, SourceErrorKind::Unreadable(error)));
            }
            Err(kind) => return Err(SourceError::new(source, kind)),
        };
        self.gave = true;
        Ok(Some(Frame { source, number, image: Pixels::Encoded(bytes), captured }))
    }

    fn is_live(&self) -> bool {
        false
    }

    fn name(&self) -> &str {
        &self.name
    }
}

fn read_image(path: &Path) -> Result<Vec<u8>, SourceErrorKind> {
    let mut bytes = Vec::new();
    let file = File::open(path)?;
    // The length is what was read, not what the file system says: it may be a pipe, or still grow.
    file.take(MAX_IMAGE_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    match bytes.len() > MAX_IMAGE_BYTES {
        true => Err(SourceErrorKind::TooLarge { limit: MAX_IMAGE_BYTES }),
        false => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::super::error::Recovery;
    use super::super::sample_jpeg::image;
    use super::super::walk::images_in;
    use super::*;
    use std::fs;
    use std::io;

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("b")).unwrap();
        fs::write(folder.path().join("b/one.JPG"), image(8, 8, 1)).unwrap();
        fs::write(folder.path().join("a.jpeg"), image(8, 8, 2)).unwrap();
        fs::write(folder.path().join("cut.jpg"), &image(8, 8, 3)[..200]).unwrap();
        fs::write(folder.path().join("notes.txt"), "not an image").unwrap();
        folder
    }

    #[test]
    fn a_folder_is_read_in_order_and_a_corrupt_image_costs_itself() {
        let folder = folder();
        let found = images_in(folder.path()).unwrap();
        let names: Vec<_> =
            found.images.iter().map(|path| path.strip_prefix(folder.path()).unwrap().to_owned()).collect();
        assert_eq!(names, ["a.jpeg", "b/one.JPG", "cut.jpg"].map(PathBuf::from));

        let mut source = FilesSource::found("folder", found);
        let mut decoded = Vec::new();
        while let Some(frame) = source.next().unwrap() {
            decoded.push((frame.number, frame.decode().map_err(|error| error.name)));
        }
        assert!(decoded[0].1.is_ok() && decoded[1].1.is_ok());
        assert!(decoded[2].1.as_ref().unwrap_err().ends_with("cut.jpg"));
        assert_eq!(decoded.len(), 3);
    }

    #[test]
    fn a_file_that_is_gone_is_a_named_error_and_the_next_one_is_read() {
        let folder = folder();
        let paths = ["gone.jpg", "a.jpeg"].map(|name| folder.path().join(name)).to_vec();
        let mut source = FilesSource::new("list", paths);
        let error = source.next().unwrap_err();
        assert_eq!(error.recovery(), Recovery::NextFrame);
        assert!(error.name.ends_with("gone.jpg"));
        assert_eq!(source.next().unwrap().unwrap().number, 1);
        assert!(source.next().unwrap().is_none());
    }

    #[test]
    fn a_folder_that_could_not_be_read_is_reported_before_the_images() {
        let folder = folder();
        let fault = SourceErrorKind::Unreadable(io::Error::other("forbidden"));
        let found = FoundImages {
            images: vec![folder.path().join("a.jpeg")],
            unreadable: vec![SourceError::new("lost+found", fault)],
        };
        let mut source = FilesSource::found("folder", found);
        let error = source.next().unwrap_err();
        assert_eq!(error.recovery(), Recovery::NextFrame);
        assert_eq!(error.to_string(), "lost+found: cannot be read (forbidden)");
        assert_eq!(source.next().unwrap().unwrap().number, 0);
        assert!(source.next().unwrap().is_none());
    }

    #[test]
    fn a_list_can_be_repeated() {
        let folder = folder();
        let paths = ["a.jpeg", "b/one.JPG"].map(|name| folder.path().join(name)).to_vec();
        let mut source = FilesSource::new("list", paths).repeating(true);
        for number in 0..5 {
            assert_eq!(source.next().unwrap().unwrap().number, number);
        }
    }

    #[test]
    fn a_list_of_nothing_is_not_repeated_for_ever() {
        let mut source = FilesSource::new("list", vec!["gone.jpg".into()]).repeating(true);
        assert!(source.next().is_err());
        assert!(source.next().unwrap().is_none());
    }
}
