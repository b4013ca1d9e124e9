//! `trainer bench`

use std::io::Write;
use std::time::Instant;

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::AdamWConfig;
use burn::tensor::{Device, Distribution, Int, Tensor};
use clap::Args;

use crate::model::{CometConfig, Preset};
use crate::train::{DeviceChoice, Objective, comet_step, open_device};

/// Random data; one step = selector, predictor, detector forward and backward, and two AdamW updates.
#[derive(Args)]
pub(super) struct BenchArgs {
    /// Network pair: full or small.
    #[arg(long, default_value = "small")]
    preset: Preset,
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
    /// Prints one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &BenchArgs) -> anyhow::Result<()> {
    let (device, device_name) = open_device(args.device)?;
    let (seconds, losses) = measure(args, &device.autodiff());
    let mut sorted = seconds.clone();
    sorted.sort_by(f64::total_cmp);
    let median = sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN);
    let rate = args.batch as f64 / median;
    let mut out = std::io::stdout().lock();
    if args.json {
        let line = serde_json::json!({
            "device": device_name, "preset": args.preset.name(), "size": args.size, "batch": args.batch,
            "n": seconds.len(), "step_seconds": seconds, "median_seconds": median, "images_per_second": rate,
            "losses": losses,
        });
        writeln!(out, "{line}")?;
    } else {
        writeln!(
            out,
            "{} pair, {} px, batch {}, {device_name}: median step {median:.3} s, {rate:.1} images/s (n = {})",
            args.preset.name(),
            args.size,
            args.batch,
            seconds.len()
        )?;
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

/// Seconds of each step, and the total loss at each step (warm-up included) to compare devices by.
fn measure(args: &BenchArgs, device: &Device) -> (Vec<f64>, Vec<f64>) {
    const WARM_UP: usize = 2;
    // Weights and data are drawn on the CPU, so that every device starts from the same.
    let cpu = Device::flex().autodiff();
    cpu.seed(args.seed);
    let config = CometConfig {
        preset: args.preset,
        width: args.width.unwrap_or(args.preset.default_width()),
        classes: args.classes,
        momentum: 0.1,
    };
    let (comet, detector) = (config.init(&cpu), config.classifier().init(&cpu));
    comet.visit(&mut Draw);
    detector.visit(&mut Draw);
    let (mut comet, detector) = (comet.fork(device), detector.fork(device).freeze());
    let shape = [args.batch, 3, args.size, args.size];
    let images = Tensor::<4>::random(shape, Distribution::Normal(0.0, 1.0), &cpu.clone().inner());
    let images = Tensor::<4>::from_data(images.into_data(), device);
    let labels: Vec<i64> = (0..args.batch).map(|index| (index % args.classes) as i64).collect();
    let labels = Tensor::<1, Int>::from_data(labels.as_slice(), device);
    let optimizer = || AdamWConfig::new().with_epsilon(1e-8).with_weight_decay(0.03).init();
    let (mut selector_optimizer, mut predictor_optimizer) = (optimizer(), optimizer());
    let (mut seconds, mut losses) = (Vec::new(), Vec::new());
    for step in 0..WARM_UP + args.steps {
        let started = Instant::now();
        let gradients = comet_step(&comet, &detector, images.clone(), labels.clone(), &Objective::default());
        losses.push(gradients.losses().total);
        comet.selector = selector_optimizer.step(1e-3, comet.selector, gradients.selector);
        comet.predictor = predictor_optimizer.step(1e-3, comet.predictor, gradients.predictor);
        // A device that works asynchronously must be done before the clock is read.
        let _ = device.sync();
        if step >= WARM_UP {
            seconds.push(started.elapsed().as_secs_f64());
        }
    }
    (seconds, losses)
}
