//! The problem documents as they are described: each class with an example.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use utoipa::openapi::example::{Example, ExampleBuilder};
use utoipa::openapi::schema::{AllOfBuilder, ObjectBuilder, Type};
use utoipa::openapi::{ContentBuilder, HeaderBuilder, Ref, RefOr, Response, Schema};

use super::schemas::text;
use crate::http::problem::{ProblemKind, urn};

/// Every call that needs a token.
pub(in crate::http) const TOKEN: &[ProblemKind] = &[
    ProblemKind::Unauthorized,
    ProblemKind::TooManyFailures,
    ProblemKind::InvalidHost,
    ProblemKind::HeadTooLarge,
    ProblemKind::Overloaded,
    ProblemKind::Internal,
];
/// Calls that a workspace's token does not open.
pub(in crate::http) const ADMIN_ONLY: &[ProblemKind] = &[ProblemKind::AdminOnly];
/// Every call that names a workspace.
pub(in crate::http) const WORKSPACE: &[ProblemKind] = &[ProblemKind::InvalidWorkspace, ProblemKind::NotFound];
/// Every call that asks the store for what belongs to no workspace.
pub(in crate::http) const STORE: &[ProblemKind] = &[ProblemKind::StoreAway, ProblemKind::StoreRefuses];
/// Reads of a workspace.
pub(in crate::http) const READ: &[ProblemKind] =
    &[ProblemKind::WorkspaceUnavailable, ProblemKind::StoreAway, ProblemKind::StoreRefuses];
/// Calls with a body.
pub(in crate::http) const BODY: &[ProblemKind] =
    &[ProblemKind::BodyTooLarge, ProblemKind::BodyTimeout, ProblemKind::BodyUnreadable, ProblemKind::NotDeclaredJson];
/// Calls whose body is a save.
pub(in crate::http) const SAVE: &[ProblemKind] = &[ProblemKind::InvalidJson, ProblemKind::InvalidWebhook];
/// Calls that may be made on a condition.
pub(in crate::http) const CONDITION: &[ProblemKind] = &[ProblemKind::InvalidIfMatch, ProblemKind::ChangedMeanwhile];
/// Calls that send a test.
pub(in crate::http) const TEST: &[ProblemKind] = &[ProblemKind::TestUnderWay, ProblemKind::TestTooSoon];
/// Commands.
pub(in crate::http) const COMMAND: &[ProblemKind] = &[
    ProblemKind::TooManyCommands,
    ProblemKind::WorkspaceUnavailable,
    ProblemKind::NoSecretKey,
    ProblemKind::OutcomeUnknown,
    ProblemKind::StoreFull,
    ProblemKind::StoreAway,
    ProblemKind::StoreRefuses,
];

/// Every class, with what an example's `detail` says.
const KINDS: &[(ProblemKind, &str)] = &[
    (
        ProblemKind::Unauthorized,
        "send `Authorization: Bearer <token>` with the admin token or a token of the workspace",
    ),
    (ProblemKind::AdminOnly, "this call needs the admin token"),
    (
        ProblemKind::TooManyFailures,
        "the token is wrong; use the admin token or a token of the workspace; too many wrong ones came from your address, wait a minute",
    ),
    (
        ProblemKind::NotFound,
        "shard 2 has no rejected entry 1769860801012-0: it was requeued or discarded before, or deleted to make room",
    ),
    (
        ProblemKind::MethodNotAllowed,
        "/v1/workspaces/acme/webhook does not take DELETE; use a method of the Allow header",
    ),
    (
        ProblemKind::InvalidWorkspace,
        "a workspace id has 1 to 128 characters of A-Z a-z 0-9 _ . : - and is not \".\" or \"..\"",
    ),
    (
        ProblemKind::InvalidJson,
        "send one JSON object, such as {\"url\":\"https://example.com/hook\"}: EOF while parsing an object at line 1 column 1",
    ),
    (ProblemKind::NotDeclaredJson, "send JSON with `Content-Type: application/json`"),
    (ProblemKind::InvalidHost, "send one Host header with this service's name or address, as HTTP/1.1 asks"),
    (ProblemKind::HeadTooLarge, "send at most 32768 bytes of path and headers"),
    (ProblemKind::BodyTooLarge, "send at most 263168 bytes"),
    (ProblemKind::BodyTimeout, "send the whole body within 10 s"),
    (ProblemKind::BodyUnreadable, "the body broke off; send it again, whole"),
    (ProblemKind::InvalidWebhook, "nothing was saved: correct each member that stands in `errors` and send it again"),
    (
        ProblemKind::InvalidTokenRequest,
        "no token was made: correct each member that stands in `errors` and send it again",
    ),
    (
        ProblemKind::InvalidRotation,
        "nothing was rotated: correct each member that stands in `errors` and send it again",
    ),
    (ProblemKind::InvalidMessage, "`direction` must be \"sent\" or \"received\""),
    (ProblemKind::StillInvalid, "the entry is still not valid: the message is not JSON"),
    (ProblemKind::InvalidQuery, "`after` must be the `next` of an earlier answer"),
    (ProblemKind::NoSecret, "the secret is made by the first save; PUT the webhook first"),
    (
        ProblemKind::InvalidIfMatch,
        "nothing was saved: `If-Match` must be the ETag of the webhook with its quotes, such as \"7\", up to 32 of them with commas between, or *",
    ),
    (
        ProblemKind::ChangedMeanwhile,
        "nothing was saved: the webhook was changed meanwhile by jane@acme.com: the URL, now https://crm.example.com/v2 (at 2026-01-31T12:00:00.000Z); read it again, then save with the new ETag",
    ),
    (ProblemKind::TestUnderWay, "a test of this workspace is under way; wait for its answer"),
    (ProblemKind::TestTooSoon, "one test a second is allowed; wait a second and try again"),
    (
        ProblemKind::HasMessages,
        "a sample is for a workspace without a message, and this one has one; send a test without `sample`",
    ),
    (
        ProblemKind::TooManyTokens,
        "no token was made: 256 tokens of this workspace open it, or were ended before their time; wait until the time of one is over, or end all of them",
    ),
    (
        ProblemKind::BodyOmitted,
        "the store was full when this attempt was logged: its body was not kept and cannot be sent",
    ),
    (ProblemKind::TooManyCommands, "more than 1000 commands wait on this shard; try again in a few seconds"),
    (ProblemKind::WorkspaceUnavailable, "this workspace cannot be loaded; the operator's log says why"),
    (
        ProblemKind::NoSecretKey,
        "this node has no key to encrypt secrets with, and the others of this journal are encrypted; nothing was applied, the operator must give it one",
    ),
    (ProblemKind::OutcomeUnknown, "stored; read the webhook to see whether it was applied"),
    (
        ProblemKind::StoreFull,
        "the store is full, the message was not stored; free memory or raise its limit, then publish again",
    ),
    (ProblemKind::StoreAway, "the store is away, nothing was changed; try again in a few seconds"),
    (ProblemKind::StoreRefuses, "the store refuses messages, nothing was stored; the operator's log says why"),
    (ProblemKind::TooManyStreams, "this workspace has 16 live streams open already; close one of them"),
    (ProblemKind::Overloaded, "too many requests are being answered; try again in a second"),
    (ProblemKind::Internal, "the request failed inside the service; the operator's log says why"),
];

/// An example of each class, by its name.
pub(super) fn examples() -> BTreeMap<String, RefOr<Example>> {
    let example = |&(kind, detail): &(ProblemKind, &str)| {
        let (status, name, title, _) = kind.row();
        let mut value = json!({
            "type": urn(name),
            "title": title,
            "status": status.as_u16(),
            "detail": detail,
        });
        match kind {
            ProblemKind::InvalidWebhook => value["errors"] = member_errors(),
            ProblemKind::InvalidTokenRequest => value["errors"] = token_errors(),
            ProblemKind::ChangedMeanwhile => value["changes"] = changes(),
            ProblemKind::InvalidRotation => value["errors"] = rotation_errors(),
            _ => {}
        }
        let example = ExampleBuilder::new().summary(title).value(Some(value)).build();
        (name.to_owned(), example.into())
    };
    KINDS.iter().map(example).collect()
}

fn member_errors() -> Value {
    json!([{"member": "event", "detail": "must be \"new_message\", the only event there is, or be left out"}])
}

fn changes() -> Value {
    let of = |url: &str| {
        json!({
            "url": url, "enabled": true, "event": "new_message", "owner_email": null, "headers": [], "status": "enabled",
        })
    };
    json!([{
        "id": "7",
        "at": "2026-01-31T12:00:00.000Z",
        "by": "jane@acme.com",
        "action": "saved",
        "changed_headers": [],
        "from": of("https://crm.example.com/v1"),
        "to": of("https://crm.example.com/v2"),
    }])
}

fn token_errors() -> Value {
    let detail = "must be a whole number and a unit, such as 12h or 30d, more than 0 and at most 365 days";
    json!([{"member": "ttl", "detail": detail}])
}

fn rotation_errors() -> Value {
    json!([{"member": "overlap", "detail": "must be a whole number and a unit, such as 0s, 1h or 7d, at most 7 days"}])
}

/// The responses that the classes make, by status.
pub(super) fn responses(kinds: &[ProblemKind]) -> BTreeMap<u16, Response> {
    let mut by_status: BTreeMap<u16, Vec<ProblemKind>> = BTreeMap::new();
    for kind in kinds {
        by_status.entry(kind.row().0.as_u16()).or_default().push(*kind);
    }
    by_status.into_iter().map(|(status, kinds)| (status, response(status, &kinds))).collect()
}

fn response(status: u16, kinds: &[ProblemKind]) -> Response {
    let rows: Vec<_> = kinds.iter().map(|kind| kind.row()).collect();
    let titles: Vec<String> = rows.iter().map(|(_, name, title, _)| format!("{title} (`{name}`)")).collect();
    let of_these = ObjectBuilder::new()
        .property("type", text_of(rows.iter().map(|(_, name, ..)| urn(name))))
        .property("status", ObjectBuilder::new().schema_type(Type::Integer).enum_values(Some([status])));
    let schema = AllOfBuilder::new().item(Ref::from_schema_name("Problem")).item(of_these).build();
    let reference = |name: &str| RefOr::<Example>::Ref(Ref::new(format!("#/components/examples/{name}")));
    let content = ContentBuilder::new()
        .schema(Some(Schema::AllOf(schema)))
        .examples_from_iter(rows.iter().map(|(_, name, ..)| (*name, reference(name))))
        .build();
    let mut response = Response::new(titles.join(" · "));
    response.content.insert("application/problem+json".to_owned(), content.into());
    let mut header = |name: &str, says: &str| {
        let header = HeaderBuilder::new().schema(Some(text())).description(Some(says));
        response.headers.insert(name.to_owned(), header.build().into());
    };
    if rows.iter().any(|(.., retry_after)| retry_after.is_some()) {
        header("Retry-After", "Seconds after which trying again helps; absent where it does not");
    }
    if kinds.contains(&ProblemKind::Unauthorized) {
        header("WWW-Authenticate", "`Bearer`");
    }
    response
}

fn text_of(words: impl Iterator<Item = String>) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words))
}
