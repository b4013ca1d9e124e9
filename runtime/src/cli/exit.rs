//! Exit codes, and reporting an error with the next thing to try.

use std::io::ErrorKind;
use std::process::ExitCode;

use comet_engine::explain::{CompareError, ReferenceError, ReferenceErrorKind};
use comet_engine::model::{ModelError, ModelErrorKind};

use super::environment::EnvironmentError;
use super::print::say;
use crate::evidence::BundleError;
use crate::monitor::Counts;
use crate::pipeline::RunError;
use crate::sink::SinkError;
use crate::source::{SourceError, SourceErrorKind};

/// How a command ended; the numbers are part of the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    /// 0: done.
    Ok = 0,
    /// 1: a check or gate failed.
    Failed = 1,
    /// 2: the arguments make no sense.
    Usage = 2,
    /// 3: the model was rejected.
    Model = 3,
    /// 4: the source is lost, or was never there.
    Source = 4,
    /// 5: something could not be read or written.
    Io = 5,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Reports an error on stderr, and gives its exit code.
pub(super) fn report(error: &anyhow::Error) -> Exit {
    say(format_args!("error: {error:#}"));
    let (exit, hint) = classify(error);
    if let Some(hint) = hint {
        say(format_args!("hint: {hint}"));
    }
    exit
}

/// How a run over files ended that went on past faults: it is an error if no image could be read, or if a result could
/// not be written.
pub(super) fn of_files(counts: &Counts) -> Exit {
    if counts.inferred == 0 && counts.corrupt > 0 {
        say("error: no image could be read");
        say(
            "hint: each file is named above with its fault; give images, folders of them, or a quoted 'pattern*.jpg'",
        );
        return Exit::Io;
    }
    if counts.sink_failures > 0 {
        say(format_args!(
            "error: results that could not be written: {}; each is named above",
            counts.sink_failures
        ));
        return Exit::Io;
    }
    Exit::Ok
}

/// The exit code of an error, and what to try next.
fn classify(error: &anyhow::Error) -> (Exit, Option<&'static str>) {
    error.chain().find_map(classify_cause).unwrap_or((Exit::Failed, None))
}

fn classify_cause(cause: &(dyn std::error::Error + 'static)) -> Option<(Exit, Option<&'static str>)> {
    let plain = |exit| Some((exit, None));
    if let Some(error) = cause.downcast_ref::<RunError>() {
        return match error {
            RunError::Source(source) => Some(of_source(source)),
            RunError::Model(model) => plain(of_model(model)),
            RunError::Panicked(_) => plain(Exit::Source),
            RunError::Sink(sink) => Some(of_io(&sink.fault)),
            _ => plain(Exit::Io),
        };
    }
    if let Some(exit) = usage_of_sinks(cause) {
        return plain(exit);
    }
    if cause.is::<BundleError>() {
        return Some((Exit::Io, Some("give a folder that --evidence wrote; each holds a file SHA256SUMS")));
    }
    if let Some(error) = cause.downcast_ref::<CompareError>() {
        return match error {
            CompareError::Reference(reference) => plain(of_reference(reference)),
            CompareError::Model(model) => plain(of_model(model)),
            CompareError::NoImages => plain(Exit::Io),
            _ => plain(Exit::Model),
        };
    }
    if let Some(error) = cause.downcast_ref::<SourceError>() {
        return Some(of_source(error));
    }
    if let Some(error) = cause.downcast_ref::<ModelError>() {
        return plain(of_model(error));
    }
    // Which kernels there are is a question of whether a model can be prepared.
    if cause.is::<EnvironmentError>() {
        return plain(Exit::Model);
    }
    if let Some(error) = cause.downcast_ref::<ReferenceError>() {
        return plain(of_reference(error));
    }
    if let Some(error) = cause.downcast_ref::<SinkError>() {
        return Some(of_io(&error.fault));
    }
    cause.downcast_ref::<std::io::Error>().map(of_io)
}

/// Addresses, names and tokens that were typed wrong.
fn usage_of_sinks(cause: &(dyn std::error::Error + 'static)) -> Option<Exit> {
    #[cfg(feature = "mqtt")]
    if cause.is::<crate::sink::MqttAddressError>()
        || matches!(cause.downcast_ref(), Some(crate::sink::MqttError::Prefix(_)))
    {
        return Some(Exit::Usage);
    }
    #[cfg(feature = "mqtt")]
    if matches!(cause.downcast_ref(), Some(crate::sink::MqttError::Thread(_))) {
        return Some(Exit::Io);
    }
    #[cfg(feature = "web")]
    if let Some(error) = cause.downcast_ref::<crate::sink::WebError>() {
        return Some(if error.is_usage() { Exit::Usage } else { Exit::Io });
    }
    // A build without either has nothing to ask.
    let _ = cause;
    None
}

fn of_io(fault: &std::io::Error) -> (Exit, Option<&'static str>) {
    let hint = match fault.kind() {
        ErrorKind::StorageFull => Some("the disk is full: free some space, or write to another one"),
        ErrorKind::QuotaExceeded => {
            Some("this user may not write more to the disk: remove files, or write to another one")
        }
        ErrorKind::ReadOnlyFilesystem => Some("the disk is read-only: write to another one"),
        _ => None,
    };
    (Exit::Io, hint)
}

fn of_source(error: &SourceError) -> (Exit, Option<&'static str>) {
    let exit = match error.kind {
        SourceErrorKind::Unknown(_) => Exit::Usage,
        SourceErrorKind::NotFound
        | SourceErrorKind::Io(_)
        | SourceErrorKind::NoImages
        | SourceErrorKind::NoMatch
        | SourceErrorKind::NotAStream(_)
        | SourceErrorKind::Header(_) => Exit::Io,
        _ => Exit::Source,
    };
    (exit, error.hint())
}

fn of_model(error: &ModelError) -> Exit {
    match error.kind {
        ModelErrorKind::Io(_) => Exit::Io,
        _ => Exit::Model,
    }
}

fn of_reference(error: &ReferenceError) -> Exit {
    match error.kind {
        // The set belongs to another model: that is a rejected model.
        ReferenceErrorKind::Field { .. } => Exit::Model,
        _ => Exit::Io,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn errors_keep_their_codes_through_context() {
        let io = || std::io::Error::other("full");
        let model = |kind| ModelError { name: "m".into(), kind };
        let source = |kind| SourceError::new("s", kind);
        let cases: [(anyhow::Error, Exit); 8] = [
            (model(ModelErrorKind::ChecksumMismatch).into(), Exit::Model),
            (model(ModelErrorKind::Io(io())).into(), Exit::Io),
            (source(SourceErrorKind::Unknown("x".into())).into(), Exit::Usage),
            (source(SourceErrorKind::NoCameraSupport).into(), Exit::Source),
            (RunError::Model(model(ModelErrorKind::NoManifest)).into(), Exit::Model),
            (RunError::Sink(SinkError::new("f", io())).into(), Exit::Io),
            (CompareError::NoImages.into(), Exit::Io),
            (anyhow::anyhow!("a check failed"), Exit::Failed),
        ];
        for (error, exit) in cases {
            let text = format!("{error:#}");
            let wrapped = Err::<(), _>(error).context("while testing").unwrap_err();
            assert_eq!(classify(&wrapped).0, exit, "{text}");
        }
    }

    #[test]
    fn a_full_disk_is_named_with_what_to_do() {
        let full = || std::io::Error::from(ErrorKind::StorageFull);
        let errors: [anyhow::Error; 2] =
            [SinkError::new("f", full()).into(), RunError::Sink(SinkError::new("f", full())).into()];
        for error in errors {
            let (exit, hint) = classify(&error);
            assert!(exit == Exit::Io && hint.is_some_and(|hint| hint.contains("full")), "{error:#}");
        }
    }

    #[test]
    fn files_of_which_none_was_read_and_results_that_were_not_written_are_an_error() {
        let counts = |inferred, corrupt, sink_failures| Counts {
            inferred,
            corrupt,
            sink_failures,
            ..Counts::default()
        };
        assert_eq!(of_files(&counts(0, 3, 0)), Exit::Io);
        assert_eq!(of_files(&counts(4, 0, 1)), Exit::Io);
        assert_eq!(of_files(&counts(4, 1, 0)), Exit::Ok, "one bad file among others");
        assert_eq!(of_files(&counts(0, 0, 0)), Exit::Ok, "no frame was asked for");
    }
}
