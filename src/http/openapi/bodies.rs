//! What the description needs and no other type says: the bodies that are taken apart by hand, ids,
//! times and parameters.

use serde::Deserialize;
use serde_json::Value;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::{RefOr, Required, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::super::rejected;
use super::call::Schemas;
use crate::config::SHARDS_MAX;
use crate::message::{EntryId, WorkspaceId};
use crate::workspace::headers::HeaderName;
use crate::workspace::time::Time;

/// What to save. A member that is not known is refused.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only describes what `save` takes apart")]
pub(super) struct Save {
    /// Where to POST: http or https, without user info, at most 8,000 bytes, not at a forbidden address. Empty or null
    /// clears it: the webhook is then off and `not_configured`, secret and `owner_email` are kept.
    #[schema(required, max_length = 8000, example = "https://crm.example.com/hooks/whatsapp")]
    url: Option<String>,
    /// Whether to POST. Left out it means true when there is a URL; true without a URL is refused.
    #[schema(nullable = false)]
    enabled: Option<bool>,
    /// The only event there is.
    #[schema(nullable = false)]
    event: Option<crate::workspace::configuration::SubscribedEvent>,
    /// Who gets the mail when errors switch the webhook off. Left out it stays, null clears it.
    #[schema(max_length = 254, pattern = r#"^[^\s<>()\[\]\\,;:"@]+@[^\s<>()\[\]\\,;:"@]+$"#)]
    owner_email: Option<String>,
    /// Headers that go with every POST: at most 20, at most 4 KiB of names and values. Left out they stay, null clears
    /// them, and `***` as a value keeps the value that is stored. Some names are refused: those of the connection, of the
    /// body and of the signature.
    #[schema(value_type = Option<HashMap<String, String>>, example = json!({"x-api-key": "3f7c"}))]
    headers: Value,
}

/// A token to make. A member that is not known is refused; null is as good as left out.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only describes what `tokens` takes apart")]
pub(super) struct TokenRequest {
    /// How long it lives: a whole number and a unit of `s`, `m`, `h` or `d`, at most 365 days. Left out it is 90 days.
    #[schema(pattern = "^[0-9]+[smhd]$", example = "30d")]
    ttl: Option<String>,
    /// Who gets it: the change history names them. Not `admin` and not `outbound`. Left out it is `workspace`.
    #[schema(
        max_length = 100,
        pattern = r"^[^\x00-\x1f\x7f-\x9f]*[^\x00-\x20\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$",
        example = "jane@acme.example"
    )]
    subject: Option<String>,
}

/// A message as its producer writes it. Checked are the four members that must be there; whatever else
/// stands in it is passed on byte for byte.
#[derive(Deserialize, ToSchema)]
#[expect(dead_code, reason = "only describes what `Message` checks")]
pub(super) struct Message {
    /// The business's side: `full name`, `email`, `phone`. Its `phone` is a part of the chat's name.
    #[serde(rename = "whatsapp account")]
    #[schema(required = false)]
    whatsapp_account: Value,
    /// The other side: `full name`, `is_group`, `phone`. Its `phone`, or else its `full name`, names the chat; messages of
    /// one chat are delivered in order.
    #[schema(value_type = Object)]
    contact: Value,
    /// Whether it left or arrived.
    direction: Direction,
    /// When it was written, as the producer tells it.
    #[schema(min_length = 1, example = "2021-02-24T06:25:29+0000")]
    timestamp: String,
    /// The producer's id.
    #[schema(min_length = 1)]
    message_id: String,
    /// Who wrote it: `full name`, `phone`.
    #[schema(required = false)]
    sender: Value,
    /// Who gets it: `full name`, `phone`.
    #[schema(required = false)]
    receiver: Value,
    /// Its text, if it has one.
    #[schema(required = false)]
    text: Value,
    /// Its attachment, if it has one: `filename`, `download_url`.
    #[schema(required = false)]
    attachment: Value,
}

/// Which way a message went.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Direction {
    /// It left.
    Sent,
    /// It arrived.
    Received,
}

/// The parameter of that name in a path.
pub(super) fn path_parameter(name: &str, schemas: &mut Schemas) -> Parameter {
    let (says, schema) = match name {
        "workspace" => ("The workspace's id", schemas.add::<WorkspaceId>()),
        "shard" => ("The shard, as the list of rejected entries names it", shard().into()),
        "id" => ("The entry's id, as the list names it", schemas.add::<EntryId>()),
        _ => ("", String::schema()),
    };
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description(Some(says))
        .schema(Some(schema))
        .build()
}

/// The number of a shard; how many there are, only the service knows.
pub(super) fn shard() -> Schema {
    let last = f64::from(SHARDS_MAX - 1);
    Schema::Object(ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0.0)).maximum(Some(last)).build())
}

/// An object of which nothing is said.
pub(super) fn anything() -> Schema {
    Schema::Object(ObjectBuilder::new().schema_type(Type::Object).build())
}

/// The place of a rejected entry.
pub(super) fn place() -> Schema {
    Schema::Object(pattern("A rejected entry's place, `<shard>/<id>`", rejected::PLACE_PATTERN).build())
}

fn pattern(says: &str, pattern: &str) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).description(Some(says)).pattern(Some(pattern))
}

impl PartialSchema for Time {
    fn schema() -> RefOr<Schema> {
        let format = SchemaFormat::KnownFormat(KnownFormat::DateTime);
        let says = "A moment: RFC 3339, UTC, with milliseconds";
        let form = pattern(says, r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$").format(Some(format));
        form.into()
    }
}

impl ToSchema for Time {}

impl PartialSchema for WorkspaceId {
    fn schema() -> RefOr<Schema> {
        pattern("A workspace's id; `.` and `..` are none", r"^(?!\.{1,2}$)[A-Za-z0-9_.:-]{1,128}$").into()
    }
}

impl ToSchema for WorkspaceId {}

impl PartialSchema for EntryId {
    fn schema() -> RefOr<Schema> {
        pattern("An entry's id, `<milliseconds>-<number>`", r"^\d{1,20}-\d{1,20}$").into()
    }
}

impl ToSchema for EntryId {}

impl PartialSchema for HeaderName {
    fn schema() -> RefOr<Schema> {
        pattern("The name of a custom header, in lower case", r"^[a-z0-9!#$%&'*+.^_`|~-]+$").into()
    }
}

impl ToSchema for HeaderName {}
