//! The body of a server's response: asked for, logged in to, and recognised as images.

use std::io::{self, Chain, Cursor, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ureq::http::{Response, StatusCode, Uri};
use ureq::{Agent, BodyReader, ResponseExt};

use super::login::Login;
use crate::source::address::redacted;

/// How many bytes are looked at to recognise what a response holds.
const LOOK: usize = 512;
const JPEG: &[u8] = &[0xFF, 0xD8, 0xFF];

/// The body of a response. It is requested by the first read: only the reading thread waits.
pub(super) struct Body {
    pub(super) agent: Agent,
    pub(super) url: String,
    pub(super) login: Option<Login>,
    /// Set if the response may be one image.
    pub(super) may_be_single: Arc<AtomicBool>,
    pub(super) content: Option<Content>,
}

/// The bytes that were looked at, and the rest.
type Content = Chain<Cursor<Vec<u8>>, BodyReader<'static>>;

impl Body {
    fn ask(&self) -> io::Result<Content> {
        let mut response = self.get(&self.url, None)?;
        let is_asked = response.status() == StatusCode::UNAUTHORIZED
            || response.headers().contains_key("WWW-Authenticate");
        if is_login_wanted(response.status())
            && is_asked
            && let Some(login) = &self.login
        {
            response = self.log_in(response, login)?;
        }
        let status = response.status();
        if !status.is_success() {
            let text = format!("it responds {status}{}", self.advice(status));
            // A server that is starting or busy says so with 5xx.
            return Err(if status.is_client_error() { refusal(text) } else { io::Error::other(text) });
        }
        let body = response.into_body();
        let named = body.mime_type().unwrap_or_default().to_ascii_lowercase();
        let mut reader = body.into_reader();
        let mut head = Vec::new();
        let kind = match Kind::named(&named) {
            Some(kind) => kind,
            // Many cameras name another type, or none.
            None => {
                head = look(&mut reader)?;
                Kind::seen(&head).ok_or_else(|| refusal(not_images(&named, &head)))?
            }
        };
        self.may_be_single.store(kind == Kind::Jpeg, Ordering::Relaxed);
        Ok(Cursor::new(head).chain(reader))
    }

    fn get(&self, url: &str, authorization: Option<&str>) -> io::Result<Response<ureq::Body>> {
        let mut request = self.agent.get(url);
        if let Some(authorization) = authorization {
            request = request.header("Authorization", authorization);
        }
        request.call().map_err(fault)
    }

    /// Asks again, with the login. It is sent only where it was asked for, so that a server which wants Digest never
    /// sees the password.
    fn log_in(&self, response: Response<ureq::Body>, login: &Login) -> io::Result<Response<ureq::Body>> {
        let place = response.get_uri().clone();
        if self.url.parse::<Uri>().ok().map(|typed| host_and_port(&typed)) != Some(host_and_port(&place)) {
            return Err(refusal(format!(
                "it leads to {}, which asks for a login; that of another host is not sent there",
                place.host().unwrap_or_default()
            )));
        }
        let headers = response.headers().get_all("WWW-Authenticate").iter();
        let challenges: Vec<String> =
            headers.filter_map(|value| value.to_str().ok().map(str::to_owned)).collect();
        let path = place.path_and_query().map_or("/", |path| path.as_str());
        let authorization = login.respond(&challenges, path).map_err(|error| refusal(error.to_string()))?;
        // Small cameras serve one connection at a time.
        drop(response);
        self.get(&place.to_string(), Some(&authorization))
    }

    fn advice(&self, status: StatusCode) -> &'static str {
        match (status.as_u16(), &self.login) {
            (401, None) => {
                " and asks for a login; user and password go into the address: http://USER:PASSWORD@HOST/"
            }
            (401, Some(_)) => " and refuses the user or the password",
            (403, None) => {
                "; if it wants a login, user and password go into the address: http://USER:PASSWORD@HOST/"
            }
            (403, Some(_)) => "; is the login right, and may this user see the stream?",
            _ => "",
        }
    }
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.content.is_none() {
            self.content = Some(self.ask()?);
        }
        self.content.as_mut().map_or(Ok(0), |content| content.read(buffer))
    }
}

/// What a login is good for, by the rules of addresses.
fn host_and_port(uri: &Uri) -> (String, u16) {
    (uri.host().unwrap_or_default().to_ascii_lowercase(), uri.port_u16().unwrap_or(80))
}

fn is_login_wanted(status: StatusCode) -> bool {
    matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
}

/// What a response holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// JPEGs with headers between them.
    Multipart,
    /// One JPEG, or several behind each other.
    Jpeg,
}

impl Kind {
    fn named(content_type: &str) -> Option<Self> {
        match content_type {
            "image/jpeg" | "image/jpg" => Some(Self::Jpeg),
            other => other.starts_with("multipart/").then_some(Self::Multipart),
        }
    }

    /// By the first bytes: a JPEG, or the boundary before the first part.
    fn seen(head: &[u8]) -> Option<Self> {
        let head = head.trim_ascii_start();
        match head.starts_with(JPEG) {
            true => Some(Self::Jpeg),
            false => head.starts_with(b"--").then_some(Self::Multipart),
        }
    }
}

/// Reads until a kind can be recognised.
fn look(reader: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    let mut chunk = [0; LOOK];
    while head.trim_ascii_start().len() < JPEG.len() && head.len() < LOOK {
        let read = reader.read(&mut chunk)?;
        if read == 0 {
            break;
        }
        head.extend_from_slice(chunk.get(..read).unwrap_or_default());
    }
    Ok(head)
}

fn not_images(named: &str, head: &[u8]) -> String {
    let begin = head.get(..head.len().min(16)).unwrap_or_default().escape_ascii();
    let kind = match named {
        "" => "no Content-Type".to_owned(),
        named => format!("'{}'", named.escape_debug()),
    };
    format!(
        "it sends {kind} instead of multipart/x-mixed-replace or image/jpeg, and what it sends begins with '{begin}'; \
         is its path that of a stream?"
    )
}

/// A fault that is still there when the server is asked again.
fn refusal(text: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, text.into())
}

fn fault(error: ureq::Error) -> io::Error {
    match error {
        ureq::Error::TlsRequired => refusal("it leads to https://, which is not read here; use exec:ffmpeg"),
        ureq::Error::BadUri(_) | ureq::Error::Http(_) => refusal("it is not a valid address"),
        // The system's own time-outs are not those of the deadline.
        ureq::Error::Io(fault) => io::Error::other(fault.to_string()),
        other => io::Error::other(redacted(&other.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives one byte a call.
    struct Drip(Cursor<Vec<u8>>);

    impl Read for Drip {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let most = buffer.len().min(1);
            self.0.read(&mut buffer[..most])
        }
    }

    #[test]
    fn what_a_response_holds_is_recognised_by_its_first_bytes() {
        for (bytes, kind) in [
            (&b"\r\n--boundary\r\nContent-Type: image/jpeg\r\n\r\n"[..], Some(Kind::Multipart)),
            (&b"--b"[..], Some(Kind::Multipart)),
            (&b"\xff\xd8\xff\xe0"[..], Some(Kind::Jpeg)),
            (&b"\xff\xd8"[..], None),
            (&b"<!DOCTYPE html>"[..], None),
            (&b""[..], None),
        ] {
            let head = look(&mut Drip(Cursor::new(bytes.to_vec()))).unwrap();
            assert_eq!(Kind::seen(&head), kind, "{}", bytes.escape_ascii());
        }
        assert_eq!(look(&mut io::repeat(b' ')).unwrap().len(), LOOK);
    }

    #[test]
    fn the_named_type_is_believed_where_it_names_images() {
        assert_eq!(Kind::named("multipart/x-mixed-replace"), Some(Kind::Multipart));
        assert_eq!(Kind::named("image/jpg"), Some(Kind::Jpeg));
        assert_eq!(Kind::named("text/html"), None);
        assert_eq!(Kind::named(""), None);
    }
}
