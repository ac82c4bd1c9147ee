//! From an owed mail to the bytes that go over the wire: always the same bytes for the same mail.

use std::time::{Duration, SystemTime};

use lettre::Address;
use lettre::message::header::{Header, HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart, MultiPartKind, SinglePart};

use super::template::{Words, render, render_test};
use super::text::one_line;
use crate::journal::port::OwedMail;
use crate::message::WorkspaceId;
use crate::workspace::event::MailKind;
use crate::workspace::owner_address::in_ascii;
use crate::workspace::time::Time;

/// Characters of a wrong address that an error repeats.
const ADDRESS_SHOWN_MAX: usize = 120;

/// A mail that is ready to be handed over.
#[derive(Debug)]
pub(super) struct Composed {
    /// Whom the mail server shall send it to.
    pub(super) to: Address,
    /// The mail as people and as machines see it.
    pub(super) mail: CapturedMail,
}

/// A mail as it would have been handed to a mail server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CapturedMail {
    /// Its recipient's address.
    pub to: String,
    /// Its Message-ID, in angle brackets.
    pub message_id: String,
    /// Its subject.
    pub subject: String,
    /// Its words as plain text.
    pub text: String,
    /// Its words as HTML.
    pub html: String,
    /// All of it: headers and both forms, as RFC 5322 text.
    pub raw: Vec<u8>,
}

/// Why a mail cannot be composed; it never will be, so it counts as refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum ComposeError {
    /// The owner's address is none.
    #[error("the owner's address {0} is no mail address; save the webhook with another owner_email")]
    Address(String),
    /// lettre refused to build it.
    #[error("the mail could not be built: {0}")]
    Build(#[from] lettre::error::Error),
}

/// Composes `mail`, sent by `from`, with a link to `public_url`'s screen of the workspace.
pub(super) fn compose(mail: &OwedMail, from: &Mailbox, public_url: Option<&str>) -> Result<Composed, ComposeError> {
    let words = render(mail, screen(&mail.workspace, public_url).as_deref());
    let kind = match mail.id.kind {
        MailKind::Disabled => "",
        MailKind::Warning => "warning.",
        MailKind::Recovered => "recovered.",
        MailKind::Replaced => "replaced.",
    };
    let message_id = message_id(&mail.workspace, &format!("{}.{kind}", mail.id.owed_by), mail.at, from);
    written(words, &mail.to, mail.at, mail.id.owed_by, message_id, from)
}

/// A mail that somebody asked for, to see that mails arrive.
#[derive(Debug, Clone)]
pub struct TestMail {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// To whom.
    pub to: String,
    /// The webhook's address.
    pub url: Option<String>,
    /// When it was asked for.
    pub at: Time,
}

/// Composes a test mail, as [`compose`] does others.
pub(super) fn compose_test(
    mail: &TestMail,
    from: &Mailbox,
    public_url: Option<&str>,
) -> Result<Composed, ComposeError> {
    let screen = screen(&mail.workspace, public_url);
    let words = render_test(&mail.workspace, mail.url.as_deref(), screen.as_deref());
    written(words, &mail.to, mail.at, 0, message_id(&mail.workspace, "test.", mail.at, from), from)
}

fn screen(workspace: &WorkspaceId, public_url: Option<&str>) -> Option<String> {
    public_url.map(|base| format!("{}/workspaces/{workspace}/outbound", base.trim_end_matches('/')))
}

fn written(
    words: Words,
    to: &str,
    at: Time,
    number: u64,
    message_id: String,
    from: &Mailbox,
) -> Result<Composed, ComposeError> {
    let Words { subject, text, html } = words;
    // Nothing that goes out depends on a server that takes domains beyond ASCII.
    let address: Address = in_ascii(to).parse().map_err(|_| ComposeError::Address(one_line(to, ADDRESS_SHOWN_MAX)))?;
    // "=_" cannot occur in quoted-printable text, and no line of ours begins with "--".
    let parts = MultiPart::builder()
        .kind(MultiPartKind::Alternative)
        .boundary(format!("=_{number}_{}", at.unix_ms()))
        .singlepart(SinglePart::plain(text.clone()))
        .singlepart(SinglePart::html(html.clone()));
    let message = lettre::Message::builder()
        .from(from.clone())
        .to(address.clone().into())
        .subject(subject.clone())
        .date(date(at))
        .message_id(Some(message_id.clone()))
        .header(AutoSubmitted)
        .multipart(parts)?;
    let mail = CapturedMail { to: to.to_owned(), message_id, subject, text, html, raw: message.formatted() };
    Ok(Composed { to: address, mail })
}

/// The same for every hand-over of one mail, so that a receiver recognises a repetition after an
/// unknown outcome. The time is part of it because a store that lost writes assigns a seq again. What RFC 5322
/// section 3.6.4 does not allow is written as `=` and two hex digits.
fn message_id(workspace: &WorkspaceId, which: &str, at: Time, from: &Mailbox) -> String {
    let mut name = String::new();
    for byte in workspace.as_str().bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => name.push(char::from(byte)),
            other => name.push_str(&format!("={other:02X}")),
        }
    }
    format!("<{name}.{which}{}@{}>", at.unix_ms(), from.email.domain())
}

/// When the mail became owed: that is when its words were complete (RFC 5322 section 3.6.1).
fn date(at: Time) -> SystemTime {
    let since_epoch = u64::try_from(at.unix_ms()).unwrap_or(0);
    SystemTime::UNIX_EPOCH + Duration::from_millis(since_epoch)
}

/// `Auto-Submitted: auto-generated` (RFC 3834): keeps vacation notices from answering.
#[derive(Debug, Clone)]
struct AutoSubmitted;

const AUTO_GENERATED: &str = "auto-generated";

impl Header for AutoSubmitted {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(text: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        if text == AUTO_GENERATED { Ok(Self) } else { Err("only auto-generated is known".into()) }
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), AUTO_GENERATED.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Time;
    use crate::workspace::event::MailId;
    use crate::workspace::owner_address;

    fn owed(workspace: &str, to: &str, at: i64) -> OwedMail {
        OwedMail {
            workspace: workspace.parse().unwrap(),
            id: MailId::disabled(17),
            at: Time::from_unix_ms(at),
            to: to.to_owned(),
            url: "https://crm.example/".to_owned(),
            errors: 11,
            failing_since: Time::from_unix_ms(0),
            recent: Vec::new(),
            errors_left: None,
            skipped: None,
            by: None,
        }
    }

    fn id_of(workspace: &str, at: i64) -> String {
        let from = "Outbound <outbound@acme.example>".parse().unwrap();
        compose(&owed(workspace, "owner@acme.example", at), &from, None).unwrap().mail.message_id
    }

    #[test]
    fn a_message_id_differs_by_workspace_and_by_time() {
        assert_eq!(id_of("acme-1_x", 5), "<acme-1_x.17.5@acme.example>");
        assert_eq!(id_of("..a:b", 5), "<=2E=2Ea=3Ab.17.5@acme.example>");
        assert_ne!(id_of("acme", 5), id_of("acme", 6));
    }

    #[test]
    fn the_same_mail_is_composed_to_the_same_bytes() {
        let from = "outbound@acme.example".parse().unwrap();
        let mail = owed("acme", "owner@acme.example", 1_769_860_803_000);
        let raw = || compose(&mail, &from, Some("https://o.example/")).unwrap().mail.raw;
        assert_eq!(raw(), raw());
    }

    #[test]
    fn what_can_be_saved_is_composed() {
        let from = "outbound@acme.example".parse().unwrap();
        let longest = format!("{}@{}.example", "a".repeat(64), [60; 2].map(|length| "b".repeat(length)).join("."));
        for (to, sent_to) in [
            ("owner@bücher.example", "owner@xn--bcher-kva.example"),
            ("owner@mail", "owner@mail"),
            ("o'hara+x/y=z!#$%&*?^_`{|}~-@1.example", "o'hara+x/y=z!#$%&*?^_`{|}~-@1.example"),
            ("Owner@Example.COM", "Owner@Example.COM"),
            ("a@b--c.d", "a@b--c.d"),
            (&longest, &longest),
        ] {
            assert_eq!(owner_address::checked(to), Ok(to));
            assert_eq!(compose(&owed("acme", to, 0), &from, None).unwrap().to.to_string(), sent_to);
        }
    }

    #[test]
    fn an_owner_address_that_is_none_is_refused() {
        let from = "outbound@acme.example".parse().unwrap();
        for to in [
            "",
            "owner",
            "a@b, c@d",
            "a@b\r\nRCPT TO:<c@d>",
            "\"a\r\nDATA\"@b.example",
            "\"\\\r\n\"@b.example",
            "\"\n\"@b.example",
            "\"\u{0}\"@b.example",
            "<a@b>",
            "a b@c.example",
        ] {
            let error = compose(&owed("acme", to, 0), &from, None).expect_err(to);
            assert!(matches!(error, ComposeError::Address(_)), "{error}");
            assert!(!error.to_string().contains(['\r', '\n']), "{error:?}");
        }
    }
}
