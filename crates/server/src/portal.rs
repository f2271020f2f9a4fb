//! The portal's files, below `/ui/`. Every address of the portal that is no file begins with the same page.

use axum::Router;
use axum::body::Bytes;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use flate2::read::GzDecoder;
use std::io::Read;
use std::sync::{LazyLock, OnceLock};

/// Scripts come from this server alone, and none stands in a page. The editor and the components write styles into the
/// page as it runs, and draw with images that are part of their styles.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; worker-src 'self'; \
    style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; connect-src 'self'; base-uri 'none'; \
    form-action 'self'; frame-ancestors 'none'";
/// What pages of the portal are served with, whoever asks.
const HEADERS: &[(HeaderName, &str)] = &[
    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::VARY, "accept-encoding"),
];
const IMMUTABLE: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
const ASK_AGAIN: HeaderValue = HeaderValue::from_static("no-cache");
const NOT_BUILT: &str = "This program was built without the portal. Build it with make: `make run`.\n";

pub(crate) fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route("/", get(|| async { Redirect::temporary("/ui/") }))
        .route("/ui", get(|| async { Redirect::temporary("/ui/") }))
        .route("/ui/", get(|headers: HeaderMap| async move { page(&headers) }))
        .route("/ui/{*name}", get(|Path(name): Path<String>, headers: HeaderMap| async move { show(&name, &headers) }))
}

/// A file, or the page of an address within the portal.
fn show(name: &str, headers: &HeaderMap) -> Response {
    match portal::file(name) {
        Some(file) => serve(file, headers),
        // A script that is not there any more must not be answered by a page.
        None if name.starts_with("assets/") => (StatusCode::NOT_FOUND, "there is no such file\n").into_response(),
        None => page(headers),
    }
}

fn page(headers: &HeaderMap) -> Response {
    match portal::file(portal::INDEX) {
        Some(file) => serve(file, headers),
        None => (StatusCode::NOT_FOUND, NOT_BUILT).into_response(),
    }
}

/// A file in the shortest form that the browser takes.
fn serve(file: &portal::File, asked: &HeaderMap) -> Response {
    let takes = |coding: &str| {
        let given = asked.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
        given.flat_map(|value| value.split(',')).any(|one| accepts(one, coding))
    };
    let mut response = if takes("br") {
        ([(header::CONTENT_ENCODING, "br")], file.brotli).into_response()
    } else if takes("gzip") {
        ([(header::CONTENT_ENCODING, "gzip")], file.gzip).into_response()
    } else {
        plain(file).into_response()
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(file.content_type()));
    headers.insert(header::CACHE_CONTROL, if file.is_immutable() { IMMUTABLE } else { ASK_AGAIN });
    for (name, value) in HEADERS.iter().cloned() {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// The content of a file as it is. It is unpacked once, and shared by all that ask for it.
fn plain(file: &portal::File) -> Bytes {
    static UNPACKED: LazyLock<Vec<OnceLock<Bytes>>> =
        LazyLock::new(|| portal::FILES.iter().map(|_| OnceLock::new()).collect());
    let unpack = || {
        let mut plain = Vec::new();
        // What was packed when the program was built can be unpacked.
        if let Err(error) = GzDecoder::new(file.gzip).read_to_end(&mut plain) {
            tracing::error!(%error, file = file.name, "a file of the portal cannot be unpacked");
        }
        Bytes::from(plain)
    };
    let at = portal::FILES.iter().position(|known| known.name == file.name);
    at.and_then(|at| UNPACKED.get(at)).map_or_else(unpack, |kept| kept.get_or_init(unpack).clone())
}

/// Whether one item of `Accept-Encoding`, such as `br;q=0.5`, takes a coding.
fn accepts(item: &str, coding: &str) -> bool {
    let mut parts = item.split(';').map(str::trim);
    let is_it = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(coding));
    let is_refused = |part: &str| part.strip_prefix("q=").and_then(|q| q.parse::<f32>().ok()).is_some_and(|q| q <= 0.0);
    is_it && !parts.any(is_refused)
}

#[cfg(test)]
mod tests {
    use super::accepts;

    #[test]
    fn codings_are_taken_unless_refused() {
        assert!(accepts(" BR;q=0.5", "br"));
        assert!(accepts("gzip", "gzip"));
        assert!(!accepts("gzip;q=0", "gzip"));
        assert!(!accepts("identity", "br"));
    }
}
