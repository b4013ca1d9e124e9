//! JPEGs over HTTP (`multipart/x-mixed-replace`), as IP cameras, mjpg-streamer and live pages send them.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use percent_encoding::percent_decode_str;
use ureq::{Agent, BodyReader};

use super::address::{Address, Login, redacted};
use super::error::{SourceError, SourceErrorKind};
use super::stdin::{Deadline, InterruptibleReader};
use super::stream::StreamSource;
use super::{Frame, Opened, Source};

/// How long each step may take until the answer begins.
const ANSWERING: Duration = Duration::from_secs(5);
/// When a connection that nobody waits for any more ends by itself.
const SILENCE: Duration = Duration::from_secs(10);
const MOST_REDIRECTS: u32 = 3;

/// Begins to ask for the pictures of an `http://` address; what is wrong is told by the first frame. Gives
/// up when `deadline` has passed.
pub(super) fn open(address: &Address, stop: &Arc<AtomicBool>, deadline: &Deadline) -> Opened {
    let name = address.to_string();
    let agent = agent();
    let is_single = Arc::new(AtomicBool::new(false));
    let (url, login) = address.split_login();
    let answer = Answer {
        agent: agent.clone(),
        url,
        authorization: login.map(|login| basic(&login)),
        is_single: Arc::clone(&is_single),
        body: None,
    };
    let reader = InterruptibleReader::new("http", answer, Arc::clone(stop));
    let reader = reader.map_err(|error| SourceError::new(&name, error))?.until(deadline);
    Ok(Box::new(HttpSource {
        _connection: Connection(Some(agent)),
        stream: StreamSource::mjpeg(name, reader, true),
        is_single,
        stop: Arc::clone(stop),
    }))
}

fn agent() -> Agent {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(MOST_REDIRECTS)
        // Cameras are in the local network.
        .proxy(None)
        .user_agent(concat!("comet-edge/", env!("CARGO_PKG_VERSION")))
        .timeout_resolve(Some(ANSWERING))
        .timeout_connect(Some(ANSWERING))
        .timeout_send_request(Some(ANSWERING))
        .timeout_recv_response(Some(ANSWERING))
        .timeout_per_read(Some(SILENCE))
        .build();
    Agent::new_with_config(config)
}

/// The value of the header that logs in (RFC 7617); in an address, `%40` stands for `@`.
fn basic(login: &Login<'_>) -> String {
    let mut text: Vec<u8> = percent_decode_str(login.user).collect();
    text.push(b':');
    text.extend(percent_decode_str(login.password));
    format!("Basic {}", BASE64_STANDARD.encode(text))
}

/// The body of a server's answer. It is asked for by the first read: nobody but the reading thread waits.
struct Answer {
    agent: Agent,
    url: String,
    authorization: Option<String>,
    is_single: Arc<AtomicBool>,
    body: Option<BodyReader<'static>>,
}

impl Answer {
    fn ask(&self) -> io::Result<BodyReader<'static>> {
        let mut request = self.agent.get(self.url.as_str());
        if let Some(authorization) = &self.authorization {
            request = request.header("Authorization", authorization.as_str());
        }
        let response = request.call().map_err(fault)?;
        let status = response.status();
        if !status.is_success() {
            let hint = match status.as_u16() {
                401 => "; user and password go into the address: http://USER:PASSWORD@HOST/",
                _ => "",
            };
            let text = format!("it answers {status}{hint}");
            // A server that is starting or busy says so with 5xx.
            return Err(if status.is_client_error() { refusal(text) } else { io::Error::other(text) });
        }
        let body = response.into_body();
        let kind = body.mime_type().unwrap_or_default().to_ascii_lowercase();
        self.is_single.store(matches!(kind.as_str(), "image/jpeg" | "image/jpg"), Ordering::Relaxed);
        if !kind.starts_with("multipart/") && !self.is_single.load(Ordering::Relaxed) {
            return Err(refusal(format!(
                "it sends '{}' instead of multipart/x-mixed-replace or image/jpeg; is its path that of a stream?",
                kind.escape_debug()
            )));
        }
        Ok(body.into_reader())
    }
}

impl Read for Answer {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.body.is_none() {
            self.body = Some(self.ask()?);
        }
        self.body.as_mut().map_or(Ok(0), |body| body.read(buffer))
    }
}

/// A fault that asking again will not mend.
fn refusal(text: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, text.into())
}

fn fault(error: ureq::Error) -> io::Error {
    match error {
        ureq::Error::TlsRequired => refusal("it leads to https://, which is not read here; use exec:ffmpeg"),
        ureq::Error::BadUri(_) | ureq::Error::Http(_) => refusal("it is no valid address"),
        // The system's own time-outs are not those of the deadline.
        ureq::Error::Io(fault) => io::Error::other(fault.to_string()),
        other => io::Error::other(redacted(&other.to_string())),
    }
}

/// Ends the connection when it is dropped, so that the thread that reads it ends as well.
struct Connection(Option<Agent>);

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(agent) = self.0.take() {
            agent.shutdown();
        }
    }
}

struct HttpSource {
    /// Dropped before the stream, whose thread ends with the connection.
    _connection: Connection,
    stream: StreamSource<InterruptibleReader>,
    /// Whether the answer is one picture.
    is_single: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
}

impl Source for HttpSource {
    fn next(&mut self) -> Result<Option<Frame>, SourceError> {
        let given = self.stream.next();
        if self.stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        match given {
            Ok(None) if !self.is_single.load(Ordering::Relaxed) => {
                let fault = SourceErrorKind::Disconnected("the server ended the stream".into());
                Err(SourceError::new(self.stream.name(), fault))
            }
            given => given,
        }
    }

    fn is_live(&self) -> bool {
        true
    }

    fn name(&self) -> &str {
        self.stream.name()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::jpeg::sample::picture;
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;
    use std::thread::{JoinHandle, spawn};

    /// Answers one request; gives its lines back.
    fn serve(answer: Vec<u8>) -> (String, JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let server = spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let lines = lines.map(Result::unwrap).take_while(|line| !line.is_empty()).collect();
            stream.write_all(&answer).unwrap();
            lines
        });
        (host, server)
    }

    fn answer(head: &str, body: &[u8]) -> Vec<u8> {
        [format!("HTTP/1.1 {head}\r\nConnection: close\r\n\r\n").as_bytes(), body].concat()
    }

    fn source(address: String) -> Box<dyn Source> {
        open(&Address::new(address), &Arc::default(), &Deadline::default()).unwrap()
    }

    #[test]
    fn the_parts_of_an_answer_are_frames_and_the_login_goes_into_a_header() {
        let part = b"--b\r\nContent-Type: image/jpeg\r\n\r\n".as_slice();
        let body = [part, &picture(8, 8, 1), b"\r\n", part, &picture(16, 8, 2), b"\r\n"].concat();
        let head = "200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=b";
        let (host, server) = serve(answer(head, &body));
        let mut source = source(format!("http://user:p%40ss@{host}/live?x=1"));
        for width in [8, 16] {
            assert_eq!(source.next().unwrap().unwrap().decode().unwrap().width(), width);
        }
        let error = source.next().unwrap_err();
        assert!(matches!(error.kind, SourceErrorKind::Disconnected(_)), "{error}");
        assert_eq!(error.name, format!("http://user:***@{host}/live?***"));
        let request = server.join().unwrap();
        assert_eq!(request[0], "GET /live?x=1 HTTP/1.1");
        let login = format!("Basic {}", BASE64_STANDARD.encode("user:p@ss"));
        assert!(request.iter().any(|line| line.ends_with(&login)), "{request:?}");
    }

    #[test]
    fn a_single_picture_is_the_end() {
        let (host, _server) = serve(answer("200 OK\r\nContent-Type: image/jpeg", &picture(8, 8, 1)));
        let mut source = source(format!("http://{host}/snapshot.jpg"));
        assert!(source.next().unwrap().is_some());
        assert!(source.next().unwrap().is_none());
    }

    #[test]
    fn what_is_no_stream_is_refused_and_a_busy_server_is_not() {
        for (head, words, is_final) in [
            ("404 Not Found", "404 Not Found", true),
            ("401 Unauthorized", "USER:PASSWORD@HOST", true),
            ("200 OK\r\nContent-Type: text/html", "'text/html'", true),
            ("503 Service Unavailable", "503", false),
        ] {
            let (host, _server) = serve(answer(head, b"<html>"));
            let error = source(format!("http://{host}/")).next().unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
            let refused = |fault: &io::Error| fault.kind() == io::ErrorKind::Unsupported;
            assert!(
                matches!(&error.kind, SourceErrorKind::Io(fault) if refused(fault) == is_final),
                "{error}"
            );
        }
    }
}
