//! What the mail says: a pure function of the owed mail and the address of the screen.

use url::Url;

use super::text::{escape, moment, one_line};
use crate::journal::port::OwedMail;
use crate::message::WorkspaceId;
use crate::workspace::event::MailKind;

/// Errors that the mail lists: the newest ones.
const ERRORS_SHOWN_MAX: usize = 3;
/// Characters of a producer's `message_id` in the mail; a producer may send one of any length.
const MESSAGE_ID_SHOWN_MAX: usize = 80;
/// Characters of an error's sentence in the mail.
const DETAIL_SHOWN_MAX: usize = 300;
/// Characters of who replaced an owner in the mail.
const BY_SHOWN_MAX: usize = 100;
/// Characters of the webhook's address in the mail.
const ADDRESS_SHOWN_MAX: usize = 500;

/// The words of a mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Words {
    /// The subject.
    pub(super) subject: String,
    /// For readers of plain text.
    pub(super) text: String,
    /// The same for readers of HTML.
    pub(super) html: String,
}

/// Words the mail. `screen` is the address of the webhook's screen.
pub(super) fn render(mail: &OwedMail, screen: Option<&str>) -> Words {
    let facts = Facts::of(mail, screen);
    let text = facts.text();
    let html = facts.html();
    Words { subject: facts.subject, text, html }
}

/// Words a mail that only shows that mails arrive. `url` is what the webhook has as its address now.
pub(super) fn render_test(workspace: &WorkspaceId, url: Option<&str>, screen: Option<&str>) -> Words {
    let webhook = format!("the webhook of workspace {workspace}");
    let facts = Facts {
        subject: format!("Test mail of {webhook}"),
        what: format!("This is a test: somebody asked for it on the screen of {webhook}. Nothing is wrong."),
        address: url.map_or_else(|| "(none yet)".to_owned(), shown_address),
        errors: Vec::new(),
        consequence: "A mail comes to this address when too many errors in a row switch the webhook off.".to_owned(),
        steps: Vec::new(),
        screen,
    };
    let (text, html) = (facts.text(), facts.html());
    Words { subject: facts.subject, text, html }
}

/// What both forms tell, on one line each.
struct Facts<'a> {
    subject: String,
    what: String,
    address: String,
    errors: Vec<String>,
    consequence: String,
    /// What the owner may do, in this order.
    steps: Vec<String>,
    screen: Option<&'a str>,
}

const OFF: &str = "Until the webhook is switched on again no message is sent to this address. \
                   Messages that arrive meanwhile are counted as skipped and are not sent later.";
const MEND: &str = "Mend the endpoint: it has to answer with a status from 200 to 209 before the deadline.";
const SAVE: &str = "Save the webhook again: that switches it on and starts the count at 0. \
                    \"Save and test\" also sends the newest message and shows the answer.";
const TEST: &str = "\"Save and test\" sends the newest message, shows the answer and starts the count at 0.";
const REPLACED: &str = "If that was not meant to be, ask whoever runs the service: the history of the workspace tells \
                        what was changed, when, and with whose token.";
const ADDRESS_NOTE: &str = "shown without user, password and query";

impl<'a> Facts<'a> {
    fn of(mail: &OwedMail, screen: Option<&'a str>) -> Self {
        let webhook = format!("The webhook of workspace {}", mail.workspace);
        let streak = match mail.errors {
            1 => "a message could not be delivered".to_owned(),
            errors => format!("{errors} messages in a row could not be delivered"),
        };
        let (at, since) = (moment(mail.at), moment(mail.failing_since));
        let mend = |last: &str| vec![log(mail, screen), MEND.to_owned(), last.to_owned()];
        let (subject, what, consequence, steps) = match mail.id.kind {
            MailKind::Disabled => (
                format!("{webhook} was switched off"),
                format!(
                    "{webhook} was switched off at {at}, because {streak}. The first of these errors was at {since}."
                ),
                OFF.to_owned(),
                mend(SAVE),
            ),
            MailKind::Warning => (
                format!("{webhook} fails"),
                format!("{webhook} is still on, but {streak}. The first of these errors was at {since}."),
                switched_off_after(mail.errors_left.unwrap_or(1)),
                mend(TEST),
            ),
            MailKind::Recovered => (
                format!("{webhook} delivers again"),
                format!(
                    "{webhook} delivers again: at {at} a message was delivered, the first since errors had switched it off at {since}."
                ),
                missed(mail.skipped.unwrap_or(0)),
                Vec::new(),
            ),
            MailKind::Replaced => (
                format!("{webhook} has another owner's address"),
                format!(
                    "At {at} {} replaced your address: mails about the webhook of workspace {} do not come to you any more.",
                    one_line(mail.by.as_deref().unwrap_or("somebody"), BY_SHOWN_MAX),
                    mail.workspace
                ),
                REPLACED.to_owned(),
                Vec::new(),
            ),
        };
        Self { subject, what, address: shown_address(&mail.url), errors: errors(mail), consequence, steps, screen }
    }

    fn text(&self) -> String {
        let mut text = format!("{}\n\nAddress ({ADDRESS_NOTE}):\n  {}\n", self.what, self.address);
        if !self.errors.is_empty() {
            text.push_str("\nThe last errors:\n");
            self.errors.iter().for_each(|error| text.push_str(&format!("- {error}\n")));
        }
        text.push_str(&format!("\n{}\n", self.consequence));
        if !self.steps.is_empty() {
            text.push_str("\nWhat to do:\n");
            (1..).zip(&self.steps).for_each(|(n, step)| text.push_str(&format!("{n}. {step}\n")));
        }
        if let Some(screen) = self.screen {
            text.push_str(&format!("\nThe webhook's screen:\n  {screen}\n"));
        }
        text
    }

    fn html(&self) -> String {
        let mut html = format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<body>\n<p>{}</p>\n<p>Address ({ADDRESS_NOTE}):<br>\n<code>{}</code></p>\n",
            escape(&self.what),
            escape(&self.address)
        );
        if !self.errors.is_empty() {
            html.push_str("<p>The last errors:</p>\n<ul>\n");
            self.errors.iter().for_each(|error| html.push_str(&format!("<li>{}</li>\n", escape(error))));
            html.push_str("</ul>\n");
        }
        html.push_str(&format!("<p>{}</p>\n", escape(&self.consequence)));
        if !self.steps.is_empty() {
            html.push_str("<p>What to do:</p>\n<ol>\n");
            self.steps.iter().for_each(|step| html.push_str(&format!("<li>{}</li>\n", escape(step))));
            html.push_str("</ol>\n");
        }
        if let Some(screen) = self.screen {
            let screen = escape(screen);
            html.push_str(&format!("<p>The webhook's screen: <a href=\"{screen}\">{screen}</a></p>\n"));
        }
        html.push_str("</body>\n</html>\n");
        html
    }
}

/// The newest errors, a sentence each.
fn errors(mail: &OwedMail) -> Vec<String> {
    let newest = mail.recent.len().saturating_sub(ERRORS_SHOWN_MAX);
    let errors = mail.recent.iter().skip(newest).map(|error| {
        format!(
            "{}, message {}: {}",
            moment(error.at),
            one_line(&error.message_id, MESSAGE_ID_SHOWN_MAX),
            one_line(&error.detail, DETAIL_SHOWN_MAX)
        )
    });
    errors.collect()
}

/// Where to see more.
fn log(mail: &OwedMail, screen: Option<&str>) -> String {
    match screen {
        Some(_) => "Look at the log on the screen: it shows what was sent and what came back.".to_owned(),
        None => format!(
            "Look at the log: it shows what was sent and what came back. `outbound attempts {}` prints it.",
            mail.workspace
        ),
    }
}

fn switched_off_after(errors: u32) -> String {
    let more = if errors == 1 { "1 more error".to_owned() } else { format!("{errors} more errors") };
    format!(
        "After {more} in a row it is switched off. \
         Messages that arrive then are counted as skipped and are not sent later."
    )
}

fn missed(skipped: u64) -> String {
    match skipped {
        0 => "No message arrived while it was off.".to_owned(),
        1 => "1 message that arrived while it was off was not sent and is not sent later.".to_owned(),
        more => format!("{more} messages that arrived while it was off were not sent and are not sent later."),
    }
}

/// Scheme, host, port and path of `url`. User, password, query and fragment may hold a secret, and a
/// mail is read by more systems than the endpoint; so they are left out
/// ([contract, section 3](crate::docs::contract#3-the-rules)).
fn shown_address(url: &str) -> String {
    let Ok(mut url) = Url::parse(url) else {
        return "(not a valid URL)".to_owned();
    };
    let stripped = url.set_username("").and_then(|()| url.set_password(None));
    url.set_query(None);
    url.set_fragment(None);
    match stripped {
        Ok(()) => one_line(url.as_str(), ADDRESS_SHOWN_MAX),
        // Only a URL without a host refuses a user and a password, so it has none.
        Err(()) => one_line(&format!("{}:", url.scheme()), ADDRESS_SHOWN_MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Time;
    use crate::workspace::event::{ErrorKind, MailId};
    use crate::workspace::state::RecentError;

    fn owed(url: &str, errors: &[(&str, &str)]) -> OwedMail {
        OwedMail {
            workspace: "acme".parse().unwrap(),
            id: MailId::disabled(17),
            at: Time::from_unix_ms(1_769_860_803_000),
            to: "owner@acme.example".to_owned(),
            url: url.to_owned(),
            errors: 11,
            failing_since: Time::from_unix_ms(1_769_860_692_000),
            recent: errors
                .iter()
                .map(|(message_id, detail)| RecentError {
                    at: Time::from_unix_ms(1_769_860_800_000),
                    message_id: (*message_id).into(),
                    kind: ErrorKind::HttpStatus,
                    detail: (*detail).to_owned(),
                })
                .collect(),
            errors_left: None,
            skipped: None,
            by: None,
        }
    }

    #[test]
    fn an_address_is_shown_without_what_may_be_secret() {
        for (url, shown) in [
            ("https://crm.example/hooks/1", "https://crm.example/hooks/1"),
            ("https://user:hunter2@crm.example:8443/hooks?token=s3cret#part", "https://crm.example:8443/hooks"),
            ("http://[::1]:9000", "http://[::1]:9000/"),
            ("data:text/plain,s3cret", "data:"),
            ("crm.example s3cret", "(not a valid URL)"),
        ] {
            assert_eq!(shown_address(url), shown);
        }
    }

    #[test]
    fn only_the_newest_errors_are_listed() {
        let mail = owed("https://crm.example/", &[("m1", "one"), ("m2", "two"), ("m3", "three"), ("m4", "four")]);
        let words = render(&mail, None);
        assert!(!words.text.contains("message m1:"), "{}", words.text);
        assert!(words.text.contains("message m2: two\n"), "{}", words.text);
        assert!(words.text.contains("message m4: four\n"), "{}", words.text);
    }

    #[test]
    fn an_endpoints_words_cannot_become_markup_or_lines_of_the_mail() {
        let mail = owed("https://crm.example/<script>", &[("<i>id</i>", "bad\n\n<b onclick='x'>\n")]);
        let words = render(&mail, Some("https://o.example/workspaces/acme/outbound"));
        assert!(!words.html.contains("<i>") && !words.html.contains("<b ") && !words.html.contains("<script>"));
        assert!(words.html.contains("&lt;i&gt;id&lt;/i&gt;: bad &lt;b onclick=&#39;x&#39;&gt;</li>"), "{}", words.html);
        assert!(words.text.contains("message <i>id</i>: bad <b onclick='x'>\n"), "{}", words.text);
    }

    #[test]
    fn a_huge_message_id_does_not_make_a_huge_mail() {
        let huge = "x".repeat(256 * 1024);
        let words = render(&owed("https://crm.example/", &[(&huge, &huge)]), None);
        assert!(words.text.len() + words.html.len() < 8 * 1024);
    }

    #[test]
    fn a_single_error_is_told_in_the_singular() {
        let mail = OwedMail { errors: 1, ..owed("https://crm.example/", &[]) };
        let words = render(&mail, None);
        assert!(words.text.contains("because a message could not be delivered."), "{}", words.text);
        assert!(!words.text.contains("The last errors"), "{}", words.text);
    }
}
