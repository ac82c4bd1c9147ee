//! The calls of the API, one file a resource: the handlers, and at the end of the file the calls with their
//! routes and descriptions.

use super::openapi::call::Heading;

pub(super) mod webhook;
pub(super) mod save_body;
pub(super) mod secret;
pub(super) mod workspace;
pub(super) mod workspaces;
pub(super) mod tokens;
pub(super) mod attempts;
pub(super) mod messages;
pub(super) mod rejected;
pub(super) mod nodes;
pub(super) mod service;

/// All of them, under the headings of the description, in the order in which they are shown.
pub(super) fn headings() -> Vec<Heading> {
    let webhook = webhook::calls().into_iter().chain(secret::calls()).collect();
    let workspaces = workspaces::calls().into_iter().chain(workspace::calls()).collect();
    [
        ("Webhook", "Where a workspace's messages go.", webhook),
        ("Workspace", "What is known of a workspace, and which there are.", workspaces),
        ("Tokens", "What opens one workspace. Admin token only.", tokens::calls()),
        ("Attempts", "What was sent and what came back.", attempts::calls()),
        ("Messages", "For producers that do not write to the stream themselves.", messages::calls()),
        ("Rejected", "What was set aside because it is no valid message. Admin token only.", rejected::calls()),
        ("Nodes", "Who runs what. Admin token only.", nodes::calls()),
        ("Service", "For whoever runs it. No token.", service::calls()),
    ]
    .map(|(name, says, calls)| Heading { name, says, calls })
    .into()
}
