//! The live page: picture, map, class and trust of a run in a browser, served from a thread of its own.
//!
//! [`WebSink`] keeps the last few results and nothing else; pictures are encoded when somebody looks at them, once for
//! all who do. A client can cost the run a bounded amount of memory and of time: clients are counted, headers, requests
//! and unread answers have limits and deadlines, and whoever reads too slowly misses pictures or is dropped.

mod access;
mod events;
mod patience;
mod routes;
mod server;
mod shown;
mod stream;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::thread::{Builder, JoinHandle, sleep};
use std::time::{Duration, Instant};

use tokio::runtime;
use tokio::sync::{Semaphore, oneshot, watch};

use super::{FrameResult, Sink, SinkError};
use crate::image::OverlayStyle;
use crate::monitor::Monitor;
use crate::priority::stand_back;
use access::Access;
use shown::{Checked, Pace, Recent, Shown};
use stream::Part;

/// Results that are kept: a browser asks for the picture of a result a moment after it heard of it.
const KEPT: usize = 3;
/// How long the end of the thread is waited for; it ends at once unless it is encoding a picture.
const ENDING: Duration = Duration::from_millis(300);
/// The most connections that can be asked for.
const MOST_CLIENTS: usize = 1024;

/// Where the page is served, and to whom.
#[derive(Clone)]
pub struct WebOptions {
    /// Address and port to listen on; port 0 takes a free one.
    pub address: SocketAddr,
    /// What a client must know. An address that other machines can reach needs one.
    pub token: Option<String>,
    /// Most connections at a time, 1 to 1,024. A page takes two of them; a quarter is kept for short requests.
    pub max_clients: usize,
    /// Names by which clients may call this machine, beside its address (`raspberrypi.local`).
    pub allowed_hosts: Vec<String>,
    /// Whether the run writes bundles of evidence when [`Monitor::request_evidence`] asks for one.
    pub evidence: bool,
    /// How maps are drawn into pictures that are drawn here; a page has its own controls.
    pub style: OverlayStyle,
}

impl Default for WebOptions {
    /// Port 8080 of this machine, for itself only.
    fn default() -> Self {
        Self {
            address: SocketAddr::from(([127, 0, 0, 1], 8080)),
            token: None,
            max_clients: 16,
            allowed_hosts: Vec::new(),
            evidence: false,
            style: OverlayStyle::default(),
        }
    }
}

impl fmt::Debug for WebOptions {
    /// Everything but the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebOptions")
            .field("address", &self.address)
            .field("token", &self.token.as_ref().map(|_| "***"))
            .field("max_clients", &self.max_clients)
            .field("allowed_hosts", &self.allowed_hosts)
            .field("evidence", &self.evidence)
            .field("style", &self.style)
            .finish()
    }
}

/// Why the page cannot be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WebError {
    /// Other machines can reach the address, and there is no token.
    #[error(
        "--http {0}: everyone who can reach this address would see the camera; give --token-file FILE with a \
         secret, or --http 127.0.0.1:{port} to serve this machine only",
        port = .0.port()
    )]
    NeedsToken(SocketAddr),
    /// The token is too short, too long, or has characters that headers cannot hold.
    #[error(
        "the token must be 16 to 256 printable ASCII characters without spaces; \
         make one with: head -c 24 /dev/urandom | base64 > FILE"
    )]
    BadToken,
    /// A name of a host is no name.
    #[error("--http-host '{0}' is no host name; give it without http:// and port: raspberrypi.local")]
    BadHost(String),
    /// The address cannot be listened on.
    #[error("--http {address}: cannot be listened on ({fault}); try another port, or 0 for any free one")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        fault: io::Error,
    },
    /// The thread that serves cannot be started.
    #[error("the thread that serves the live page cannot be started ({0})")]
    Thread(io::Error),
}

impl WebError {
    /// Whether other arguments would help, and not another state of the machine.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::NeedsToken(_) | Self::BadToken | Self::BadHost(_))
    }
}

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

/// What the requests share.
struct Web {
    monitor: Arc<Monitor>,
    recent: watch::Receiver<Recent>,
    access: Access,
    /// Places for clients that stay: the rest of the connections is for short requests.
    streams: Arc<Semaphore>,
    evidence: bool,
    style: OverlayStyle,
    no_signal: OnceLock<Option<Part>>,
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
        drop(self.stop.take());
        let Some(thread) = self.thread.take() else {
            return Ok(());
        };
        let deadline = Instant::now() + ENDING;
        while !thread.is_finished() && Instant::now() < deadline {
            sleep(Duration::from_millis(2));
        }
        if thread.is_finished() && thread.join().is_err() {
            return Err(SinkError::new("the live page", io::Error::other("its thread panicked")));
        }
        Ok(())
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

    fn finish(&mut self) -> Result<(), SinkError> {
        self.end()
    }
}

impl Drop for WebSink {
    fn drop(&mut self) {
        // A run that is over has nobody left to tell.
        let _ = self.end();
    }
}

impl Web {
    /// The newest result, if there is one.
    fn newest(&self) -> Option<Arc<Shown>> {
        self.recent.borrow().front().cloned()
    }

    /// The result about frame `number` if it is still kept, else the newest.
    fn nearest(&self, number: Option<u64>) -> Option<Arc<Shown>> {
        let recent = self.recent.borrow();
        let asked = recent.iter().find(|shown| Some(shown.frame()) == number);
        asked.or(recent.front()).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::record::sample::result;
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
        let mut said = Vec::new();
        while !String::from_utf8_lossy(&said).contains("event: answer") {
            let mut chunk = [0; 4096];
            let count = client.read(&mut chunk).unwrap();
            assert!(count > 0, "{}", String::from_utf8_lossy(&said));
            said.extend_from_slice(&chunk[..count]);
        }
        let begun = Instant::now();
        sink.finish().unwrap();
        assert!(begun.elapsed() < Duration::from_millis(300), "{:?}", begun.elapsed());
        assert!(TcpStream::connect(sink.address()).is_err(), "nobody listens any more");
    }

    #[test]
    fn an_open_address_needs_a_token_and_debug_does_not_tell_it() {
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
