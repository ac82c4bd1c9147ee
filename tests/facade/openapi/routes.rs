//! Every route is described, and everything that is described is a route.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;

use crate::kit::{call, description, facade, request, working};

/// Where a reader of a failure finds what to do.
const HINT: &str = "a call is described in src/http/openapi/calls.rs, a page is named in NO_CALLS of this file";

/// Routes that are no calls of the API: pages for people, what their forms send, and their files.
const NO_CALLS: &[&str] = &["/assets", "/docs", "/workspaces"];

#[tokio::test]
async fn every_route_is_described_with_its_methods() {
    let router = facade(Arc::default(), working());
    let mut routes = BTreeMap::new();
    for path in written_routes().into_iter().filter(|path| is_call(path)) {
        let concrete = concrete(&path);
        // A method that nothing has is refused with those that the path has.
        let reply = call(&router, request("BREW", &concrete, "")).await;
        assert_eq!(reply.status, 405, "{path}: {HINT}");
        let methods: BTreeSet<String> = reply.header("allow").split(',').map(str::to_owned).collect();
        routes.insert(path, methods);
    }
    let description = description().await;
    let described: BTreeMap<String, BTreeSet<String>> =
        description.paths().map(|(path, _)| (path.to_owned(), description.methods(path))).collect();
    for (path, methods) in &routes {
        // HEAD comes with GET.
        let methods: BTreeSet<String> = methods.iter().filter(|method| *method != "HEAD").cloned().collect();
        assert_eq!(description.methods(path), methods, "{path}: {HINT}");
    }
    let unknown: Vec<&String> = described.keys().filter(|path| !routes.contains_key(*path)).collect();
    assert!(unknown.is_empty(), "described, but no route: {unknown:?}");
}

fn is_call(path: &str) -> bool {
    let below = |start: &str| path.strip_prefix(start).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    !NO_CALLS.iter().any(|start| below(start))
}

/// The paths of the router, read off the source: a router cannot be asked for them.
fn written_routes() -> BTreeSet<String> {
    let mut routes = BTreeSet::new();
    collect(&fs::read_to_string("src/http.rs").unwrap(), &mut routes);
    let mut folders = vec![Path::new("src/http").to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("receiver.rs") {
                collect(&fs::read_to_string(&path).unwrap(), &mut routes);
            }
        }
    }
    assert!(routes.contains("/healthz"), "{routes:?}");
    routes
}

fn collect(source: &str, routes: &mut BTreeSet<String>) {
    let production = source.split("#[cfg(test)]").next().unwrap_or_default();
    for rest in production.split(".route(").skip(1) {
        let literal = rest.trim_start().strip_prefix('"').and_then(|rest| rest.split('"').next());
        routes.insert(literal.expect("a route's path is written where the route is made").to_owned());
    }
}

#[tokio::test]
async fn every_reference_in_the_description_leads_somewhere() {
    let document = &description().await.0;
    assert_eq!(document["openapi"], "3.1.0");
    let text = document.to_string();
    for rest in text.split("\"$ref\":\"#").skip(1) {
        let pointer = rest.split('"').next().unwrap();
        assert!(document.pointer(pointer).is_some(), "{pointer} leads nowhere");
    }
}

#[tokio::test]
async fn everything_has_a_description() {
    let document = &description().await.0;
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        let parts = schema["allOf"].as_array().cloned().unwrap_or_else(|| vec![schema.clone()]);
        assert!(schema.get("description").is_some(), "the schema {name}");
        for (member, schema) in parts.iter().filter_map(|part| part["properties"].as_object()).flatten() {
            let text = schema.to_string();
            assert!(text.contains("\"description\""), "{name}.{member}: {text}");
            // What a reader of the code may follow, a reader of the description cannot.
            assert!(!text.contains("docs::") && !text.contains("[`"), "{name}.{member}: {text}");
        }
    }
}

#[tokio::test]
async fn every_call_but_the_open_ones_needs_a_token() {
    let router = facade(Arc::default(), working());
    let description = description().await;
    let mut open = BTreeSet::new();
    for (path, item) in description.paths() {
        for (method, operation) in item.as_object().unwrap() {
            let path = concrete(path);
            if operation.get("security").is_some() {
                open.insert(path);
                continue;
            }
            for token in [None, Some("Bearer wrong"), Some("Basic wrong")] {
                let mut request = request(&method.to_uppercase(), &path, "");
                request.headers_mut().remove("authorization");
                if let Some(token) = token {
                    request.headers_mut().insert("authorization", token.parse().unwrap());
                }
                let problem = call(&router, request).await.problem();
                assert!(
                    ["unauthorized", "too-many-failures"].contains(&problem.as_str()),
                    "{method} {path}: {problem}"
                );
            }
        }
    }
    assert_eq!(open.into_iter().collect::<Vec<_>>(), ["/healthz", "/openapi.json", "/readyz"]);
}

fn concrete(path: &str) -> String {
    path.replace("{workspace}", "acme").replace("{shard}", "0").replace("{id}", "1-0")
}
