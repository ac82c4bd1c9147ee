//! An attempt's request as a line for a terminal.

use url::Url;

use crate::sign::{ID_HEADER, SIGNATURE_HEADER, Secret, TIMESTAMP_HEADER, sign};
use crate::workspace::event::Attempt;
use crate::workspace::headers::MASK;
use crate::workspace::state::Webhook;
use crate::workspace::time::Time;

/// The request as it was sent, signed anew at `now` with the secrets of that moment. Values of custom headers are not told: they
/// are [`MASK`]. `None` where the body was not kept.
pub(super) fn curl(attempt: &Attempt, webhook: &Webhook, now: Time) -> Option<String> {
    let body = attempt.request.message.as_ref()?.body();
    let at = now.unix_seconds();
    let secrets: Vec<Secret> = webhook.secrets(now).filter_map(|secret| secret.expose().parse().ok()).collect();
    // Else curl makes several of one that holds brackets.
    let mut line = format!("curl -X POST {} --globoff", quoted(&sent_to(&attempt.request.url)));
    let mut header = |name: &str, value: &str| {
        line.push_str(&format!(" \\\n  -H {}", quoted(&format!("{name}: {value}"))));
    };
    header("content-type", "application/json");
    header(ID_HEADER, &attempt.webhook_id);
    header(TIMESTAMP_HEADER, &at.to_string());
    header(SIGNATURE_HEADER, &sign(&secrets, &attempt.webhook_id, at, &body));
    for name in webhook.headers.keys() {
        header(name.as_str(), MASK);
    }
    line.push_str(&format!(" \\\n  --data-binary {}", quoted(&String::from_utf8_lossy(&body))));
    Some(line)
}

/// The address as requests name it: without what a URL parser mends, and without a fragment.
fn sent_to(url: &str) -> String {
    let Ok(mut parsed) = Url::parse(url) else { return url.to_owned() };
    parsed.set_fragment(None);
    parsed.into()
}

/// As one word of a POSIX shell. A text that begins with `@` names a file to curl's `--data-binary`; a body begins with a
/// brace.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_told_as_it_is_sent() {
        for (url, sent) in [
            ("https://crm.example/a?x={y}&z=[1-3]", "https://crm.example/a?x={y}&z=[1-3]"),
            ("https://bücher.example/ä?b='c'#d", "https://xn--bcher-kva.example/%C3%A4?b=%27c%27"),
        ] {
            assert_eq!(sent_to(url), sent);
        }
    }

    #[test]
    fn a_text_is_one_word_of_a_shell() {
        assert_eq!(quoted("it's $HOME \"`\n"), "'it'\\''s $HOME \"`\n'");
    }
}
