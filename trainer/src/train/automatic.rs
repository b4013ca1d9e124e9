//! What is chosen from the data where the user has not said it, each choice with its reason.

use std::fs;

use super::requested::{Automatic, Requested};
use crate::data::{Augmentation, ImageSides};
use crate::model::Preset;

/// Sides to choose from, in pixels.
const SIDES: [u32; 5] = [96, 128, 160, 192, 224];
/// On a CPU a larger side takes hours rather than minutes: the work grows with the square of it.
const LARGEST_ON_CPU: u32 = 160;
/// The smallest side that networks with five halvings can use.
const SMALLEST: u32 = 32;
/// BatchNorm's statistics are good enough from here on, and small sets get more steps.
const LARGEST_BATCH: usize = 32;
/// Up to so many images a class are few: they are changed more, and new layers learn first.
const FEW: usize = 50;
/// Steps that the last layers need alone.
const HEAD_STEPS: usize = 40;
/// Room that the map gets beyond the median mask: objects larger than the median must not be cut.
const ROOM: f64 = 4.0 / 3.0;
/// Target area without masks for the preset lite: things that are held up to a camera fill the frame.
const AREA_WITHOUT_MASKS: f64 = 0.6;
/// Free memory that is assumed where the system does not tell.
const ASSUMED_MEMORY: u64 = 8 << 30;

/// Steps to aim at, and epochs to stay within.
struct Length {
    steps: usize,
    epochs: (usize, usize),
}

impl Length {
    fn epochs(&self, steps_per_epoch: usize) -> usize {
        self.steps.div_ceil(steps_per_epoch.max(1)).clamp(self.epochs.0, self.epochs.1)
    }
}

/// Detector and COMET from pretrained weights. The prototype's `hands`: 180 and 730 steps.
const PRETRAINED: [Length; 2] =
    [Length { steps: 300, epochs: (2, 30) }, Length { steps: 800, epochs: (4, 80) }];
/// From random weights. The shipped models: 230 to 1,300 and 350 to 2,400 steps, at small sizes.
const FROM_SCRATCH: [Length; 2] =
    [Length { steps: 1_000, epochs: (5, 60) }, Length { steps: 2_500, epochs: (10, 120) }];

/// What is known about the training images once they are read.
pub(super) struct Facts {
    /// Readable images.
    pub images: usize,
    /// Classes.
    pub classes: usize,
    /// Marked share of each mask as the images are shown in training, pasted or not; empty masks are left out.
    pub marked: Vec<f64>,
    /// Free memory in bytes.
    pub memory: u64,
}

/// Chooses the side of the input, if it is open. The reason is for the user.
pub(super) fn choose_size(
    requested: &mut Requested,
    sides: Option<&ImageSides>,
    is_cpu: bool,
) -> Option<String> {
    let sides = sides.filter(|_| requested.automatic.size)?;
    let stride = requested.config.stride();
    let limit = sides.median_shorter.min(if is_cpu { LARGEST_ON_CPU } else { u32::MAX });
    let listed = SIDES.into_iter().rev().find(|&side| side <= limit);
    let size = listed.unwrap_or(limit / stride * stride).max(SMALLEST);
    (requested.config.size, requested.automatic.size) = (size, false);
    let cpu = if is_cpu && sides.median_shorter > limit {
        format!("; more than {LARGEST_ON_CPU} takes long on a CPU")
    } else {
        String::new()
    };
    Some(format!(
        "size = {size}: the shorter side of half of the images has at least {} pixels (n = {}){cpu}",
        sides.median_shorter, sides.count
    ))
}

/// Chooses what else is open. One reason for each choice.
pub(super) fn choose_rest(requested: &mut Requested, facts: &Facts) -> Vec<String> {
    let mut reasons = Vec::new();
    choose_batch(requested, facts, &mut reasons);
    choose_epochs(requested, facts, &mut reasons);
    choose_area(requested, facts, &mut reasons);
    choose_for_few(requested, facts, &mut reasons);
    requested.automatic = Automatic::default();
    reasons
}

fn choose_batch(requested: &mut Requested, facts: &Facts, reasons: &mut Vec<String>) {
    if !requested.automatic.batch {
        return;
    }
    let config = &mut requested.config;
    let bytes = bytes_per_image(config.preset, config.size);
    // Half of the memory: the rest is for weights, images and other programs.
    let fitting = usize::try_from(facts.memory / 2 / bytes.max(1)).unwrap_or(usize::MAX);
    let quarter = facts.images / 4;
    let batch = LARGEST_BATCH.min(fitting).min(quarter);
    config.batch = if batch >= 8 { batch / 4 * 4 } else { batch.max(2) };
    let why = if fitting < quarter.min(LARGEST_BATCH) {
        format!(
            "an image takes about {} MB of the {:.1} GB of free memory, of which half is used",
            bytes / 1_000_000,
            facts.memory as f64 / 1e9
        )
    } else if quarter < LARGEST_BATCH {
        format!("at most a quarter of the {} training images", facts.images)
    } else {
        "enough images and memory for the largest".to_owned()
    };
    reasons.push(format!("batch = {}: {why}", config.batch));
}

/// Memory of a training step for one image, estimated: what the convolutions of selector and predictor give (in
/// millions of values at 224 px, counted from the architectures), of 4 bytes, kept three times on the way back
/// (convolution, BatchNorm, activation).
fn bytes_per_image(preset: Preset, size: u32) -> u64 {
    let millions = match preset {
        Preset::Lite => 13.4,
        Preset::Full => 7.5,
        Preset::Small => 3.0,
    };
    let area = (f64::from(size) / 224.0).powi(2);
    (millions * 1e6 * 4.0 * 3.0 * area) as u64
}

fn choose_epochs(requested: &mut Requested, facts: &Facts, reasons: &mut Vec<String>) {
    let Requested { config, automatic } = requested;
    let steps = facts.images.div_ceil(config.batch.max(1)).max(1);
    let [detector, comet] = if config.pretrained { PRETRAINED } else { FROM_SCRATCH };
    let start = if config.pretrained { "pretrained" } else { "random" };
    if automatic.detector_epochs {
        config.detector_epochs = detector.epochs(steps);
        reasons.push(format!(
            "detector-epochs = {}: about {} steps from {start} weights, {steps} an epoch",
            config.detector_epochs, detector.steps
        ));
    }
    if automatic.epochs {
        config.epochs = comet.epochs(steps);
        reasons.push(format!(
            "epochs = {}: about {} steps from {start} weights, {steps} an epoch",
            config.epochs, comet.steps
        ));
    }
}

fn choose_area(requested: &mut Requested, facts: &Facts, reasons: &mut Vec<String>) {
    if !requested.automatic.target_area {
        return;
    }
    let area = &mut requested.config.objective.target_area;
    let mut marked = facts.marked.clone();
    marked.sort_by(f64::total_cmp);
    let reason = match marked.get(marked.len() / 2) {
        Some(median) => {
            *area = ((median * ROOM).clamp(0.05, 0.6) * 100.0).round() / 100.0;
            format!(
                "a third more than the median mask, which marks {:.1} % of an image as it is shown (n = {})",
                100.0 * median,
                marked.len()
            )
        }
        None if requested.config.preset == Preset::Lite => {
            *area = AREA_WITHOUT_MASKS;
            "there are no masks; lower it for things that do not fill the frame".to_owned()
        }
        None => {
            "there are no masks; a little above the share of the frame that things cover is best".to_owned()
        }
    };
    reasons.push(format!("target-area = {area}: {reason}"));
}

fn choose_for_few(requested: &mut Requested, facts: &Facts, reasons: &mut Vec<String>) {
    let a_class = facts.images / facts.classes.max(1);
    let Requested { config, automatic } = requested;
    if a_class > FEW {
        return;
    }
    if automatic.augmentation {
        config.augmentation = Augmentation::for_few_images();
        reasons.push(format!("augmentation: stronger, since there are about {a_class} images a class"));
    }
    if automatic.head_epochs && config.pretrained {
        let steps = facts.images.div_ceil(config.batch.max(1)).max(1);
        let most = (config.detector_epochs.min(config.epochs) / 4).max(1);
        config.head_epochs = HEAD_STEPS.div_ceil(steps).min(most);
        reasons.push(format!(
            "head-epochs = {}: about {a_class} images a class, so new layers learn first",
            config.head_epochs
        ));
    }
}

/// Free memory in bytes.
pub(super) fn free_memory() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    parse_free_memory(&text).unwrap_or(ASSUMED_MEMORY)
}

fn parse_free_memory(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::config::TrainConfig;
    use crate::train::recipe::Recipe;
    use crate::train::requested::SettingsFile;

    fn open(preset: Preset, pretrained: bool) -> Requested {
        Requested::new(Recipe::Standard, preset, pretrained, &SettingsFile::default()).unwrap()
    }

    fn facts(images: usize, classes: usize) -> Facts {
        Facts { images, classes, marked: Vec::new(), memory: 64 << 30 }
    }

    fn sides(median_shorter: u32) -> ImageSides {
        ImageSides { median_shorter, count: 9, largest: (1, "x.jpg".into()) }
    }

    fn size(preset: Preset, median: u32, is_cpu: bool) -> u32 {
        let mut requested = open(preset, true);
        choose_size(&mut requested, Some(&sides(median)), is_cpu).unwrap();
        requested.config.check().unwrap();
        requested.config.size
    }

    #[test]
    fn the_size_is_the_largest_of_a_few_that_images_and_device_allow() {
        let found = [4000, 224, 223, 130, 96].map(|median| size(Preset::Lite, median, false));
        assert_eq!(found, [224, 224, 192, 128, 96]);
        assert_eq!((size(Preset::Lite, 4000, true), size(Preset::Lite, 130, true)), (160, 128));
        // Tiny images are enlarged to the smallest input, at a multiple of the preset's stride.
        let tiny = [1, 32, 50, 95];
        assert_eq!(tiny.map(|median| size(Preset::Lite, median, true)), [32, 32, 32, 64]);
        assert_eq!(tiny.map(|median| size(Preset::Small, median, true)), [32, 32, 48, 80]);
    }

    #[test]
    fn a_size_that_was_given_stays_and_one_without_images_is_the_recipes() {
        let mut given = Requested::from(TrainConfig::default());
        assert_eq!(choose_size(&mut given, Some(&sides(100)), true), None);
        assert_eq!(given.config.size, TrainConfig::default().size);
        assert_eq!(choose_size(&mut open(Preset::Lite, true), None, true), None);
    }

    #[test]
    fn a_batch_is_limited_by_images_and_by_memory() {
        let batch = |images: usize, memory: u64| {
            let mut requested = open(Preset::Lite, true);
            choose_rest(&mut requested, &Facts { memory, ..facts(images, 2) });
            requested.config.check().unwrap();
            requested.config.batch
        };
        assert_eq!(
            [1, 2, 9, 31, 50, 97, 5000].map(|images| batch(images, 64 << 30)),
            [2, 2, 2, 7, 12, 24, 32]
        );
        // 161 MB an image at 224 px; half of the memory.
        assert_eq!([8u64 << 30, 2 << 30, 1 << 20].map(|memory| batch(5000, memory)), [24, 6, 2]);
    }

    #[test]
    fn more_images_mean_fewer_epochs_within_bounds_and_pretrained_weights_need_fewer() {
        let epochs = |images: usize, pretrained: bool| {
            let mut requested = open(Preset::Lite, pretrained);
            choose_rest(&mut requested, &facts(images, 4));
            requested.config.check().unwrap();
            (requested.config.detector_epochs, requested.config.epochs)
        };
        assert_eq!([40, 1_600, 100_000].map(|images| epochs(images, true)), [(30, 80), (6, 16), (2, 4)]);
        assert_eq!([40, 1_600, 100_000].map(|images| epochs(images, false)), [(60, 120), (20, 50), (5, 10)]);
    }

    #[test]
    fn the_target_area_follows_the_masks() {
        let area = |preset: Preset, marked: &[f64]| {
            let mut requested = open(preset, true);
            let reasons = choose_rest(&mut requested, &Facts { marked: marked.to_vec(), ..facts(400, 4) });
            assert!(reasons.iter().any(|reason| reason.starts_with("target-area = ")), "{reasons:?}");
            requested.config.objective.target_area
        };
        assert_eq!(area(Preset::Lite, &[0.9, 0.15, 0.1]), 0.2);
        assert_eq!((area(Preset::Lite, &[0.001]), area(Preset::Lite, &[0.99])), (0.05, 0.6));
        assert_eq!((area(Preset::Lite, &[]), area(Preset::Small, &[])), (0.6, 0.3));
    }

    #[test]
    fn few_images_are_changed_more_and_new_layers_learn_first() {
        let chosen = |images: usize, pretrained: bool| {
            let mut requested = open(Preset::Lite, pretrained);
            choose_rest(&mut requested, &facts(images, 6));
            (requested.config.augmentation == Augmentation::for_few_images(), requested.config.head_epochs)
        };
        // 96 images in batches of 24: 4 steps an epoch, 30 epochs of the detector.
        assert_eq!(chosen(96, true), (true, 7));
        assert_eq!(chosen(300, true), (true, 4));
        assert_eq!((chosen(300, false), chosen(306, true)), ((true, 0), (false, 0)));
    }

    #[test]
    fn what_was_given_is_not_chosen() {
        let mut requested = Requested::from(TrainConfig { batch: 5, ..TrainConfig::default() });
        let before = requested.clone();
        assert!(choose_rest(&mut requested, &facts(40, 2)).is_empty());
        assert_eq!(requested, before);
        let mut requested = open(Preset::Lite, true);
        requested.automatic = Automatic { epochs: false, ..requested.automatic };
        let epochs = requested.config.epochs;
        choose_rest(&mut requested, &facts(40, 2));
        assert_eq!((requested.config.epochs, requested.automatic), (epochs, Automatic::default()));
    }

    #[test]
    fn free_memory_is_read_as_the_system_writes_it() {
        let text = "MemTotal:       24563884 kB\nMemFree: 1 kB\nMemAvailable:   20000000 kB\n";
        assert_eq!(parse_free_memory(text), Some(20_480_000_000));
        assert_eq!(parse_free_memory("MemTotal: 1 kB\n"), None);
        assert!(free_memory() > 0);
    }
}
