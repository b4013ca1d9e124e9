//! Short responses, and what is read from a request's address.

use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::monitor::Monitor;

/// A response for people.
pub(super) fn plain(status: StatusCode, text: &'static str) -> Response {
    (status, text).into_response()
}

/// Every place for clients that stay is taken.
pub(super) fn busy(monitor: &Monitor) -> Response {
    monitor.count_client_drop();
    let text = "too many clients are watching: close another page, or try again soon";
    (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "5")], text).into_response()
}

/// A response for programs.
pub(super) fn as_json(status: StatusCode, value: &impl Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(text) => (status, [(header::CONTENT_TYPE, "application/json")], text).into_response(),
        Err(_) => plain(StatusCode::INTERNAL_SERVER_ERROR, "this cannot be written as JSON"),
    }
}

/// The value of `name` in the address, as it stands there.
pub(super) fn parameter<'a>(uri: &'a Uri, name: &str) -> Option<&'a str> {
    uri.query()?.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}
