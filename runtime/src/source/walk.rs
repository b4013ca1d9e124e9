//! Finding images: below a folder, or by a pattern of file names. What cannot be read is named and passed over.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use comet_engine::image::has_image_extension;
use glob::MatchOptions;

use super::error::{SourceError, SourceErrorKind};

/// Folders below folders; deeper ones are an accident, not a data set.
const MAX_DEPTH: usize = 32;
/// Folders that file managers, network disks and archives make beside the images: copies, previews and what was
/// deleted. Those whose name begins with a dot are known by it.
const NOT_ALBUMS: [&str; 5] = ["@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information", "__MACOSX"];

/// The images that were found.
#[derive(Debug, Default)]
pub struct FoundImages {
    /// The images, sorted by path.
    pub images: Vec<PathBuf>,
    /// Folders and entries that could not be read; the images below them are missing.
    pub unreadable: Vec<SourceError>,
}

/// The images below a folder. Linked folders are not followed: they may lead in circles. Hidden files and folders,
/// previews and recycle bins hold no images of their own and are left out. Of a data set or calibration set, which
/// keeps `masks` beside its `images`, these are the images.
///
/// A folder below it that cannot be read, such as the `lost+found` of a disk, is listed in
/// [`FoundImages::unreadable`].
///
/// # Errors
/// The folder itself cannot be read, or there is no image below it.
pub fn images_in(folder: &Path) -> Result<FoundImages, SourceError> {
    let images = folder.join("images");
    let is_data_set = images.is_dir() && folder.join("masks").is_dir();
    let folder = if is_data_set { images.as_path() } else { folder };
    let entries = fs::read_dir(folder).map_err(|error| SourceError::new(shown(folder), error))?;
    let mut found = FoundImages::default();
    collect(folder, entries, 0, &mut found);
    found.or_error(shown(folder), SourceErrorKind::NoImages)
}

/// The files behind an argument: the images of a folder, the matches of a pattern, or the path itself. An existing
/// file is that file, even if its name looks like a pattern.
///
/// # Errors
/// The folder or the pattern holds no image. A path that does not exist is not an error here: reading it is one.
pub fn expand(argument: &Path) -> Result<FoundImages, SourceError> {
    if argument.is_dir() {
        return images_in(argument);
    }
    match argument.to_str().filter(|text| is_pattern(text) && !argument.exists()) {
        Some(pattern) => matches_of(pattern),
        None => Ok(FoundImages { images: vec![argument.to_path_buf()], ..FoundImages::default() }),
    }
}

/// Whether a text looks like a pattern of file names.
pub(super) fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

impl FoundImages {
    /// Sorts what was found. Where there is nothing, the error is the first thing that could not be read, or
    /// `otherwise`.
    fn or_error(mut self, name: String, otherwise: SourceErrorKind) -> Result<Self, SourceError> {
        if !self.images.is_empty() {
            self.images.sort();
            return Ok(self);
        }
        let first = self.unreadable.into_iter().next();
        Err(first.map_or_else(
            || SourceError::new(name, otherwise),
            |error| match error.kind {
                // Nothing comes after it: this is not one frame of several.
                SourceErrorKind::Unreadable(fault) => SourceError::new(error.name, fault),
                kind => SourceError::new(error.name, kind),
            },
        ))
    }

    fn cannot_read(&mut self, path: &Path, fault: io::Error) {
        self.unreadable.push(SourceError::new(shown(path), SourceErrorKind::Unreadable(fault)));
    }
}

fn collect(folder: &Path, entries: fs::ReadDir, depth: usize, found: &mut FoundImages) {
    for entry in entries {
        let entry = match entry {
            Ok(entry) => entry,
            Err(fault) => {
                found.cannot_read(folder, fault);
                continue;
            }
        };
        let path = entry.path();
        if is_left_out(&path) {
            continue;
        }
        match entry.file_type() {
            Err(fault) => found.cannot_read(&path, fault),
            Ok(kind) if kind.is_dir() => descend(&path, depth + 1, found),
            Ok(_) if has_image_extension(&path) && path.is_file() => found.images.push(path),
            Ok(_) => {}
        }
    }
}

fn descend(folder: &Path, depth: usize, found: &mut FoundImages) {
    if depth > MAX_DEPTH {
        let fault = format!("it lies more than {MAX_DEPTH} folders deep");
        return found.cannot_read(folder, io::Error::other(fault));
    }
    match fs::read_dir(folder) {
        Ok(entries) => collect(folder, entries, depth, found),
        Err(fault) => found.cannot_read(folder, fault),
    }
}

/// Whether the name is that of a hidden entry, such as `.thumbnails` or macOS's `._x.jpg`, or of a known folder
/// without images.
fn is_left_out(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with('.') || NOT_ALBUMS.contains(&name.as_ref())
}

fn matches_of(pattern: &str) -> Result<FoundImages, SourceError> {
    let unknown =
        |error: glob::PatternError| SourceError::new(pattern, SourceErrorKind::Unknown(error.to_string()));
    // As in a shell: '*' does not stand for the dot of a hidden file.
    let options = MatchOptions { require_literal_leading_dot: true, ..MatchOptions::new() };
    let mut found = FoundImages::default();
    // The crate follows linked folders, which may lead in circles.
    let most = Path::new(pattern).components().count() + MAX_DEPTH;
    for matched in glob::glob_with(pattern, options).map_err(unknown)? {
        match matched {
            Ok(path) if path.components().count() > most => {
                let fault =
                    format!("it lies more than {MAX_DEPTH} folders deep; do linked folders lead in circles?");
                return Err(SourceError::new(shown(&path), io::Error::other(fault)));
            }
            Ok(path) if has_image_extension(&path) && path.is_file() => found.images.push(path),
            Ok(_) => {}
            Err(error) => {
                let path = error.path().to_path_buf();
                found.cannot_read(&path, error.into());
            }
        }
    }
    found.or_error(pattern.to_owned(), SourceErrorKind::NoMatch)
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    /// A folder with empty files of these names.
    fn folder(names: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        folder
    }

    /// Paths below the folder.
    fn names(folder: &tempfile::TempDir, found: &FoundImages) -> Vec<String> {
        let below = |path: &PathBuf| path.strip_prefix(folder.path()).unwrap().display().to_string();
        found.images.iter().map(below).collect()
    }

    #[test]
    fn a_folder_that_cannot_be_read_is_named_and_the_others_are_read() {
        let folder = folder(&["a.jpg", "DCIM/b.jpg", "lost+found/c.jpg"]);
        let forbidden = folder.path().join("lost+found");
        fs::set_permissions(&forbidden, fs::Permissions::from_mode(0o000)).unwrap();
        if fs::read_dir(&forbidden).is_ok() {
            // Nothing is forbidden to the superuser.
            return;
        }
        let found = images_in(folder.path()).unwrap();
        assert_eq!(names(&folder, &found), ["DCIM/b.jpg", "a.jpg"]);
        assert_eq!(found.unreadable.len(), 1);
        let said = found.unreadable[0].to_string();
        assert!(said.contains("lost+found: cannot be read"), "{said}");
        let error = images_in(&forbidden).unwrap_err();
        assert!(matches!(error.kind, SourceErrorKind::Io(_)), "{error}");
        fs::set_permissions(&forbidden, fs::Permissions::from_mode(0o700)).unwrap();
    }

    #[test]
    fn folders_without_end_are_named_where_they_are_cut_off() {
        let deep = vec!["x"; MAX_DEPTH + 1].join("/") + "/a.jpg";
        let folder = folder(&["b.jpg", &deep]);
        let found = images_in(folder.path()).unwrap();
        assert_eq!(names(&folder, &found), ["b.jpg"]);
        assert!(found.unreadable[0].to_string().contains("32 folders deep"), "{:?}", found.unreadable);
        // Without any image the reason is what could not be read.
        fs::remove_file(folder.path().join("b.jpg")).unwrap();
        let error = images_in(folder.path()).unwrap_err();
        assert!(error.to_string().contains("32 folders deep"), "{error}");
    }

    #[test]
    fn hidden_files_previews_and_recycle_bins_are_not_images() {
        let folder = folder(&[
            "a.jpg",
            "._a.jpg",
            ".hidden.png",
            ".thumbnails/a.jpg",
            "@eaDir/a.jpg/SYNOPHOTO_THUMB_M.jpg",
            "#recycle/b.jpg",
            "__MACOSX/._a.jpg",
            "b/.trash/c.jpg",
            "b/c.webp",
        ]);
        let found = images_in(folder.path()).unwrap();
        assert_eq!(names(&folder, &found), ["a.jpg", "b/c.webp"]);
        assert!(found.unreadable.is_empty());
        let found = expand(&folder.path().join("*.jpg")).unwrap();
        assert_eq!(names(&folder, &found), ["a.jpg"]);
        // What is asked for by its name is read.
        let found = expand(&folder.path().join("._a.jpg")).unwrap();
        assert_eq!(names(&folder, &found), ["._a.jpg"]);
    }

    #[test]
    fn an_existing_file_is_that_file_even_if_its_name_looks_like_a_pattern() {
        let folder = folder(&["clip [1].jpg", "clip 1.jpg"]);
        let found = expand(&folder.path().join("clip [1].jpg")).unwrap();
        assert_eq!(names(&folder, &found), ["clip [1].jpg"]);
        let found = expand(&folder.path().join("clip [0-9].jpg")).unwrap();
        assert_eq!(names(&folder, &found), ["clip 1.jpg"]);
    }

    #[test]
    fn a_data_set_is_its_images_and_a_folder_that_happens_to_hold_one_named_images_is_not() {
        let set = folder(&["images/a.png", "masks/a.png"]);
        assert_eq!(names(&set, &images_in(set.path()).unwrap()), ["images/a.png"]);
        let disk = folder(&["images/a.png", "b.png"]);
        assert_eq!(names(&disk, &images_in(disk.path()).unwrap()), ["b.png", "images/a.png"]);
    }

    #[test]
    fn an_empty_folder_and_a_pattern_without_matches_are_named() {
        let folder = folder(&["notes.txt"]);
        let error = expand(folder.path()).unwrap_err();
        assert!(matches!(error.kind, SourceErrorKind::NoImages), "{error}");
        assert!(error.to_string().contains(&folder.path().display().to_string()));
        let error = expand(&folder.path().join("*.jpg")).unwrap_err();
        assert!(matches!(error.kind, SourceErrorKind::NoMatch), "{error}");
    }
}
