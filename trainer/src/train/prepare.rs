//! What must be known before the first step: pictures, their mean and deviation, and imported weights.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use anyhow::{Context, bail};
use burn::tensor::Device;
use comet_edge::image::Preprocess;
use comet_edge::model::DataSummary;
use comet_edge::storage::write_atomically;

use super::config::TrainConfig;
use super::run::{Run, TrainPaths};
use super::session::{Networks, RunInfo, Sources, comet_config};
use crate::data::{DataSet, PictureStore, Scenes, TrainingFeed, evaluation_set, mean_and_deviation};
use crate::model::{import_classifier, import_selector};

/// Pictures that the normalisation is measured on.
const MEASURED: usize = 2_000;

/// Reads the data and measures what the networks must know about them.
pub(super) fn prepare<'a>(
    config: &'a TrainConfig,
    paths: &'a TrainPaths,
    device: Device,
    device_name: &str,
    stop: &'a AtomicBool,
) -> anyhow::Result<Run<'a>> {
    let set = DataSet::scan(&paths.data, config.seed)?;
    let raw = Preprocess {
        width: config.size,
        height: config.size,
        fit: config.fit,
        mean: [0.0; 3],
        std: [1.0; 3],
    };
    let mut train = readable(&set, "train", &raw)?;
    set.require_every_class_in("train", train.items())?;
    let mut val = readable(&set, "val", &raw)?;
    let scenes = match &paths.scenes {
        Some(folder) => {
            let (scenes, faults) = Scenes::read(folder, (config.size, config.size))?;
            faults.iter().for_each(|fault| eprintln!("warning: skipped: {fault}"));
            if train.items().iter().all(|item| item.mask.is_none()) {
                return Err(crate::data::DataError::NoMasks(paths.data.clone()).into());
            }
            Some(Arc::new(scenes))
        }
        None => None,
    };
    let paste = if scenes.is_some() { config.paste } else { 0.0 };
    let measured = evaluation_set(&train, scenes.as_deref(), paste, config.seed);
    let (mean, std) = mean_and_deviation(measured.iter().take(MEASURED).map(|picture| &picture.image));
    drop(measured);
    train.set_normalisation(mean, std);
    val.set_normalisation(mean, std);
    let info = RunInfo {
        classes: set.classes.clone(),
        preprocess: train.preprocess().clone(),
        data: DataSummary {
            name: paths.data.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
            train: train.len(),
            val: val.len(),
            paste,
        },
        device: device_name.to_owned(),
        sources: Sources { data: Some(paths.data.clone()), scenes: paths.scenes.clone() },
    };
    let validation = evaluation_set(&val, scenes.as_deref(), paste, config.seed);
    eprintln!(
        "data: {} classes, {} training and {} validation pictures, {} scenes; networks: {} (width {}) at {} px",
        info.classes.len(),
        info.data.train,
        info.data.val,
        scenes.as_ref().map_or(0, |scenes| scenes.len()),
        config.preset.name(),
        config.effective_width(),
        config.size,
    );
    let feed = TrainingFeed {
        store: Arc::new(train),
        scenes,
        paste,
        augmentation: config.augmentation,
        sampling: config.sampling,
        seed: config.seed,
        batch: config.batch,
    };
    if feed.batches() == 0 {
        bail!("{}: too few pictures for a batch", paths.data.display());
    }
    if paths.resume {
        let before = RunInfo::read(&paths.out)?;
        let moved = RunInfo { device: info.device.clone(), sources: info.sources.clone(), ..before };
        if moved != info {
            bail!(
                "{}: the data are not those that the run was started with (see run.json). Bring them back, or start a new run",
                paths.data.display()
            );
        }
    } else {
        std::fs::create_dir_all(&paths.out).with_context(|| paths.out.display().to_string())?;
        info.write(&paths.out)?;
        write_atomically(&paths.out.join("config.toml"), config.to_toml().as_bytes())?;
    }
    Ok(Run { config, paths, info, feed, validation, device, stop, started: Instant::now() })
}

/// The pictures of a split that can be read; the others are named.
fn readable(set: &DataSet, split: &str, preprocess: &Preprocess) -> anyhow::Result<PictureStore> {
    let items = set.split(split)?.to_vec();
    let count = items.len();
    let (store, faults) = PictureStore::open(items, preprocess.clone());
    faults.iter().for_each(|fault| eprintln!("warning: skipped: {fault}"));
    match faults.first() {
        Some(fault) if store.is_empty() => Err(crate::data::DataError::NothingReadable {
            path: set.root.clone(),
            count,
            fault: fault.clone(),
        }
        .into()),
        _ => Ok(store),
    }
}

/// Fills the networks from torchvision's files, where the user gave some.
pub(super) fn import(
    mut networks: Networks,
    config: &TrainConfig,
    paths: &TrainPaths,
) -> anyhow::Result<Networks> {
    if let Some(path) = &paths.init_selector {
        let backbone = comet_config(config, 2).selector().backbone;
        let count = import_selector(&mut networks.comet.selector, backbone, path)?;
        eprintln!("selector: {count} tensors from {}", path.display());
    }
    if let Some(path) = &paths.init_predictor {
        let count = import_classifier(&mut networks.comet.predictor, path)?;
        import_classifier(&mut networks.detector, path)?;
        eprintln!("predictor and detector: {count} tensors from {}", path.display());
    }
    Ok(networks)
}
