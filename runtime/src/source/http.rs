//! JPEGs over HTTP (`multipart/x-mixed-replace`), as IP cameras, mjpg-streamer and live pages send them.

mod body;
mod login;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ureq::Agent;

use self::body::Body;
use self::login::Login;
use super::address::Address;
use super::error::{SourceError, SourceErrorKind};
use super::frame::Frame;
use super::interruptible::InterruptibleReader;
use super::reader::{Opened, Source};
use super::stream::StreamSource;
use crate::deadline::Deadline;

/// How long each step may take until the response begins.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);
/// When a connection that is no longer read ends by itself: later than the longest wait for a frame, which is 60 s.
const SILENCE: Duration = Duration::from_secs(65);
const MOST_REDIRECTS: u32 = 3;

/// Begins to ask for the images of an `http://` address; what is wrong is reported by the first frame. Times out when
/// `deadline` has passed.
pub(super) fn open(address: &Address, stop: &Arc<AtomicBool>, deadline: &Deadline) -> Opened {
    let name = address.to_string();
    let agent = agent();
    let may_be_single = Arc::new(AtomicBool::new(false));
    let (url, login) = address.split_login();
    let body = Body {
        agent: agent.clone(),
        url,
        login: login.map(|login| Login::new(&login)),
        may_be_single: Arc::clone(&may_be_single),
        content: None,
    };
    let reader = InterruptibleReader::new("http", body, Arc::clone(stop));
    let reader = reader.map_err(|error| SourceError::new(&name, error))?.until(deadline);
    Ok(Box::new(HttpSource {
        _connection: Connection(Some(agent)),
        stream: StreamSource::mjpeg(name, reader, true),
        may_be_single,
        images: 0,
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
        .timeout_resolve(Some(RESPONSE_TIMEOUT))
        .timeout_connect(Some(RESPONSE_TIMEOUT))
        .timeout_send_request(Some(RESPONSE_TIMEOUT))
        .timeout_recv_response(Some(RESPONSE_TIMEOUT))
        .timeout_per_read(Some(SILENCE))
        .build();
    Agent::new_with_config(config)
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
    /// Whether the response may be one image.
    may_be_single: Arc<AtomicBool>,
    images: u64,
    stop: Arc<AtomicBool>,
}

impl HttpSource {
    /// Whether the end of the response is that of a snapshot, and not of a stream.
    fn was_single(&self) -> bool {
        self.may_be_single.load(Ordering::Relaxed) && self.images <= 1
    }
}

impl Source for HttpSource {
    fn next(&mut self) -> Result<Option<Frame>, SourceError> {
        let given = self.stream.next();
        if self.stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        match given {
            Ok(None) if !self.was_single() => {
                let fault = SourceErrorKind::Disconnected("the server ended the stream".into());
                Err(SourceError::new(self.stream.name(), fault))
            }
            given => {
                self.images += u64::from(matches!(given, Ok(Some(_))));
                given
            }
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
    use super::super::sample_jpeg::image;
    use super::*;
    use std::io::{self, BufRead, BufReader, Write};
    use std::net::TcpListener;
    use std::thread::{JoinHandle, spawn};

    const PART: &[u8] = b"--b\r\nContent-Type: image/jpeg\r\n\r\n";
    const MULTIPART: &str = "200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=b";

    /// Gives one response after the other; its thread returns the lines of each request.
    fn serve(responses: Vec<Vec<u8>>) -> (String, JoinHandle<Vec<Vec<String>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let respond = move |response: &Vec<u8>| {
            let (mut stream, _) = listener.accept().unwrap();
            let lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let lines = lines.map(Result::unwrap).take_while(|line| !line.is_empty());
            let lines: Vec<String> = lines.collect();
            stream.write_all(response).unwrap();
            lines
        };
        let server = spawn(move || responses.iter().map(respond).collect::<Vec<_>>());
        (host, server)
    }

    fn response(head: &str, body: &[u8]) -> Vec<u8> {
        [format!("HTTP/1.1 {head}\r\nConnection: close\r\n\r\n").as_bytes(), body].concat()
    }

    fn source(address: String) -> Box<dyn Source> {
        open(&Address::new(address), &Arc::default(), &Deadline::default()).unwrap()
    }

    fn authorization(request: &[String]) -> Option<&str> {
        let headers = request.iter().filter_map(|line| line.split_once(": "));
        let mut found = headers.filter(|(name, _)| name.eq_ignore_ascii_case("authorization"));
        found.next().map(|(_, value)| value)
    }

    #[test]
    fn the_parts_of_a_response_are_frames_and_the_login_goes_where_it_is_asked_for() {
        let body = [PART, &image(8, 8, 1), b"\r\n", PART, &image(16, 8, 2), b"\r\n"].concat();
        let challenge = "401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"camera\"";
        let (host, server) = serve(vec![response(challenge, b"no"), response(MULTIPART, &body)]);
        let mut source = source(format!("http://user:p%40ss@{host}/live?x=1"));
        for width in [8, 16] {
            assert_eq!(source.next().unwrap().unwrap().decode().unwrap().width(), width);
        }
        let error = source.next().unwrap_err();
        assert!(matches!(error.kind, SourceErrorKind::Disconnected(_)), "{error}");
        assert_eq!(error.name, format!("http://user:***@{host}/live?***"));
        let requests = server.join().unwrap();
        assert!(requests.iter().all(|request| request[0] == "GET /live?x=1 HTTP/1.1"), "{requests:?}");
        // "user:p@ss" in Base64.
        let expected = [None, Some("Basic dXNlcjpwQHNz")];
        assert_eq!([authorization(&requests[0]), authorization(&requests[1])], expected);
    }

    #[test]
    fn a_server_that_wants_digest_never_sees_the_password() {
        let challenge = "401 Unauthorized\r\n\
            WWW-Authenticate: Basic realm=\"camera\"\r\n\
            WWW-Authenticate: Digest realm=\"camera\", nonce=\"abc123\"";
        let body = [PART, &image(8, 8, 1)].concat();
        let (host, server) = serve(vec![response(challenge, b""), response(MULTIPART, &body)]);
        let mut source = source(format!("http://user:secret@{host}/live?x=1"));
        assert!(source.next().unwrap().is_some());
        let requests = server.join().unwrap();
        let header = authorization(&requests[1]).unwrap();
        // MD5 of "user:camera:secret", the nonce, and MD5 of "GET:/live?x=1".
        assert!(header.contains("response=\"30c91746f3d5bab7ad843c0fe49a8ef3\""), "{header}");
        assert!(!format!("{requests:?}").contains("Basic"), "{requests:?}");
    }

    #[test]
    fn a_refused_login_is_reported_differently_from_a_missing_one() {
        let challenge = "401 Unauthorized\r\nWWW-Authenticate: Digest realm=\"camera\", nonce=\"abc\"";
        for (login, said) in [("", "USER:PASSWORD@HOST"), ("user:wrong@", "refuses the user or the password")]
        {
            let (host, _server) = serve(vec![response(challenge, b""), response(challenge, b"")]);
            let error = source(format!("http://{login}{host}/")).next().unwrap_err().to_string();
            assert!(error.contains("401 Unauthorized") && error.contains(said), "{error}");
            assert!(!error.contains("wrong"), "{error}");
        }
    }

    #[test]
    fn a_login_is_not_sent_to_another_host() {
        let (other, _server) = serve(vec![response("401 Unauthorized", b"")]);
        let redirect = format!("302 Found\r\nLocation: http://{other}/live");
        let (host, _redirecting) = serve(vec![response(&redirect, b"")]);
        let error = source(format!("http://user:secret@{host}/")).next().unwrap_err().to_string();
        assert!(error.contains("of another host is not sent"), "{error}");
    }

    #[test]
    fn a_stream_with_a_wrong_content_type_or_none_is_recognised_by_its_first_bytes() {
        let body = [PART, &image(8, 8, 1), b"\r\n", PART, &image(16, 8, 2), b"\r\n"].concat();
        for head in ["200 OK", "200 OK\r\nContent-Type: text/plain", "200 OK\r\nContent-Type: video/mjpeg"] {
            let (host, _server) = serve(vec![response(head, &body)]);
            let mut source = source(format!("http://{host}/live"));
            for width in [8, 16] {
                assert_eq!(source.next().unwrap().unwrap().decode().unwrap().width(), width, "{head}");
            }
            assert!(source.next().is_err(), "{head}");
        }
        // JPEGs without anything between them.
        let (host, _server) = serve(vec![response("200 OK", &[image(8, 8, 1), image(8, 8, 2)].concat())]);
        let mut source = source(format!("http://{host}/live"));
        assert!(source.next().unwrap().is_some() && source.next().unwrap().is_some());
        assert!(source.next().is_err());
    }

    #[test]
    fn a_single_image_is_the_end() {
        for head in ["200 OK\r\nContent-Type: image/jpeg", "200 OK"] {
            let (host, _server) = serve(vec![response(head, &image(8, 8, 1))]);
            let mut source = source(format!("http://{host}/snapshot.jpg"));
            assert!(source.next().unwrap().is_some(), "{head}");
            assert!(source.next().unwrap().is_none(), "{head}");
        }
    }

    #[test]
    fn what_is_not_a_stream_is_refused_and_a_busy_server_is_not() {
        for (head, words, is_final) in [
            ("404 Not Found", "404 Not Found", true),
            ("401 Unauthorized", "USER:PASSWORD@HOST", true),
            ("200 OK\r\nContent-Type: text/html", "'text/html'", true),
            ("200 OK", "begins with '<html>'", true),
            ("503 Service Unavailable", "503", false),
        ] {
            let (host, _server) = serve(vec![response(head, b"<html>")]);
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
