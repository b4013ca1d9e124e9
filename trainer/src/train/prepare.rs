//! What must be known before the first step: images, their mean and deviation, and imported weights.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use burn::tensor::Device;
use comet_engine::image::Preprocess;
use comet_engine::model::DataSummary;
use comet_engine::storage::write_atomically;

use super::config::TrainConfig;
use super::context::{Drawings, ResumeFrom, RunContext, TrainPaths};
use super::error::TrainError;
use super::networks::{Networks, comet_config};
use super::run_folder::{RunError, RunInfo, Sources};
use super::validate::ValidationSet;
use crate::data::{
    DataError, DataSet, EvaluationImages, SampleStore, Scenes, TrainingFeed, mean_and_deviation,
};
use crate::model::{import_classifier, import_selector};

/// Images that the normalisation is measured on.
const MEASURED: usize = 2_000;

/// Reads the data and measures what the networks must know about them.
pub(super) fn prepare<'a>(
    config: &'a TrainConfig,
    paths: &'a TrainPaths,
    (device, device_name): (Device, String),
    drawings: &'a dyn Drawings,
    stop: &'a AtomicBool,
) -> Result<RunContext<'a>, TrainError> {
    let earlier = match paths.resume {
        Some(_) => Some(Earlier::read(paths)?),
        None => None,
    };
    let seed = earlier.as_ref().map_or(config.seed, Earlier::data_seed);
    // A run that goes on has the scenes that it was started with.
    let scenes = match (&paths.scenes, &earlier) {
        (None, Some(earlier)) => earlier.info.sources.scenes.clone(),
        (given, _) => given.clone(),
    };
    let data = Data::read(config, paths, scenes.as_deref(), seed)?;
    let info = RunInfo {
        classes: data.classes,
        preprocess: data.train.preprocess().clone(),
        data: DataSummary {
            name: paths.data.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
            train: data.train.len(),
            val: data.val.len(),
            paste: data.paste,
        },
        effective_paste: data.train.pasted_share(data.paste),
        data_seed: Some(seed),
        device: device_name,
        sources: Sources { data: Some(paths.data.clone()), scenes },
    };
    report(&info, config, data.scenes.as_deref());
    let feed = TrainingFeed {
        store: Arc::new(data.train),
        scenes: data.scenes.clone(),
        paste: data.paste,
        augmentation: config.augmentation,
        sampling: config.sampling,
        seed: config.seed,
        batch: config.batch,
    };
    if feed.batches() == 0 {
        return Err(TrainError::TooFewImages(paths.data.clone()));
    }
    match earlier {
        Some(earlier) => earlier.adopt(&info, config, paths)?,
        None => begin(&info, config, paths)?,
    }
    let validation = ValidationSet { store: data.val, scenes: data.scenes, paste: data.paste, seed };
    let started = Instant::now();
    Ok(RunContext { config, paths, drawings, info, feed, validation, device, stop, started })
}

/// The images of a run.
struct Data {
    classes: Vec<String>,
    train: SampleStore,
    val: SampleStore,
    scenes: Option<Arc<Scenes>>,
    /// Share of images that are pasted, 0 without scenes.
    paste: f64,
}

impl Data {
    fn read(
        config: &TrainConfig,
        paths: &TrainPaths,
        scenes_folder: Option<&Path>,
        seed: u64,
    ) -> Result<Self, TrainError> {
        let set = DataSet::scan(&paths.data)?;
        set.notices().iter().for_each(|notice| eprintln!("warning: {notice}"));
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
        train.mask_notices(&set.classes).iter().for_each(|notice| eprintln!("warning: {notice}"));
        let scenes = match scenes_folder {
            Some(folder) => Some(Arc::new(scenes(folder, config, paths, &train)?)),
            None => None,
        };
        let paste = if scenes.is_some() { config.paste } else { 0.0 };
        let (mean, std) = normalisation(&train, scenes.as_deref(), paste, seed);
        train.set_normalisation(mean, std);
        val.set_normalisation(mean, std);
        Ok(Self { classes: set.classes, train, val, scenes, paste })
    }
}

/// Mean and deviation of the training images as they are shown in training: over images at equal distances, so that
/// all classes count, read a few at a time.
fn normalisation(
    train: &SampleStore,
    scenes: Option<&Scenes>,
    paste: f64,
    seed: u64,
) -> ([f32; 3], [f32; 3]) {
    let images = EvaluationImages::new(train, scenes, paste, seed).strided(MEASURED);
    mean_and_deviation(images.map(|sample| sample.image))
}

/// Scenes to paste on, and a warning if not every image can be.
fn scenes(
    folder: &Path,
    config: &TrainConfig,
    paths: &TrainPaths,
    train: &SampleStore,
) -> Result<Scenes, TrainError> {
    let (scenes, faults) = Scenes::read(folder, (config.size, config.size))?;
    faults.iter().for_each(|fault| eprintln!("warning: scenes: {fault}"));
    train.require_pastable(&paths.data)?;
    if let Some(notice) = train.paste_notice(config.paste) {
        eprintln!("warning: {notice}");
    }
    Ok(scenes)
}

/// The images of a split that can be read; the others are named.
fn readable(set: &DataSet, split: &str, preprocess: &Preprocess) -> Result<SampleStore, TrainError> {
    let items = set.split(split)?.to_vec();
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

fn report(info: &RunInfo, config: &TrainConfig, scenes: Option<&Scenes>) {
    eprintln!(
        "data: {} classes, {} training and {} validation images, {} scenes; networks: {} (width {}) at {} px",
        info.classes.len(),
        info.data.train,
        info.data.val,
        scenes.map_or(0, Scenes::len),
        config.preset.name(),
        config.effective_width(),
        config.size,
    );
}

/// Writes what a new run's folder begins with.
fn begin(info: &RunInfo, config: &TrainConfig, paths: &TrainPaths) -> Result<(), TrainError> {
    let text = config.to_toml()?;
    std::fs::create_dir_all(&paths.out).map_err(|fault| TrainError::Io { path: paths.out.clone(), fault })?;
    info.write(&paths.out)?;
    write_config(&text, paths)
}

fn write_config(text: &str, paths: &TrainPaths) -> Result<(), TrainError> {
    let path = paths.out.join("config.toml");
    write_atomically(&path, text.as_bytes()).map_err(|fault| TrainError::Io { path, fault })
}

/// What the folder of a resumed run says.
struct Earlier {
    info: RunInfo,
    config: TrainConfig,
}

impl Earlier {
    fn read(paths: &TrainPaths) -> Result<Self, TrainError> {
        let info = RunInfo::read(&paths.out)?;
        Ok(Self { info, config: TrainConfig::read(&paths.out.join("config.toml"))? })
    }

    /// The seed that the data were measured with. It stays when a run is continued with another one.
    fn data_seed(&self) -> u64 {
        self.info.data_seed.unwrap_or(self.config.seed)
    }

    /// Refuses other data than those of the run, and writes the new seed of a run that goes back.
    fn adopt(self, info: &RunInfo, config: &TrainConfig, paths: &TrainPaths) -> Result<(), TrainError> {
        if !self.info.has_the_data_of(info) {
            return Err(RunError::OtherData(paths.data.clone()).into());
        }
        if paths.resume == Some(ResumeFrom::Best) && config.seed != self.config.seed {
            let data_seed = Some(self.data_seed());
            let text = TrainConfig { seed: config.seed, ..self.config }.to_toml()?;
            RunInfo { data_seed, ..self.info }.write(&paths.out)?;
            write_config(&text, paths)?;
        }
        Ok(())
    }
}

/// Fills the networks from torchvision's files, where the user gave some.
pub(super) fn import(
    mut networks: Networks,
    config: &TrainConfig,
    paths: &TrainPaths,
) -> Result<Networks, TrainError> {
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

#[cfg(test)]
mod tests {
    use comet_engine::image::Fit;
    use image::{Rgb, RgbImage};

    use super::*;
    use crate::data::Item;

    #[test]
    fn the_normalisation_is_measured_on_all_classes_and_not_on_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let files = ["dark", "bright"].map(|class| folder.path().join(format!("{class}.png")));
        for (file, value) in files.iter().zip([0, 200]) {
            RgbImage::from_pixel(4, 4, Rgb([value; 3])).save(file).unwrap();
        }
        // As scanning sorts them: all images of the first class come before those of the second.
        let item = |class: usize| Item { path: files[class].clone(), mask: None, class };
        let items = (0..2 * MEASURED).map(|index| item(index / MEASURED)).collect();
        let raw = Preprocess { width: 4, height: 4, fit: Fit::Crop, mean: [0.0; 3], std: [1.0; 3] };
        let (store, faults) = SampleStore::open(items, raw);
        assert!(faults.is_empty());
        let (mean, std) = normalisation(&store, None, 0.0, 0);
        for (mean, std) in mean.into_iter().zip(std) {
            // Half of the images are 0, half 200 of 255.
            assert!((mean - 100.0 / 255.0).abs() < 1e-4, "{mean}");
            assert!((std - 100.0 / 255.0).abs() < 1e-4, "{std}");
        }
    }
}
