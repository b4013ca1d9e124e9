//! Where the results of a run go.

use std::fs::File;
use std::io::{IsTerminal, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "web")]
use anyhow::Context;
use comet_engine::image::has_image_extension;

use super::args::RunArgs;
use super::outputs;
use super::print::say;
use crate::pipeline::RunControl;
use crate::sink::{
    EvidenceFolder, EvidenceOf, JsonLines, Recorder, RecordingOptions, Sink, SinkError, TextLines,
};
use crate::source::SourceSpec;

/// How long files wait for a slow disk, for each frame.
const PATIENCE: Duration = Duration::from_secs(2);

/// Opens everything that the arguments ask for, in the order in which it takes a result. Sinks that write files come
/// first: they add the names of their files to the record that is printed, recorded and shown.
pub(super) fn open_outputs(
    args: &RunArgs,
    spec: &SourceSpec,
    control: &RunControl,
) -> anyhow::Result<Vec<Box<dyn Sink>>> {
    let mut sinks = outputs::file_sinks(&args.outputs)?;
    if let Some(folder) = &args.trust.evidence {
        let monitor = Arc::clone(&control.monitor);
        let limit = args.trust.evidence_limit;
        sinks.push(Box::new(
            EvidenceFolder::new(folder, EvidenceOf::Flagged, limit, monitor)?.reporting(|text| say(text)),
        ));
    }
    sinks.extend(printers(args, spec)?);
    if let Some(folder) = &args.recording.record {
        sinks.push(Box::new(Recorder::new(RecordingOptions {
            quota: args.recording.quota,
            segment: args.recording.segment,
            // A live run loses a frame of the recording rather than a frame of the camera.
            patience: if spec.is_live(args.live) { Duration::ZERO } else { PATIENCE },
            ..RecordingOptions::new(folder)
        })?));
    }
    #[cfg(feature = "web")]
    if let Some(page) = open_page(args, control)? {
        sinks.push(page);
    }
    #[cfg(feature = "mqtt")]
    if let Some(url) = &args.mqtt.mqtt {
        sinks.push(open_mqtt(url, args, spec, control)?);
    }
    #[cfg(feature = "window")]
    if args.window {
        match crate::sink::WindowSink::start(outputs::style(&args.outputs), Arc::clone(&control.stop)) {
            Ok(window) => sinks.push(Box::new(window)),
            // A service works without a display as well.
            Err(fault) => say(format_args!("no window: {fault}")),
        }
    }
    Ok(sinks)
}

/// Whether every frame has a name of its own, that of its file.
fn is_named_by_frame(spec: &SourceSpec) -> bool {
    match spec {
        SourceSpec::Pattern(_) => true,
        SourceSpec::Path(path) => path.is_dir() || has_image_extension(path),
        _ => false,
    }
}

/// What goes to stdout, and to the file of --jsonl.
fn printers(args: &RunArgs, spec: &SourceSpec) -> Result<Vec<Box<dyn Sink>>, SinkError> {
    let stdout = std::io::stdout();
    let to_file = args.jsonl.as_deref().filter(|file| *file != Path::new("-"));
    let mut printers: Vec<Box<dyn Sink>> = Vec::new();
    if let Some(file) = to_file {
        printers.push(Box::new(append_to(file)?));
    }
    let json = args.json || args.jsonl.as_deref() == Some(Path::new("-"));
    match (json, args.text || stdout.is_terminal(), to_file) {
        (false, true, _) => {
            printers.push(Box::new(TextLines::new(stdout).numbered(!is_named_by_frame(spec))))
        }
        // A service that writes to a file should not write everything to the journal, too.
        (false, false, Some(_)) => {}
        _ => printers.push(Box::new(JsonLines::new("stdout", stdout))),
    }
    Ok(printers)
}

/// Appends, so that a service that starts again keeps what it has written.
fn append_to(file: &Path) -> Result<JsonLines<File>, SinkError> {
    let name = file.display().to_string();
    let opened = File::options().create(true).read(true).append(true).open(file);
    let opened = opened.and_then(|mut opened| end_last_line(&mut opened).map(|()| opened));
    match opened {
        Ok(opened) => Ok(JsonLines::new(name, opened)),
        Err(fault) => Err(SinkError::new(name, fault)),
    }
}

/// A power cut may have left half a line, which must not spoil the next one. Pipes and terminals have no last line.
fn end_last_line(file: &mut File) -> std::io::Result<()> {
    if !file.metadata()?.is_file() || file.metadata()?.len() == 0 {
        return Ok(());
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    if last == *b"\n" { Ok(()) } else { file.write_all(b"\n") }
}

#[cfg(feature = "web")]
fn open_page(args: &RunArgs, control: &RunControl) -> anyhow::Result<Option<Box<dyn Sink>>> {
    let Some(address) = args.page.http else {
        return Ok(None);
    };
    let token = match &args.page.token_file {
        Some(file) => Some(token(file)?),
        None => None,
    };
    let options = crate::sink::WebOptions {
        address,
        token,
        max_clients: usize::from(args.page.http_clients),
        allowed_hosts: args.page.http_host.clone(),
        evidence: args.trust.evidence.is_some(),
        style: outputs::style(&args.outputs),
    };
    let page = crate::sink::WebSink::start(options, Arc::clone(&control.monitor))?;
    say(format_args!("page: http://{}/", page.address()));
    Ok(Some(Box::new(page)))
}

/// The first line of a file: editors end it with a line end, which is not part of the token.
#[cfg(feature = "web")]
fn token(file: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    Ok(text.lines().next().unwrap_or_default().trim().to_owned())
}

#[cfg(feature = "mqtt")]
fn open_mqtt(
    url: &str,
    args: &RunArgs,
    spec: &SourceSpec,
    control: &RunControl,
) -> anyhow::Result<Box<dyn Sink>> {
    let usual = || crate::sink::MqttOptions::camera_name(&spec.short_name(), &spec.identity());
    let camera = args.mqtt.camera_name.clone().unwrap_or_else(usual);
    let options = crate::sink::MqttOptions {
        prefix: args.mqtt.mqtt_topic.clone(),
        camera,
        discovery: !args.mqtt.no_discovery,
        report: |text| say(text),
        ..crate::sink::MqttOptions::new(url)?
    };
    Ok(Box::new(crate::sink::MqttSink::start(options, Arc::clone(&control.monitor))?))
}
