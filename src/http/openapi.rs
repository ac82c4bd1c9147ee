//! `/openapi.json`: the API described as OpenAPI 3.1, and the POST that endpoints receive under
//! `webhooks`. No token: it holds nothing that is not in this repository.
//!
//! - [`call`]: one call, its route and its description. Each file of `api` has those of its resource.
//! - [`problems`]: the problem documents, with an example of each.
//! - [`new_message`]: the POST that an endpoint receives.
//! - [`schemas`]: what is no type of its own elsewhere: the bodies that are taken in, ids and times.
//! - [`docs_page`]: the page to read it and to try it.
//!
//! `tests/facade/openapi` holds the description to what the router does: every answer of every facade test is one that is described, and every
//! example is what the wire shows.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, Info, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, PathItem, Paths, RefOr, Schema, Tag,
};

use call::{DescribedCall, Heading};
use schemas::Schemas;

pub(super) mod call;
pub(super) mod problems;
pub(super) mod new_message;
pub(super) mod schemas;
pub(super) mod docs_page;

/// The security scheme's name.
const TOKEN: &str = "token";

/// Members of answers that may be absent. Every other one is always there; what has no value is null.
const MAY_BE_ABSENT: &[(&str, &str)] = &[
    ("AttemptSummary", "waited_ms"),
    ("Tested", "reason"),
    ("History", "access"),
    ("Deed", "token"),
    ("Deed", "subject"),
    ("Problem", "errors"),
    ("Problem", "changes"),
    ("LogEntry", "omitted"),
    ("LoggedResponse", "malformed"),
];

/// The description as JSON.
pub(super) fn text(headings: Vec<Heading>) -> Bytes {
    // A description that cannot be written is none; the tests of this room read it.
    document(headings).to_json().map(Bytes::from).unwrap_or_default()
}

fn document(headings: Vec<Heading>) -> OpenApi {
    let mut schemas = Schemas::default();
    let (mut paths, mut sent) = (Paths::new(), BTreeSet::new());
    let mut tags = Vec::new();
    for Heading { name, says, calls } in headings {
        let mut tag = Tag::new(name);
        tag.description = Some(says.to_owned());
        tags.push(tag);
        for call in calls {
            let DescribedCall { method, path, operation, schemas: used, sent: body } = call.described(name);
            paths.add_path_operation(path, vec![method], operation);
            schemas.extend(used);
            sent.extend(body);
        }
    }
    let new_message = PathItem::new(utoipa::openapi::HttpMethod::Post, new_message::operation(&mut schemas));
    let mut webhooks = Paths::new();
    webhooks.paths.insert("newMessage".to_owned(), new_message);
    schemas.add::<super::problem::Document<'_>>();
    let mut components = ComponentsBuilder::new().build();
    components.schemas = complete(schemas.0, &sent);
    components.examples = problems::examples();
    let token = Http::builder().scheme(HttpAuthScheme::Bearer).description(Some(TOKEN_HELP)).build();
    components.security_schemes.insert(TOKEN.to_owned(), SecurityScheme::Http(token).into());
    OpenApiBuilder::new()
        .info(info())
        .paths(paths)
        .webhooks(Some(webhooks))
        .components(Some(components))
        .security(Some([SecurityRequirement::new::<_, [&str; 0], _>(TOKEN, [])]))
        .tags(Some(tags))
        .build()
}

const TOKEN_HELP: &str = "\
The admin token opens everything. A workspace token opens its workspace only; for it, any other \
workspace does not exist (404).";

fn info() -> Info {
    InfoBuilder::new()
        .title("outbound")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(include_str!("openapi/introduction.md")))
        .license(Some(LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0")).build()))
        .build()
}

/// Says of every member that the service writes that it is always there. What callers write is left as
/// it is derived: there it tells what they may leave out.
fn complete(mut schemas: BTreeMap<String, RefOr<Schema>>, sent: &BTreeSet<String>) -> BTreeMap<String, RefOr<Schema>> {
    for (name, schema) in schemas.iter_mut().filter(|(name, _)| !sent.contains(*name)) {
        let parts = match schema {
            RefOr::T(Schema::AllOf(all)) => all.items.iter_mut().collect(),
            other => vec![other],
        };
        for part in parts {
            let RefOr::T(Schema::Object(object)) = part else { continue };
            let always = object.properties.keys().filter(|member| !MAY_BE_ABSENT.contains(&(name, member)));
            object.required = always.cloned().collect();
        }
    }
    schemas
}
