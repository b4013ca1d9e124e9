//! Logging in to a server: the header that responds to its challenge (RFC 7617 and RFC 7616).

use http_auth::{PasswordClient, PasswordParams, basic};
use percent_encoding::percent_decode_str;

use crate::source::address;

/// User and password, as they are sent.
pub(super) struct Login {
    user: String,
    password: String,
}

/// The server asks for something else than user and password.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("it asks for a login of another kind than Basic or Digest ({0})")]
pub(super) struct LoginError(String);

impl Login {
    /// The login that stands in an address.
    pub(super) fn new(typed: &address::Login<'_>) -> Self {
        let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        Self { user: decoded(typed.user), password: decoded(typed.password) }
    }

    /// The value of the header `Authorization` for a `GET` of `path`. The strongest of the challenges is responded
    /// to; a server that refuses with 401 and without any challenge gets Basic.
    pub(super) fn respond(&self, challenges: &[impl AsRef<str>], path: &str) -> Result<String, LoginError> {
        if challenges.is_empty() {
            return Ok(basic::encode_credentials(&self.user, &self.password));
        }
        let builder = PasswordClient::builder();
        let builder = challenges.iter().fold(builder, |builder, list| builder.challenges(list.as_ref()));
        let mut client = builder.build().map_err(LoginError)?;
        let (username, password) = (self.user.as_str(), self.password.as_str());
        let plain = PasswordParams { username, password, uri: path, method: "GET", body: None };
        // With a body, even an empty one, the protection of bodies is preferred, which few cameras get right.
        let with_body = PasswordParams { body: Some(&[]), ..plain };
        client.respond(&plain).or_else(|_| client.respond(&with_body)).map_err(LoginError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::address::Address;

    fn login(address: &str) -> Login {
        Login::new(&Address::new(address).split_login().1.unwrap())
    }

    #[test]
    fn a_basic_challenge_and_none_at_all_get_user_and_password() {
        let login = login("http://user:p%40ss@host/");
        let none: &[&str] = &[];
        for challenges in [none, &["Basic realm=\"camera\""], &["NTLM, Basic realm=\"camera\""]] {
            // "user:p@ss" in Base64.
            assert_eq!(login.respond(challenges, "/live").unwrap(), "Basic dXNlcjpwQHNz");
        }
    }

    #[test]
    fn digest_is_preferred_and_does_not_show_the_password() {
        let login = login("http://Mufasa:Circle%20Of%20Life@host/");
        // The example of RFC 2617, without qop: it has no random part then.
        let digest = "Digest realm=\"testrealm@host.com\", nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\"";
        for challenges in [&[digest][..], &["Basic realm=\"a\"", digest]] {
            let header = login.respond(challenges, "/dir/index.html").unwrap();
            assert!(header.starts_with("Digest username=\"Mufasa\""), "{header}");
            assert!(header.contains("uri=\"/dir/index.html\""), "{header}");
            assert!(header.contains("response=\"670fd8c2df070c60b045671b8b24ff02\""), "{header}");
            assert!(!header.contains("Circle"), "{header}");
        }
        for offered in ["auth", "auth,auth-int"] {
            let challenge = format!("{digest}, qop=\"{offered}\", algorithm=SHA-256");
            let header = login.respond(&[challenge.as_str()], "/").unwrap();
            assert!(header.contains("qop=auth,"), "{header}");
            assert!(header.contains("cnonce=") && header.contains("algorithm=SHA-256"), "{header}");
        }
    }

    #[test]
    fn another_scheme_is_named() {
        let error = login("http://u:secret@host/").respond(&["Negotiate"], "/").unwrap_err().to_string();
        assert!(error.contains("Basic or Digest") && error.contains("Negotiate"), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }
}
