//! `/events`: predictions and the state of the run as server-sent events.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::stream::unfold;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Instant, timeout_at};

use super::reply::busy;
use super::shown::{Recent, event};
use super::state::Web;
use crate::monitor::Snapshot;

/// Between two `state` events; they also keep the connection alive, and find out that the client is gone.
const STATE_SPACING: Duration = Duration::from_secs(1);

/// `answer` for each result that is shown, `state` once a second; begins with both.
pub(super) async fn events(State(web): State<Arc<Web>>) -> Response {
    let Ok(place) = Arc::clone(&web.streams).try_acquire_owned() else {
        return busy(&web.monitor);
    };
    let listener = Listener { recent: web.recent.clone(), web, state_due: Instant::now(), _place: place };
    let events = unfold(listener, |mut listener| async move {
        let event = listener.next().await?;
        Some((Ok::<_, Infallible>(event), listener))
    });
    ([(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(events)).into_response()
}

struct Listener {
    web: Arc<Web>,
    recent: watch::Receiver<Recent>,
    state_due: Instant,
    _place: OwnedSemaphorePermit,
}

impl Listener {
    /// The next event; `None` when the run is over. A client that takes them slowly gets the newest.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if Instant::now() >= self.state_due {
                self.state_due = Instant::now() + STATE_SPACING;
                return Some(event("state", &state(self.web.monitor.snapshot())));
            }
            match timeout_at(self.state_due, self.recent.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return None,
                Err(_) => continue,
            }
            let newest = self.recent.borrow_and_update().front().cloned();
            if let Some(shown) = newest {
                return Some(shown.event());
            }
        }
    }
}

/// The manifest does not change every second: it is at `/api/model`.
fn state(mut snapshot: Snapshot) -> Snapshot {
    snapshot.model.manifest = serde_json::Value::Null;
    snapshot
}
