//! `/docs` has everything that it needs from here.

use std::sync::Arc;

use axum::body::Body;
use axum::http::Request;

use crate::kit::{facade, working};

#[tokio::test]
async fn the_page_loads_its_files_from_here_and_nothing_from_elsewhere() {
    let page = get("/docs").await;
    assert_eq!(page.0, 200);
    let text = String::from_utf8(page.2).unwrap();
    let policy = page.1["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'; script-src 'self';") && !policy.contains("http"), "{policy}");
    assert!(!text.contains("http:") && !text.contains("https:") && !text.contains("//"), "{text}");
    let links = text.split(['"', '\'']).filter(|part| part.starts_with("docs/") || *part == "openapi.json");
    let links: Vec<&str> = links.collect();
    assert_eq!(links.len(), 5, "{links:?}");
    for link in links {
        let (status, headers, body) = get(&format!("/{link}")).await;
        assert_eq!((status, body.is_empty()), (200, false), "{link}");
        assert_eq!(headers["x-content-type-options"], "nosniff");
        let media = headers["content-type"].to_str().unwrap();
        let wanted = match link.rsplit('.').next().unwrap() {
            "js" => "text/javascript",
            "css" => "text/css",
            "png" => "image/png",
            _ => "application/json",
        };
        assert!(media.starts_with(wanted), "{link}: {media}");
    }
}

#[tokio::test]
async fn a_file_that_the_page_does_not_use_is_not_there() {
    for name in ["swagger-initializer.js", "index.html", "x", "%FF", "..%2Fmod.rs"] {
        assert_eq!(get(&format!("/docs/{name}")).await.0, 404, "{name}");
    }
}

async fn get(path: &str) -> (u16, axum::http::HeaderMap, Vec<u8>) {
    use tower::ServiceExt;
    let request = Request::get(path).header("host", "localhost").body(Body::empty()).unwrap();
    let response = facade(Arc::default(), working()).oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    (parts.status.as_u16(), parts.headers, axum::body::to_bytes(body, usize::MAX).await.unwrap().to_vec())
}
