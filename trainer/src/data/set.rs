//! A data set: `images/<split>/<class>/*` with `masks/...`, `<split>/<class>/*`, or plain `<class>/*`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::error::DataError;
use super::item::Item;
use super::layout::Layout;
use super::notice::Notice;
use super::scan::scan;

/// A class with fewer than one image in this many of another class is named.
const RARE: usize = 20;

/// The images of a folder by split; classes and images are sorted by name.
#[derive(Clone, Debug)]
pub struct DataSet {
    /// The folder.
    pub root: PathBuf,
    /// How it is arranged.
    pub layout: Layout,
    /// Class names, sorted.
    pub classes: Vec<String>,
    splits: BTreeMap<String, Vec<Item>>,
    notices: Vec<Notice>,
}

impl DataSet {
    /// Lists the folder `root`. In a plain folder about a fifth of each class, chosen by a hash of each image's
    /// path below `root`, becomes `val`: the same images in every run.
    pub fn scan(root: &Path) -> Result<Self, DataError> {
        let found = scan(root)?;
        Ok(Self {
            root: root.to_owned(),
            layout: found.layout,
            classes: found.classes,
            splits: found.splits,
            notices: found.notices,
        })
    }

    /// What was left out, and what is probably not meant.
    pub fn notices(&self) -> &[Notice] {
        &self.notices
    }

    /// Names of the splits.
    pub fn splits(&self) -> impl Iterator<Item = &str> {
        self.splits.keys().map(String::as_str)
    }

    /// The images of a split.
    pub fn split(&self, name: &str) -> Result<&[Item], DataError> {
        let items = self.splits.get(name).map(Vec::as_slice);
        items.ok_or_else(|| DataError::NoSplit {
            path: self.root.clone(),
            split: name.to_owned(),
            found: self.splits().collect::<Vec<_>>().join(", "),
        })
    }

    /// The images of a split with the class indices of a model; a class that the model does not know is an error.
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

    /// How many images of each class a split holds.
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

    /// A notice if the rarest class among `items` has less than a twentieth of the images of the most frequent one.
    pub fn rare_class(&self, items: &[Item]) -> Option<Notice> {
        let counts = self.count(items);
        let counted = || self.classes.iter().zip(&counts).map(|(class, &count)| (count, class));
        let ((count, class), (most, other)) = (counted().min()?, counted().max()?);
        (count.saturating_mul(RARE) < most).then(|| Notice::RareClass {
            class: class.clone(),
            count,
            other: other.clone(),
            most,
        })
    }

    /// An error if a class has no image among `items`, the readable ones of `split`.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(root: &Path, path: &str) {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, b"x").unwrap();
    }

    fn notices(set: &DataSet) -> String {
        set.notices().iter().map(|notice| format!("{notice}\n")).collect()
    }

    #[test]
    fn a_folder_with_splits_keeps_them_and_finds_masks() {
        let root = tempfile::tempdir().unwrap();
        for path in ["images/train/a/1.jpg", "images/train/b/2.png", "images/val/a/3.JPG"] {
            touch(root.path(), path);
        }
        touch(root.path(), "masks/train/b/2.png");
        touch(root.path(), "images/train/a/notes.txt");
        let set = DataSet::scan(root.path()).unwrap();
        assert_eq!((set.layout, set.classes.as_slice()), (Layout::Splits, &["a".into(), "b".into()][..]));
        let train = set.split("train").unwrap();
        assert_eq!(train.len(), 2);
        assert!(train[0].mask.is_none() && train[1].mask.is_some());
        assert_eq!(set.counts("val").unwrap(), [1, 0]);
        let error = set.split("test").unwrap_err().to_string();
        assert!(error.contains("'test'") && error.contains("train, val"), "{error}");
    }

    #[test]
    fn splits_without_a_folder_images_are_read_with_their_masks() {
        let root = tempfile::tempdir().unwrap();
        for path in ["train/a/1.jpg", "train/b/sub/2.jpg", "val/a/3.jpg", "masks/train/b/sub/2_mask.png"] {
            touch(root.path(), path);
        }
        let set = DataSet::scan(root.path()).unwrap();
        assert_eq!(set.layout, Layout::Splits);
        assert_eq!(
            set.split("train").unwrap()[1].mask,
            Some(root.path().join("masks/train/b/sub/2_mask.png"))
        );
    }

    #[test]
    fn a_plain_folder_is_split_the_same_way_every_time() {
        let root = tempfile::tempdir().unwrap();
        for class in ["cat", "dog"] {
            for index in 0..10 {
                touch(root.path(), &format!("{class}/{index}.jpg"));
            }
        }
        let set = DataSet::scan(root.path()).unwrap();
        assert_eq!((set.counts("train").unwrap(), set.counts("val").unwrap()), (vec![9, 8], vec![1, 2]));
        let held = |set: &DataSet| -> Vec<String> {
            let items = set.split("val").unwrap().iter();
            let relative = items.map(|item| item.path.strip_prefix(&set.root).unwrap());
            relative.map(|path| path.display().to_string()).collect()
        };
        assert_eq!(held(&set), ["cat/3.jpg", "dog/6.jpg", "dog/9.jpg"]);
        touch(root.path(), "cat/another.jpg");
        let after = held(&DataSet::scan(root.path()).unwrap());
        assert_eq!(after.iter().filter(|path| !path.contains("another")).count(), 3, "{after:?}");
    }

    #[test]
    fn faults_name_the_folder_and_the_class() {
        let root = tempfile::tempdir().unwrap();
        assert!(matches!(DataSet::scan(root.path()), Err(DataError::NoImages { .. })));
        touch(root.path(), "only/1.jpg");
        touch(root.path(), "only/2.jpg");
        assert!(matches!(DataSet::scan(root.path()), Err(DataError::OneClass { .. })));
        touch(root.path(), "single/1.jpg");
        let error = DataSet::scan(root.path()).unwrap_err().to_string();
        assert!(error.contains("'single' has 1 image"), "{error}");
    }

    #[test]
    fn a_class_that_is_rarer_than_one_in_twenty_is_named() {
        let root = tempfile::tempdir().unwrap();
        touch(root.path(), "train/rare/1.jpg");
        for index in 0..20 {
            touch(root.path(), &format!("train/often/{index}.jpg"));
        }
        let rare = |root: &Path| {
            let set = DataSet::scan(root).unwrap();
            set.rare_class(set.split("train").unwrap())
        };
        assert_eq!(rare(root.path()), None);
        touch(root.path(), "train/often/20.jpg");
        let expected = Notice::RareClass { class: "rare".into(), count: 1, other: "often".into(), most: 21 };
        assert_eq!(rare(root.path()), Some(expected));
    }

    #[test]
    fn images_in_sub_folders_and_other_formats_are_not_lost() {
        let root = tempfile::tempdir().unwrap();
        for path in ["bird/2023/1.jpg", "bird/2024/may/2.jpg", "cat/1.webp", "cat/2.WEBP", "dog/1.jpg"] {
            touch(root.path(), path);
        }
        touch(root.path(), "dog/2.bmp");
        std::fs::create_dir(root.path().join("empty")).unwrap();
        let set = DataSet::scan(root.path()).unwrap();
        assert_eq!(set.classes, ["bird", "cat", "dog"]);
        let all = ["train", "val"].map(|split| set.split(split).unwrap().len());
        assert_eq!(all.iter().sum::<usize>(), 6);
        let text = notices(&set);
        assert!(text.contains("empty class folder(s): ") && text.contains("/empty"), "{text}");
    }

    #[test]
    fn a_class_folder_without_any_image_is_an_error_that_says_what_is_there() {
        let root = tempfile::tempdir().unwrap();
        for path in ["cat/1.jpg", "cat/2.jpg", "dog/1.jpg", "dog/2.jpg", "bird/a/1.heic", "bird/2.HEIC"] {
            touch(root.path(), path);
        }
        touch(root.path(), "bird/list.txt");
        let error = DataSet::scan(root.path()).unwrap_err().to_string();
        assert!(error.contains("class 'bird'") && error.contains("2 .heic, 1 .txt"), "{error}");
    }

    #[test]
    fn a_split_that_lacks_a_class_is_named() {
        let root = tempfile::tempdir().unwrap();
        for path in ["train/a/1.jpg", "train/b/2.jpg", "val/a/3.jpg", "val/c/4.jpg"] {
            touch(root.path(), path);
        }
        let text = notices(&DataSet::scan(root.path()).unwrap());
        assert!(text.contains("split 'val' has no image of 1 class(es): b;"), "{text}");
        assert!(text.contains("split 'train' has no image of 1 class(es): c;"), "{text}");
    }

    #[test]
    fn masks_of_a_plain_folder_are_used_and_odd_ones_are_named() {
        let root = tempfile::tempdir().unwrap();
        for path in ["a/1.jpg", "a/2.jpg", "b/1.jpg", "b/2.jpg", "b/1_mask.png"] {
            touch(root.path(), path);
        }
        for path in ["masks/a/1.png", "masks/a/9.png", "masks/b/2.jpg"] {
            touch(root.path(), path);
        }
        let set = DataSet::scan(root.path()).unwrap();
        assert_eq!(set.classes, ["a", "b"]);
        let masks = ["train", "val"]
            .map(|split| set.split(split).unwrap().iter().filter(|item| item.mask.is_some()).count());
        assert_eq!(masks.iter().sum::<usize>(), 2);
        let text = notices(&set);
        for word in ["1 file(s) in masks/ match no image", "1 mask(s) in JPEG", "named like masks lie beside"]
        {
            assert!(text.contains(word), "{word}: {text}");
        }
    }
}
