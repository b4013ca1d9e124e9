//! The address of a camera or a stream, and keeping its secrets out of logs.

use std::fmt;

/// What is shown in place of a secret.
const HIDDEN: &str = "***";

/// An address as it was typed, such as `rtsp://user:password@host/1`. Shown, it hides its password and
/// whatever follows a `?`, where many cameras expect the password.
#[derive(Clone, PartialEq, Eq)]
pub struct Address(String);

/// User name and password of an address, as they are written in it: `%40` stands for `@`.
pub(super) struct Login<'a> {
    pub(super) user: &'a str,
    pub(super) password: &'a str,
}

impl Address {
    /// Takes any text; whether it is an address that can be read is seen when it is opened.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// `rtsp` of `rtsp://host/1`, in lower case.
    pub(super) fn scheme(&self) -> String {
        let scheme = self.0.split_once("://").map(|(scheme, _)| scheme);
        scheme.unwrap_or_default().to_ascii_lowercase()
    }

    /// The address with its secrets.
    pub(super) fn secret(&self) -> &str {
        &self.0
    }

    /// The address without user and password, and these.
    pub(super) fn split_login(&self) -> (String, Option<Login<'_>>) {
        let parts = self.0.split_once("://").and_then(|(scheme, rest)| {
            let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
            let (place, path) = rest.split_at_checked(end)?;
            let (login, host) = place.rsplit_once('@')?;
            Some((format!("{scheme}://{host}{path}"), login))
        });
        match parts {
            None => (self.0.clone(), None),
            Some((bare, login)) => {
                let (user, password) = login.split_once(':').unwrap_or((login, ""));
                (bare, Some(Login { user, password }))
            }
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.split_once("://") {
            Some((scheme, rest)) => write!(f, "{scheme}://{}", without_secrets(rest)),
            None => f.write_str(&self.0),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// `text` with the secrets of every address in it hidden. An address ends at the next blank.
pub(super) fn redacted(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut left = text;
    while let Some((before, rest)) = left.split_once("://") {
        let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        let (address, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
        shown.push_str(before);
        shown.push_str("://");
        shown.push_str(&without_secrets(address));
        left = after;
    }
    shown + left
}

/// What follows `://`, without secrets. Everything up to the last `@` may be one: passwords hold any character.
fn without_secrets(rest: &str) -> String {
    let (login, place) = match rest.rsplit_once('@') {
        None => (String::new(), rest),
        Some((login, place)) => match login.split_once(':') {
            Some((user, _)) if !user.contains(['/', '?', '@']) => (format!("{user}:{HIDDEN}@"), place),
            _ => (format!("{HIDDEN}@"), place),
        },
    };
    match place.split_once('?') {
        Some((path, _)) => format!("{login}{path}?{HIDDEN}"),
        None => format!("{login}{place}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_a_secret_is_never_shown() {
        for (text, shown) in [
            ("rtsp://host:554/1", "rtsp://host:554/1"),
            ("rtsp://user:secret@host/1", "rtsp://user:***@host/1"),
            ("rtsp://user:se/cr@et?@host/1", "rtsp://user:***@host/1"),
            ("http://secret@host", "http://***@host"),
            ("http://host/video?user=a&pwd=secret", "http://host/video?***"),
            ("http://host/video?mail=a@secret?x", "http://***@secret?***"),
        ] {
            let address = Address::new(text);
            assert_eq!(address.to_string(), shown);
            assert_eq!(format!("{address:?}"), format!("\"{shown}\""));
        }
    }

    #[test]
    fn addresses_within_a_message_are_found() {
        let message = "[tcp] 'rtsp://u:secret@a/1': refused\nhttp://u:secret@b and http://c/?secret done://";
        let shown = "[tcp] 'rtsp://u:***@a/1': refused\nhttp://u:***@b and http://c/?*** done://";
        assert_eq!(redacted(message), shown);
        assert_eq!(redacted("no address"), "no address");
    }

    #[test]
    fn the_login_is_cut_out_of_the_host_only() {
        let address = Address::new("http://user:a:b@host:80/x@y");
        let (bare, login) = address.split_login();
        let login = login.unwrap();
        assert_eq!((bare.as_str(), login.user, login.password), ("http://host:80/x@y", "user", "a:b"));
        assert!(Address::new("http://host/x@y").split_login().1.is_none());
        assert_eq!(Address::new("HTTP://host").scheme(), "http");
    }
}
