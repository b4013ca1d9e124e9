//! What is served under which path.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::json;

use super::guard::guard;
use super::prefix::base;
use super::reply::{as_json, parameter, plain};
use super::state::Web;
use super::{events, stream};
use crate::monitor::prometheus;

/// A file of the page.
#[derive(Clone, Copy)]
struct Asset {
    path: &'static str,
    kind: &'static str,
    text: &'static str,
}

const SCRIPT: &str = "text/javascript; charset=utf-8";
const PAGE: &str = include_str!("page/page.html");
/// What stands in the page for the address of its folder.
const BASE: &str = "{base}";
const ASSETS: [Asset; 6] = [
    Asset { path: "/page.css", kind: "text/css; charset=utf-8", text: include_str!("page/page.css") },
    Asset { path: "/page.js", kind: SCRIPT, text: include_str!("page/page.js") },
    Asset { path: "/image.js", kind: SCRIPT, text: include_str!("page/image.js") },
    Asset { path: "/colours.js", kind: SCRIPT, text: include_str!("page/colours.js") },
    Asset { path: "/panels.js", kind: SCRIPT, text: include_str!("page/panels.js") },
    Asset { path: "/favicon.svg", kind: "image/svg+xml", text: include_str!("page/favicon.svg") },
];

/// Every path, behind the rules of [`guard`].
pub(super) fn router(web: &Arc<Web>) -> Router {
    let mut router: Router<Arc<Web>> = Router::new()
        .route("/", get(page))
        .route("/stream.mjpg", get(stream::stream))
        .route("/events", get(events::events))
        .route("/frame.jpg", get(frame))
        .route("/snapshot.jpg", get(snapshot))
        .route("/api/state", get(state))
        .route("/api/model", get(model))
        .route("/api/evidence", post(evidence))
        .route("/metrics", get(metrics))
        .route("/healthz", get(health));
    for asset in ASSETS {
        let serve = move || async move { ([(header::CONTENT_TYPE, asset.kind)], asset.text) };
        router = router.route(asset.path, get(serve));
    }
    router
        .fallback(|| async { plain(StatusCode::NOT_FOUND, "there is nothing under this path") })
        .layer(from_fn_with_state(Arc::clone(web), guard))
        .with_state(Arc::clone(web))
}

fn no_frame() -> Response {
    plain(StatusCode::SERVICE_UNAVAILABLE, "there is no prediction yet: try again soon")
}

/// The page, with links that work below the path at which a proxy serves it.
async fn page(uri: Uri, headers: HeaderMap) -> Response {
    let page = PAGE.replace(BASE, &base(uri.path(), &headers));
    ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], page).into_response()
}

/// The camera's image: that of frame `n` while it is kept, else the newest. `X-Frame` says which.
async fn frame(State(web): State<Arc<Web>>, uri: Uri) -> Response {
    let Some(shown) = web.nearest(parameter(&uri, "n").and_then(|number| number.parse().ok())) else {
        return no_frame();
    };
    let Some(part) = shown.part() else {
        return plain(StatusCode::INTERNAL_SERVER_ERROR, "the image is too large for a JPEG");
    };
    let headers = [("content-type", "image/jpeg".to_owned()), ("x-frame", shown.frame().to_string())];
    (headers, part.jpeg()).into_response()
}

/// The newest image with map and class drawn in, as a file.
async fn snapshot(State(web): State<Arc<Web>>) -> Response {
    let Some(shown) = web.newest() else {
        return no_frame();
    };
    let Some(jpeg) = shown.drawn(&web.style) else {
        return plain(StatusCode::INTERNAL_SERVER_ERROR, "the image is too large for a JPEG");
    };
    let name = format!("attachment; filename=\"comet-edge-{}.jpg\"", shown.frame());
    let headers = [(header::CONTENT_TYPE, "image/jpeg".to_owned()), (header::CONTENT_DISPOSITION, name)];
    (headers, jpeg).into_response()
}

async fn state(State(web): State<Arc<Web>>) -> Response {
    as_json(StatusCode::OK, &web.monitor.snapshot())
}

async fn model(State(web): State<Arc<Web>>) -> Response {
    as_json(StatusCode::OK, &web.monitor.snapshot().model)
}

async fn metrics(State(web): State<Arc<Web>>) -> Response {
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (kind, prometheus(&web.monitor.snapshot())).into_response()
}

/// Asks for a bundle of evidence. Another site cannot send the header without being allowed to, which it is not.
async fn evidence(State(web): State<Arc<Web>>, headers: HeaderMap) -> Response {
    if headers.get("x-comet-edge").is_none_or(|value| value.as_bytes() != b"1") {
        return plain(StatusCode::FORBIDDEN, "the header 'X-Comet-Edge: 1' is missing");
    }
    if !web.evidence {
        return plain(StatusCode::CONFLICT, "this run keeps no evidence: start it with --evidence DIR");
    }
    web.monitor.request_evidence();
    as_json(StatusCode::ACCEPTED, &json!({ "requested": true }))
}

/// For watchdogs: 200 while the run does its work, else 503 with the fault.
async fn health(State(web): State<Arc<Web>>) -> Response {
    let health = web.monitor.snapshot().health();
    let status = if health.ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    as_json(status, &health)
}
