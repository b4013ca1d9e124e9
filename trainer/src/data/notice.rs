//! What the user should know about a data set although it can be used.

use std::fmt;
use std::path::{Path, PathBuf};

use super::mask_rule::MASK_RULE;

/// Names that are printed of a long list.
const LISTED: usize = 20;

/// Something that is left out of a data set or that is probably not meant.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Notice {
    /// Files that are not images.
    IgnoredFiles {
        /// What they have in common: their suffix with its dot, or a description.
        kind: String,
        /// How many there are.
        count: usize,
        /// The first one.
        first: PathBuf,
    },
    /// Images that lie where class folders are expected.
    LooseImages {
        /// Where they lie.
        folder: PathBuf,
        /// How many there are.
        count: usize,
    },
    /// Class folders with nothing in them.
    EmptyFolders(Vec<PathBuf>),
    /// Folders that belong to the system or to another program, or that are hidden.
    SystemFolders {
        /// Their name.
        name: String,
        /// How many there are.
        count: usize,
        /// The first one.
        first: PathBuf,
    },
    /// Folders beside `images/` or beside the splits.
    UnusedFolders(Vec<PathBuf>),
    /// A folder that `trainer train` wrote.
    RunFolder(PathBuf),
    /// A folder or file that could not be looked at.
    Unreadable {
        /// The path.
        path: PathBuf,
        /// The system's message.
        fault: String,
    },
    /// A folder below more levels than are searched.
    TooDeep(PathBuf),
    /// A folder that was reached a second time, through a link.
    Repeated(PathBuf),
    /// A split under another name than `train` or `val`.
    RenamedSplit {
        /// The folder.
        folder: PathBuf,
        /// What it is used as.
        used_as: &'static str,
    },
    /// A split without any image of some classes that another split has.
    MissingClasses {
        /// The split.
        split: String,
        /// The classes.
        classes: Vec<String>,
    },
    /// Of a class, no image of a split can be decoded.
    NothingReadable {
        /// The class.
        class: String,
        /// The split.
        split: String,
        /// How many images were tried.
        count: usize,
    },
    /// Masks in a format that changes values.
    LossyMasks {
        /// How many there are.
        count: usize,
        /// The first one.
        first: PathBuf,
    },
    /// Files in `masks/` that belong to no image.
    UnmatchedMasks {
        /// How many there are.
        count: usize,
        /// The first one.
        first: PathBuf,
    },
    /// Files named like masks that lie beside their images and are read as images.
    MasksAmongImages {
        /// How many there are.
        count: usize,
        /// The first one.
        first: PathBuf,
    },
    /// All masks of a class are empty.
    EmptyMasks {
        /// The class.
        class: String,
        /// How many masks it has.
        count: usize,
    },
    /// All masks of a class mark every pixel.
    FullMasks {
        /// The class.
        class: String,
        /// How many masks it has.
        count: usize,
    },
    /// A class has far fewer images than another.
    RareClass {
        /// The rarest class.
        class: String,
        /// How many images it has.
        count: usize,
        /// The most frequent class.
        other: String,
        /// How many images that one has.
        most: usize,
    },
    /// Images so large that reading them takes much memory and time.
    LargeImages {
        /// The largest one that was looked at.
        largest: PathBuf,
        /// Its pixels.
        pixels: u64,
        /// Bytes that reading such images takes, on all threads together.
        bytes: u64,
    },
    /// All pixels of all images have about the same colour.
    OneColour,
    /// Fewer images can be pasted on scenes than was asked for.
    PartlyPasted {
        /// Images with a mask that marks something.
        usable: usize,
        /// All images.
        count: usize,
        /// The share that was asked for.
        asked: f64,
        /// The share that is pasted.
        pasted: f64,
    },
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EmptyMasks { .. }
            | Self::FullMasks { .. }
            | Self::LossyMasks { .. }
            | Self::UnmatchedMasks { .. }
            | Self::MasksAmongImages { .. }
            | Self::PartlyPasted { .. } => self.of_masks(f),
            _ => self.of_folders(f),
        }
    }
}

impl Notice {
    fn of_folders(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IgnoredFiles { kind, count, first } => {
                write!(
                    f,
                    "{count} file(s) left out ({kind}), which are not images; the first: {}",
                    shown(first)
                )
            }
            Self::LooseImages { folder, count } => write!(
                f,
                "{count} image(s) directly in {} belong to no class and are left out; move them into class folders",
                shown(folder)
            ),
            Self::EmptyFolders(folders) => write!(f, "empty class folder(s): {}", listed(folders)),
            Self::SystemFolders { name, count, first } => write!(
                f,
                "{count} hidden or system folder(s) named '{}' left out; the first: {}",
                escaped(name),
                shown(first)
            ),
            Self::UnusedFolders(folders) => {
                write!(f, "folder(s) that are neither a split nor masks, left out: {}", listed(folders))
            }
            Self::RunFolder(path) => write!(f, "{}: the folder of a run, left out", shown(path)),
            Self::Unreadable { path, fault } => {
                write!(f, "{}: cannot be read and is left out ({fault}); check its permissions", shown(path))
            }
            Self::TooDeep(path) => {
                write!(f, "{}: lies too deep below its class folder and is left out", shown(path))
            }
            Self::Repeated(path) => {
                write!(f, "{}: is a link to a folder that was read already, left out", shown(path))
            }
            Self::RenamedSplit { folder, used_as } => {
                write!(f, "{}: is used as the split '{used_as}'", shown(folder))
            }
            Self::MissingClasses { split, classes } => write!(
                f,
                "split '{split}' has no image of {} class(es): {}; what is measured on it says nothing about them",
                classes.len(),
                listed_names(classes)
            ),
            Self::RareClass { class, count, other, most } => write!(
                f,
                "class '{class}' has {count} training image(s), class '{other}' has {most}: balanced sampling (the default) shows those of rare classes more often, but cannot show more than there is; add images"
            ),
            Self::LargeImages { largest, pixels, bytes } => write!(
                f,
                "there are images of up to {:.0} megapixels: reading them takes about {:.1} GB of memory, and time whenever a run starts; copies of 1,024 pixels are enough to learn from; the largest of those looked at: {}",
                *pixels as f64 / 1e6,
                *bytes as f64 / 1e9,
                shown(largest)
            ),
            Self::OneColour => write!(
                f,
                "all pixels of all training images have the same colour: there is nothing to learn from"
            ),
            Self::NothingReadable { class, split, count } => {
                write!(f, "class '{class}': none of its {count} image(s) in split '{split}' can be read")
            }
            _ => Ok(()),
        }
    }

    fn of_masks(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LossyMasks { count, first } => write!(
                f,
                "{count} mask(s) in JPEG format: values above 127 count as marked; PNG would keep them exact; the first: {}",
                shown(first)
            ),
            Self::UnmatchedMasks { count, first } => write!(
                f,
                "{count} file(s) in masks/ match no image; a mask has its image's path below masks/ and its name, or its name with '_mask'; the first: {}",
                shown(first)
            ),
            Self::MasksAmongImages { count, first } => write!(
                f,
                "{count} file(s) named like masks lie beside their images and are read as images; move them below masks/; the first: {}",
                shown(first)
            ),
            Self::EmptyMasks { class, count } => {
                write!(f, "class '{class}': all {count} mask(s) are empty. How masks are read: {MASK_RULE}")
            }
            Self::FullMasks { class, count } => {
                write!(
                    f,
                    "class '{class}': all {count} mask(s) mark every pixel. How masks are read: {MASK_RULE}"
                )
            }
            Self::PartlyPasted { usable, count, asked, pasted } => write!(
                f,
                "{usable} of {count} images have a mask that marks something: {:.0} % of the images are pasted on scenes where {:.0} % were asked for",
                100.0 * pasted,
                100.0 * asked
            ),
            _ => Ok(()),
        }
    }
}

/// Notices as the end of an error's message; empty without any.
pub(super) fn as_ending(notices: &[Notice]) -> String {
    let texts: Vec<String> = notices.iter().map(Notice::to_string).collect();
    match texts.is_empty() {
        true => String::new(),
        false => format!("; found: {}", texts.join("; ")),
    }
}

/// A path without line breaks or other control characters.
pub(super) fn shown(path: &Path) -> String {
    escaped(&path.display().to_string())
}

/// A name without line breaks or other control characters.
fn escaped(name: &str) -> String {
    let escape = |letter: char| match letter.is_control() {
        true => letter.escape_default().to_string(),
        false => letter.to_string(),
    };
    name.chars().map(escape).collect()
}

fn listed(paths: &[PathBuf]) -> String {
    let names: Vec<String> = paths.iter().map(|path| shown(path)).collect();
    listed_names(&names)
}

fn listed_names(names: &[String]) -> String {
    let first: Vec<&str> = names.iter().take(LISTED).map(String::as_str).collect();
    match names.len().saturating_sub(LISTED) {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_a_line_break_stays_on_one_line() {
        let notice = Notice::RunFolder("data/a\nb".into());
        assert_eq!(notice.to_string(), "data/a\\nb: the folder of a run, left out");
    }

    #[test]
    fn a_long_list_is_cut_and_counted() {
        let folders: Vec<PathBuf> = (0..25).map(|index| format!("c{index}").into()).collect();
        let text = Notice::EmptyFolders(folders).to_string();
        assert!(text.contains("c19 and 5 more") && !text.contains("c20"), "{text}");
    }

    #[test]
    fn every_notice_has_a_text() {
        let path = || PathBuf::from("p");
        let name = || "n".to_owned();
        let notices = [
            Notice::IgnoredFiles { kind: ".heic".into(), count: 2, first: path() },
            Notice::LooseImages { folder: path(), count: 2 },
            Notice::SystemFolders { name: name(), count: 2, first: path() },
            Notice::UnusedFolders(vec![path()]),
            Notice::Unreadable { path: path(), fault: name() },
            Notice::TooDeep(path()),
            Notice::Repeated(path()),
            Notice::RenamedSplit { folder: path(), used_as: "val" },
            Notice::MissingClasses { split: name(), classes: vec![name()] },
            Notice::NothingReadable { class: name(), split: name(), count: 2 },
            Notice::LossyMasks { count: 2, first: path() },
            Notice::UnmatchedMasks { count: 2, first: path() },
            Notice::MasksAmongImages { count: 2, first: path() },
            Notice::EmptyMasks { class: name(), count: 2 },
            Notice::FullMasks { class: name(), count: 2 },
            Notice::RareClass { class: name(), count: 1, other: name(), most: 30 },
            Notice::LargeImages { largest: path(), pixels: 90_000_000, bytes: 2_000_000_000 },
            Notice::OneColour,
            Notice::PartlyPasted { usable: 1, count: 2, asked: 1.0, pasted: 0.5 },
        ];
        for notice in notices {
            assert!(notice.to_string().len() > 20, "{notice:?}");
        }
    }
}
