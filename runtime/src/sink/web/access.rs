//! Who may ask: the name by which this machine is called, and the token.
//!
//! A page of another site can make a browser call `127.0.0.1`, and can have its own name resolve to this machine (DNS
//! rebinding). So the `Host` header must hold a name of this machine, and other sites may not embed anything from here.

use std::net::{IpAddr, SocketAddr};

use axum::body::HttpBody;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use percent_encoding::percent_decode_str;

use comet_engine::model::sha256_hex;

use super::options::{WebError, WebOptions};
use super::prefix::{base, forwarded};
use super::reply::{parameter, plain};

/// The largest body of a request. None is read: what fits is passed over.
const MAX_BODY: u64 = 1024;
/// The one path that is open without a token: watchdogs ask there.
const OPEN_PATH: &str = "/healthz";
/// For this many seconds a browser keeps the cookie: 30 days.
const COOKIE_AGE: u32 = 30 * 24 * 3600;

/// The rules of one server.
pub(super) struct Access {
    bound: IpAddr,
    names: Vec<String>,
    secrets: Option<Secrets>,
}

/// Digests are compared, so that the time of a comparison says nothing about the token.
struct Secrets {
    token: String,
    /// Browsers send cookies to every port of a machine: each port has its own.
    cookie_name: String,
    /// Made from the token, so that a browser does not store the token itself.
    cookie_value: String,
    cookie: String,
}

impl Access {
    /// Whether the options make sense and do not show the camera to everyone.
    pub(super) fn check(options: &WebOptions) -> Result<(), WebError> {
        let local = options.address.ip().to_canonical().is_loopback();
        match &options.token {
            None if !local => return Err(WebError::NeedsToken(options.address)),
            Some(token)
                if !(16..=256).contains(&token.len())
                    || !token.bytes().all(|byte| byte.is_ascii_graphic()) =>
            {
                return Err(WebError::BadToken);
            }
            _ => {}
        }
        let of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let is_name = |name: &str| !name.is_empty() && name.bytes().all(of_name);
        match options.allowed_hosts.iter().find(|name| !is_name(name.as_str())) {
            Some(name) => Err(WebError::BadHost(name.clone())),
            None => Ok(()),
        }
    }

    /// The rules for a server that listens on `bound`.
    pub(super) fn new(options: &WebOptions, bound: SocketAddr) -> Self {
        let names = options.allowed_hosts.iter().map(|name| name.to_ascii_lowercase()).collect();
        Self {
            bound: bound.ip().to_canonical(),
            names,
            secrets: options.token.as_deref().map(|token| Secrets::new(token, bound.port())),
        }
    }

    /// The response to a request that goes no further.
    pub(super) fn refusal(&self, request: &Request) -> Option<Response> {
        if request.body().size_hint().upper().is_none_or(|size| size > MAX_BODY) {
            return Some(plain(StatusCode::PAYLOAD_TOO_LARGE, "no body is expected"));
        }
        let mut hosts = request.headers().get_all(header::HOST).iter();
        let (Some(host), None) = (hosts.next().and_then(|host| host.to_str().ok()), hosts.next()) else {
            return Some(plain(StatusCode::BAD_REQUEST, "one Host header is needed"));
        };
        let target = request.uri().authority().map(|authority| authority.as_str());
        if !self.is_own_name(host) || target.is_some_and(|target| !self.is_own_name(target)) {
            let text = "this machine is not known by that name; to allow it, start with --http-host NAME";
            return Some(plain(StatusCode::FORBIDDEN, text));
        }
        self.secrets.as_ref()?.refusal(request.uri(), request.headers())
    }

    /// Whether `host` (`name`, `name:port`, `[address]:port`) calls this machine. Addresses cannot be rebound: only
    /// names are resolved.
    fn is_own_name(&self, host: &str) -> bool {
        let name = match host.strip_prefix('[') {
            Some(rest) => rest.split_once(']').map_or("", |(address, _)| address),
            None => host.rsplit_once(':').map_or(host, |(name, _)| name),
        };
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        if name == "localhost" || self.names.contains(&name) {
            return true;
        }
        let Ok(address) = name.parse::<IpAddr>() else {
            return false;
        };
        let address = address.to_canonical();
        address.is_loopback() || address == self.bound || self.bound.is_unspecified()
    }
}

impl Secrets {
    fn new(token: &str, port: u16) -> Self {
        let cookie_value = sha256_hex(format!("comet-edge cookie {token}").as_bytes());
        Self {
            token: sha256_hex(token.as_bytes()),
            cookie_name: format!("comet_edge_{port}"),
            cookie: sha256_hex(cookie_value.as_bytes()),
            cookie_value,
        }
    }

    fn refusal(&self, uri: &Uri, headers: &HeaderMap) -> Option<Response> {
        // A token in the address is taken out of it, whether or not it was needed.
        if uri.path() == "/"
            && let Some(offered) = parameter(uri, "token")
        {
            let known = same(&self.token, &percent_decode_str(offered).decode_utf8_lossy());
            return Some(match known {
                true => self.welcome(headers),
                false => ask("That token is not right.", &base(uri.path(), headers)),
            });
        }
        let known = uri.path() == OPEN_PATH || self.is_known(headers);
        (!known).then(|| ask("This page shows a camera: it needs the token.", &base(uri.path(), headers)))
    }

    /// `Authorization: Bearer TOKEN`, or the cookie.
    fn is_known(&self, headers: &HeaderMap) -> bool {
        let text = |value: &HeaderValue| value.to_str().unwrap_or_default().to_owned();
        let bearer = headers.get(header::AUTHORIZATION).map(text).is_some_and(|value| {
            let offered = value.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
            offered.is_some_and(|(_, offered)| same(&self.token, offered.trim()))
        });
        bearer
            || headers.get_all(header::COOKIE).iter().map(text).any(|cookies| {
                let mut pairs = cookies.split(';').filter_map(|pair| pair.trim().split_once('='));
                pairs.any(|(name, value)| name == self.cookie_name && same(&self.cookie, value))
            })
    }

    /// The cookie, and the page without the token in its address.
    ///
    /// Two boards behind one proxy must not overwrite each other's cookies. Without a `Path` the browser takes the
    /// folder that it asked, which is right behind a proxy that does not say what it has stripped.
    fn welcome(&self, headers: &HeaderMap) -> Response {
        let Self { cookie_name, cookie_value, .. } = self;
        let path = forwarded(headers).map(|prefix| format!("; Path={prefix}")).unwrap_or_default();
        let cookie =
            format!("{cookie_name}={cookie_value}{path}; HttpOnly; SameSite=Strict; Max-Age={COOKIE_AGE}");
        let headers = [(header::LOCATION, base("/", headers)), (header::SET_COOKIE, cookie)];
        (StatusCode::SEE_OTHER, headers).into_response()
    }
}

/// Whether `offered` has the digest `expected`, in a time that does not depend on where they differ.
fn same(expected: &str, offered: &str) -> bool {
    let offered = sha256_hex(offered.as_bytes());
    let pairs = expected.bytes().zip(offered.bytes());
    pairs.fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}

/// The page that asks for the token.
fn ask(text: &'static str, base: &str) -> Response {
    let page = include_str!("page/token.html").replace("{text}", text).replace("{base}", base);
    let headers = [(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::WWW_AUTHENTICATE, "Bearer")];
    (StatusCode::UNAUTHORIZED, headers, page).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "0123456789abcdef";

    fn access(address: &str, token: Option<&str>) -> Access {
        let address = address.parse().unwrap();
        let options = WebOptions {
            address,
            token: token.map(str::to_owned),
            allowed_hosts: vec!["Board.local".into()],
            ..WebOptions::default()
        };
        Access::check(&options).unwrap();
        Access::new(&options, address)
    }

    #[test]
    fn only_names_of_this_machine_are_served() {
        let local = access("127.0.0.1:8080", None);
        let own = "localhost LOCALHOST:1 127.0.0.1:8080 [::1]:80 localhost. board.local:8080";
        for own in own.split(' ') {
            assert!(local.is_own_name(own), "{own}");
        }
        let others = "evil.example 127.0.0.1.evil.example:80 192.168.1.5 :80 [::1 localhost:1:2";
        for other in others.split(' ').chain([""]) {
            assert!(!local.is_own_name(other), "{other}");
        }
        let open = access("0.0.0.0:80", Some(TOKEN));
        assert!(open.is_own_name("192.168.1.5:80") && !open.is_own_name("evil.example"));
        let one = access("192.168.1.5:80", Some(TOKEN));
        assert!(one.is_own_name("192.168.1.5") && !one.is_own_name("192.168.1.6"));
    }

    #[test]
    fn the_token_opens_as_bearer_and_as_cookie_and_nothing_else_does() {
        let access = access("127.0.0.1:8080", Some(TOKEN));
        let status = |path: &str, name: &'static str, value: &str| {
            let request = axum::http::Request::get(path).header("host", "localhost").header(name, value);
            let refusal = access.refusal(&request.body(axum::body::Body::empty()).unwrap());
            refusal.map(|refusal| refusal.status().as_u16())
        };
        assert_eq!(status("/", "accept", "*/*"), Some(401));
        assert_eq!(status("/healthz", "accept", "*/*"), None);
        assert_eq!(status("/api/state", "authorization", &format!("bearer {TOKEN}")), None);
        assert_eq!(status("/api/state", "authorization", "Bearer 0123456789abcdeF"), Some(401));
        assert_eq!(status(&format!("/?token={TOKEN}"), "accept", "*/*"), Some(303));
        assert_eq!(status("/?token=wrong", "accept", "*/*"), Some(401));
        let secrets = access.secrets.as_ref().unwrap();
        let cookie = |value: &str| format!("a=b; comet_edge_8080={value}; c=d");
        assert_eq!(status("/", "cookie", &cookie(&secrets.cookie_value)), None);
        assert_eq!(status("/", "cookie", &cookie(TOKEN)), Some(401), "the cookie is not the token");
        assert_eq!(status("/", "cookie", &cookie(&secrets.cookie)), Some(401));
    }

    #[test]
    fn behind_a_proxy_the_redirect_and_the_cookie_stay_below_its_path() {
        let access = access("127.0.0.1:8080", Some(TOKEN));
        let welcome = |prefix: &str| {
            let request = axum::http::Request::get(format!("/?token={TOKEN}")).header("host", "localhost");
            let request = request.header("x-forwarded-prefix", prefix);
            let response = access.refusal(&request.body(axum::body::Body::empty()).unwrap()).unwrap();
            let text = |name: &str| response.headers().get(name).unwrap().to_str().unwrap().to_owned();
            (text("location"), text("set-cookie"))
        };
        let (location, cookie) = welcome("/cam1/");
        assert_eq!(location, "/cam1/");
        assert!(cookie.contains("; Path=/cam1;"), "{cookie}");
        for prefix in ["", "//evil.example", "https://evil.example"] {
            let (location, cookie) = welcome(prefix);
            assert_eq!(location, "./", "{prefix}");
            assert!(!cookie.contains("Path") && !cookie.contains("evil"), "{cookie}");
        }
    }

    #[test]
    fn a_token_may_have_characters_that_a_form_escapes() {
        let access = access("127.0.0.1:8080", Some("0123456789+/abc=="));
        for (path, status) in [("/?token=0123456789%2B%2Fabc%3D%3D", 303u16), ("/?token=0123456789%2B", 401)]
        {
            let request = axum::http::Request::get(path).header("host", "localhost");
            let request = request.body(axum::body::Body::empty()).unwrap();
            assert_eq!(access.refusal(&request).unwrap().status(), status, "{path}");
        }
    }

    #[test]
    fn a_request_with_a_body_is_refused() {
        let access = access("127.0.0.1:8080", None);
        let request = axum::http::Request::post("/").header("host", "localhost");
        let request = request.body(axum::body::Body::from("x".repeat(2000))).unwrap();
        assert_eq!(access.refusal(&request).unwrap().status(), 413);
    }

    #[test]
    fn names_with_a_scheme_are_not_hosts() {
        let options = WebOptions { allowed_hosts: vec!["http://board".into()], ..WebOptions::default() };
        assert!(matches!(Access::check(&options), Err(WebError::BadHost(_))));
    }
}
