//! Which pictures there are: `images/<split>/<class>/*` with `masks/...`, or plain `<class>/*`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rand::seq::SliceRandom;

use super::generator;

/// Suffixes of pictures, in lower case.
pub const PICTURE_SUFFIXES: [&str; 3] = ["jpg", "jpeg", "png"];
/// Suffixes of masks, in lower case.
pub const MASK_SUFFIXES: [&str; 1] = ["png"];
/// Share of a class that a plain folder gives to validation.
const VALIDATION_SHARE: f64 = 0.2;

/// Why a folder is no data set.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// A folder or file could not be read.
    #[error("{path}: cannot be read ({fault})")]
    Io {
        /// The path.
        path: PathBuf,
        /// The system's words.
        fault: std::io::Error,
    },
    /// No class folder with a picture was found.
    #[error("{0}: no pictures found. Expected {0}/images/<split>/<class>/*.jpg or {0}/<class>/*.jpg")]
    NoPictures(PathBuf),
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
        "{path}: there is one class only ('{class}'); a classifier needs two. Add a folder with pictures of something else"
    )]
    OneClass {
        /// The data set.
        path: PathBuf,
        /// The class.
        class: String,
    },
    /// A class has too few pictures to learn from and to validate on.
    #[error(
        "{path}: class '{class}' has {count} picture(s) in split '{split}'; add more or remove the folder"
    )]
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
    /// Masks were asked for and there are none.
    #[error(
        "{0}: has no masks; pasting on scenes cuts pictures out by their masks (masks/<split>/<class>/<name>.png)"
    )]
    NoMasks(PathBuf),
    /// Every picture of a split is unreadable.
    #[error("{path}: none of the {count} pictures could be read; the first fault: {fault}")]
    NothingReadable {
        /// The data set.
        path: PathBuf,
        /// How many were tried.
        count: usize,
        /// The first one's error.
        fault: String,
    },
}

/// One picture of a data set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The picture.
    pub path: PathBuf,
    /// The mask of the region that decides the class, if there is one.
    pub mask: Option<PathBuf>,
    /// Index into [`DataSet::classes`].
    pub class: usize,
}

/// How the folder is arranged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// `images/<split>/<class>/*`
    Splits,
    /// `<class>/*`, split by us.
    Plain,
}

/// The pictures of a folder by split; classes and pictures are sorted by name.
#[derive(Clone, Debug)]
pub struct DataSet {
    /// The folder.
    pub root: PathBuf,
    /// How it is arranged.
    pub layout: Layout,
    /// Class names, sorted.
    pub classes: Vec<String>,
    splits: BTreeMap<String, Vec<Item>>,
}

impl DataSet {
    /// Lists the folder `root`. In a plain folder a fifth of each class, chosen by `seed`, becomes `val`.
    pub fn scan(root: &Path, seed: u64) -> Result<Self, DataError> {
        let images = root.join("images");
        if images.is_dir() {
            return Self::scan_splits(root, &images);
        }
        let classes = class_folders(root)?;
        let mut train = Vec::new();
        let mut val = Vec::new();
        for (class, (name, folder)) in classes.iter().enumerate() {
            let mut pictures = files(folder, &PICTURE_SUFFIXES)?;
            if pictures.len() < 2 {
                return Err(DataError::TooFew {
                    path: root.to_owned(),
                    class: name.clone(),
                    split: "train + val".into(),
                    count: pictures.len(),
                });
            }
            pictures.shuffle(&mut generator(seed, "split", 0, class));
            let held_out = ((pictures.len() as f64 * VALIDATION_SHARE).round() as usize).max(1);
            for (index, path) in pictures.into_iter().enumerate() {
                let split = if index < held_out { &mut val } else { &mut train };
                split.push(Item { path, mask: None, class });
            }
        }
        train.sort_by(|a: &Item, b: &Item| a.path.cmp(&b.path));
        val.sort_by(|a: &Item, b: &Item| a.path.cmp(&b.path));
        let splits = BTreeMap::from([("train".to_owned(), train), ("val".to_owned(), val)]);
        let classes = classes.into_iter().map(|(name, _)| name).collect();
        Self { root: root.to_owned(), layout: Layout::Plain, classes, splits }.checked()
    }

    fn scan_splits(root: &Path, images: &Path) -> Result<Self, DataError> {
        let mut names = BTreeMap::new();
        let mut found = Vec::new();
        for (split, folder) in folders(images)? {
            for (class, folder) in folders(&folder)? {
                let pictures = files(&folder, &PICTURE_SUFFIXES)?;
                if pictures.is_empty() {
                    continue;
                }
                names.insert(class.clone(), 0usize);
                let masks = root.join("masks").join(&split).join(&class);
                found.push((split.clone(), class, pictures, masks));
            }
        }
        for (index, slot) in names.values_mut().enumerate() {
            *slot = index;
        }
        let mut splits: BTreeMap<String, Vec<Item>> = BTreeMap::new();
        for (split, class, pictures, masks) in found {
            let class = names.get(&class).copied().unwrap_or_default();
            let items = pictures.into_iter().map(|path| {
                let mask = mask_of(&path, &masks);
                Item { path, mask, class }
            });
            splits.entry(split).or_default().extend(items);
        }
        let classes = names.into_keys().collect();
        Self { root: root.to_owned(), layout: Layout::Splits, classes, splits }.checked()
    }

    fn checked(self) -> Result<Self, DataError> {
        match self.classes.as_slice() {
            [] => Err(DataError::NoPictures(self.root)),
            [class] => Err(DataError::OneClass { class: class.clone(), path: self.root }),
            _ => Ok(self),
        }
    }

    /// Names of the splits.
    pub fn splits(&self) -> impl Iterator<Item = &str> {
        self.splits.keys().map(String::as_str)
    }

    /// The pictures of a split.
    pub fn split(&self, name: &str) -> Result<&[Item], DataError> {
        let items = self.splits.get(name).map(Vec::as_slice);
        items.ok_or_else(|| DataError::NoSplit {
            path: self.root.clone(),
            split: name.to_owned(),
            found: self.splits().collect::<Vec<_>>().join(", "),
        })
    }

    /// The pictures of a split with the class indices of a model; a class that the model does not know is an error.
    pub fn split_for(&self, name: &str, classes: &[String]) -> Result<Vec<Item>, DataError> {
        let index_of = |class: &String| {
            classes.iter().position(|known| known == class).ok_or_else(|| DataError::UnknownClass {
                path: self.root.clone(),
                class: class.clone(),
                known: classes.join(", "),
            })
        };
        let indices = self.classes.iter().map(index_of).collect::<Result<Vec<_>, _>>()?;
        let items = self.split(name)?.iter().cloned();
        Ok(items
            .map(|item| Item { class: indices.get(item.class).copied().unwrap_or_default(), ..item })
            .collect())
    }

    /// How many pictures of each class a split holds.
    pub fn counts(&self, split: &str) -> Result<Vec<usize>, DataError> {
        Ok(self.count(self.split(split)?))
    }

    fn count(&self, items: &[Item]) -> Vec<usize> {
        let mut counts = vec![0; self.classes.len()];
        for item in items {
            if let Some(count) = counts.get_mut(item.class) {
                *count += 1;
            }
        }
        counts
    }

    /// An error if a class has no picture among `items`, the readable ones of `split`.
    pub fn require_every_class_in(&self, split: &str, items: &[Item]) -> Result<(), DataError> {
        let counts = self.count(items);
        match self.classes.iter().zip(counts).find(|(_, count)| *count == 0) {
            Some((class, count)) => Err(DataError::TooFew {
                path: self.root.clone(),
                class: class.clone(),
                split: split.to_owned(),
                count,
            }),
            None => Ok(()),
        }
    }
}

fn mask_of(picture: &Path, masks: &Path) -> Option<PathBuf> {
    let stem = picture.file_stem()?;
    MASK_SUFFIXES
        .iter()
        .map(|suffix| masks.join(stem).with_added_extension(suffix))
        .find(|path| path.is_file())
}

fn class_folders(root: &Path) -> Result<Vec<(String, PathBuf)>, DataError> {
    let mut classes = Vec::new();
    for (name, folder) in folders(root)? {
        if !files(&folder, &PICTURE_SUFFIXES)?.is_empty() {
            classes.push((name, folder));
        }
    }
    Ok(classes)
}

/// Sub-folders by name; hidden ones are left out.
fn folders(path: &Path) -> Result<Vec<(String, PathBuf)>, DataError> {
    let mut found = entries(path)?;
    found.retain(|(name, path)| !name.starts_with('.') && path.is_dir());
    Ok(found)
}

/// Files with one of the suffixes, sorted.
pub(super) fn files(path: &Path, suffixes: &[&str]) -> Result<Vec<PathBuf>, DataError> {
    let matches = |path: &Path| {
        let suffix = path.extension().and_then(|suffix| suffix.to_str());
        suffix.is_some_and(|suffix| suffixes.contains(&suffix.to_ascii_lowercase().as_str()))
    };
    let found = entries(path)?.into_iter();
    Ok(found
        .filter(|(name, path)| !name.starts_with('.') && matches(path) && path.is_file())
        .map(|(_, path)| path)
        .collect())
}

fn entries(path: &Path) -> Result<Vec<(String, PathBuf)>, DataError> {
    let io = |fault| DataError::Io { path: path.to_owned(), fault };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path).map_err(io)? {
        let entry = entry.map_err(io)?;
        found.push((entry.file_name().to_string_lossy().into_owned(), entry.path()));
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(root: &Path, path: &str) {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, b"x").unwrap();
    }

    #[test]
    fn a_folder_with_splits_keeps_them_and_finds_masks() {
        let root = tempfile::tempdir().unwrap();
        for path in ["images/train/a/1.jpg", "images/train/b/2.png", "images/val/a/3.JPG"] {
            touch(root.path(), path);
        }
        touch(root.path(), "masks/train/b/2.png");
        touch(root.path(), "images/train/a/notes.txt");
        let set = DataSet::scan(root.path(), 0).unwrap();
        assert_eq!((set.layout, set.classes.as_slice()), (Layout::Splits, &["a".into(), "b".into()][..]));
        let train = set.split("train").unwrap();
        assert_eq!(train.len(), 2);
        assert!(train[0].mask.is_none() && train[1].mask.is_some());
        assert_eq!(set.counts("val").unwrap(), [1, 0]);
        let error = set.split("test").unwrap_err().to_string();
        assert!(error.contains("'test'") && error.contains("train, val"), "{error}");
    }

    #[test]
    fn a_plain_folder_is_split_by_class_and_seed() {
        let root = tempfile::tempdir().unwrap();
        for class in ["cat", "dog"] {
            for index in 0..10 {
                touch(root.path(), &format!("{class}/{index}.jpg"));
            }
        }
        let set = DataSet::scan(root.path(), 7).unwrap();
        assert_eq!(set.counts("val").unwrap(), [2, 2]);
        let again = DataSet::scan(root.path(), 7).unwrap();
        assert_eq!(set.split("val").unwrap(), again.split("val").unwrap());
        let other = DataSet::scan(root.path(), 8).unwrap();
        assert_ne!(set.split("val").unwrap(), other.split("val").unwrap());
    }

    #[test]
    fn faults_name_the_folder_and_the_class() {
        let root = tempfile::tempdir().unwrap();
        assert!(matches!(DataSet::scan(root.path(), 0), Err(DataError::NoPictures(_))));
        touch(root.path(), "only/1.jpg");
        touch(root.path(), "only/2.jpg");
        assert!(matches!(DataSet::scan(root.path(), 0), Err(DataError::OneClass { .. })));
        touch(root.path(), "single/1.jpg");
        let error = DataSet::scan(root.path(), 0).unwrap_err().to_string();
        assert!(error.contains("'single' has 1 picture"), "{error}");
    }
}
