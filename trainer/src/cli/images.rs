//! Reading images for a command: what cannot be used is named on stderr.

use std::path::Path;

use comet_engine::image::Preprocess;

use crate::data::{DataError, DataSet, Item, SampleStore, Scenes};

/// Lists a data set, and names what is left out of it.
pub(super) fn scan(folder: &Path) -> anyhow::Result<DataSet> {
    let set = DataSet::scan(folder)?;
    set.notices().iter().for_each(|notice| eprintln!("warning: {notice}"));
    Ok(set)
}

/// The readable images among `items`, which are of `set`; an error if not one is readable.
pub(super) fn open(set: &DataSet, items: Vec<Item>, preprocess: &Preprocess) -> anyhow::Result<SampleStore> {
    let count = items.len();
    let (store, faults) = SampleStore::open(items, preprocess.clone());
    faults.iter().for_each(|fault| eprintln!("warning: skipped: {fault}"));
    match faults.first() {
        Some(fault) if store.is_empty() => {
            let (path, fault) = (set.root.clone(), fault.to_string());
            Err(DataError::NothingReadable { path, count, fault }.into())
        }
        _ => Ok(store),
    }
}

/// Scenes to paste on.
pub(super) fn scenes(folder: &Path, preprocess: &Preprocess) -> anyhow::Result<Scenes> {
    let (scenes, faults) = Scenes::read(folder, (preprocess.width, preprocess.height))?;
    faults.iter().for_each(|fault| eprintln!("warning: scenes: {fault}"));
    Ok(scenes)
}
