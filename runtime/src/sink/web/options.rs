//! Where the page is served, and to whom.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use comet_engine::image::OverlayStyle;

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
    /// Whether the run writes bundles of evidence when [`Monitor::request_evidence`](crate::monitor::Monitor::request_evidence) asks for one.
    pub evidence: bool,
    /// How maps are drawn into images that are drawn here; a page has its own controls.
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
    /// A name of a host is not valid.
    #[error("--http-host '{0}' is not a host name; give it without http:// and port: raspberrypi.local")]
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
