//! `/assets/{name}`: style, script and icon of the screen. A name holds the hash of what it names, so a
//! browser may keep it for good and never shows an old one.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

use crate::http::problem::{Problem, ProblemKind};

/// Characters of a hash in a name: more than enough to tell the versions of one file apart.
const HASH_SHOWN: usize = 12;

/// A file in the program.
pub(super) struct Asset {
    /// Its name, with its hash.
    name: String,
    media: &'static str,
    text: &'static str,
}

pub(super) static STYLE: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("screen", "css", "text/css; charset=utf-8", include_str!("assets/screen.css")));
pub(super) static SCRIPT: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("screen", "js", "text/javascript; charset=utf-8", include_str!("assets/screen.js")));
pub(super) static ICON: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("icon", "svg", "image/svg+xml", include_str!("assets/icon.svg")));

impl Asset {
    fn new(stem: &str, extension: &str, media: &'static str, text: &'static str) -> Self {
        let hash: String = Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
        Self { name: format!("{stem}-{}.{extension}", &hash[..HASH_SHOWN]), media, text }
    }

    /// Its address; `root` is what stands before our paths in a browser.
    pub(super) fn href(&self, root: &str) -> String {
        format!("{root}/assets/{}", self.name)
    }
}

pub(in crate::http) async fn asset(Path(name): Path<String>) -> Response {
    let Some(asset) = [&STYLE, &SCRIPT, &ICON].into_iter().find(|asset| asset.name == name) else {
        return Problem::new(ProblemKind::NotFound, "this file belongs to another version; reload the page")
            .into_response();
    };
    let keep = "public, max-age=31536000, immutable";
    ([(CONTENT_TYPE, asset.media), (CACHE_CONTROL, keep)], asset.text).into_response()
}
