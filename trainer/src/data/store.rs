//! The images of a split, kept in memory where they fit.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};

use comet_engine::image::Preprocess;
use rayon::prelude::*;

use super::error::DataError;
use super::item::Item;
use super::notice::Notice;
use super::sample::Sample;

/// Memory for decoded images; what does not fit is decoded again in each epoch.
const CACHE_BYTES: usize = 4 << 30;

/// The images of one split. Those that do not fit into memory are decoded each time they are asked for.
pub struct SampleStore {
    items: Vec<Item>,
    preprocess: Preprocess,
    cache: Vec<OnceLock<Sample>>,
    /// The marked share of each mask.
    marked: Vec<Option<f64>>,
    lost: Mutex<Lost>,
}

/// Images that could be read at first and cannot any more.
#[derive(Default)]
struct Lost {
    places: BTreeSet<usize>,
    unreported: Vec<String>,
}

impl SampleStore {
    /// Checks that every item can be read; the ones that cannot are left out and named in the second value.
    pub fn open(items: Vec<Item>, preprocess: Preprocess) -> (Self, Vec<String>) {
        let bytes = 4 * preprocess.width as usize * preprocess.height as usize;
        Self::open_keeping(items, preprocess, CACHE_BYTES / bytes.max(1))
    }

    fn open_keeping(items: Vec<Item>, preprocess: Preprocess, kept: usize) -> (Self, Vec<String>) {
        let read: Vec<_> = items
            .into_par_iter()
            .enumerate()
            .map(|(index, item)| match Sample::read(&item, &preprocess) {
                Ok(sample) => {
                    let marked = sample.marked();
                    let cell = if index < kept { OnceLock::from(sample) } else { OnceLock::new() };
                    Ok((item, cell, marked))
                }
                Err(fault) => Err(fault.to_string()),
            })
            .collect();
        let mut store = Self {
            items: Vec::new(),
            preprocess,
            cache: Vec::new(),
            marked: Vec::new(),
            lost: Mutex::default(),
        };
        let mut faults = Vec::new();
        for result in read {
            match result {
                Ok((item, cell, marked)) => {
                    store.items.push(item);
                    store.cache.push(cell);
                    store.marked.push(marked);
                }
                Err(fault) => faults.push(fault),
            }
        }
        (store, faults)
    }

    /// The readable items.
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// Number of readable images.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there are no images.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Size, fit, mean and deviation of the images.
    pub fn preprocess(&self) -> &Preprocess {
        &self.preprocess
    }

    /// The mean and deviation are known after the images were read.
    pub fn set_normalisation(&mut self, mean: [f32; 3], std: [f32; 3]) {
        (self.preprocess.mean, self.preprocess.std) = (mean, std);
    }

    /// The image at `index`; `None` beyond the end, or if the file has become unreadable since, which
    /// [`take_faults`](Self::take_faults) reports.
    pub fn get(&self, index: usize) -> Option<Sample> {
        if let Some(sample) = self.cache.get(index)?.get() {
            return Some(sample.clone());
        }
        match Sample::read(self.items.get(index)?, &self.preprocess) {
            Ok(sample) => Some(sample),
            Err(fault) => {
                let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
                if lost.places.insert(index) {
                    lost.unreported.push(fault.to_string());
                }
                None
            }
        }
    }

    /// The faults of images that have become unreadable, each once.
    pub fn take_faults(&self) -> Vec<String> {
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut lost.unreported)
    }

    /// Images that can be pasted on scenes: those with a mask that marks something.
    pub fn pastable(&self) -> usize {
        self.marked.iter().filter(|marked| marked.is_some_and(|share| share > 0.0)).count()
    }

    /// The share of images that is really pasted where `asked` is wanted.
    pub fn pasted_share(&self, asked: f64) -> f64 {
        asked.clamp(0.0, 1.0) * self.pastable() as f64 / self.len().max(1) as f64
    }

    /// An error unless something can be pasted; `root` is the data set.
    pub fn require_pastable(&self, root: &Path) -> Result<(), DataError> {
        let count = self.marked.iter().flatten().count();
        match (count, self.pastable()) {
            (0, _) => Err(DataError::NoMasks(root.to_owned())),
            (_, 0) => Err(DataError::NothingToPaste { path: root.to_owned(), count }),
            _ => Ok(()),
        }
    }

    /// A notice if fewer images are pasted than `asked` says.
    pub fn paste_notice(&self, asked: f64) -> Option<Notice> {
        let (usable, count) = (self.pastable(), self.len());
        let pasted = self.pasted_share(asked);
        (asked > 0.0 && usable < count).then_some(Notice::PartlyPasted { usable, count, asked, pasted })
    }

    /// Notices of classes whose masks are all empty or all full; `classes` are the names.
    pub fn mask_notices(&self, classes: &[String]) -> Vec<Notice> {
        let masks = self.items.iter().zip(&self.marked);
        let masks = masks.filter_map(|(item, marked)| Some((item.class, (*marked)?)));
        of_masks(classes, masks)
    }
}

/// Notices of classes whose masks are all empty or all full, from the class and marked share of each mask.
pub(super) fn of_masks(classes: &[String], masks: impl Iterator<Item = (usize, f64)>) -> Vec<Notice> {
    let mut shares: Vec<Vec<f64>> = vec![Vec::new(); classes.len()];
    for (class, share) in masks {
        if let Some(shares) = shares.get_mut(class) {
            shares.push(share);
        }
    }
    let notices = classes.iter().zip(shares).filter_map(|(class, shares)| {
        let (class, count) = (class.clone(), shares.len());
        if count == 0 {
            None
        } else if shares.iter().all(|&share| share <= 0.0) {
            Some(Notice::EmptyMasks { class, count })
        } else if shares.iter().all(|&share| share >= 1.0) {
            Some(Notice::FullMasks { class, count })
        } else {
            None
        }
    });
    notices.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use comet_engine::image::Fit;
    use image::{GrayImage, Luma, RgbImage};
    use std::path::PathBuf;

    fn preprocess() -> Preprocess {
        Preprocess { width: 8, height: 8, fit: Fit::Crop, mean: [0.0; 3], std: [1.0; 3] }
    }

    /// Images of the classes 0, 1, 2, ... with masks of these values.
    fn items(root: &Path, values: &[Option<u8>]) -> Vec<Item> {
        let item = |(class, value): (usize, &Option<u8>)| {
            let path: PathBuf = root.join(format!("{class}.png"));
            RgbImage::new(8, 8).save(&path).unwrap();
            let mask = value.map(|value| {
                let mask = root.join(format!("{class}_mask.png"));
                let image = GrayImage::from_fn(8, 8, |x, _| Luma([if x < 4 { value } else { value / 2 }]));
                image.save(&mask).unwrap();
                mask
            });
            Item { path, mask, class }
        };
        values.iter().enumerate().map(item).collect()
    }

    #[test]
    fn masks_that_are_all_empty_or_full_are_named_and_not_pasted() {
        let root = tempfile::tempdir().unwrap();
        let items = items(root.path(), &[None, Some(0), Some(1), Some(255)]);
        let (store, faults) = SampleStore::open(items, preprocess());
        assert!(faults.is_empty(), "{faults:?}");
        let classes = ["a", "b", "c", "d"].map(str::to_owned);
        let notices = store.mask_notices(&classes);
        let (empty, full) = (&notices[0], &notices[1]);
        assert_eq!(empty, &Notice::EmptyMasks { class: "b".into(), count: 1 });
        assert_eq!(full, &Notice::FullMasks { class: "d".into(), count: 1 });
        assert_eq!((notices.len(), store.pastable(), store.pasted_share(1.0)), (2, 2, 0.5));
        assert!(store.require_pastable(root.path()).is_ok());
        let text = store.paste_notice(1.0).unwrap().to_string();
        assert!(text.contains("50 % of the images are pasted on scenes where 100 %"), "{text}");
        assert_eq!(store.paste_notice(0.0), None);
    }

    #[test]
    fn nothing_to_paste_is_an_error_that_says_why() {
        let root = tempfile::tempdir().unwrap();
        let (store, _) = SampleStore::open(items(root.path(), &[None, None]), preprocess());
        assert!(matches!(store.require_pastable(root.path()), Err(DataError::NoMasks(_))));
        let (store, _) = SampleStore::open(items(root.path(), &[Some(0), None, Some(0)]), preprocess());
        let error = store.require_pastable(root.path()).unwrap_err().to_string();
        assert!(error.contains("all 2 masks are empty") && error.contains("at most two values"), "{error}");
    }

    #[test]
    fn an_image_that_becomes_unreadable_is_reported_once() {
        let root = tempfile::tempdir().unwrap();
        let items = items(root.path(), &[None, None]);
        let (store, _) = SampleStore::open_keeping(items, preprocess(), 1);
        std::fs::remove_file(root.path().join("0.png")).unwrap();
        std::fs::remove_file(root.path().join("1.png")).unwrap();
        assert!(store.get(0).is_some(), "kept in memory");
        assert!(store.get(1).is_none() && store.get(1).is_none() && store.get(2).is_none());
        let faults = store.take_faults();
        assert!(matches!(faults.as_slice(), [fault] if fault.contains("1.png")), "{faults:?}");
        assert!(store.get(1).is_none() && store.take_faults().is_empty());
    }
}
