//! What signals mean to a run: SIGINT and SIGTERM end it, SIGHUP exchanges the model.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};

use anyhow::Context;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::{Handle, Signals};

use crate::source::kill_programs;

/// Exit code of a program that was interrupted, as shells have it.
const INTERRUPTED: i32 = 130;

/// Listens until it is dropped.
pub(super) struct SignalWatch {
    handle: Handle,
    thread: Option<JoinHandle<()>>,
}

impl SignalWatch {
    /// The first SIGINT or SIGTERM sets `stop`, a second one ends the program at once; SIGHUP calls `reload`, which
    /// must not take long.
    pub(super) fn start(
        stop: &Arc<AtomicBool>,
        mut reload: impl FnMut() + Send + 'static,
    ) -> anyhow::Result<Self> {
        let context = "cannot listen for signals";
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).context(context)?;
        let handle = signals.handle();
        let stop = Arc::clone(stop);
        let listen = move || {
            let mut asked = false;
            for signal in signals.forever() {
                if signal == SIGHUP {
                    reload();
                } else if std::mem::replace(&mut asked, true) {
                    kill_programs();
                    std::process::exit(INTERRUPTED);
                } else {
                    stop.store(true, Ordering::Relaxed);
                }
            }
        };
        let thread = Builder::new().name("signals".into()).spawn(listen).context(context)?;
        Ok(Self { handle, thread: Some(thread) })
    }
}

impl Drop for SignalWatch {
    fn drop(&mut self) {
        self.handle.close();
        if let Some(thread) = self.thread.take() {
            // Closing wakes it; its own panic would have ended nothing but itself.
            let _ = thread.join();
        }
    }
}
