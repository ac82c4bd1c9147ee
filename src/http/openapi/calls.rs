//! The calls of the API, under the headings of the description. Every route of the router has its entry here.

use utoipa::openapi::{ContentBuilder, HttpMethod, Required};

use super::call::{ApiCall, sample};
use super::new_message::MessageBody;
use super::problems::array;
use super::schemas::{self, Schemas, text};
use crate::http::api::save_body::SaveBody;
use crate::http::api::tokens::{NewToken, TokenRequest};
use crate::http::api::{attempts, messages, rejected, secret, service, webhook, workspace};
use crate::http::problem::ProblemKind;
use crate::workspace::view::WebhookView;

/// The headings, in the order in which they are shown.
pub(super) const TAGS: &[(&str, &str)] = &[
    ("Webhook", "Where a workspace's messages go."),
    ("Workspace", "What is known of a workspace."),
    ("Tokens", "What opens one workspace. Admin token only."),
    ("Attempts", "What was sent and what came back."),
    ("Messages", "For producers that do not write to the stream themselves."),
    ("Rejected", "What was set aside because it is no valid message. Admin token only."),
    ("Service", "For whoever runs it. No token."),
];

/// Every call that needs a token.
const TOKEN: &[ProblemKind] =
    &[ProblemKind::Unauthorized, ProblemKind::TooManyFailures, ProblemKind::Overloaded, ProblemKind::Internal];
/// Calls that a workspace's token does not open.
const ADMIN: &[ProblemKind] = &[ProblemKind::AdminOnly];
/// Every call that names a workspace.
const WORKSPACE: &[ProblemKind] = &[ProblemKind::InvalidWorkspace, ProblemKind::NotFound];
/// Reads of a workspace.
const READ: &[ProblemKind] = &[ProblemKind::WorkspaceUnavailable, ProblemKind::StoreAway];
/// Calls with a body.
const BODY: &[ProblemKind] =
    &[ProblemKind::BodyTooLarge, ProblemKind::BodyTimeout, ProblemKind::BodyUnreadable, ProblemKind::NotDeclaredJson];
/// Calls whose body is a save.
const SAVE: &[ProblemKind] = &[ProblemKind::InvalidJson, ProblemKind::InvalidWebhook];
/// Commands.
const COMMAND: &[ProblemKind] = &[
    ProblemKind::TooManyCommands,
    ProblemKind::WorkspaceUnavailable,
    ProblemKind::OutcomeUnknown,
    ProblemKind::StoreFull,
    ProblemKind::StoreAway,
];

/// What the live stream tells.
const LIVE: &str = "Server-sent events, beginning with the present `state`: `attempt` with an attempt as `listAttempts` \
    shows it, `state` with the webhook as `showWebhook` does, and `gap` (`{\"after\",\"before\"}`) where attempts \
    between two of them are no longer among the last 100. Come back with the `id` of the last event as `Last-Event-ID` \
    and you miss nothing else. A comment every 15 s says that the stream is alive. It ends when the service does and \
    when the token expires or is revoked. At most 16 streams a workspace.";

/// All of them.
pub(super) fn all() -> impl Iterator<Item = ApiCall> {
    [webhook(), secrets(), workspace(), tokens(), attempts(), messages(), rejected(), service()].into_iter().flatten()
}

fn webhook() -> Vec<ApiCall> {
    let at = |method, path, id, summary| ApiCall::new("Webhook", method, path, id, summary);
    let saves = [sample!("save", "On"), sample!("save-off", "Keep it, but off"), sample!("save-cleared", "Clear it")];
    let states = [
        sample!("webhook-not-configured", "Never saved"),
        sample!("webhook-disabled-by-errors", "Switched off by errors, and the owner was told"),
    ];
    let tests = [
        sample!("tested", "The endpoint took it"),
        sample!("tested-without-message", "The workspace has no message yet"),
    ];
    vec![
        at(HttpMethod::Get, "/v1/workspaces/{workspace}/webhook", "showWebhook", "The webhook and its state")
            .says("A workspace that was never seen is `not_configured`.")
            .answers::<WebhookView>(200, "The webhook", &states)
            .refuses(&[TOKEN, WORKSPACE, READ]),
        at(HttpMethod::Put, "/v1/workspaces/{workspace}/webhook", "saveWebhook", "Save")
            .says(
                "Saves the webhook and switches it on, or off where `enabled` is false. Every save sets the count of \
                 errors to 0. The first one makes the signing secret. What breaks a rule is refused whole: nothing is \
                 saved.",
            )
            .takes::<SaveBody>(Required::True, "The whole configuration", &saves)
            .answers::<WebhookView>(200, "Saved: the webhook as it is now", &[sample!("webhook-saved", "Saved")])
            .refuses(&[TOKEN, WORKSPACE, BODY, SAVE, COMMAND]),
        at(HttpMethod::Post, "/v1/workspaces/{workspace}/webhook/test", "testWebhook", "Save and test")
            .says(
                "With a body saves first, as PUT does; then sends the workspace's newest message once and waits for \
                 the answer. Works while the webhook is off, and never moves the count of errors. One at a time, one \
                 a second.",
            )
            .takes::<SaveBody>(
                Required::False,
                "The configuration to save first; no body to test what is saved",
                &[sample!("test", "Save and test")],
            )
            .answers::<webhook::Tested>(200, "Tested, or why not", &tests)
            .refuses(&[TOKEN, WORKSPACE, BODY, SAVE, COMMAND, &[ProblemKind::TestUnderWay, ProblemKind::TestTooSoon]]),
    ]
}

fn secrets() -> Vec<ApiCall> {
    let at = |method, path, id, summary| ApiCall::new("Webhook", method, path, id, summary);
    vec![
        at(HttpMethod::Get, "/v1/workspaces/{workspace}/webhook/secret", "showSecret", "The signing secret")
            .answers::<secret::SecretView>(200, "The secret", &[sample!("secret", "Never rotated")])
            .refuses(&[TOKEN, WORKSPACE, READ, &[ProblemKind::NoSecret]]),
        at(
            HttpMethod::Post,
            "/v1/workspaces/{workspace}/webhook/secret/rotate",
            "rotateSecret",
            "A new signing secret",
        )
        .says("For 24 hours every POST carries two signatures, of the new secret and of the one before it.")
        .answers::<secret::SecretView>(200, "The new secret", &[sample!("secret-rotated", "Just rotated")])
        .refuses(&[TOKEN, WORKSPACE, COMMAND, &[ProblemKind::NoSecret]]),
    ]
}

fn workspace() -> Vec<ApiCall> {
    let at = |method, path, id, summary| ApiCall::new("Workspace", method, path, id, summary);
    vec![
        at(HttpMethod::Get, "/v1/workspaces/{workspace}/history", "listHistory", "Who changed what, and when")
            .says(
                "The last 100 changes of the configuration, newest first. `by` is who holds the token, or `outbound` \
                 where errors switched it off.",
            )
            .answers::<workspace::History>(
                200,
                "The changes",
                &[sample!("history", "Saved, then switched off by errors")],
            )
            .refuses(&[TOKEN, WORKSPACE, READ]),
        at(HttpMethod::Delete, "/v1/workspaces/{workspace}", "forgetWorkspace", "Forget the workspace")
            .says(
                "Admin token only. Forgets the webhook, its secret, the attempts, the history, the newest message and \
                 mails that are owed. A message that comes later finds a workspace that was never seen.",
            )
            .answers_nothing(204, "Nothing is kept any more; the same when nothing was")
            .refuses(&[TOKEN, ADMIN, WORKSPACE, COMMAND]),
    ]
}

fn tokens() -> Vec<ApiCall> {
    let path = "/v1/workspaces/{workspace}/tokens";
    let at = |method, id, summary| ApiCall::new("Tokens", method, path, id, summary);
    vec![
        at(HttpMethod::Post, "makeToken", "Make a token")
            .says(
                "The token opens the API and the screen of this workspace and nothing else; calls that say so need \
                 the admin token all the same. It is shown this once and kept nowhere.",
            )
            .takes::<TokenRequest>(
                Required::False,
                "How long it lives and who gets it",
                &[sample!("token-request", "For somebody")],
            )
            .answers::<NewToken>(201, "The token", &[sample!("token", "For a month")])
            .refuses(&[
                TOKEN,
                ADMIN,
                WORKSPACE,
                READ,
                BODY,
                &[ProblemKind::InvalidJson, ProblemKind::InvalidTokenRequest],
            ]),
        at(HttpMethod::Delete, "revokeTokens", "Revoke all tokens")
            .says("Ends every token and every session of the workspace that there is, at once and on every node.")
            .answers_nothing(204, "Revoked")
            .refuses(&[TOKEN, ADMIN, WORKSPACE, COMMAND]),
    ]
}

fn attempts() -> Vec<ApiCall> {
    let at = |path, id, summary| ApiCall::new("Attempts", HttpMethod::Get, path, id, summary);
    let mut schemas = Schemas::default();
    let entries = array(schemas.add::<attempts::LogEntry<'_>>());
    let log = sample!("log", "One delivered, then one that failed");
    let log = ContentBuilder::new().schema(Some(entries)).examples_from_iter([(log.name, log.example())]).build();
    let events = ContentBuilder::new().schema(Some(text())).build();
    let list = sample!("attempts", "One delivered, then one that failed");
    vec![
        at("/v1/workspaces/{workspace}/attempts", "listAttempts", "The last attempts")
            .says("The last 100, newest first, without request and response.")
            .answers::<attempts::AttemptList>(200, "The attempts", &[list])
            .refuses(&[TOKEN, WORKSPACE, READ]),
        at("/v1/workspaces/{workspace}/attempts/log", "downloadLog", "Download log")
            .says("The same attempts with request and response, as a file.")
            .answers_with(200, "The log", "application/json", log)
            .with_header(200, "Content-Disposition", "Names the file: `outbound-log-<workspace>-<date>.json`")
            .needs(schemas)
            .refuses(&[TOKEN, WORKSPACE, READ]),
        at("/v1/workspaces/{workspace}/attempts/live", "followAttempts", "Each attempt as it is made")
            .says(LIVE)
            .answers_with(200, "The events, without an end", "text/event-stream", events)
            .refuses(&[TOKEN, WORKSPACE, READ, &[ProblemKind::InvalidQuery, ProblemKind::TooManyStreams]]),
    ]
}

fn messages() -> Vec<ApiCall> {
    let path = "/v1/workspaces/{workspace}/messages";
    vec![
        ApiCall::new("Messages", HttpMethod::Post, path, "publishMessage", "Publish a message")
            .says(
                "Admin token only. The body is the message itself, at most 256 KiB and nested at most 128 deep; it is \
                 sent on byte for byte.",
            )
            .takes::<MessageBody>(Required::True, "The message", &[sample!("message", "With text and attachment")])
            .answers::<messages::PublishedMessage>(
                202,
                "Durable; it will be sent",
                &[sample!("published", "Published")],
            )
            .refuses(&[
                TOKEN,
                ADMIN,
                WORKSPACE,
                BODY,
                &[ProblemKind::InvalidMessage, ProblemKind::StoreFull, ProblemKind::StoreAway],
            ]),
    ]
}

fn rejected() -> Vec<ApiCall> {
    let at = |method, path, id, summary| ApiCall::new("Rejected", method, path, id, summary);
    let entry = sample!("rejected-entry", "A message that is not JSON");
    let moved = sample!("requeued", "It stood in the wrong stream");
    vec![
        at(HttpMethod::Get, "/v1/rejected", "listRejected", "What was set aside")
            .says("By shard and oldest first, at most 100.")
            .query("shard", "Only those of this shard", schemas::shard())
            .query("after", "Only those behind this one: the `next` of an earlier answer", schemas::place())
            .answers::<rejected::RejectedList>(
                200,
                "The entries; `next` is null at the end",
                &[sample!("rejected", "Two entries")],
            )
            .refuses(&[TOKEN, ADMIN, &[ProblemKind::InvalidQuery, ProblemKind::StoreAway]]),
        at(HttpMethod::Get, "/v1/rejected/{shard}/{id}", "showRejected", "One entry with its fields")
            .answers::<rejected::RejectedDetail>(200, "The entry", &[entry])
            .refuses(&[TOKEN, ADMIN, &[ProblemKind::NotFound, ProblemKind::StoreAway]]),
        at(HttpMethod::Post, "/v1/rejected/{shard}/{id}/requeue", "requeueRejected", "Check it again and send it on")
            .says(
                "A valid message goes behind everything that waits for its workspace; what is still not valid stays \
                 where it is.",
            )
            .answers::<rejected::RequeuedMessage>(202, "Durable in the stream of its workspace", &[moved])
            .refuses(&[
                TOKEN,
                ADMIN,
                &[ProblemKind::NotFound, ProblemKind::StillInvalid, ProblemKind::StoreFull, ProblemKind::StoreAway],
            ]),
    ]
}

fn service() -> Vec<ApiCall> {
    let at = |path, id, summary| ApiCall::new("Service", HttpMethod::Get, path, id, summary).open();
    let document = ContentBuilder::new().schema(Some(schemas::anything())).build();
    vec![
        at("/healthz", "alive", "Whether the process answers").answers::<service::Alive>(
            200,
            "It does",
            &[sample!("alive", "Alive")],
        ),
        at("/readyz", "ready", "Whether this node does its work")
            .answers::<service::ReadinessReport>(
                200,
                "Every shard assigned to this node is owned and loaded",
                &[sample!("ready", "Ready")],
            )
            .answers::<service::ReadinessReport>(
                503,
                "Not yet, or not any more; `reasons` says why",
                &[sample!("not-ready", "Another node holds a shard")],
            ),
        at("/openapi.json", "describe", "This description").answers_with(
            200,
            "OpenAPI 3.1",
            "application/json",
            document,
        ),
    ]
}
