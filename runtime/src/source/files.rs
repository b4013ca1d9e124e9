//! Pictures from files: one, a folder of them, or what a pattern matches.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::error::{SourceError, SourceErrorKind};
use super::{Frame, Pixels, Source};

/// The largest picture file that is read.
pub const MAX_PICTURE_BYTES: usize = 256 << 20;
/// Folders below folders; deeper ones are no data set but an accident.
const MAX_DEPTH: usize = 32;

/// Whether the name ends as a picture's does: `.jpg`, `.jpeg` or `.png`, in any case.
pub fn has_picture_extension(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    ["jpg", "jpeg", "png"].iter().any(|known| extension.eq_ignore_ascii_case(known))
}

/// The pictures below a folder, sorted by path. Linked folders are not followed: they may lead in circles.
/// Of a data set or calibration set, which keeps masks beside its `images`, these are the images.
///
/// # Errors
/// The folder cannot be read, or holds no picture.
pub fn pictures_in(folder: &Path) -> Result<Vec<PathBuf>, SourceError> {
    let mut pictures = Vec::new();
    let images = folder.join("images");
    let folder = if images.is_dir() { images.as_path() } else { folder };
    collect(folder, 0, &mut pictures)?;
    pictures.sort();
    match pictures.is_empty() {
        true => Err(SourceError::new(folder.display().to_string(), SourceErrorKind::NoPictures)),
        false => Ok(pictures),
    }
}

fn collect(folder: &Path, depth: usize, pictures: &mut Vec<PathBuf>) -> Result<(), SourceError> {
    let fault = |error: std::io::Error| SourceError::new(folder.display().to_string(), error);
    for entry in fs::read_dir(folder).map_err(fault)? {
        let entry = entry.map_err(fault)?;
        let path = entry.path();
        if entry.file_type().map_err(fault)?.is_dir() {
            if depth < MAX_DEPTH {
                collect(&path, depth + 1, pictures)?;
            }
        } else if has_picture_extension(&path) && path.is_file() {
            pictures.push(path);
        }
    }
    Ok(())
}

/// The files behind an argument: the pictures of a folder, the matches of a pattern, or the path itself.
///
/// # Errors
/// The folder or the pattern holds no picture. A path that does not exist is no error here: reading it is one.
pub fn expand(argument: &Path) -> Result<Vec<PathBuf>, SourceError> {
    if argument.is_dir() {
        return pictures_in(argument);
    }
    match argument.to_str().filter(|text| is_pattern(text) && !argument.exists()) {
        Some(pattern) => matches_of(pattern),
        None => Ok(vec![argument.to_path_buf()]),
    }
}

pub(super) fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

fn matches_of(pattern: &str) -> Result<Vec<PathBuf>, SourceError> {
    let unknown =
        |error: glob::PatternError| SourceError::new(pattern, SourceErrorKind::Unknown(error.to_string()));
    let matches = glob::glob(pattern).map_err(unknown)?.flatten();
    let mut pictures: Vec<PathBuf> =
        matches.filter(|path| has_picture_extension(path) && path.is_file()).collect();
    pictures.sort();
    match pictures.is_empty() {
        true => Err(SourceError::new(pattern, SourceErrorKind::NoMatch)),
        false => Ok(pictures),
    }
}

/// Gives the pictures of a list of files, in its order. Nothing is dropped.
pub struct FilesSource {
    name: String,
    paths: Vec<PathBuf>,
    next: usize,
    number: u64,
    repeat: bool,
    /// Whether the current pass over the list has given a picture: a list of nothing is not repeated.
    gave: bool,
}

impl FilesSource {
    /// Reads `paths`; `name` is for messages.
    pub fn new(name: impl Into<String>, paths: Vec<PathBuf>) -> Self {
        Self { name: name.into(), paths, next: 0, number: 0, repeat: false, gave: false }
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
        let Some(path) = self.next_path() else {
            return Ok(None);
        };
        let source = path.display().to_string();
        let number = self.number;
        self.number += 1;
        let captured = Instant::now();
        let bytes = match read_picture(&path) {
            Ok(bytes) => bytes,
            // One file that cannot be read costs itself, not the run.
            Err(SourceErrorKind::Io(error)) => {
                return Err(SourceError::new(source, SourceErrorKind::Unreadable(error)));
            }
            Err(kind) => return Err(SourceError::new(source, kind)),
        };
        self.gave = true;
        Ok(Some(Frame { source, number, picture: Pixels::Encoded(bytes), captured }))
    }

    fn is_live(&self) -> bool {
        false
    }

    fn name(&self) -> &str {
        &self.name
    }
}

fn read_picture(path: &Path) -> Result<Vec<u8>, SourceErrorKind> {
    let mut bytes = Vec::new();
    let file = File::open(path)?;
    // The length is what was read, not what the file system says: it may be a pipe, or still grow.
    file.take(MAX_PICTURE_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    match bytes.len() > MAX_PICTURE_BYTES {
        true => Err(SourceErrorKind::TooLarge { limit: MAX_PICTURE_BYTES }),
        false => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Recovery;
    use crate::source::jpeg::sample::picture;

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("b")).unwrap();
        fs::write(folder.path().join("b/one.JPG"), picture(8, 8, 1)).unwrap();
        fs::write(folder.path().join("a.jpeg"), picture(8, 8, 2)).unwrap();
        fs::write(folder.path().join("cut.jpg"), &picture(8, 8, 3)[..200]).unwrap();
        fs::write(folder.path().join("notes.txt"), "no picture").unwrap();
        folder
    }

    #[test]
    fn a_folder_is_read_in_order_and_a_corrupt_picture_costs_itself() {
        let folder = folder();
        let paths = pictures_in(folder.path()).unwrap();
        let names: Vec<_> =
            paths.iter().map(|path| path.strip_prefix(folder.path()).unwrap().to_owned()).collect();
        assert_eq!(names, ["a.jpeg", "b/one.JPG", "cut.jpg"].map(PathBuf::from));

        let mut source = FilesSource::new("folder", paths);
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
    fn an_empty_folder_and_a_pattern_without_matches_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = expand(folder.path()).unwrap_err();
        assert!(matches!(error.kind, SourceErrorKind::NoPictures), "{error}");
        assert!(error.to_string().contains(&folder.path().display().to_string()));
        let error = expand(&folder.path().join("*.jpg")).unwrap_err();
        assert!(matches!(error.kind, SourceErrorKind::NoMatch), "{error}");
    }

    #[test]
    fn a_pattern_finds_pictures_and_a_list_can_be_repeated() {
        let folder = folder();
        let paths = expand(&folder.path().join("*.jp*g")).unwrap();
        assert_eq!(paths.len(), 2);
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
