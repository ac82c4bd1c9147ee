//! The POST that an endpoint receives ([contract, section 2](crate::docs::contract#2-the-post-out)).

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa::openapi::path::{Operation, OperationBuilder, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{AdditionalProperties, Object, ObjectBuilder, SchemaType, Type};
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{Required, Response, Schema};

use super::call::{json, sample};
use super::schemas::Schemas;
use crate::sign::{ID_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER};

/// The body of the POST: what the producer wrote, byte for byte, as the member `message`.
#[derive(ToSchema)]
#[schema(as = NewMessage)]
#[expect(dead_code, reason = "only describes what the courier sends")]
pub(super) struct WebhookRequestBody {
    /// The message as its producer wrote it.
    message: MessageBody,
}

/// A message as its producer writes it. Checked are the four members that must be there; whatever else
/// stands in it is passed on byte for byte.
#[derive(Deserialize, ToSchema)]
#[schema(as = Message)]
#[expect(dead_code, reason = "only describes what `Message` checks")]
pub(in crate::http) struct MessageBody {
    #[serde(rename = "whatsapp account")]
    #[schema(required = false, schema_with = account)]
    whatsapp_account: Value,
    #[schema(schema_with = contact)]
    contact: Value,
    /// Whether it left or arrived.
    direction: Direction,
    /// When it was written, as the producer tells it.
    #[schema(min_length = 1, example = "2021-02-24T06:25:29+0000")]
    timestamp: String,
    /// The producer's id.
    #[schema(min_length = 1)]
    message_id: String,
    #[schema(required = false, schema_with = sender)]
    sender: Value,
    #[schema(required = false, schema_with = receiver)]
    receiver: Value,
    /// Its text, if it has one.
    #[schema(required = false)]
    text: Value,
    #[schema(required = false, schema_with = attachment)]
    attachment: Value,
    /// Whatever else the producer wrote.
    #[serde(flatten)]
    others: HashMap<String, Value>,
}

const NAME_AND_PHONE: [&str; 2] = ["full name", "phone"];

fn account() -> Object {
    members("The business's side. Its `phone` is a part of the chat's name", &["full name", "email", "phone"]).build()
}

fn contact() -> Object {
    const SAYS: &str = "The other side. Its `phone`, or else its `id`, `chat_id`, `jid`, `lid` or `full name`, names the \
        chat; messages of one chat are delivered in order";
    let names = ["full name", "is_group", "phone", "id", "chat_id", "jid", "lid"];
    members(SAYS, &names).schema_type(Type::Object).build()
}

fn sender() -> Object {
    members("Who wrote it", &NAME_AND_PHONE).build()
}

fn receiver() -> Object {
    members("Who gets it", &NAME_AND_PHONE).build()
}

fn attachment() -> Object {
    members("Its attachment, if it has one", &["filename", "download_url"]).build()
}

/// What usually stands in an object. Nobody checks it, so no member has to be there, none has a type, others may
/// stand beside them, and the whole may be no object.
fn members(says: &str, names: &[&str]) -> ObjectBuilder {
    let any = || ObjectBuilder::new().schema_type(SchemaType::AnyValue);
    let whole =
        any().description(Some(says)).additional_properties(Some(AdditionalProperties::<Schema>::FreeForm(true)));
    names.iter().fold(whole, |whole, name| whole.property(*name, any()))
}

/// Which way a message went.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::http) enum Direction {
    /// It left.
    Sent,
    /// It arrived.
    Received,
}

const SAYS: &str = "\
Every new message of the workspace is POSTed once to the webhook's URL, while the webhook is enabled.

**Success** is any status from 200 to 209. Everything else is an error: another status, a redirect (it is not followed), \
no connection, no answer within the deadline (5 s unless the operator chose another). An error is never sent again. \
More than 10 errors in a row switch the webhook off; saving it switches it on again.

**Twice**: only after a crash of the sender, or where its owner asks for it (\"Send again\"), may a message come a second \
time, with the same `webhook-id`. Remember the ids that you have worked on, and pass over what you know.

**Tests**: a `webhook-id` that begins `test_` comes from somebody who presses \"Test\" on the screen. Answer 200 and store \
nothing: the message is one that you have, or a made-up one whose `message_id` begins `sample-`.

**Order**: messages of one chat come in order, one at a time; chats go side by side.

**Verify** (Standard Webhooks): take `webhook-id`, `webhook-timestamp` and the body as it came, joined with `.`; \
compute HMAC-SHA256 with the secret's key (what follows `whsec_`, decoded from base64); encode it as base64. One of the \
signatures in `webhook-signature` must be `v1,` and that. Refuse a timestamp that is more than 5 minutes off. The \
libraries of standardwebhooks.com do all of this.";

const ID: &str = "The POST's id: the same when it is sent again after a crash, new for every test";
const SIGNATURE: &str = "`v1,` and the signature; for 24 hours after a rotation that of the new secret and that of the \
    one before it, separated by a space";
const SUCCESS: &str = "Taken. Any status from 200 to 209 says so; the body is shown in the log and decides nothing";

/// Described as the document's `webhooks` entry.
pub(super) fn operation(schemas: &mut Schemas) -> Operation {
    let content = json::<WebhookRequestBody>(schemas, &[sample!("new-message", "A message with text and attachment")]);
    let body = RequestBodyBuilder::new().required(Some(Required::True)).content("application/json", content);
    OperationBuilder::new()
        .operation_id(Some("newMessage"))
        .summary(Some("A new message"))
        .description(Some(SAYS))
        .security(SecurityRequirement::default())
        .parameter(header(ID_HEADER, ID, r"^(msg_s?\d+|test)_\d+-\d+$"))
        .parameter(header(TIMESTAMP_HEADER, "Unix seconds of the attempt", r"^\d+$"))
        .parameter(header(SIGNATURE_HEADER, SIGNATURE, r"^v1,[A-Za-z0-9+/=]+( v1,[A-Za-z0-9+/=]+)*$"))
        .parameter(header("user-agent", "`outbound/` and the version", "^outbound/"))
        .request_body(Some(body.build()))
        .response("200", Response::new(SUCCESS))
        .response("default", Response::new("An error: any other status, a redirect too. The message is not sent again"))
        .build()
}

fn header(name: &str, says: &str, pattern: &str) -> ParameterBuilder {
    let text = ObjectBuilder::new().schema_type(Type::String).pattern(Some(pattern));
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Header)
        .required(Required::True)
        .description(Some(says))
        .schema(Some(text))
}
