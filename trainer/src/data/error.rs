//! Why a folder cannot be used as a data set.

use std::path::PathBuf;

/// Why a folder cannot be used as a data set.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// A folder or file could not be read.
    #[error("{path}: cannot be read ({fault})")]
    Io {
        /// The path.
        path: PathBuf,
        /// The system's message.
        fault: std::io::Error,
    },
    /// No class folder with an image was found.
    #[error(
        "{path}: no images found. Expected {path}/images/<split>/<class>/*.jpg, {path}/<split>/<class>/*.jpg or {path}/<class>/*.jpg{found}"
    )]
    NoImages {
        /// The data set.
        path: PathBuf,
        /// What was found instead, as the end of the message; empty if there was nothing.
        found: String,
    },
    /// A class folder has files, but not one of them is an image.
    #[error(
        "{path}: class '{class}' holds no image of a known format (found: {found}). Convert its files to JPEG or PNG, or put a dot in front of the folder's name to leave it out"
    )]
    NoImagesInClass {
        /// The class folder.
        path: PathBuf,
        /// The class.
        class: String,
        /// The files that were found, counted by suffix.
        found: String,
    },
    /// The name of a folder cannot be the name of a class or split.
    #[error(
        "{parent}: the folder name {name} has control characters or is not valid UTF-8 and cannot name a class; rename it"
    )]
    Name {
        /// Where the folder lies.
        parent: PathBuf,
        /// The name, quoted and escaped.
        name: String,
    },
    /// The split is not there.
    #[error("{path}: there is no split '{split}'; there are: {found}")]
    NoSplit {
        /// The data set.
        path: PathBuf,
        /// The wanted split.
        split: String,
        /// The splits that exist.
        found: String,
    },
    /// Fewer than two classes.
    #[error(
        "{path}: there is one class only ('{class}'); a classifier needs two. Add a folder with images of something else{found}"
    )]
    OneClass {
        /// The data set.
        path: PathBuf,
        /// The class.
        class: String,
        /// What was left out, as the end of the message; empty if nothing was.
        found: String,
    },
    /// A class has too few images to learn from and to validate on.
    #[error("{path}: class '{class}' has {count} image(s) in split '{split}'; add more or remove the folder")]
    TooFew {
        /// The data set.
        path: PathBuf,
        /// The class.
        class: String,
        /// The split.
        split: String,
        /// How many there are.
        count: usize,
    },
    /// The model knows other classes.
    #[error("{path}: the class '{class}' is unknown to the model, whose classes are: {known}")]
    UnknownClass {
        /// The data set.
        path: PathBuf,
        /// The class.
        class: String,
        /// The model's classes.
        known: String,
    },
    /// Pasting was asked for and there are no masks.
    #[error(
        "{0}: has no masks; pasting on scenes cuts images out by their masks (masks/<split>/<class>/<name>.png)"
    )]
    NoMasks(PathBuf),
    /// Pasting was asked for and not one mask marks a pixel.
    #[error(
        "{path}: nothing can be pasted on scenes: all {count} masks are empty. How masks are read: {rule}",
        rule = super::mask_rule::MASK_RULE
    )]
    NothingToPaste {
        /// The data set.
        path: PathBuf,
        /// How many masks there are.
        count: usize,
    },
    /// The folder for scenes has no images.
    #[error("{path}: no scenes found. Expected images such as {path}/*.jpg{found}")]
    NoScenes {
        /// The folder.
        path: PathBuf,
        /// What was found instead, as the end of the message; empty if there was nothing.
        found: String,
    },
    /// Every image of a split is unreadable.
    #[error("{path}: none of the {count} images could be read; the first fault: {fault}")]
    NothingReadable {
        /// The data set.
        path: PathBuf,
        /// How many were tried.
        count: usize,
        /// The first one's error.
        fault: String,
    },
}
