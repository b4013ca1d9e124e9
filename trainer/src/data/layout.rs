//! How a data set's folders are arranged, and which of them are classes.

use std::path::{Path, PathBuf};

use super::error::DataError;
use super::findings::Findings;
use super::notice::Notice;
use super::walk::{self, Entry};

/// Folder names that mean a split where there is no folder `images`.
const SPLIT_NAMES: [&str; 7] = ["train", "training", "val", "valid", "validation", "test", "testing"];
/// Names that other programs give to the splits that are trained and validated on.
const OTHER_NAMES: [(&str, &str); 3] = [("training", "train"), ("valid", "val"), ("validation", "val")];

/// How the folder is arranged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// `images/<split>/<class>/*` or `<split>/<class>/*`.
    Splits,
    /// `<class>/*`; the images are split by their names.
    Plain,
}

/// A folder with the images of one class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ClassFolder {
    /// The split; nothing in a plain folder.
    pub(super) split: Option<String>,
    /// The class.
    pub(super) class: String,
    /// Where its images are.
    pub(super) path: PathBuf,
}

/// The class folders of a data set.
#[derive(Clone, Debug)]
pub(super) struct Arrangement {
    /// How they are arranged.
    pub(super) layout: Layout,
    /// The folder that the splits or classes lie in; the masks lie at the same paths below `masks`.
    pub(super) base: PathBuf,
    /// The class folders by split, sorted.
    pub(super) folders: Vec<ClassFolder>,
    /// The folder with masks, if there is one.
    pub(super) masks: Option<PathBuf>,
}

/// Finds out how `root` is arranged. Only `root` itself, or its `images`, must be readable.
pub(super) fn arrange(root: &Path, findings: &mut Findings) -> Result<Arrangement, DataError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |fault: std::io::Error| DataError::Io { path, fault }
    };
    let top = walk::entries(root, findings).map_err(io(root))?;
    let masks = root.join("masks");
    let images = root.join("images");
    if top.iter().any(|entry| entry.is_folder && entry.path == images) {
        let unused = top.iter().filter(|entry| ![&images, &masks].contains(&&entry.path));
        note_unused(unused, findings);
        note_loose(root, &top, findings);
        let splits = walk::entries(&images, findings).map_err(io(&images))?;
        let folders = split_folders(&images, &splits, findings)?;
        let masks = Some(masks).filter(|masks| masks.is_dir());
        return Ok(Arrangement { layout: Layout::Splits, base: images, folders, masks });
    }
    if has_splits(&top) {
        let is_split = |entry: &&Entry| entry.is_folder && SPLIT_NAMES.contains(&name_of(entry).as_str());
        let splits: Vec<Entry> = top.iter().filter(is_split).cloned().collect();
        let unused = top.iter().filter(|entry| !splits.iter().any(|split| split.path == entry.path));
        note_unused(unused.filter(|entry| entry.path != masks), findings);
        note_loose(root, &top, findings);
        let folders = split_folders(root, &splits, findings)?;
        let masks = Some(masks).filter(|masks| masks.is_dir());
        return Ok(Arrangement { layout: Layout::Splits, base: root.to_owned(), folders, masks });
    }
    note_loose(root, &top, findings);
    // A class may be called "masks"; masks lie in folders that are named like classes.
    let masks = Some(masks).filter(|masks| {
        let others = top.iter().filter(|entry| entry.is_folder && entry.path != *masks);
        others.filter_map(|entry| entry.path.file_name()).any(|class| masks.join(class).is_dir())
    });
    let mut folders = Vec::new();
    for entry in top.iter().filter(|entry| entry.is_folder && Some(&entry.path) != masks.as_ref()) {
        let class = checked_name(entry)?;
        folders.push(ClassFolder { split: None, class, path: entry.path.clone() });
    }
    Ok(Arrangement { layout: Layout::Plain, base: root.to_owned(), folders, masks })
}

/// Whether `train` and another split lie side by side, or nothing but splits do, each with folders and without
/// images of its own: a class may be called "train", too.
fn has_splits(top: &[Entry]) -> bool {
    let folders = || top.iter().filter(|entry| entry.is_folder).map(|entry| (name_of(entry), entry));
    // Where nothing but splits lies, loose images and a test split without classes change nothing.
    let only_splits = folders().all(|(name, _)| name == "masks" || SPLIT_NAMES.contains(&name.as_str()));
    let splits: Vec<String> = folders()
        .filter(|(name, _)| SPLIT_NAMES.contains(&name.as_str()))
        .filter(|(_, entry)| holds_folders(&entry.path, only_splits))
        .map(|(name, _)| name)
        .collect();
    let trains = splits.iter().any(|name| name == "train" || name == "training");
    trains && (splits.len() > 1 || only_splits)
}

fn holds_folders(folder: &Path, may_hold_images: bool) -> bool {
    // What is left out here is counted when the folder is read for its classes.
    let entries = walk::entries(folder, &mut Findings::default()).unwrap_or_default();
    entries.iter().any(|entry| entry.is_folder) && (may_hold_images || !entries.iter().any(Entry::is_image))
}

fn split_folders(
    base: &Path,
    splits: &[Entry],
    findings: &mut Findings,
) -> Result<Vec<ClassFolder>, DataError> {
    note_loose(base, splits, findings);
    let mut folders = Vec::new();
    for entry in splits.iter().filter(|entry| entry.is_folder) {
        let mut split = checked_name(entry)?;
        if let Some((_, used_as)) = OTHER_NAMES.into_iter().find(|(other, _)| *other == split)
            && !base.join(used_as).is_dir()
            && !folders.iter().any(|folder: &ClassFolder| folder.split.as_deref() == Some(used_as))
        {
            findings.add(Notice::RenamedSplit { folder: entry.path.clone(), used_as });
            split = used_as.to_owned();
        }
        match walk::entries(&entry.path, findings) {
            Ok(classes) => {
                note_loose(&entry.path, &classes, findings);
                for class in classes.iter().filter(|class| class.is_folder) {
                    let name = checked_name(class)?;
                    let path = class.path.clone();
                    folders.push(ClassFolder { split: Some(split.clone()), class: name, path });
                }
            }
            Err(fault) => findings.unreadable(&entry.path, &fault),
        }
    }
    Ok(folders)
}

fn note_unused<'a>(entries: impl Iterator<Item = &'a Entry>, findings: &mut Findings) {
    let folders: Vec<PathBuf> =
        entries.filter(|entry| entry.is_folder).map(|entry| entry.path.clone()).collect();
    if !folders.is_empty() {
        findings.add(Notice::UnusedFolders(folders));
    }
}

/// Notes images where class folders are expected.
fn note_loose(folder: &Path, entries: &[Entry], findings: &mut Findings) {
    let count = entries.iter().filter(|entry| entry.is_image()).count();
    if count > 0 {
        findings.add(Notice::LooseImages { folder: folder.to_owned(), count });
    }
}

fn name_of(entry: &Entry) -> String {
    entry.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// A folder's name as that of a split or class: it is printed, and stored in model files.
fn checked_name(entry: &Entry) -> Result<String, DataError> {
    let name = entry.path.file_name().unwrap_or_default();
    match name.to_str() {
        Some(text) if !text.chars().any(char::is_control) => Ok(text.to_owned()),
        _ => Err(DataError::Name {
            parent: entry.path.parent().map(Path::to_owned).unwrap_or_default(),
            name: format!("{name:?}"),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folders(root: &Path, paths: &[&str]) {
        for path in paths {
            std::fs::create_dir_all(root.join(path)).unwrap();
        }
    }

    fn arranged(root: &Path) -> (Arrangement, Vec<String>) {
        let mut findings = Findings::default();
        let arrangement = arrange(root, &mut findings).unwrap();
        (arrangement, findings.into_notices().iter().map(Notice::to_string).collect())
    }

    fn names(arrangement: &Arrangement) -> Vec<String> {
        let name = |folder: &ClassFolder| match &folder.split {
            Some(split) => format!("{split}/{}", folder.class),
            None => folder.class.clone(),
        };
        arrangement.folders.iter().map(name).collect()
    }

    #[test]
    fn splits_are_accepted_without_a_folder_images() {
        let root = tempfile::tempdir().unwrap();
        folders(root.path(), &["train/cat", "train/dog", "valid/cat", "masks/train/cat", "annotations"]);
        let (arrangement, notices) = arranged(root.path());
        assert_eq!(arrangement.layout, Layout::Splits);
        assert_eq!(names(&arrangement), ["train/cat", "train/dog", "val/cat"]);
        assert_eq!(arrangement.masks, Some(root.path().join("masks")));
        let text = notices.join("\n");
        assert!(text.contains("is used as the split 'val'") && text.contains("annotations"), "{text}");
    }

    #[test]
    fn classes_named_train_and_masks_stay_classes() {
        let root = tempfile::tempdir().unwrap();
        folders(root.path(), &["bus", "masks", "train/2023", "test/2023"]);
        std::fs::write(root.path().join("train/1.jpg"), b"x").unwrap();
        std::fs::write(root.path().join("test/1.jpg"), b"x").unwrap();
        let (arrangement, notices) = arranged(root.path());
        assert_eq!(arrangement.layout, Layout::Plain);
        assert_eq!(names(&arrangement), ["bus", "masks", "test", "train"]);
        assert!(notices.is_empty(), "{notices:?}");
    }

    #[test]
    fn masks_of_a_plain_folder_are_not_a_class() {
        let root = tempfile::tempdir().unwrap();
        folders(root.path(), &["bus", "car", "masks/bus"]);
        let (arrangement, _) = arranged(root.path());
        assert_eq!(names(&arrangement), ["bus", "car"]);
        assert_eq!(arrangement.masks, Some(root.path().join("masks")));
    }

    #[test]
    fn images_that_belong_to_no_class_are_counted() {
        let root = tempfile::tempdir().unwrap();
        folders(root.path(), &["images/train/cat"]);
        for path in ["1.jpg", "images/2.jpg", "images/train/3.jpg", "images/train/4.jpg"] {
            std::fs::write(root.path().join(path), b"x").unwrap();
        }
        let text = arranged(root.path()).1.join("\n");
        assert_eq!(text.matches("1 image(s) directly in").count(), 2, "{text}");
        assert!(text.contains("2 image(s) directly in"), "{text}");
    }

    #[test]
    fn a_class_name_with_a_line_break_is_refused() {
        let root = tempfile::tempdir().unwrap();
        folders(root.path(), &["cat", "do\ng"]);
        let error = arrange(root.path(), &mut Findings::default()).unwrap_err().to_string();
        assert!(error.contains("\"do\\ng\"") && !error.contains('\n'), "{error}");
    }

    #[test]
    fn a_test_split_without_classes_and_loose_images_make_no_classes_of_splits() {
        let root = tempfile::tempdir().unwrap();
        folders(root.path(), &["train/cat", "train/dog", "test"]);
        for path in ["test/1.jpg", "train/stray.jpg"] {
            std::fs::write(root.path().join(path), b"x").unwrap();
        }
        let (arrangement, notices) = arranged(root.path());
        assert_eq!(arrangement.layout, Layout::Splits);
        assert_eq!(names(&arrangement), ["train/cat", "train/dog"]);
        assert_eq!(notices.len(), 2, "{notices:?}");
    }
}
