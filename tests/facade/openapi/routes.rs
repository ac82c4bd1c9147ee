//! Every route is described, and everything that is described is a route.

use std::collections::BTreeSet;
use std::sync::Arc;

use outbound::workspace::command::Answer;
use outbound::workspace::view::WebhookView;
use outbound::workspace::{Policy, State};

use crate::kit::{FakeJournal, call, description, facade, request, working};

/// A call has its route and its description in one place; here it is seen that they are of one path and
/// one method.
#[tokio::test]
async fn every_route_is_described_with_its_methods() {
    let router = facade(Arc::default(), working());
    let description = description().await;
    let paths: BTreeSet<&str> = description.paths().map(|(path, _)| path).collect();
    assert!(paths.contains("/healthz"), "{paths:?}");
    for path in paths {
        // A method that nothing has is refused with those that the path has.
        let reply = call(&router, request("BREW", &concrete(path), "")).await;
        assert_eq!(reply.status, 405, "{path}");
        // HEAD comes with GET.
        let allowed = reply.header("allow").split(',').filter(|method| *method != "HEAD");
        let methods: BTreeSet<String> = allowed.map(str::to_owned).collect();
        assert_eq!(description.methods(path), methods, "{path}");
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

#[tokio::test]
async fn every_parameter_of_a_path_is_described_as_what_it_names() {
    let made = call(&facade(Arc::new(done()), working()), request("POST", "/v1/workspaces/acme/tokens", "")).await;
    let token = made.json()["id"].as_str().unwrap().to_owned();
    assert!(token.len() == 32 && token.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')), "{token}");
    let description = description().await;
    let mut described = BTreeSet::new();
    for (path, item) in description.paths() {
        for operation in item.as_object().unwrap().values() {
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            for parameter in parameters.filter(|parameter| parameter["in"] == "path") {
                let schema = &parameter["schema"];
                let pointer = schema["$ref"].as_str().map(|reference| reference.trim_start_matches('#'));
                let schema = pointer.map_or(schema, |pointer| description.0.pointer(pointer).unwrap());
                let form = schema["pattern"].as_str().or(schema["type"].as_str()).unwrap();
                let (before, _) = path.split_once(&format!("/{{{}}}", parameter["name"].as_str().unwrap())).unwrap();
                let resource = before.rsplit('/').next().unwrap();
                let says = parameter["description"].as_str().unwrap();
                described.insert((resource.to_owned(), says.to_owned(), form.to_owned()));
            }
        }
    }
    let wanted = [
        ("attempts", "The attempt's id, as the list names it", r"^\d{1,20}$"),
        ("rejected", "The shard, as the list of rejected entries names it", "integer"),
        ("tokens", "The token's id, as the list names it", "^[0-9a-f]{32}$"),
        ("workspaces", "The workspace's id", r"^(?!\.{1,2}$)[A-Za-z0-9_.:-]{1,128}$"),
        ("{shard}", "The entry's id, as the list names it", r"^\d{1,20}-\d{1,20}$"),
    ];
    let wanted = wanted.map(|(resource, says, form)| (resource.to_owned(), says.to_owned(), form.to_owned()));
    assert_eq!(described, BTreeSet::from(wanted));
}

/// A journal that does every command.
fn done() -> FakeJournal {
    let webhook = WebhookView::new(&"acme".parse().unwrap(), &State::default(), &Policy::default());
    let answer = Answer::Done { webhook: webhook.into(), attempt: None, reason: None };
    FakeJournal { submit: Box::new(move || Ok(answer.clone())), ..FakeJournal::default() }
}

fn concrete(path: &str) -> String {
    path.replace("{workspace}", "acme").replace("{shard}", "0").replace("{id}", "1-0")
}
