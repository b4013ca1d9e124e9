//! The path below which a proxy serves this page, and links that lead there.
//!
//! A proxy that serves the page at `/cam1/` strips that part of the path, so that it is not seen here. Links are
//! relative for that reason; what must be whole is built from `X-Forwarded-Prefix`, if the proxy sends it.

use axum::http::HeaderMap;

/// The header by which proxies report what they have stripped.
const HEADER: &str = "x-forwarded-prefix";
const LONGEST: usize = 200;

/// The stripped path, such as `/cam1`, without a slash at its end; `None` if it is missing or not a plain path.
pub(super) fn forwarded(headers: &HeaderMap) -> Option<&str> {
    // Proxies behind proxies join their values with commas; the first is what the browser sees.
    let value = headers.get(HEADER)?.to_str().ok()?.split(',').next()?.trim();
    let path = value.trim_end_matches('/');
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte);
    // Two slashes would begin the name of another host, dots would lead out of the folder.
    let is_sound = path.starts_with('/')
        && path.len() <= LONGEST
        && path.bytes().all(is_plain)
        && path.split('/').skip(1).all(|step| !matches!(step, "" | "." | ".."));
    is_sound.then_some(path)
}

/// The address of the page's folder, as seen from `path`: whole where the prefix is known, else relative.
pub(super) fn base(path: &str, headers: &HeaderMap) -> String {
    if let Some(prefix) = forwarded(headers) {
        return format!("{prefix}/");
    }
    let depth = path.bytes().filter(|byte| *byte == b'/').count().saturating_sub(1);
    if depth == 0 { "./".into() } else { "../".repeat(depth) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(prefix: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(HEADER, prefix.parse().unwrap());
        headers
    }

    #[test]
    fn links_lead_to_the_page_from_everywhere() {
        let none = HeaderMap::new();
        for (path, base_of) in [("/", "./"), ("/metrics", "./"), ("/api/state", "../"), ("/a/b/c", "../../")]
        {
            assert_eq!(base(path, &none), base_of, "{path}");
        }
        for prefix in ["/cam1", "/cam1/", "/cam1, /inner"] {
            assert_eq!(base("/api/state", &headers(prefix)), "/cam1/", "{prefix}");
        }
        assert_eq!(forwarded(&headers("/a/b-c_d.e~f")), Some("/a/b-c_d.e~f"));
    }

    #[test]
    fn a_prefix_that_is_not_a_plain_path_is_ignored() {
        let long = format!("/{}", "a".repeat(LONGEST));
        let bad = [
            "",
            "/",
            "cam1",
            "//evil.example",
            "/a//b",
            "/a/../b",
            "/.",
            "https://evil.example",
            "/\\evil",
            "/\"><script>",
            "/a;b",
            "/a b",
            "/%2e%2e",
            "/a?b",
            long.as_str(),
        ];
        for prefix in bad {
            assert_eq!(forwarded(&headers(prefix)), None, "{prefix}");
            assert_eq!(base("/", &headers(prefix)), "./", "{prefix}");
        }
    }
}
