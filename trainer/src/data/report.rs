//! `trainer data report`: what is wrong with a data set before hours go into it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use comet_edge::image::{read_rgb, resize};
use comet_edge::model::sha256_hex;
use image::RgbImage;
use rayon::prelude::*;
use serde::Serialize;

use super::folder::{DataError, DataSet, Item};
use super::statistics::mean_and_deviation;

/// A class with less than this share of the largest class is called rare.
const RARE: f64 = 0.2;
/// Mean and deviation are measured on pictures of at most this side.
const MEASURED_SIDE: u32 = 64;

/// One split in numbers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SplitReport {
    /// Its name.
    pub split: String,
    /// Readable and unreadable pictures of each class, in the order of the classes.
    pub counts: Vec<usize>,
    /// Pictures with a mask.
    pub masks: usize,
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
    /// Files that cannot be read, masks of another size included, each with its fault.
    pub unreadable: Vec<String>,
    /// Groups of pictures with the same bytes: more than one split, or more than one class.
    pub duplicates: Vec<Vec<String>>,
    /// Classes with few training pictures.
    pub rare: Vec<String>,
    /// Smallest, median and largest width x height.
    pub sizes: Vec<(u32, u32)>,
    /// Mean of the training pictures, in `[0, 1]`.
    pub mean: [f32; 3],
    /// Their deviation.
    pub std: [f32; 3],
}

struct Seen {
    split: String,
    class: usize,
    path: String,
    result: Result<(String, (u32, u32), RgbImage), String>,
}

/// Reads every picture of the data set in `root`.
pub fn report(root: &Path) -> Result<DataReport, DataError> {
    let set = DataSet::scan(root, 0)?;
    let names: Vec<String> = set.splits().map(str::to_owned).collect();
    let mut seen = Vec::new();
    let mut splits = Vec::new();
    for split in &names {
        let items = set.split(split)?;
        splits.push(SplitReport {
            split: split.clone(),
            counts: set.counts(split)?,
            masks: items.iter().filter(|item| item.mask.is_some()).count(),
        });
        seen.par_extend(items.par_iter().map(|item| look(split, item)));
    }
    let training = seen.iter().filter(|seen| seen.split == "train");
    let pictures = training.filter_map(|seen| seen.result.as_ref().ok().map(|(_, _, picture)| picture));
    let (mean, std) = mean_and_deviation(pictures);
    let mut sizes: Vec<(u32, u32)> =
        seen.iter().filter_map(|seen| seen.result.as_ref().ok().map(|(_, size, _)| *size)).collect();
    sizes.sort_by_key(|&(width, height)| u64::from(width) * u64::from(height));
    let picked = [sizes.first(), sizes.get(sizes.len() / 2), sizes.last()];
    Ok(DataReport {
        root: root.display().to_string(),
        unreadable: seen.iter().filter_map(|seen| seen.result.as_ref().err().cloned()).collect(),
        duplicates: duplicates(&seen),
        rare: rare(&set)?,
        sizes: picked.into_iter().flatten().copied().collect(),
        classes: set.classes,
        splits,
        mean,
        std,
    })
}

fn look(split: &str, item: &Item) -> Seen {
    let read = || -> Result<_, String> {
        let picture = read_rgb(&item.path).map_err(|error| error.to_string())?;
        if let Some(path) = &item.mask {
            let mask = read_rgb(path).map_err(|error| error.to_string())?;
            if mask.dimensions() != picture.dimensions() {
                return Err(format!("{}: the mask has another size than its picture", path.display()));
            }
        }
        // The pixels, not the file: the same photo saved twice with other metadata is still the same.
        let hash = sha256_hex(picture.as_raw());
        let (width, height) = picture.dimensions();
        let small = (width.min(MEASURED_SIDE), height.min(MEASURED_SIDE));
        Ok((hash, (width, height), resize(&picture, (0, 0, width, height), small)))
    };
    Seen { split: split.to_owned(), class: item.class, path: item.path.display().to_string(), result: read() }
}

/// Equal pictures that leak from one split into another, or that have two classes.
fn duplicates(seen: &[Seen]) -> Vec<Vec<String>> {
    let mut groups: BTreeMap<&str, Vec<&Seen>> = BTreeMap::new();
    for one in seen {
        if let Ok((hash, _, _)) = &one.result {
            groups.entry(hash).or_default().push(one);
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

impl fmt::Display for DataReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {} classes", self.root, self.classes.len())?;
        for split in &self.splits {
            let total: usize = split.counts.iter().sum();
            writeln!(f, "  split {}: {total} pictures, {} with a mask", split.split, split.masks)?;
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
        writeln!(f, "  mean {:.4?}, deviation {:.4?} (train, of 1)", self.mean, self.std)?;
        let list = |f: &mut fmt::Formatter<'_>, title: &str, lines: Vec<String>| -> fmt::Result {
            writeln!(
                f,
                "  {title}: {}",
                if lines.is_empty() { "none".to_owned() } else { lines.len().to_string() }
            )?;
            lines.iter().try_for_each(|line| writeln!(f, "    {line}"))
        };
        list(f, "unreadable files", self.unreadable.clone())?;
        let groups = self.duplicates.iter().map(|group| group.join(" = ")).collect();
        list(f, "the same picture in two splits or classes", groups)?;
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
    use image::Rgb;

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
        std::fs::write(root.path().join("images/train/many/bad.png"), b"not a picture").unwrap();
        let report = report(root.path()).unwrap();
        assert_eq!(report.unreadable.len(), 1);
        assert!(report.unreadable[0].contains("bad.png"), "{:?}", report.unreadable);
        assert_eq!(report.duplicates.len(), 1);
        assert_eq!(report.rare, ["few (1)"]);
        assert!(report.to_string().contains("1.png = "), "{report}");
    }
}
