//! `/stream.mjpg`: the camera's images, for everything that shows MJPEG.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::stream::unfold;
use image::{Rgb, RgbImage};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::timeout;

use comet_engine::image::encode_jpeg;

use super::part::{BOUNDARY, Part};
use super::reply::busy;
use super::shown::Recent;
use super::state::Web;
use crate::sink::label::draw_label;

const KIND: &str = "multipart/x-mixed-replace; boundary=comet-edge";
/// An image is sent at least this often: the client sees that the stream lives, and the server that the client does.
const RESEND: Duration = Duration::from_secs(1);

/// Each image that is shown, and a placeholder while the source gives none.
pub(super) async fn stream(State(web): State<Arc<Web>>) -> Response {
    let Ok(place) = Arc::clone(&web.streams).try_acquire_owned() else {
        return busy(&web.monitor);
    };
    let watcher = Watcher { recent: web.recent.clone(), web, begun: false, _place: place };
    let parts = unfold(watcher, |mut watcher| async move {
        let part = watcher.next().await?;
        Some((Ok::<_, Infallible>(part), watcher))
    });
    ([(header::CONTENT_TYPE, KIND)], Body::from_stream(parts)).into_response()
}

struct Watcher {
    web: Arc<Web>,
    recent: watch::Receiver<Recent>,
    begun: bool,
    _place: OwnedSemaphorePermit,
}

impl Watcher {
    /// The next part; `None` when the run is over. A client that takes them slowly misses images.
    async fn next(&mut self) -> Option<Bytes> {
        if !self.begun {
            self.begun = true;
            return Some(Bytes::from_static(BOUNDARY.as_bytes()));
        }
        loop {
            let changed = timeout(RESEND, self.recent.changed()).await;
            if matches!(changed, Ok(Err(_))) {
                return None;
            }
            let newest = self.recent.borrow_and_update().front().cloned();
            let has_signal = changed.is_ok() || self.web.monitor.snapshot().source.signal;
            let part = match newest.filter(|_| has_signal) {
                Some(shown) => shown.part().cloned(),
                None => self.web.no_signal.get_or_init(no_signal).clone(),
            };
            if let Some(part) = part {
                return Some(part.whole());
            }
        }
    }
}

/// The placeholder.
fn no_signal() -> Option<Part> {
    let mut image = RgbImage::from_pixel(320, 240, Rgb([40, 44, 52]));
    draw_label(&mut image, "no signal");
    encode_jpeg(&image, 85).ok().map(|jpeg| Part::new(&jpeg))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_placeholder_is_an_image() {
        let jpeg = no_signal().unwrap().jpeg();
        assert!(jpeg.starts_with(&[0xff, 0xd8]) && jpeg.ends_with(&[0xff, 0xd9]));
    }
}
