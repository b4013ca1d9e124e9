//! `predict`: images in, one line each.

use std::path::PathBuf;
use std::sync::Arc;

use super::args::PredictArgs;
use super::exit::{self, Exit};
use super::print::say;
use super::{environment, model, outputs};
use crate::pipeline::{Inference, InferenceOptions, RunControl, RunOptions, run};
use crate::sink::{EvidenceFolder, EvidenceOf, JsonLines, Sink, TextLines};
use crate::source::{FilesSource, FoundImages, expand};

pub(super) fn predict(args: &PredictArgs) -> anyhow::Result<Exit> {
    let options = InferenceOptions {
        threads: args.threads.count(),
        kernels: environment::kernels()?,
        top_k: usize::from(args.outputs.top_k),
        ..InferenceOptions::default()
    };
    let model = model::load(&args.model)?;
    let mut inference = Inference::with_options(&model, None, options)?;
    let mut sinks = outputs::file_sinks(&args.outputs)?;
    let control = RunControl::default();
    if let Some(folder) = &args.evidence {
        let monitor = Arc::clone(&control.monitor);
        sinks.push(Box::new(EvidenceFolder::new(folder, EvidenceOf::Everything, usize::MAX, monitor)?));
    }
    sinks.push(printer(args.json));
    let source = FilesSource::found("the arguments", images(&args.paths));
    let options = RunOptions { keep_going: true, report: |notice| say(notice), ..RunOptions::default() };
    run(Box::new(source), &mut inference, &mut sinks, &options, &control)?;
    let counts = control.counters.snapshot();
    if counts.captured == 0 {
        // None of the arguments held an image.
        say("error: no image could be read");
        say("hint: give images, folders of them, or a quoted 'pattern*.jpg'");
        return Ok(Exit::Io);
    }
    Ok(exit::of_files(&counts))
}

fn printer(json: bool) -> Box<dyn Sink> {
    let stdout = std::io::stdout();
    match json {
        true => Box::new(JsonLines::new("stdout", stdout)),
        false => Box::new(TextLines::new(stdout)),
    }
}

/// All images that the arguments name. An argument without images is reported; the others may have some.
fn images(arguments: &[PathBuf]) -> FoundImages {
    let mut images = FoundImages::default();
    for argument in arguments {
        match expand(argument) {
            Ok(found) => {
                images.images.extend(found.images);
                images.unreadable.extend(found.unreadable);
            }
            Err(error) => say(format_args!("skipped {error}")),
        }
    }
    images
}
