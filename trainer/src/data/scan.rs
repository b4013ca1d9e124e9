//! From a folder to classes, splits and notices.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::error::DataError;
use super::findings::Findings;
use super::item::Item;
use super::layout::{ClassFolder, Layout, arrange};
use super::masks::{self, MaskIndex};
use super::notice::{Notice, as_ending};
use super::split::held_out;
use super::walk::{self, Content};

/// What a folder holds.
#[derive(Clone, Debug)]
pub(super) struct Scanned {
    /// How it is arranged.
    pub(super) layout: Layout,
    /// Class names, sorted.
    pub(super) classes: Vec<String>,
    /// The images by split, sorted by class and path.
    pub(super) splits: BTreeMap<String, Vec<Item>>,
    /// What was left out and what is odd.
    pub(super) notices: Vec<Notice>,
}

/// A class folder with the images in it.
struct Class {
    folder: ClassFolder,
    images: Vec<PathBuf>,
}

/// Lists the folder `root`.
pub(super) fn scan(root: &Path) -> Result<Scanned, DataError> {
    let mut findings = Findings::default();
    let arrangement = arrange(root, &mut findings)?;
    let above = if arrangement.layout == Layout::Splits { 2 } else { 1 };
    let mut masks = match &arrangement.masks {
        Some(folder) => MaskIndex::read(folder, above, &mut findings),
        None => MaskIndex::default(),
    };
    let mut found = Vec::new();
    for folder in arrangement.folders {
        let content = walk::content(&folder.path, &mut findings);
        found.extend(class(folder, content, &mut findings)?);
    }
    note_masks_among_images(&found, &mut findings);

    let names: BTreeSet<String> = found.iter().map(|class| class.folder.class.clone()).collect();
    let classes: Vec<String> = names.into_iter().collect();
    let mut splits: BTreeMap<String, Vec<Item>> = BTreeMap::new();
    for Class { folder, images } in found {
        let class = classes.binary_search(&folder.class).unwrap_or_default();
        let names = splits_of(root, &folder, &images)?;
        for (split, path) in names.into_iter().zip(images) {
            let mask = path.strip_prefix(&arrangement.base).ok().and_then(|relative| masks.take(relative));
            splits.entry(split).or_default().push(Item { path, mask, class });
        }
    }
    masks.finish(&mut findings);
    note_missing_classes(&classes, &splits, &mut findings);
    let notices = findings.into_notices();
    match classes.as_slice() {
        [] => Err(DataError::NoImages { path: root.to_owned(), found: as_ending(&notices) }),
        [class] => Err(DataError::OneClass {
            path: root.to_owned(),
            class: class.clone(),
            found: as_ending(&notices),
        }),
        _ => Ok(Scanned { layout: arrangement.layout, classes, splits, notices }),
    }
}

/// The class of a folder; nothing if the folder is empty or cannot be read, which is noted.
fn class(folder: ClassFolder, content: Content, findings: &mut Findings) -> Result<Option<Class>, DataError> {
    if content.is_empty() {
        findings.empty_folder(&folder.path);
        return Ok(None);
    }
    if !content.images.is_empty() {
        return Ok(Some(Class { folder, images: content.images }));
    }
    // What could not be searched may hold the images; it is named already.
    if content.incomplete {
        return Ok(None);
    }
    let counts = content.others.iter().map(|(kind, count)| format!("{count} {kind}"));
    let found = counts.collect::<Vec<_>>().join(", ");
    Err(DataError::NoImagesInClass { path: folder.path, class: folder.class, found })
}

/// The split of each image of a class folder.
fn splits_of(root: &Path, folder: &ClassFolder, images: &[PathBuf]) -> Result<Vec<String>, DataError> {
    if let Some(split) = &folder.split {
        return Ok(vec![split.clone(); images.len()]);
    }
    if images.len() < 2 {
        return Err(DataError::TooFew {
            path: root.to_owned(),
            class: folder.class.clone(),
            split: "train + val".into(),
            count: images.len(),
        });
    }
    let names: Vec<String> = images.iter().map(|path| relative_name(root, path)).collect();
    let split = |held: bool| if held { "val" } else { "train" };
    Ok(held_out(&names).into_iter().map(|held| split(held).to_owned()).collect())
}

/// A path below `root` with the same text on every system.
fn relative_name(root: &Path, path: &Path) -> String {
    let relative = path.strip_prefix(root).unwrap_or(path);
    let parts: Vec<String> = relative.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    parts.join("/")
}

fn note_masks_among_images(found: &[Class], findings: &mut Findings) {
    let masks: Vec<&PathBuf> = found.iter().flat_map(|class| masks::among_images(&class.images)).collect();
    if let Some(&first) = masks.first() {
        findings.add(Notice::MasksAmongImages { count: masks.len(), first: first.clone() });
    }
}

fn note_missing_classes(classes: &[String], splits: &BTreeMap<String, Vec<Item>>, findings: &mut Findings) {
    for (split, items) in splits {
        let there: BTreeSet<usize> = items.iter().map(|item| item.class).collect();
        let missing = classes.iter().enumerate().filter(|(class, _)| !there.contains(class));
        let missing: Vec<String> = missing.map(|(_, name)| name.clone()).collect();
        if !missing.is_empty() {
            findings.add(Notice::MissingClasses { split: split.clone(), classes: missing });
        }
    }
}
