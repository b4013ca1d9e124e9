//! Exchanging the model of a run that is under way: the new one is verified first, and the old one stays in use if that
//! fails.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::Builder;

use comet_engine::model::{ModelError, ModelFile};

use super::model;
use super::notify::Readiness;
use super::print::say;
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
    pub(super) requests: Requests,
    pub(super) ready: Readiness,
    /// The user asked for checks: a model that cannot be checked is refused.
    pub(super) checks_wanted: bool,
}

impl Reload {
    /// Reads the files and prepares them. A model whose predictor cannot be run alone is used without checks, unless
    /// the user asked for them.
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

    /// Starts to exchange the model, on a thread of its own: preparing takes a while, and signals must be handled
    /// meanwhile. A request that comes while one is served is served after it: the file may have changed again.
    pub(super) fn begin(&self) {
        if !self.requests.ask() {
            return;
        }
        let reload = self.clone();
        let work = move || {
            loop {
                reload.exchange_once();
                if !reload.requests.served() {
                    break;
                }
            }
        };
        // It ends by itself, and holds nothing that the end of the program would lose.
        if let Err(fault) = Builder::new().name("reload".into()).spawn(work) {
            say(format_args!("the model was not exchanged: no thread can be started ({fault})"));
            self.requests.drop_all();
        }
    }

    fn exchange_once(&self) {
        self.ready.reloading();
        match self.prepare() {
            // The run reports when it has changed to it.
            Ok(inference) => self.exchange.offer(inference),
            Err(fault) => {
                say(format_args!("the model was not exchanged, the old one stays in use: {fault}"));
                self.monitor.reload_failed(&fault.to_string());
            }
        }
        self.ready.reloaded();
    }
}

/// Requests to exchange the model: one may be under way while another one waits. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Requests(Arc<Mutex<State>>);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Idle,
    Busy,
    /// Another request came meanwhile. More than one wait as one: each reads the whole file.
    BusyAndAsked,
}

impl Requests {
    /// Adds a request; `true` if the caller is to start serving it, `false` if the thread that serves one will.
    fn ask(&self) -> bool {
        let mut state = self.lock();
        let is_idle = *state == State::Idle;
        *state = if is_idle { State::Busy } else { State::BusyAndAsked };
        is_idle
    }

    /// The request that was under way is served; `true` if another one came meanwhile.
    fn served(&self) -> bool {
        let mut state = self.lock();
        let again = *state == State::BusyAndAsked;
        *state = if again { State::Busy } else { State::Idle };
        again
    }

    /// Drops the requests when no thread can serve them.
    fn drop_all(&self) {
        *self.lock() = State::Idle;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_during_a_reload_is_served_after_it_and_not_dropped() {
        let requests = Requests::default();
        assert!(requests.ask(), "the first one starts a reload");
        assert!(!requests.ask() && !requests.ask(), "two more come meanwhile");
        assert!(requests.served(), "and are served by one reload");
        assert!(!requests.served());
        assert!(requests.ask(), "the next one starts again");
    }

    #[test]
    fn a_request_that_nobody_could_serve_does_not_block_the_next_one() {
        let requests = Requests::default();
        assert!(requests.ask());
        requests.drop_all();
        assert!(requests.ask());
    }
}
