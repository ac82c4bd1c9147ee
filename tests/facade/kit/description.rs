//! `/openapi.json`, read as those read it who write clients.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::Method;
use serde_json::Value;

use super::Reply;

/// The description.
pub(crate) struct Description(pub Value);

impl Description {
    /// The templates of the paths.
    pub(crate) fn paths(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0["paths"].as_object().unwrap().iter().map(|(path, item)| (path.as_str(), item))
    }

    /// The methods of a template, in upper case.
    pub(crate) fn methods(&self, path: &str) -> BTreeSet<String> {
        let item = self.0["paths"].get(path).and_then(Value::as_object).into_iter().flatten();
        item.map(|(method, _)| method.to_uppercase()).collect()
    }

    /// What is said of a path as it is called.
    fn item(&self, path: &str) -> Option<&Value> {
        let parts: Vec<&str> = path.split('/').collect();
        let fits = |template: &str| {
            let template: Vec<&str> = template.split('/').collect();
            template.len() == parts.len()
                && template.iter().zip(&parts).all(|(wanted, part)| wanted.starts_with('{') || wanted == part)
        };
        self.paths().find_map(|(template, item)| fits(template).then_some(item))
    }

    /// Checks that the answer is one that is described for the call.
    #[track_caller]
    pub(crate) fn check(&self, method: &Method, path: &str, reply: &Reply) {
        let Some(item) = self.item(path) else { return };
        let status = reply.status.as_u16();
        let Some(operation) = item.get(method.as_str().to_lowercase()) else {
            assert!(status == 405 || method == Method::HEAD, "{method} {path} answers {status} and is not described");
            return;
        };
        let missing = |what: &str| {
            format!(
                "{method} {path} answers {status} {what}, which its file in src/http/api does not tell of that call"
            )
        };
        let response = operation["responses"].get(status.to_string()).unwrap_or_else(|| panic!("{}", missing("")));
        if reply.header("content-type") == "application/problem+json" {
            let kind = &reply.json()["type"];
            let types = &response["content"]["application/problem+json"]["schema"]["allOf"][1]["properties"]["type"];
            assert!(types["enum"].as_array().unwrap().contains(kind), "{}", missing(&kind.to_string()));
        }
    }

    /// Every example by its name. One name is one example.
    pub(crate) fn examples(&self) -> BTreeMap<String, Value> {
        let mut found = BTreeMap::new();
        for part in ["paths", "webhooks"] {
            collect(&self.0[part], &mut found);
        }
        found
    }

    /// The example of each problem by the last part of its type.
    pub(crate) fn problems(&self) -> BTreeMap<String, Value> {
        let examples = self.0["components"]["examples"].as_object().unwrap();
        examples.iter().map(|(name, example)| (name.clone(), example["value"].clone())).collect()
    }
}

fn collect(value: &Value, found: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(members) => {
            for (name, example) in members.get("examples").and_then(Value::as_object).into_iter().flatten() {
                if let Some(value) = example.get("value") {
                    let other = found.insert(name.clone(), value.clone());
                    assert!(other.is_none_or(|other| other == *value), "two examples are named {name}");
                }
            }
            members.iter().filter(|(name, _)| *name != "examples").for_each(|(_, member)| collect(member, found));
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
        _ => {}
    }
}
