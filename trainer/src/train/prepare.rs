//! What must be known before the first step: images, their mean and deviation, and imported weights.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use burn::tensor::Device;
use comet_engine::image::Preprocess;
use comet_engine::model::DataSummary;
use comet_engine::storage::write_atomically;

use super::automatic::{Facts, choose_rest, choose_size, free_memory};
use super::config::TrainConfig;
use super::context::{Drawings, ResumeFrom, RunContext, TrainPaths};
use super::error::TrainError;
use super::networks::{Networks, comet_config};
use super::requested::Requested;
use super::run_folder::{RunError, RunInfo, Sources};
use super::validate::ValidationSet;
use crate::data::{
    DataError, DataSet, EvaluationImages, ImageSides, Notice, SampleStore, Scenes, TrainingFeed,
    mean_and_deviation,
};
use crate::model::{import_classifier, import_selector, shipped_weights};

/// Images that the normalisation is measured on.
const MEASURED: usize = 2_000;
/// Mean and deviation of the pixels that the pretrained weights were made with.
const PRETRAINED_NORMALISATION: ([f32; 3], [f32; 3]) = ([0.5; 3], [0.5; 3]);

/// Reads the data, measures what the networks must know about them, and settles what `requested` leaves open.
pub(super) fn prepare<'a>(
    requested: Requested,
    paths: &'a TrainPaths,
    (device, device_name): (Device, String),
    drawings: &'a dyn Drawings,
    stop: &'a AtomicBool,
) -> Result<RunContext<'a>, TrainError> {
    let earlier = match paths.resume {
        Some(_) => Some(Earlier::read(paths)?),
        None => None,
    };
    let seed = earlier.as_ref().map_or(requested.config.seed, Earlier::data_seed);
    // A run that goes on has the scenes that it was started with.
    let scenes = match (&paths.scenes, &earlier) {
        (None, Some(earlier)) => earlier.info.sources.scenes.clone(),
        (given, _) => given.clone(),
    };
    let is_cpu = device == Device::flex();
    let data = Data::read(requested, paths, scenes.as_deref(), seed, is_cpu)?;
    let config = data.config;
    config.check()?;
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
    report(&info, &config, data.scenes.as_deref());
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
        Some(earlier) => earlier.adopt(&info, &config, paths)?,
        None => begin(&info, &config, paths)?,
    }
    let validation = ValidationSet { store: data.val, scenes: data.scenes, paste: data.paste, seed };
    let started = Instant::now();
    Ok(RunContext { config, paths, drawings, info, feed, validation, device, stop, started })
}

/// The images of a run, and its settings, of which none is open any more.
struct Data {
    config: TrainConfig,
    classes: Vec<String>,
    train: SampleStore,
    val: SampleStore,
    scenes: Option<Arc<Scenes>>,
    /// Share of images that are pasted, 0 without scenes.
    paste: f64,
}

impl Data {
    fn read(
        mut requested: Requested,
        paths: &TrainPaths,
        scenes_folder: Option<&Path>,
        seed: u64,
        is_cpu: bool,
    ) -> Result<Self, TrainError> {
        let set = DataSet::scan(&paths.data)?;
        warn(set.notices());
        look_at_sizes(&mut requested, &set, is_cpu)?;
        let config = &requested.config;
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
        warn(&train.mask_notices(&set.classes));
        warn(set.rare_class(train.items()).as_slice());
        let scenes = match scenes_folder {
            Some(folder) => Some(Arc::new(scenes(folder, config, paths, &train)?)),
            None => None,
        };
        let paste = if scenes.is_some() { config.paste } else { 0.0 };
        let measured = Measured::of(&train, scenes.as_deref(), paste, seed);
        warn(measured.one_colour().as_slice());
        let (mean, std) = if config.pretrained { PRETRAINED_NORMALISATION } else { measured.normalisation };
        train.set_normalisation(mean, std);
        val.set_normalisation(mean, std);
        let facts = Facts {
            images: train.len(),
            classes: set.classes.len(),
            marked: measured.marked,
            memory: free_memory(),
        };
        choose_rest(&mut requested, &facts).iter().for_each(|reason| eprintln!("chosen: {reason}"));
        Ok(Self { config: requested.config, classes: set.classes, train, val, scenes, paste })
    }
}

fn warn(notices: &[Notice]) {
    notices.iter().for_each(|notice| eprintln!("warning: {notice}"));
}

/// Chooses the side of the input, if it is open, and says so if images are very large.
fn look_at_sizes(requested: &mut Requested, set: &DataSet, is_cpu: bool) -> Result<(), TrainError> {
    let sides = ImageSides::read(set.split("train")?);
    let threads = rayon::current_num_threads();
    warn(sides.as_ref().and_then(|sides| sides.large_images(threads)).as_slice());
    if let Some(reason) = choose_size(requested, sides.as_ref(), is_cpu) {
        eprintln!("chosen: {reason}");
    }
    Ok(())
}

/// What is measured of the training images as they are shown in training: over images at equal distances, so that all
/// classes count, read a few at a time.
struct Measured {
    /// Mean and deviation.
    normalisation: ([f32; 3], [f32; 3]),
    /// Marked shares of the masks that mark something.
    marked: Vec<f64>,
}

impl Measured {
    fn of(train: &SampleStore, scenes: Option<&Scenes>, paste: f64, seed: u64) -> Self {
        let mut marked = Vec::new();
        let images = EvaluationImages::new(train, scenes, paste, seed).strided(MEASURED);
        let normalisation = mean_and_deviation(images.map(|sample| {
            marked.extend(sample.marked().filter(|&share| share > 0.0));
            sample.image
        }));
        Self { normalisation, marked }
    }

    /// A notice if no channel varies.
    fn one_colour(&self) -> Option<Notice> {
        // The floor of a deviation, see `mean_and_deviation`.
        let is_flat = |&deviation: &f32| deviation <= 1.001 / 255.0;
        self.normalisation.1.iter().all(is_flat).then_some(Notice::OneColour)
    }
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
        "data: {} classes, {} training and {} validation images, {} scenes; networks: {} (width {}) at {} px, from {} weights",
        info.classes.len(),
        info.data.train,
        info.data.val,
        scenes.map_or(0, Scenes::len),
        config.preset.name(),
        config.effective_width(),
        config.size,
        if config.pretrained { "pretrained" } else { "random or given" },
    );
}

/// Writes what a new run's folder begins with.
fn begin(info: &RunInfo, config: &TrainConfig, paths: &TrainPaths) -> Result<(), TrainError> {
    let text = config.to_toml()?;
    let has_weights = config.pretrained || paths.init_selector.is_some() || paths.init_predictor.is_some();
    if config.head_epochs > 0 && !has_weights {
        eprintln!(
            "warning: head-epochs = {} without pretrained weights: the last layers learn on what random ones give",
            config.head_epochs
        );
    }
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

/// Fills the networks with the weights that ship with the preset, if they are wanted, and from torchvision's files,
/// where the user gave some.
pub(super) fn import(
    mut networks: Networks,
    config: &TrainConfig,
    paths: &TrainPaths,
) -> Result<Networks, TrainError> {
    if config.pretrained {
        let weights = shipped_weights();
        let count = weights.fill(&mut networks.comet, &mut networks.detector)?;
        eprintln!("networks: {count} tensors from {}, trained on ImageNet", weights.name);
    }
    if let Some(path) = &paths.init_selector {
        let backbone = comet_config(config, 2).selector().mobilenet;
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
        let measured = Measured::of(&store, None, 0.0, 0);
        assert!(measured.marked.is_empty() && measured.one_colour().is_none());
        let (mean, std) = measured.normalisation;
        for (mean, std) in mean.into_iter().zip(std) {
            // Half of the images are 0, half 200 of 255.
            assert!((mean - 100.0 / 255.0).abs() < 1e-4, "{mean}");
            assert!((std - 100.0 / 255.0).abs() < 1e-4, "{std}");
        }
    }

    #[test]
    fn images_of_one_colour_are_noticed_and_can_be_divided_by_their_deviation() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("grey.png");
        RgbImage::from_pixel(4, 4, Rgb([90; 3])).save(&path).unwrap();
        let mask = folder.path().join("mask.png");
        image::GrayImage::from_fn(4, 4, |x, _| image::Luma([if x == 0 { 255 } else { 0 }]))
            .save(&mask)
            .unwrap();
        let items = vec![Item { path, mask: Some(mask), class: 0 }; 3];
        let raw = Preprocess { width: 4, height: 4, fit: Fit::Crop, mean: [0.0; 3], std: [1.0; 3] };
        let (store, _) = SampleStore::open(items, raw);
        let measured = Measured::of(&store, None, 0.0, 0);
        assert_eq!(measured.one_colour(), Some(Notice::OneColour));
        assert_eq!(measured.marked, [0.25; 3]);
        assert!(measured.normalisation.1.iter().all(|&std| std > 0.0));
    }
}
