//! Where a broker is: `mqtt://[user:password@]host[:port]`.

use std::fmt;
use std::str::FromStr;

use percent_encoding::percent_decode_str;

/// The port of brokers without TLS.
const PORT: u16 = 1883;

/// A broker's address, with the login that it may want. Shown without the login.
#[derive(Clone, PartialEq, Eq)]
pub struct MqttAddress {
    /// An IPv6 address stands in brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// User and password.
    pub(super) login: Option<(String, String)>,
}

/// What is wrong with an address. The address is not repeated: it may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MqttAddressError {
    /// It does not begin with `mqtt://`.
    #[error("the MQTT address does not begin with mqtt://; write mqtt://[user:password@]host[:port]")]
    Scheme,
    /// It asks for TLS.
    #[error(
        "this build speaks MQTT without TLS: use mqtt:// inside a network that you trust, or through a tunnel \
         (ssh -L 1883:broker:1883)"
    )]
    Tls,
    /// There is no host, or it is not a valid one.
    #[error(
        "the host of the MQTT address is missing or not valid; an IPv6 address stands in brackets: mqtt://[::1]"
    )]
    Host,
    /// The port is not a number from 1 to 65535.
    #[error("the port of the MQTT address is not a number from 1 to 65535")]
    Port,
    /// User or password cannot be read.
    #[error(
        "user or password of the MQTT address cannot be read; write signs such as % and @ as %25 and %40"
    )]
    Login,
    /// There is something behind the port.
    #[error("there is something behind the port of the MQTT address; topics are set with --mqtt-topic")]
    Rest,
}

impl FromStr for MqttAddress {
    type Err = MqttAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let rest = match text.split_once("://") {
            Some(("mqtt", rest)) => rest,
            Some(("mqtts" | "ssl" | "tls" | "wss", _)) => return Err(MqttAddressError::Tls),
            _ => return Err(MqttAddressError::Scheme),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (login, place) = match rest.rsplit_once('@') {
            Some((login, place)) => (Some(login), place),
            None => (None, rest),
        };
        if place.contains(['/', '?', '#']) {
            return Err(MqttAddressError::Rest);
        }
        let bracketed = place.find(']').map(|end| place.split_at(end + 1));
        let (host, port) =
            bracketed.unwrap_or_else(|| place.split_at(place.find(':').unwrap_or(place.len())));
        if !is_host(host) {
            return Err(MqttAddressError::Host);
        }
        let port = match port.strip_prefix(':') {
            None if port.is_empty() => PORT,
            None => return Err(MqttAddressError::Host),
            Some(digits) => {
                digits.parse::<u16>().ok().filter(|port| *port > 0).ok_or(MqttAddressError::Port)?
            }
        };
        let login = login.map(read_login).transpose()?;
        Ok(Self { host: host.to_owned(), port, login })
    }
}

fn is_host(host: &str) -> bool {
    match host.strip_prefix('[') {
        Some(address) => address.trim_end_matches(']').parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            let known = |c: char| c.is_alphanumeric() || "-._".contains(c);
            !host.is_empty() && host.len() <= 253 && host.chars().all(known)
        }
    }
}

fn read_login(login: &str) -> Result<(String, String), MqttAddressError> {
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    let read = |part: &str| match percent_decode_str(part).decode_utf8() {
        Ok(text) => Ok(text.into_owned()),
        Err(_) => Err(MqttAddressError::Login),
    };
    let login = (read(user)?, read(password)?);
    if login.0.is_empty() { Err(MqttAddressError::Login) } else { Ok(login) }
}

impl fmt::Display for MqttAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mqtt://{}:{}", self.host, self.port)
    }
}

impl fmt::Debug for MqttAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let login = if self.login.is_some() { "***@" } else { "" };
        write!(f, "mqtt://{login}{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<MqttAddress, MqttAddressError> {
        text.parse()
    }

    #[test]
    fn addresses_are_read_with_their_logins_and_shown_without() {
        let plain = read("mqtt://broker.lan").unwrap();
        assert_eq!((plain.host.as_str(), plain.port, plain.login), ("broker.lan", 1883, None));
        let full = read("mqtt://us%40er:pa:ss%25@word@[::1]:2883/").unwrap();
        assert_eq!((full.host.as_str(), full.port), ("[::1]", 2883));
        assert_eq!(full.login, Some(("us@er".into(), "pa:ss%@word".into())));
        assert_eq!(full.to_string(), "mqtt://[::1]:2883");
        assert_eq!(format!("{full:?}"), "mqtt://***@[::1]:2883");
    }

    #[test]
    fn each_fault_is_reported_as_what_it_is_without_the_password() {
        use MqttAddressError::{Host, Login, Port, Rest, Scheme, Tls};
        let cases = [
            ("broker", Scheme),
            ("http://u:secret@broker", Scheme),
            ("mqtts://u:secret@broker", Tls),
            ("mqtt://", Host),
            ("mqtt://u:secret@", Host),
            ("mqtt://::1", Host),
            ("mqtt://[::1", Host),
            ("mqtt://[::1]2883", Host),
            ("mqtt://[nothing]", Host),
            ("mqtt://bro ker", Host),
            ("mqtt://broker:", Port),
            ("mqtt://broker:0", Port),
            ("mqtt://broker:65536", Port),
            ("mqtt://u:secret%ff@broker", Login),
            ("mqtt://:secret@broker", Login),
            ("mqtt://u:secret@broker/topic", Rest),
        ];
        for (text, fault) in cases {
            let reported = read(text).unwrap_err();
            assert_eq!(reported, fault, "{text}");
            assert!(!reported.to_string().contains("secret"), "{text}: {reported}");
        }
    }
}
