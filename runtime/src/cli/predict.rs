//! `predict`: pictures in, one line each.

use std::path::PathBuf;
use std::sync::Arc;

use super::args::PredictArgs;
use super::exit::Exit;
use super::print::say;
use super::{model, outputs};
use crate::pipeline::{Inference, RunControl, RunOptions, run};
use crate::sink::{EvidenceFolder, EvidenceOf, JsonLines, Sink, TextLines};
use crate::source::{FilesSource, expand};

pub(super) fn predict(args: &PredictArgs) -> anyhow::Result<Exit> {
    let model = model::load(&args.model)?;
    let mut inference = Inference::new(&model, args.threads.count())?.top_k(usize::from(args.outputs.top_k));
    let mut sinks = outputs::file_sinks(&args.outputs)?;
    let control = RunControl::default();
    if let Some(folder) = &args.evidence {
        let monitor = Arc::clone(&control.monitor);
        sinks.push(Box::new(EvidenceFolder::new(folder, EvidenceOf::Everything, usize::MAX, monitor)?));
    }
    sinks.push(printer(args.json));
    let source = FilesSource::new("the arguments", pictures(&args.paths));
    let options = RunOptions { report: |notice| say(notice), ..RunOptions::default() };
    run(Box::new(source), &mut inference, &mut sinks, &options, &control)?;
    let counts = control.counters.snapshot();
    if counts.inferred == 0 {
        say("error: no picture could be read");
        say("hint: JPEG and PNG are read; give files, folders of them, or a quoted 'pattern*.jpg'");
        return Ok(Exit::Io);
    }
    Ok(Exit::Ok)
}

fn printer(json: bool) -> Box<dyn Sink> {
    let stdout = std::io::stdout();
    match json {
        true => Box::new(JsonLines::new("stdout", stdout)),
        false => Box::new(TextLines::new(stdout)),
    }
}

/// Everything behind the arguments. A folder without pictures is told; the others may have some.
fn pictures(arguments: &[PathBuf]) -> Vec<PathBuf> {
    let mut pictures = Vec::new();
    for argument in arguments {
        match expand(argument) {
            Ok(found) => pictures.extend(found),
            Err(error) => say(format_args!("skipped {error}")),
        }
    }
    pictures
}
