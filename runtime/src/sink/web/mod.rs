//! The live page: image, map, class and trust of a run in a browser, served from a thread of its own.
//!
//! [`WebSink`] keeps the last few results and nothing else; images are encoded when a client asks for them, once for
//! all clients. A client can cost the run a bounded amount of memory and of time: clients are counted, headers, requests
//! and unread responses have limits and deadlines, and a client that reads too slowly misses images or is dropped.

mod access;
mod address;
mod events;
mod guard;
mod options;
mod page;
mod part;
mod patience;
mod prefix;
mod reply;
mod routes;
mod server;
mod shown;
mod state;
mod stream;

pub use address::{WebAddressError, parse_web_address};
pub use options::{WebError, WebOptions};
pub use page::WebSink;
