//! `/docs`: the description to read and to try, with everything that the page needs from here.
//!
//! The page is Swagger UI as its crate brings it, started by a script of ours, because a page without
//! inline scripts may forbid them. Links are relative, so that it works below a proxy's path too.

use std::sync::{Arc, LazyLock};

use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{IntoResponse, Redirect, Response};
use bytes::Bytes;

use crate::http::problem::{Problem, ProblemKind};

/// What the page may load: its own files, and pictures that its styles hold.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// The files change only with the program.
const AN_HOUR: &str = "public, max-age=3600";

/// The files of Swagger UI that the page uses, read once: every answer shares their bytes.
static FILES: LazyLock<[(&str, Option<DocsFile>); 3]> = LazyLock::new(|| {
    ["swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png"].map(|name| (name, DocsFile::of(name)))
});

struct DocsFile {
    media: String,
    is_gzip: bool,
    bytes: Bytes,
}

impl DocsFile {
    fn of(name: &str) -> Option<Self> {
        // The configuration is only read for a file that the page does not use.
        let file = utoipa_swagger_ui::serve(name, Arc::default()).ok().flatten()?;
        Some(Self { media: file.content_type, is_gzip: file.gzpipped, bytes: file.bytes.into_owned().into() })
    }
}

/// Answers with the page.
pub(in crate::http) async fn page() -> Response {
    let headers = [(CONTENT_TYPE, "text/html; charset=utf-8"), (CONTENT_SECURITY_POLICY, POLICY)];
    (headers, include_str!("docs_page/page.html")).into_response()
}

/// Sends whoever typed a slash behind it to the page, relatively as everything here.
pub(in crate::http) async fn with_a_slash() -> Redirect {
    Redirect::permanent("../docs")
}

/// Answers with a file that the page names.
pub(in crate::http) async fn file(name: Result<Path<String>, PathRejection>) -> Result<Response, Problem> {
    let name = name.map(|Path(name)| name).unwrap_or_default();
    if name == "start.js" {
        let headers = [(CONTENT_TYPE, "text/javascript; charset=utf-8"), (CACHE_CONTROL, AN_HOUR)];
        return Ok((headers, include_str!("docs_page/start.js")).into_response());
    }
    let Some(file) = FILES.iter().find(|(known, _)| *known == name).and_then(|(_, file)| file.as_ref()) else {
        return Err(Problem::new(ProblemKind::NotFound, "the page /docs has no such file"));
    };
    let encoding = file.is_gzip.then_some([(CONTENT_ENCODING, "gzip")]);
    let headers = [(CONTENT_TYPE, file.media.as_str()), (CACHE_CONTROL, AN_HOUR)];
    Ok((headers, encoding, file.bytes.clone()).into_response())
}
