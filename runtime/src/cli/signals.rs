//! What signals do to a run: SIGINT and SIGTERM end it, SIGHUP exchanges the model.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use anyhow::Context;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::{Handle, Signals};

use crate::deadline::join_within;
use crate::source::kill_programs;

/// Exit code of a program that was interrupted, as shells have it.
const INTERRUPTED: i32 = 130;
/// How long the thread may take to end.
const ENDING: Duration = Duration::from_secs(1);

/// Listens until it is dropped.
pub(super) struct SignalWatch {
    handle: Handle,
    asked: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl SignalWatch {
    /// The first SIGINT or SIGTERM sets `stop`, after a second one the program exits immediately; SIGHUP calls
    /// `reload`, which must not take long.
    pub(super) fn start(
        stop: &Arc<AtomicBool>,
        mut reload: impl FnMut() + Send + 'static,
    ) -> anyhow::Result<Self> {
        let context = "cannot listen for signals";
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).context(context)?;
        let handle = signals.handle();
        let stop = Arc::clone(stop);
        let asked = Arc::<AtomicBool>::default();
        let has_asked = Arc::clone(&asked);
        let listen = move || {
            for signal in signals.forever() {
                if signal == SIGHUP {
                    reload();
                } else if has_asked.swap(true, Ordering::Relaxed) {
                    kill_programs();
                    std::process::exit(INTERRUPTED);
                } else {
                    stop.store(true, Ordering::Relaxed);
                }
            }
        };
        let thread = Builder::new().name("signals".into()).spawn(listen).context(context)?;
        Ok(Self { handle, asked, thread: Some(thread) })
    }

    /// Whether SIGINT or SIGTERM came.
    pub(super) fn asked_to_end(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Drop for SignalWatch {
    fn drop(&mut self) {
        self.handle.close();
        if let Some(thread) = self.thread.take() {
            // Closing wakes it; its own panic would have ended nothing but itself.
            let _ = join_within(thread, ENDING);
        }
    }
}
