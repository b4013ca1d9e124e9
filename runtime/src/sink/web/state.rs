//! What all requests of a page share.

use std::sync::{Arc, OnceLock};

use tokio::sync::{Semaphore, watch};

use comet_engine::image::OverlayStyle;

use super::access::Access;
use super::part::Part;
use super::shown::{Recent, Shown};
use crate::monitor::Monitor;

/// What the requests share.
pub(super) struct Web {
    pub(super) monitor: Arc<Monitor>,
    pub(super) recent: watch::Receiver<Recent>,
    pub(super) access: Access,
    /// Places for clients that stay: the rest of the connections is for short requests.
    pub(super) streams: Arc<Semaphore>,
    pub(super) evidence: bool,
    pub(super) style: OverlayStyle,
    /// The placeholder while the source gives no frames.
    pub(super) no_signal: OnceLock<Option<Part>>,
}

impl Web {
    /// The newest result, if there is one.
    pub(super) fn newest(&self) -> Option<Arc<Shown>> {
        self.recent.borrow().front().cloned()
    }

    /// The result about frame `number` if it is still kept, else the newest.
    pub(super) fn nearest(&self, number: Option<u64>) -> Option<Arc<Shown>> {
        let recent = self.recent.borrow();
        let asked = recent.iter().find(|shown| Some(shown.frame()) == number);
        asked.or(recent.front()).cloned()
    }
}
