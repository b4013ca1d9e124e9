//! Addresses to listen on, as people write them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The port where none is given.
const PORT: u16 = 8080;

/// Why a text is not an address to listen on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WebAddressError {
    /// The port is not one.
    #[error("'{0}' is not a port from 0 to 65535; give 8080, 127.0.0.1:8080 or 0.0.0.0:8080")]
    Port(String),
    /// The host is not an address of this machine.
    #[error(
        "'{0}' is not an IP address or localhost; give 127.0.0.1:8080 for this machine only, or 0.0.0.0:8080 for \
         all that can reach it"
    )]
    Host(String),
}

/// Reads `8080`, `localhost`, `localhost:8080`, `127.0.0.1`, `0.0.0.0:80`, `[::1]:80` or `http://127.0.0.1:8080/`. A
/// port alone, and `localhost`, are this machine's own address, which others cannot reach.
///
/// # Errors
/// Host or port is not valid.
pub fn parse_web_address(text: &str) -> Result<SocketAddr, WebAddressError> {
    let text = text.trim();
    let place = text.strip_prefix("http://").unwrap_or(text);
    let place = place.strip_suffix('/').unwrap_or(place);
    if let Ok(address) = place.parse::<SocketAddr>() {
        return Ok(address);
    }
    if let Ok(address) = place.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        return Ok(SocketAddr::new(address, PORT));
    }
    let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
    if !place.is_empty() && place.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(SocketAddr::new(local, port(place)?));
    }
    let (host, digits) = match place.rsplit_once(':') {
        Some((host, digits)) => (host, Some(digits)),
        None => (place, None),
    };
    let host = match host {
        host if host.eq_ignore_ascii_case("localhost") => local,
        host => host.parse().map_err(|_| WebAddressError::Host(host.to_owned()))?,
    };
    Ok(SocketAddr::new(host, digits.map_or(Ok(PORT), port)?))
}

fn port(digits: &str) -> Result<u16, WebAddressError> {
    digits.parse().map_err(|_| WebAddressError::Port(digits.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_people_write_them() {
        for (text, address) in [
            ("8080", "127.0.0.1:8080"),
            ("0", "127.0.0.1:0"),
            ("localhost:9000", "127.0.0.1:9000"),
            ("LOCALHOST", "127.0.0.1:8080"),
            ("192.168.1.5", "192.168.1.5:8080"),
            ("0.0.0.0:80", "0.0.0.0:80"),
            ("[::1]:80", "[::1]:80"),
            ("[::1]", "[::1]:8080"),
            ("::1", "[::1]:8080"),
            ("http://localhost:8080/", "127.0.0.1:8080"),
        ] {
            assert_eq!(parse_web_address(text), Ok(address.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn what_is_not_an_address_is_refused_with_what_to_give() {
        for text in
            ["", ":8080", "board.local:80", "127.0.0.1:", "localhost:x", "70000", "1.2.3:80", "1.2.3.4:99999"]
        {
            let error = parse_web_address(text).unwrap_err().to_string();
            assert!(error.contains("127.0.0.1:8080"), "{text}: {error}");
        }
    }
}
