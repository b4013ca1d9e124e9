//! Exchanging the model of a run that goes on: verified first, and the old one serves on if the new one fails.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Builder;

use super::model;
use super::notify::Readiness;
use super::print::say;
use crate::model::{ModelError, ModelFile};
use crate::monitor::Monitor;
use crate::pipeline::{Exchange, Inference, InferenceOptions};

/// Everything that is needed to prepare the model again.
#[derive(Clone)]
pub(super) struct Reload {
    pub(super) model: Option<PathBuf>,
    pub(super) skip_hash: bool,
    pub(super) reference: Option<PathBuf>,
    pub(super) options: InferenceOptions,
    pub(super) exchange: Exchange,
    pub(super) monitor: Arc<Monitor>,
    /// Set while one is under way: a second SIGHUP meanwhile changes nothing.
    pub(super) busy: Arc<AtomicBool>,
    pub(super) ready: Readiness,
    /// The user asked for checks: a model that cannot be checked is refused.
    pub(super) checks_wanted: bool,
}

impl Reload {
    /// Reads the files and prepares them. A model whose parts cannot be told apart runs without checks, unless the user
    /// asked for them.
    pub(super) fn prepare(&self) -> Result<Inference, ModelError> {
        let model = model::read(self.model.as_deref(), self.skip_hash)?;
        let reference = self.reference.as_deref().map(ModelFile::read).transpose()?;
        let fault = match Inference::with_options(&model, reference.as_ref(), self.options.clone()) {
            Err(fault) if !self.checks_wanted => fault,
            prepared => return prepared,
        };
        let options = InferenceOptions { check_every: 0, ..self.options.clone() };
        let inference = Inference::with_options(&model, None, options)?;
        say(format_args!("explanations are not checked: {fault}"));
        Ok(inference)
    }

    /// Begins to exchange the model, on a thread of its own: preparing takes a while, and signals must be heard.
    pub(super) fn begin(&self) {
        if self.busy.swap(true, Ordering::Relaxed) {
            return;
        }
        let reload = self.clone();
        let work = move || {
            reload.ready.reloading();
            match reload.prepare() {
                // The run tells when it has changed to it.
                Ok(inference) => reload.exchange.offer(inference),
                Err(fault) => {
                    say(format_args!("the model was not exchanged, the old one serves on: {fault}"));
                    reload.monitor.reload_failed(&fault.to_string());
                }
            }
            reload.ready.reloaded();
            reload.busy.store(false, Ordering::Relaxed);
        };
        // It ends by itself, and holds nothing that the end of the program would lose.
        if let Err(fault) = Builder::new().name("reload".into()).spawn(work) {
            say(format_args!("the model was not exchanged: no thread can be started ({fault})"));
            self.ready.reloaded();
            self.busy.store(false, Ordering::Relaxed);
        }
    }
}
