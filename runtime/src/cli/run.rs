//! `run`: a source is answered until it ends or is stopped.

use std::fs::OpenOptions as FileOptions;
use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;

use super::args::RunArgs;
use super::exit::Exit;
use super::print::say;
use super::{model, outputs};
use crate::pipeline::{Inference, RunControl, RunOptions, run as run_pipeline};
use crate::sink::{JsonLines, Sink, SinkError, TextLines};
use crate::source::{CameraOptions, OpenOptions, SourceSpec};

/// Exit code of a program that was interrupted, as shells have it.
const INTERRUPTED: i32 = 130;

pub(super) fn run(args: &RunArgs) -> anyhow::Result<Exit> {
    let control = RunControl::default();
    end_on_signals(&control.stop)?;
    let model = model::load(&args.model)?;
    let mut inference = Inference::new(&model, args.threads.count())?.top_k(usize::from(args.outputs.top_k));
    let mut sinks = outputs::file_sinks(&args.outputs)?;
    sinks.extend(printers(args)?);
    let spec = args.source.clone().unwrap_or(SourceSpec::Camera(args.camera.unwrap_or(0)));
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
        // A camera that watches for months outlives a full disk; a folder can be run again.
        keep_going: source.is_live(),
        report: |notice| say(notice),
    };
    let begun = Instant::now();
    say(format_args!("answering {} with {}", source.name(), model.manifest().name));
    let ended = run_pipeline(source, &mut inference, &mut sinks, &options, &control);
    let seconds = begun.elapsed().as_secs_f64();
    say(format_args!("{} in {seconds:.1} s", control.counters.snapshot()));
    ended?;
    Ok(Exit::Ok)
}

fn camera_options(args: &RunArgs) -> CameraOptions {
    let usual = CameraOptions::default();
    CameraOptions {
        width: args.width,
        height: args.height,
        fps: args.fps,
        reconnect: if args.no_reconnect { Duration::ZERO } else { usual.reconnect },
    }
}

/// The first signal ends the run in order, a second one at once.
fn end_on_signals(stop: &Arc<AtomicBool>) -> anyhow::Result<()> {
    let stop = Arc::clone(stop);
    let asked = AtomicBool::new(false);
    let handler = move || {
        stop.store(true, Ordering::Relaxed);
        if asked.swap(true, Ordering::Relaxed) {
            std::process::exit(INTERRUPTED);
        }
    };
    ctrlc::set_handler(handler).context("cannot listen for Ctrl-C and SIGTERM")
}

/// What goes to stdout, and to the file of --jsonl.
fn printers(args: &RunArgs) -> Result<Vec<Box<dyn Sink>>, SinkError> {
    let stdout = std::io::stdout();
    let to_file = args.jsonl.as_deref().filter(|file| *file != Path::new("-"));
    let mut printers: Vec<Box<dyn Sink>> = Vec::new();
    if let Some(file) = to_file {
        printers.push(Box::new(append_to(file)?));
    }
    let json = args.json || args.jsonl.as_deref() == Some(Path::new("-"));
    match (json, stdout.is_terminal(), to_file) {
        (false, true, _) => printers.push(Box::new(TextLines::new(stdout).numbered(true))),
        // Whoever writes to a file from a service does not want everything in the journal too.
        (false, false, Some(_)) => {}
        _ => printers.push(Box::new(JsonLines::new("stdout", stdout))),
    }
    Ok(printers)
}

/// Appends, so that a service that starts again keeps what it has written.
fn append_to(file: &Path) -> Result<JsonLines<std::fs::File>, SinkError> {
    let name = file.display().to_string();
    match FileOptions::new().create(true).append(true).open(file) {
        Ok(opened) => Ok(JsonLines::new(name, opened)),
        Err(fault) => Err(SinkError::new(name, fault)),
    }
}
