//! `trainer bench`

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::ModuleOptimizer;
use burn::tensor::{Device, Distribution, Int, Tensor};
use clap::Args;
use comet_engine::image::{Fit, Preprocess};

use crate::data::{Augmentation, Batch, DataSet, Feed, SampleStore, Sampling, TrainingFeed};
use crate::layers::{OnePassAdamW, profile};
use crate::model::{CometConfig, Head, Preset};
use crate::train::{DeviceChoice, Objective, comet_step, open_device};

/// One step = selector, predictor, detector forward and backward, and two AdamW updates; on random images, or on those
/// of a data set.
#[derive(Args)]
pub(super) struct BenchArgs {
    /// Network pair: lite, full or small.
    #[arg(long, default_value = "lite")]
    preset: Preset,
    /// Head of the selector: lraspp or top-down (the preset's unless given).
    #[arg(long)]
    head: Option<Head>,
    /// First-stage width of the predictor (full 64, small 32).
    #[arg(long)]
    width: Option<usize>,
    /// Side of the input in pixels.
    #[arg(long, default_value_t = 64)]
    size: usize,
    /// Images in a batch.
    #[arg(long, default_value_t = 32)]
    batch: usize,
    /// Classes.
    #[arg(long, default_value_t = 10)]
    classes: usize,
    /// Timed steps, after two that are not.
    #[arg(long, default_value_t = 10)]
    steps: usize,
    /// Seed of weights and data.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Device: auto, cpu, gpu or gpu:<number>.
    #[arg(long, default_value = "auto")]
    device: DeviceChoice,
    /// Takes the images from a data set, read and changed at random as in training, instead of random numbers.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Shows where a step's time goes (on the CPU).
    #[arg(long)]
    profile: bool,
    /// Prints one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &BenchArgs) -> anyhow::Result<()> {
    let (device, device_name) = open_device(args.device)?;
    let measured = measure(args, &device.autodiff())?;
    let mut sorted = measured.seconds.clone();
    sorted.sort_by(f64::total_cmp);
    let median = sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN);
    let rate = args.batch as f64 / median;
    let mut out = std::io::stdout().lock();
    if args.json {
        let parts: serde_json::Map<String, serde_json::Value> =
            measured.profile().into_iter().map(|(name, seconds)| (name.to_owned(), seconds.into())).collect();
        let line = serde_json::json!({
            "device": device_name, "preset": args.preset.name(), "size": args.size, "batch": args.batch,
            "n": sorted.len(), "step_seconds": measured.seconds, "median_seconds": median,
            "images_per_second": rate, "losses": measured.losses,
            "profile_seconds": if args.profile { parts.into() } else { serde_json::Value::Null },
        });
        writeln!(out, "{line}")?;
        return Ok(());
    }
    writeln!(
        out,
        "{} pair, {} px, batch {}, {device_name}: median step {median:.3} s, {rate:.1} images/s (n = {})",
        args.preset.name(),
        args.size,
        args.batch,
        sorted.len()
    )?;
    if args.profile {
        let total: f64 = measured.seconds.iter().sum::<f64>() / sorted.len().max(1) as f64;
        for (name, seconds) in measured.profile() {
            writeln!(out, "  {name:<36} {:>9.1} ms {:>5.1} %", 1e3 * seconds, 100.0 * seconds / total)?;
        }
    }
    Ok(())
}

/// Draws every weight now: Burn draws a weight when it is first used, on the device where that happens.
struct Draw;

impl ModuleVisitor for Draw {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        drop(param.val());
    }
}

/// Where the images come from.
enum Images {
    /// The same random ones in every step.
    Random(Box<(Tensor<4>, Tensor<1, Int>)>),
    /// A data set's, epoch after epoch.
    Data { feed: TrainingFeed, epoch: Feed, number: usize },
}

impl Images {
    fn random(args: &BenchArgs, device: &Device) -> Self {
        let shape = [args.batch, 3, args.size, args.size];
        let images = Tensor::<4>::random(shape, Distribution::Normal(0.0, 1.0), &Device::flex());
        let images = Tensor::<4>::from_data(images.into_data(), device);
        let labels: Vec<i64> = (0..args.batch).map(|index| (index % args.classes) as i64).collect();
        Self::Random(Box::new((images, Tensor::<1, Int>::from_data(labels.as_slice(), device))))
    }

    /// The images of a data set and the number of its classes.
    fn data(args: &BenchArgs, folder: &std::path::Path) -> anyhow::Result<(Self, usize)> {
        let set = DataSet::scan(folder)?;
        let side = u32::try_from(args.size)?;
        let preprocess =
            Preprocess { width: side, height: side, fit: Fit::Crop, mean: [0.5; 3], std: [0.5; 3] };
        let (store, _) = SampleStore::open(set.split("train")?.to_vec(), preprocess);
        let feed = TrainingFeed {
            store: Arc::new(store),
            scenes: None,
            paste: 0.0,
            augmentation: Augmentation::default(),
            sampling: Sampling::Balanced,
            seed: args.seed,
            batch: args.batch,
        };
        anyhow::ensure!(
            feed.batches() > 0,
            "{}: fewer training images than a batch has; give a smaller --batch",
            folder.display()
        );
        let epoch = feed.epoch("bench", 0, 0)?;
        Ok((Self::Data { feed, epoch, number: 0 }, set.classes.len()))
    }

    /// Images and classes of the next step.
    fn next(&mut self, device: &Device) -> anyhow::Result<(Tensor<4>, Tensor<1, Int>)> {
        match self {
            Self::Random(batch) => Ok((**batch).clone()),
            Self::Data { feed, epoch, number } => {
                let mut batch: Option<Batch> = epoch.next();
                if batch.is_none() {
                    *number += 1;
                    *epoch = feed.epoch("bench", *number, 0)?;
                    batch = epoch.next();
                }
                let batch =
                    batch.ok_or_else(|| anyhow::anyhow!("the images of the data set cannot be read"))?;
                Ok((batch.images(device), batch.targets(device)))
            }
        }
    }
}

/// What was measured.
#[derive(Default)]
struct Measured {
    /// Of each step.
    seconds: Vec<f64>,
    /// The total loss of each step, those before the clock started included, to compare devices by.
    losses: Vec<f64>,
    /// Of all timed steps.
    waiting: Duration,
    /// Of all timed steps.
    parts: Vec<(profile::Part, Duration)>,
}

impl Measured {
    /// Mean seconds a step of each part, of waiting for images, and of the rest: Burn's own operations.
    fn profile(&self) -> Vec<(&'static str, f64)> {
        let steps = self.seconds.len().max(1) as f64;
        let mut lines: Vec<(&str, f64)> =
            self.parts.iter().map(|(part, time)| (part.name(), time.as_secs_f64() / steps)).collect();
        lines.push(("waiting for images", self.waiting.as_secs_f64() / steps));
        let known: f64 = lines.iter().map(|(_, seconds)| seconds).sum();
        lines.push(("the rest", self.seconds.iter().sum::<f64>() / steps - known));
        lines
    }
}

fn measure(args: &BenchArgs, device: &Device) -> anyhow::Result<Measured> {
    const WARM_UP: usize = 2;
    // Weights and data are drawn on the CPU, so that every device starts from the same.
    let cpu = Device::flex().autodiff();
    cpu.seed(args.seed);
    let (images, classes) = match &args.data {
        Some(folder) => Images::data(args, folder).map(|(images, classes)| (Some(images), classes))?,
        None => (None, args.classes),
    };
    let config = CometConfig {
        preset: args.preset,
        head: args.head.unwrap_or(args.preset.default_head()),
        width: args.width.unwrap_or(args.preset.default_width()),
        classes,
        momentum: 0.1,
    };
    let (comet, detector) = (config.init(&cpu), config.classifier().init(&cpu));
    comet.visit(&mut Draw);
    detector.visit(&mut Draw);
    let (mut comet, detector) = (comet.fork(device), detector.fork(device).freeze());
    let mut images = images.unwrap_or_else(|| Images::random(args, device));
    let optimizer = || ModuleOptimizer::from(OnePassAdamW::new(0.03));
    let (mut selector_optimizer, mut predictor_optimizer) = (optimizer(), optimizer());
    let mut measured = Measured::default();
    for step in 0..WARM_UP + args.steps {
        if step == WARM_UP && args.profile {
            profile::start();
        }
        let started = Instant::now();
        let (batch, labels) = images.next(device)?;
        let waited = started.elapsed();
        let gradients = comet_step(&comet, &detector, batch, labels, &Objective::default());
        measured.losses.push(gradients.losses().total);
        comet.selector = selector_optimizer.step(1e-3, comet.selector, gradients.selector);
        comet.predictor = predictor_optimizer.step(1e-3, comet.predictor, gradients.predictor);
        // A device that works asynchronously must be done before the clock is read.
        let _ = device.sync();
        if step >= WARM_UP {
            measured.seconds.push(started.elapsed().as_secs_f64());
            measured.waiting += waited;
        }
    }
    if args.profile {
        measured.parts = profile::stop().to_vec();
    }
    Ok(measured)
}
