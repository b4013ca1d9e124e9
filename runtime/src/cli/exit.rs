//! Exit codes, and telling an error with the next thing to try.

use std::process::ExitCode;

use crate::evidence::BundleError;
use crate::explain::{CompareError, ReferenceError, ReferenceErrorKind};
use crate::model::{ModelError, ModelErrorKind};
use crate::pipeline::RunError;
use crate::sink::SinkError;
use crate::source::{SourceError, SourceErrorKind};

use super::print::say;

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

/// Tells an error on stderr, and gives its exit code.
pub(super) fn tell(error: &anyhow::Error) -> Exit {
    say(format_args!("error: {error:#}"));
    let (exit, hint) = classify(error);
    if let Some(hint) = hint {
        say(format_args!("hint: {hint}"));
    }
    exit
}

fn classify(error: &anyhow::Error) -> (Exit, Option<&'static str>) {
    let known = error.chain().find_map(|cause| {
        let plain = |exit| Some((exit, None));
        if let Some(error) = cause.downcast_ref::<RunError>() {
            return match error {
                RunError::Source(source) => Some(of_source(source)),
                RunError::Model(model) => plain(of_model(model)),
                RunError::Panicked(_) => plain(Exit::Source),
                _ => plain(Exit::Io),
            };
        }
        #[cfg(feature = "mqtt")]
        if cause.is::<crate::sink::MqttAddressError>()
            || matches!(cause.downcast_ref(), Some(crate::sink::MqttError::Prefix(_)))
        {
            return plain(Exit::Usage);
        }
        if cause.is::<BundleError>() {
            return Some((
                Exit::Io,
                Some("give a folder that --evidence wrote; each holds a file SHA256SUMS"),
            ));
        }
        #[cfg(feature = "web")]
        if let Some(error) = cause.downcast_ref::<crate::sink::WebError>() {
            return plain(if error.is_usage() { Exit::Usage } else { Exit::Io });
        }
        if let Some(error) = cause.downcast_ref::<CompareError>() {
            return match error {
                CompareError::Reference(reference) => plain(of_reference(reference)),
                CompareError::Model(model) => plain(of_model(model)),
                CompareError::NoPictures => plain(Exit::Io),
                _ => plain(Exit::Model),
            };
        }
        if let Some(error) = cause.downcast_ref::<SourceError>() {
            return Some(of_source(error));
        }
        if let Some(error) = cause.downcast_ref::<ModelError>() {
            return plain(of_model(error));
        }
        if let Some(error) = cause.downcast_ref::<ReferenceError>() {
            return plain(of_reference(error));
        }
        let io = cause.is::<SinkError>() || cause.is::<std::io::Error>();
        io.then_some((Exit::Io, None))
    });
    known.unwrap_or((Exit::Failed, None))
}

fn of_source(error: &SourceError) -> (Exit, Option<&'static str>) {
    let exit = match error.kind {
        SourceErrorKind::Unknown(_) => Exit::Usage,
        SourceErrorKind::NotFound
        | SourceErrorKind::Io(_)
        | SourceErrorKind::NoPictures
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
        // The set is of another model: that is the model's refusal.
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
            (model(ModelErrorKind::SealBroken).into(), Exit::Model),
            (model(ModelErrorKind::Io(io())).into(), Exit::Io),
            (source(SourceErrorKind::Unknown("x".into())).into(), Exit::Usage),
            (source(SourceErrorKind::NoCameraSupport).into(), Exit::Source),
            (RunError::Model(model(ModelErrorKind::NoManifest)).into(), Exit::Model),
            (RunError::Sink(SinkError::new("f", io())).into(), Exit::Io),
            (CompareError::NoPictures.into(), Exit::Io),
            (anyhow::anyhow!("a check failed"), Exit::Failed),
        ];
        for (error, exit) in cases {
            let text = format!("{error:#}");
            let wrapped = Err::<(), _>(error).context("while testing").unwrap_err();
            assert_eq!(classify(&wrapped).0, exit, "{text}");
        }
    }
}
