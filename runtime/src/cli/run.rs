//! `run`: a source is answered until it ends or is stopped.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;

use super::args::RunArgs;
use super::exit::Exit;
use super::notify::{Notifier, Readiness};
use super::print::say;
use super::reload::Reload;
use super::run_sinks::open_outputs;
use super::signals::SignalWatch;
use crate::explain::TrustLimits;
use crate::monitor::{ThermalLimits, ThermalWatch};
use crate::pipeline::{InferenceOptions, RunControl, RunOptions, run as run_pipeline};
use crate::source::{CameraOptions, OpenOptions, SourceSpec};

/// Every how many answers the explanation is checked: three more runs of the network each, so that the checks cost less
/// than a tenth of the time.
const CHECK_EVERY: u64 = 32;
/// With a float reference, which takes several times as long as the model itself.
const CHECK_EVERY_WITH_REFERENCE: u64 = 96;

pub(super) fn run(args: &RunArgs) -> anyhow::Result<Exit> {
    let control = RunControl::default();
    let ready = Readiness::default();
    let reload = reload(args, &control, &ready);
    let again = reload.clone();
    let signals = SignalWatch::start(&control.stop, move || again.begin())?;
    let mut inference = reload.prepare()?;
    let spec = args.source.clone().unwrap_or(SourceSpec::Camera(args.camera.unwrap_or(0)));
    let notifier = Notifier::from_env(&control.monitor, &control.stop, &ready)
        .context("cannot tell the service manager")?;
    // Before the source is opened: a camera that is slow to open should have its page.
    let mut sinks = open_outputs(args, &spec, &control)?;
    let opened = spec.open(&OpenOptions {
        stop: Arc::clone(&control.stop),
        live: args.live,
        repeat: args.repeat,
        camera: camera_options(args),
    });
    let source = match opened {
        // Asked to end while a camera was being opened.
        Err(_) if control.stop.load(Ordering::Relaxed) => return Ok(Exit::Ok),
        opened => opened?,
    };
    let options = RunOptions {
        frames: args.frames,
        duration: args.duration,
        every: args.every,
        max_fps: args.max_fps,
        // A camera that watches for months outlives a full disk; a folder can be run again.
        keep_going: source.is_live(),
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
    let begun = Instant::now();
    say(format_args!("answering {} with {}", source.name(), inference.model_state().name));
    let ended = run_pipeline(source, &mut inference, &mut sinks, &options, &control);
    let seconds = begun.elapsed().as_secs_f64();
    say(format_args!("{} in {seconds:.1} s", control.counters.snapshot()));
    drop((notifier, thermal, signals));
    ended?;
    Ok(Exit::Ok)
}

fn reload(args: &RunArgs, control: &RunControl, ready: &Readiness) -> Reload {
    let trust = &args.trust;
    let usual = TrustLimits::default();
    let limits = TrustLimits {
        min_stability: trust.min_stability.unwrap_or(usual.min_stability),
        min_drift_iou: trust.min_drift_iou.unwrap_or(usual.min_drift_iou),
        min_share: trust.alarm_below.unwrap_or(usual.min_share),
        ..usual
    };
    let usual_spacing = if trust.reference.is_some() { CHECK_EVERY_WITH_REFERENCE } else { CHECK_EVERY };
    Reload {
        model: args.model.model.clone(),
        skip_hash: args.model.skip_hash,
        reference: trust.reference.clone(),
        options: InferenceOptions {
            threads: args.threads.count(),
            top_k: usize::from(args.outputs.top_k),
            limits,
            abstain_below: trust.abstain_below.map(|p| p as f32),
            smoothing: trust.smooth.filter(|weight| *weight > 0.0).map(|weight| weight as f32),
            check_every: trust.check_every.unwrap_or(usual_spacing),
        },
        exchange: control.exchange.clone(),
        monitor: Arc::clone(&control.monitor),
        busy: Arc::new(AtomicBool::new(false)),
        ready: ready.clone(),
        checks_wanted: trust.check_every.is_some() || trust.reference.is_some(),
    }
}

fn camera_options(args: &RunArgs) -> CameraOptions {
    let camera = &args.camera_settings;
    let usual = CameraOptions::default();
    let reconnect =
        if camera.no_reconnect { Duration::ZERO } else { camera.reconnect.unwrap_or(usual.reconnect) };
    CameraOptions { width: camera.width, height: camera.height, fps: camera.fps, reconnect }
}
