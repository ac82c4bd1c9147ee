use serde_json::json;

use crate::workspace::configuration::WebhookStatus;
use crate::workspace::event::{Event, MailState, MessagesSkipped, WebhookSaved};
use crate::workspace::policy::Policy;
use crate::workspace::scenario::*;
use crate::workspace::state::State;
use crate::workspace::view::WebhookView;

fn json_of(state: &State) -> serde_json::Value {
    let view = WebhookView::new(&"acme".parse().unwrap(), state, &Policy::default());
    let json = serde_json::to_value(&view).unwrap();
    assert_eq!(serde_json::from_value::<WebhookView>(json.clone()).unwrap(), view);
    json
}

#[test]
fn a_workspace_never_seen_is_shown_as_not_configured() {
    let expected = json!({
        "workspace": "acme", "url": null, "enabled": false, "event": "new_message", "owner_email": null, "headers": {},
        "status": "not_configured", "consecutive_errors": 0, "error_limit": 10,
        "skipped": {"count": 0, "first_at": null, "last_at": null},
        "waiting": null, "last_attempt": null, "mail": null, "disabled_at": null, "updated_at": null
    });
    assert_eq!(json_of(&State::default()), expected);
}

#[test]
fn everything_that_happened_is_shown() {
    let skipped = Event::MessagesSkipped(MessagesSkipped { at: at(200), count: 2, newest: entry(13) });
    let deferred = Event::MailDeferred(mail_ended(300, 13, Some("later")));
    let state = state_of(streak(MailState::Owed).iter().chain(&[skipped, deferred]));
    let expected = json!({
        "workspace": "acme", "url": URL, "enabled": false, "event": "new_message", "owner_email": OWNER, "headers": {},
        "status": "disabled_by_errors", "consecutive_errors": 11, "error_limit": 10,
        "skipped": {"count": 2, "first_at": "2023-11-14T22:13:20.200Z", "last_at": "2023-11-14T22:13:20.200Z"},
        "waiting": null, "last_attempt": {
            "id": "12", "at": "2023-11-14T22:13:20.011Z", "trigger": "message", "message_id": "m11",
            "webhook_id": "msg_7_1700000000011-0", "outcome": "failed", "status": 500,
            "error": {"kind": "http_status", "detail": "answered 500 to m11"}, "duration_ms": 12, "waited_ms": 0
        },
        "mail": {"state": "owed", "at": "2023-11-14T22:13:20.100Z", "detail": "later"},
        "disabled_at": "2023-11-14T22:13:20.100Z", "updated_at": "2023-11-14T22:13:20.100Z"
    });
    assert_eq!(json_of(&state), expected);
}

#[test]
fn the_status_is_one_word() {
    let off =
        |url: Option<&str>| Event::WebhookSaved(WebhookSaved { url: url.map(Into::into), enabled: false, ..saved() });
    assert_eq!(state_of(&[switched_on()]).status(), WebhookStatus::Enabled);
    assert_eq!(state_of(&[off(Some(URL))]).status(), WebhookStatus::Disabled);
    assert_eq!(state_of(&[off(None)]).status(), WebhookStatus::NotConfigured);
    let mut events = streak(MailState::Sent);
    assert_eq!(state_of(&events).status(), WebhookStatus::DisabledByErrors);
    events.push(off(Some(URL)));
    assert_eq!(state_of(&events).status(), WebhookStatus::Disabled);
    events.push(switched_on());
    assert_eq!(state_of(&events).status(), WebhookStatus::Enabled);
}
