//! The sink: keeps the last results for those who look, and runs the server.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use tokio::runtime;
use tokio::sync::{Semaphore, oneshot, watch};

use comet_engine::prediction::FrameResult;

use super::access::Access;
use super::options::{WebError, WebOptions};
use super::server;
use super::shown::{Checked, Pace, Recent, Shown};
use super::state::Web;
use crate::monitor::Monitor;
use crate::priority::stand_back;
use crate::sink::ending::{Ending, join_until};
use crate::sink::interface::{Sink, SinkError};

/// Results that are kept: a browser asks for the image of a result a moment after it was notified.
const KEPT: usize = 3;
/// How long the end of the thread is waited for; it ends at once unless it is encoding an image. Nothing is lost.
const ENDING: Duration = Duration::from_millis(300);
/// The most connections that can be asked for.
const MOST_CLIENTS: usize = 1024;

/// Serves the live page of a run.
///
/// It ends when it is finished or dropped, within 300 ms and with open connections too.
#[derive(Debug)]
pub struct WebSink {
    address: SocketAddr,
    recent: watch::Sender<Recent>,
    pace: Pace,
    checked: Option<Checked>,
    /// Dropping it ends the thread.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl WebSink {
    /// Listens and serves from now on.
    ///
    /// # Errors
    /// The options would show the camera to everyone, or make no sense; the address cannot be listened on.
    pub fn start(options: WebOptions, monitor: Arc<Monitor>) -> Result<Self, WebError> {
        Access::check(&options)?;
        let runtime =
            runtime::Builder::new_current_thread().enable_all().build().map_err(WebError::Thread)?;
        let listener = {
            let _inside = runtime.enter();
            server::listen(options.address)
        };
        let bound = listener.and_then(|listener| Ok((listener.local_addr()?, listener)));
        let (address, listener) =
            bound.map_err(|fault| WebError::Bind { address: options.address, fault })?;
        let clients = options.max_clients.clamp(1, MOST_CLIENTS);
        let (recent, shared) = watch::channel(Recent::new());
        let web = Arc::new(Web {
            monitor,
            recent: shared,
            access: Access::new(&options, address),
            streams: Arc::new(Semaphore::new(clients - clients / 4)),
            evidence: options.evidence,
            style: options.style,
            no_signal: OnceLock::new(),
        });
        let (stop, stopped) = oneshot::channel::<()>();
        let serve = move || {
            stand_back();
            runtime.block_on(async move {
                tokio::spawn(server::serve(listener, web, clients));
                // An error is what is waited for: the sender is dropped, never used.
                let _ = stopped.await;
            });
            // The runtime is dropped here, and with it every connection where it stands.
        };
        let thread = Builder::new().name("web".into()).spawn(serve).map_err(WebError::Thread)?;
        Ok(Self {
            address,
            recent,
            pace: Pace::default(),
            checked: None,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Where it listens: the port that was taken, if any was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends the thread; an error if it had ended by itself.
    fn end(&mut self) -> Result<(), SinkError> {
        self.begin_finish();
        match self.thread.take().map(|thread| join_until(thread, Instant::now() + ENDING)) {
            Some(Ending::Panicked) => {
                Err(SinkError::new("the live page", io::Error::other("its thread panicked")))
            }
            None | Some(Ending::Done(()) | Ending::Unfinished) => Ok(()),
        }
    }
}

impl Sink for WebSink {
    fn accept(&mut self, result: &mut FrameResult) -> Result<(), SinkError> {
        let record = &result.record;
        if let Some(checks) = record.checks {
            self.checked = Some(Checked { frame: record.frame, checks });
        }
        if self.pace.is_due(Instant::now()) {
            let shown = Arc::new(Shown::new(result.clone(), self.checked));
            self.recent.send_modify(|recent| {
                recent.truncate(KEPT - 1);
                recent.push_front(shown);
            });
        }
        Ok(())
    }

    fn begin_finish(&mut self) {
        drop(self.stop.take());
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        self.end()
    }
}

impl Drop for WebSink {
    fn drop(&mut self) {
        // There is no reader left to report a failure to.
        let _ = self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::sample::result;
    use std::io::{Read, Write};
    use std::net::TcpStream;

    fn options() -> WebOptions {
        WebOptions { address: SocketAddr::from(([127, 0, 0, 1], 0)), ..WebOptions::default() }
    }

    #[test]
    fn results_are_served_and_the_end_does_not_wait_for_clients() {
        let mut sink = WebSink::start(options(), Arc::new(Monitor::default())).unwrap();
        for number in 0..3 {
            sink.accept(&mut result("camera", number, [0.0, 1.0, 0.0])).unwrap();
        }
        let mut client = TcpStream::connect(sink.address()).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        client.write_all(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let mut received = Vec::new();
        while !String::from_utf8_lossy(&received).contains("event: answer") {
            let mut chunk = [0; 4096];
            let count = client.read(&mut chunk).unwrap();
            assert!(count > 0, "{}", String::from_utf8_lossy(&received));
            received.extend_from_slice(&chunk[..count]);
        }
        let begun = Instant::now();
        sink.finish().unwrap();
        assert!(begun.elapsed() < Duration::from_millis(300), "{:?}", begun.elapsed());
        assert!(TcpStream::connect(sink.address()).is_err(), "the port is closed");
    }

    #[test]
    fn an_open_address_needs_a_token_and_debug_does_not_show_it() {
        let open = WebOptions { address: SocketAddr::from(([0, 0, 0, 0], 0)), ..options() };
        let monitor = || Arc::new(Monitor::default());
        let error = WebSink::start(open.clone(), monitor()).unwrap_err();
        assert!(error.is_usage() && error.to_string().contains("--token-file"), "{error}");
        let weak = WebOptions { token: Some("1234".into()), ..open.clone() };
        assert!(matches!(WebSink::start(weak, monitor()), Err(WebError::BadToken)));
        let strong = WebOptions { token: Some("0123456789abcdef".into()), ..open };
        assert!(!format!("{strong:?}").contains("0123456789abcdef"));
        assert!(WebSink::start(strong, monitor()).is_ok());
    }

    #[test]
    fn a_port_in_use_is_an_error_that_names_it() {
        let first = WebSink::start(options(), Arc::new(Monitor::default())).unwrap();
        let taken = WebOptions { address: first.address(), ..WebOptions::default() };
        let error = WebSink::start(taken, Arc::new(Monitor::default())).unwrap_err().to_string();
        assert!(error.contains(&first.address().to_string()), "{error}");
    }
}
