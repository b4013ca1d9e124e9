//! `trainer data report`: what is wrong with a data set before hours go into it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use comet_engine::image::resize;
use comet_engine::model::sha256_hex;
use rayon::prelude::*;
use serde::Serialize;

use super::error::DataError;
use super::item::Item;
use super::mask_rule::{MASK_RULE, MaskRule};
use super::notice::Notice;
use super::sample::{SampleError, read_pair};
use super::set::DataSet;
use super::statistics::Moments;
use super::store::of_masks;

/// A class with less than this share of the largest class is called rare.
const RARE: f64 = 0.2;
/// Mean and deviation are measured on images of at most this side.
const MEASURED_SIDE: u32 = 64;

/// One split in numbers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SplitReport {
    /// Its name.
    pub split: String,
    /// Readable and unreadable images of each class, in the order of the classes.
    pub counts: Vec<usize>,
    /// Images with a mask.
    pub masks: usize,
    /// Marked pixels of the readable masks in percent, the mean over the masks.
    pub marked: Option<f64>,
    /// Masks that mark nothing.
    pub empty_masks: usize,
    /// Masks that mark every pixel.
    pub full_masks: usize,
}

/// What `report` found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DataReport {
    /// The folder.
    pub root: String,
    /// Class names.
    pub classes: Vec<String>,
    /// The splits.
    pub splits: Vec<SplitReport>,
    /// What is left out of the data set and what is probably not meant.
    pub notices: Vec<String>,
    /// Masks by the part of the rule that they were read by.
    pub mask_rules: BTreeMap<&'static str, usize>,
    /// Files that cannot be read, masks of another size included, each with its fault.
    pub unreadable: Vec<String>,
    /// Groups of images with the same pixels: more than one split, or more than one class.
    pub duplicates: Vec<Vec<String>>,
    /// Classes with few training images.
    pub rare: Vec<String>,
    /// Smallest, median and largest width x height.
    pub sizes: Vec<(u32, u32)>,
    /// Mean of the training images, in `[0, 1]`.
    pub mean: [f32; 3],
    /// Their deviation.
    pub std: [f32; 3],
}

/// An image that was looked at.
struct Seen {
    split: String,
    class: usize,
    path: String,
    result: Result<Facts, SampleError>,
}

/// What is kept of an image.
struct Facts {
    hash: String,
    size: (u32, u32),
    moments: Moments,
    /// The marked share of its mask and how that was read.
    mask: Option<(f64, MaskRule)>,
}

/// Reads every image of the data set in `root`.
pub fn report(root: &Path) -> Result<DataReport, DataError> {
    let set = DataSet::scan(root)?;
    let mut seen = Vec::new();
    let mut splits = Vec::new();
    for split in set.splits() {
        let items = set.split(split)?;
        let found: Vec<Seen> = items.par_iter().map(|item| look(split, item)).collect();
        splits.push(split_report(split, set.counts(split)?, items, &found));
        seen.extend(found);
    }
    let mut moments = Moments::default();
    let facts = |seen: &Seen| seen.result.as_ref().ok().map(|facts| facts.moments);
    seen.iter().filter(|seen| seen.split == "train").filter_map(facts).for_each(|part| moments.merge(&part));
    let (mean, std) = moments.mean_and_deviation();
    let mut mask_rules = BTreeMap::new();
    for (_, rule) in masks_of(&seen).map(|(_, mask)| mask) {
        *mask_rules.entry(rule.name()).or_insert(0) += 1;
    }
    Ok(DataReport {
        root: root.display().to_string(),
        notices: notices(&set, &seen).iter().map(Notice::to_string).collect(),
        mask_rules,
        unreadable: seen
            .iter()
            .filter_map(|seen| seen.result.as_ref().err().map(|e| e.to_string()))
            .collect(),
        duplicates: duplicates(&seen),
        rare: rare(&set)?,
        sizes: sizes(&seen),
        classes: set.classes,
        splits,
        mean,
        std,
    })
}

fn look(split: &str, item: &Item) -> Seen {
    let read = || -> Result<Facts, SampleError> {
        let (image, mask) = read_pair(item)?;
        // The pixels, not the file: the same photo saved twice with other metadata is still the same.
        let hash = sha256_hex(image.as_raw());
        let size = image.dimensions();
        let small = (size.0.min(MEASURED_SIDE), size.1.min(MEASURED_SIDE));
        let mut moments = Moments::default();
        moments.add(&resize(&image, (0, 0, size.0, size.1), small));
        Ok(Facts { hash, size, moments, mask: mask.map(|mask| (mask.share(), mask.rule)) })
    };
    Seen { split: split.to_owned(), class: item.class, path: item.path.display().to_string(), result: read() }
}

/// The marked share and rule of each readable mask, with its image.
fn masks_of(seen: &[Seen]) -> impl Iterator<Item = (&Seen, (f64, MaskRule))> {
    seen.iter().filter_map(|seen| Some((seen, seen.result.as_ref().ok()?.mask?)))
}

fn split_report(split: &str, counts: Vec<usize>, items: &[Item], seen: &[Seen]) -> SplitReport {
    let shares: Vec<f64> = masks_of(seen).map(|(_, (share, _))| share).collect();
    let marked = 100.0 * shares.iter().sum::<f64>() / shares.len().max(1) as f64;
    SplitReport {
        split: split.to_owned(),
        counts,
        masks: items.iter().filter(|item| item.mask.is_some()).count(),
        marked: (!shares.is_empty()).then_some(marked),
        empty_masks: shares.iter().filter(|&&share| share <= 0.0).count(),
        full_masks: shares.iter().filter(|&&share| share >= 1.0).count(),
    }
}

/// The notices of the folder and of what was read.
fn notices(set: &DataSet, seen: &[Seen]) -> Vec<Notice> {
    let mut notices = set.notices().to_vec();
    for split in set.splits() {
        let of_split = masks_of(seen).filter(|(seen, _)| seen.split == split);
        notices.extend(of_masks(&set.classes, of_split.map(|(seen, (share, _))| (seen.class, share))));
        for (class, name) in set.classes.iter().enumerate() {
            let of_class = || seen.iter().filter(|seen| seen.split == split && seen.class == class);
            let count = of_class().count();
            if count > 0 && of_class().all(|seen| seen.result.is_err()) {
                let (class, split) = (name.clone(), split.to_owned());
                notices.push(Notice::NothingReadable { class, split, count });
            }
        }
    }
    notices
}

fn sizes(seen: &[Seen]) -> Vec<(u32, u32)> {
    let sizes = seen.iter().filter_map(|seen| seen.result.as_ref().ok().map(|facts| facts.size));
    let mut sizes: Vec<(u32, u32)> = sizes.collect();
    sizes.sort_by_key(|&(width, height)| u64::from(width) * u64::from(height));
    let picked = [sizes.first(), sizes.get(sizes.len() / 2), sizes.last()];
    picked.into_iter().flatten().copied().collect()
}

/// Equal images that leak from one split into another, or that have two classes.
fn duplicates(seen: &[Seen]) -> Vec<Vec<String>> {
    let mut groups: BTreeMap<&str, Vec<&Seen>> = BTreeMap::new();
    for one in seen {
        if let Ok(facts) = &one.result {
            groups.entry(&facts.hash).or_default().push(one);
        }
    }
    let differs = |group: &&Vec<&Seen>| {
        group.windows(2).any(|pair| match pair {
            [a, b] => a.split != b.split || a.class != b.class,
            _ => false,
        })
    };
    let mut found: Vec<Vec<String>> = groups
        .values()
        .filter(differs)
        .map(|group| group.iter().map(|one| one.path.clone()).collect())
        .collect();
    found.sort();
    found
}

fn rare(set: &DataSet) -> Result<Vec<String>, DataError> {
    let counts = match set.counts("train") {
        Ok(counts) => counts,
        Err(DataError::NoSplit { .. }) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let largest = counts.iter().copied().max().unwrap_or(0) as f64;
    let pairs = set.classes.iter().zip(&counts);
    let few = pairs.filter(|&(_, &count)| (count as f64) < RARE * largest);
    Ok(few.map(|(class, count)| format!("{class} ({count})")).collect())
}

fn masks_text(split: &SplitReport) -> String {
    match split.marked {
        Some(marked) => format!(
            "{} with a mask ({marked:.1} % of their pixels marked, {} empty, {} full)",
            split.masks, split.empty_masks, split.full_masks
        ),
        None => format!("{} with a mask", split.masks),
    }
}

impl fmt::Display for DataReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {} classes", self.root, self.classes.len())?;
        for split in &self.splits {
            let total: usize = split.counts.iter().sum();
            writeln!(f, "  split {}: {total} images, {}", split.split, masks_text(split))?;
            let pairs = self.classes.iter().zip(&split.counts);
            let counts: Vec<String> = pairs.map(|(class, count)| format!("{class} {count}")).collect();
            writeln!(f, "    {}", counts.join(", "))?;
        }
        if let [smallest, median, largest] = self.sizes.as_slice() {
            let text = |(width, height): &(u32, u32)| format!("{width} x {height}");
            writeln!(
                f,
                "  sizes: smallest {}, median {}, largest {}",
                text(smallest),
                text(median),
                text(largest)
            )?;
        }
        writeln!(f, "  mean {:.4?}, deviation {:.4?} (train; pixels from 0 to 1)", self.mean, self.std)?;
        let list = |f: &mut fmt::Formatter<'_>, title: &str, lines: Vec<String>| -> fmt::Result {
            writeln!(
                f,
                "  {title}: {}",
                if lines.is_empty() { "none".to_owned() } else { lines.len().to_string() }
            )?;
            lines.iter().try_for_each(|line| writeln!(f, "    {line}"))
        };
        if !self.mask_rules.is_empty() {
            let counts: Vec<String> =
                self.mask_rules.iter().map(|(rule, count)| format!("{count} by '{rule}'")).collect();
            writeln!(f, "  masks: {}. How they are read: {MASK_RULE}", counts.join(", "))?;
        }
        list(f, "notices", self.notices.clone())?;
        list(f, "unreadable files", self.unreadable.clone())?;
        let groups = self.duplicates.iter().map(|group| group.join(" = ")).collect();
        list(f, "the same image in two splits or classes", groups)?;
        list(
            f,
            "rare classes (less than a fifth of the largest; the default sampling shows them more often)",
            self.rare.clone(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{GrayImage, Luma, Rgb, RgbImage};

    #[test]
    fn faults_of_a_data_set_are_named() {
        let root = tempfile::tempdir().unwrap();
        let save = |path: &str, value: u8| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            RgbImage::from_fn(8, 8, |x, _| Rgb([value, x as u8, 0])).save(path).unwrap();
        };
        for index in 0..12 {
            save(&format!("images/train/many/{index}.png"), index);
        }
        save("images/train/few/1.png", 100);
        save("images/val/few/2.png", 100);
        std::fs::write(root.path().join("images/train/many/bad.png"), b"not an image").unwrap();
        let report = report(root.path()).unwrap();
        assert_eq!(report.unreadable.len(), 1);
        assert!(report.unreadable[0].contains("bad.png"), "{:?}", report.unreadable);
        assert_eq!(report.duplicates.len(), 1);
        assert_eq!(report.rare, ["few (1)"]);
        assert!(report.to_string().contains("1.png = "), "{report}");
    }

    #[test]
    fn masks_are_reported_by_their_pixels() {
        let root = tempfile::tempdir().unwrap();
        for (class, value) in [("a", 1), ("b", 0)] {
            for folder in ["train", "masks/train"].map(|folder| root.path().join(folder).join(class)) {
                std::fs::create_dir_all(&folder).unwrap();
                let image = GrayImage::from_fn(8, 8, |x, _| Luma([if x < 2 { value } else { 0 }]));
                image.save(folder.join("1.png")).unwrap();
            }
        }
        std::fs::create_dir_all(root.path().join("val/a")).unwrap();
        RgbImage::new(8, 8).save(root.path().join("val/a/2.png")).unwrap();
        let report = report(root.path()).unwrap();
        let (train, val) = (&report.splits[0], &report.splits[1]);
        assert_eq!((train.masks, train.marked, train.empty_masks), (2, Some(12.5), 1));
        assert_eq!((val.masks, val.marked), (0, None));
        let text = report.to_string();
        for word in [
            "2 with a mask (12.5 % of their pixels marked, 1 empty, 0 full)",
            "class 'b': all 1 mask(s) are empty",
            "split 'val' has no image of 1 class(es): b",
            "masks: 2 by 'not black'. How they are read: ",
        ] {
            assert!(text.contains(word), "{word}: {text}");
        }
    }

    #[test]
    fn a_class_of_which_nothing_can_be_read_is_named() {
        let root = tempfile::tempdir().unwrap();
        for class in ["a", "b"] {
            std::fs::create_dir_all(root.path().join("train").join(class)).unwrap();
        }
        RgbImage::new(8, 8).save(root.path().join("train/a/1.png")).unwrap();
        std::fs::write(root.path().join("train/b/1.png"), b"x").unwrap();
        let report = report(root.path()).unwrap();
        let expected = "class 'b': none of its 1 image(s) in split 'train' can be read";
        assert_eq!(report.notices, [expected]);
        assert_eq!(report.unreadable.len(), 1);
    }
}
