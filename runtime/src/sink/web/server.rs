//! Connections: how many, for how long, and how much of them is held in memory.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::patience::Patient;
use super::routes;
use super::state::Web;

/// For the headers of a request, from the moment that they can come: an idle connection ends after it, too.
const HEADER_LIMIT: Duration = Duration::from_secs(5);
/// Headers that are longer are refused with 431; responses are taken from their handlers while less than this waits.
const BUFFER: usize = 16 * 1024;
/// What the system holds of unread responses (it doubles this): a client that never reads must be seen soon.
const SEND_BUFFER: u32 = 64 * 1024;
/// Connections that wait to be accepted.
const BACKLOG: u32 = 64;
/// Clients beyond the limit that are notified at a time; others are closed without a reply.
const REFUSALS: usize = 16;
const REFUSAL_LIMIT: Duration = Duration::from_secs(1);
/// After a failed accept: there may be no descriptor left, and trying at once would not free one.
const PAUSE: Duration = Duration::from_millis(50);

const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\n\
    Content-Length: 46\r\nRetry-After: 5\r\nConnection: close\r\n\r\n\
    too many clients are connected: try again soon";

/// Listens on `address`.
pub(super) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // Connections inherit it.
    socket.set_send_buffer_size(SEND_BUFFER)?;
    // A service that starts again finds its port free.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves at most `clients` connections at a time, without end.
pub(super) async fn serve(listener: TcpListener, web: Arc<Web>, clients: usize) {
    let service = TowerToHyperService::new(routes::router(&web));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEADER_LIMIT).max_buf_size(BUFFER);
    let places = Arc::new(Semaphore::new(clients));
    let refusals = Arc::new(Semaphore::new(REFUSALS));
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            sleep(PAUSE).await;
            continue;
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            web.monitor.count_client_drop();
            if let Ok(place) = Arc::clone(&refusals).try_acquire_owned() {
                tokio::spawn(async move {
                    // Whether it was heard is the client's affair.
                    let _ = timeout(REFUSAL_LIMIT, refuse(stream)).await;
                    drop(place);
                });
            }
            continue;
        };
        let stream = TokioIo::new(Patient::new(stream, Arc::clone(&web.monitor)));
        let connection = http.serve_connection(stream, service.clone());
        tokio::spawn(async move {
            // What a client did wrong, or that it left, does not concern the run.
            let _ = connection.await;
            drop(place);
        });
    }
}

async fn refuse(mut stream: TcpStream) -> io::Result<()> {
    stream.write_all(FULL).await?;
    stream.shutdown().await?;
    // Closing while bytes are unread would take the response back.
    let mut unread = [0; 1024];
    while stream.read(&mut unread).await? > 0 {}
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_refusal_is_as_long_as_it_says() {
        let text = std::str::from_utf8(FULL).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{}", body.len());
    }
}
