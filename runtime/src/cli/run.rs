//! `run`: the frames of a source are predicted until it ends or is stopped.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::Context;
use comet_engine::explain::TrustLimits;

use super::args::RunArgs;
use super::environment;
use super::exit::{self, Exit};
use super::notify::{Notifier, Readiness};
use super::print::say;
use super::reload::{Reload, Requests};
use super::run_sinks::open_outputs;
use super::signals::SignalWatch;
use crate::monitor::{ThermalLimits, ThermalWatch};
use crate::pipeline::{Inference, InferenceOptions, RunControl, RunOptions, run as run_pipeline};
use crate::source::{CameraOptions, OpenOptions, Source, SourceError, SourceSpec};

/// Every how many predictions the explanation is checked: four more runs of a network each, so that the checks cost
/// about a tenth of the time.
const CHECK_EVERY: u64 = 32;
/// With a float reference, which takes several times as long as the model itself.
const CHECK_EVERY_WITH_REFERENCE: u64 = 96;

pub(super) fn run(args: &RunArgs) -> anyhow::Result<Exit> {
    if args.text && args.jsonl.as_deref() == Some(Path::new("-")) {
        say("error: --text and --jsonl - both write to stdout; give one of them, or --jsonl FILE");
        return Ok(Exit::Usage);
    }
    let control = RunControl::default();
    let ready = Readiness::default();
    let reload = reload(args, &control, &ready)?;
    let again = reload.clone();
    let signals = SignalWatch::start(&control.stop, move || again.begin())?;
    let mut inference = reload.prepare()?;
    let spec = args.source.clone().unwrap_or(SourceSpec::Camera(args.camera.unwrap_or(0)));
    let notifier = Notifier::from_env(&control.monitor, &control.stop, &ready)
        .context("cannot notify the service manager")?;
    // Before the source is opened: a camera that is slow to open should have its page.
    let mut sinks = open_outputs(args, &spec, &control)?;
    let source = match open_source(args, &spec, &control) {
        // Asked to end while a camera was being opened.
        Err(_) if control.stop.load(Ordering::Relaxed) => return Ok(Exit::Ok),
        opened => opened?,
    };
    let live = source.is_live();
    let options = RunOptions {
        frames: args.frames,
        duration: args.duration,
        every: args.every,
        max_fps: args.max_fps,
        keep_going: true,
        report: |notice| say(notice),
    };
    let thermal = ThermalWatch::start(
        args.board.sysfs_root.clone(),
        Arc::clone(&control.monitor),
        ThermalLimits { max_celsius: args.board.max_temp, ..ThermalLimits::default() },
        Arc::clone(&control.stop),
        |notice| say(notice),
    )
    .context("cannot watch the temperature")?;
    announce(source.as_ref(), &inference);
    let started = Instant::now();
    let ended = run_pipeline(source, &mut inference, &mut sinks, &options, &control);
    let seconds = started.elapsed().as_secs_f64();
    let counts = control.counters.snapshot();
    say(format_args!("{counts} in {seconds:.1} s"));
    let asked_to_end = signals.asked_to_end();
    drop((notifier, thermal, signals));
    ended?;
    // A camera that runs for months outlives damaged frames and a full disk; files can be read again.
    Ok(if live || asked_to_end { Exit::Ok } else { exit::of_files(&counts) })
}

fn announce(source: &dyn Source, inference: &Inference) {
    say(format_args!("predicting {} with {}", source.name(), inference.model_state().name));
}

fn open_source(
    args: &RunArgs,
    spec: &SourceSpec,
    control: &RunControl,
) -> Result<Box<dyn Source>, SourceError> {
    spec.open(&OpenOptions {
        stop: Arc::clone(&control.stop),
        live: args.live,
        repeat: args.repeat,
        camera: camera_options(args),
    })
}

fn reload(args: &RunArgs, control: &RunControl, ready: &Readiness) -> anyhow::Result<Reload> {
    let trust = &args.trust;
    let usual = TrustLimits::default();
    let limits = TrustLimits {
        min_stability: trust.min_stability.unwrap_or(usual.min_stability),
        min_drift_iou: trust.min_drift_iou.unwrap_or(usual.min_drift_iou),
        min_share: trust.alarm_below.unwrap_or(usual.min_share),
        ..usual
    };
    let usual_spacing = if trust.reference.is_some() { CHECK_EVERY_WITH_REFERENCE } else { CHECK_EVERY };
    Ok(Reload {
        model: args.model.model.clone(),
        skip_hash: args.model.skip_hash,
        reference: trust.reference.clone(),
        options: InferenceOptions {
            threads: args.threads.count(),
            kernels: environment::kernels()?,
            top_k: usize::from(args.outputs.top_k),
            limits,
            abstain_below: trust.abstain_below.map(|p| p as f32),
            smoothing: trust.smooth.filter(|weight| *weight > 0.0).map(|weight| weight as f32),
            check_every: trust.check_every.unwrap_or(usual_spacing),
        },
        exchange: control.exchange.clone(),
        monitor: Arc::clone(&control.monitor),
        requests: Requests::default(),
        ready: ready.clone(),
        checks_wanted: trust.check_every.is_some() || trust.reference.is_some(),
    })
}

fn camera_options(args: &RunArgs) -> CameraOptions {
    let camera = &args.camera_settings;
    let usual = CameraOptions::default();
    let reconnect =
        if camera.no_reconnect { Duration::ZERO } else { camera.reconnect.unwrap_or(usual.reconnect) };
    CameraOptions { width: camera.width, height: camera.height, fps: camera.fps, reconnect }
}
