//! `outbound receive`: an endpoint to try the service against, which prints and verifies what arrives.

use std::borrow::Cow;
use std::fmt;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc};

use crate::app::{self, now};
use crate::cli::failure::{CommandError, CommandFailure, EXIT_USAGE};
use crate::cli::output::beginning;
use crate::cli::runtime::{block_on, stop_signal};
use crate::cli::values::{parse_listen, whole_number};
use crate::config::{RECEIVER_CONNECTIONS_MAX, duration};
use crate::http::receiver::{Received, Signature, Treatment, receiver};
use crate::http::serve;
use crate::message::{RawMessage, without_halves};
use crate::sign::{InvalidSecret, Secret};

/// The flags of `outbound receive`.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct ReceiveArgs {
    /// Where it listens; port 0 takes any free port
    #[arg(long, env = "OUTBOUND_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:9000", value_parser = parse_listen)]
    pub listen: SocketAddr,
    /// The webhook's signing secret, whsec_…; without it signatures are not checked
    #[arg(long, env = "OUTBOUND_SECRET", value_name = "SECRET", hide_env_values = true, value_parser = NonEmptyStringValueParser::new())]
    pub secret: Option<String>,
    /// The status that every POST is answered with
    #[arg(long, env = "OUTBOUND_STATUS", value_name = "STATUS", default_value_t = 200, value_parser = whole_number::<u16>(200, 599))]
    pub status: u16,
    /// How long every answer is held back
    #[arg(long, env = "OUTBOUND_DELAY", value_name = "DURATION", default_value = "0s", value_parser = duration::parse)]
    pub delay: Duration,
}

const AFTER_HELP: &str = "\
Examples:
  outbound receive
  outbound receive --listen 127.0.0.1:9000 --secret whsec_…
  outbound receive --status 500 --delay 2s";

/// Requests that are answered but not yet printed, at most; while so many wait, callers wait too.
const REPORTS_MAX: usize = 256;
/// Characters that are printed of a text of the message.
const TEXT_SHOWN_MAX: usize = 60;

/// Why nothing is received.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// `--secret` is none. It is not repeated.
    #[error(
        "--secret is no signing secret: copy it from the screen, or from GET /v1/workspaces/WORKSPACE/webhook/secret"
    )]
    Secret(#[source] InvalidSecret),
}

impl CommandError for ReceiveError {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Secret(_) => EXIT_USAGE,
        }
    }
}

/// Receives until Ctrl-C.
///
/// # Errors
/// The secret is none, the address cannot be listened on, or nobody takes the output.
pub fn run(args: &ReceiveArgs, out: &mut dyn Write) -> Result<(), CommandFailure> {
    let secret = args.secret.as_deref().map(str::parse::<Secret>).transpose().map_err(ReceiveError::Secret)?;
    let treatment = Treatment { secret, status: args.status, delay: args.delay };
    block_on(async {
        let (listener, address) = app::bind(args.listen).await?;
        let stop = stop_signal();
        let checks = if treatment.secret.is_some() { "checks" } else { "does not check" };
        writeln!(
            out,
            "listening on http://{address}/: answers {} and {checks} signatures; Ctrl-C ends it",
            args.status
        )
        .map_err(CommandFailure::output)?;
        receive(listener, treatment, stop, out).await
    })
}

async fn receive(
    listener: TcpListener,
    treatment: Treatment,
    stop: impl Future<Output = ()> + Send,
    out: &mut dyn Write,
) -> Result<(), CommandFailure> {
    let (sender, mut reports) = mpsc::channel(REPORTS_MAX);
    let router = receiver(Arc::new(move |_: &str| treatment.clone()), sender, now);
    let output_gone = Notify::new();
    let stop = async {
        tokio::select! {
            () = stop => {}
            () = output_gone.notified() => {}
        }
    };
    let print = async {
        let mut counts = SignatureCounts::default();
        // The sender lives in the router, so this ends when serving does.
        while let Some(received) = reports.recv().await {
            counts.add(&received);
            if let Err(error) = writeln!(out, "{}", ReceivedLine(&received)) {
                output_gone.notify_one();
                return Err(error);
            }
        }
        writeln!(out, "{counts}")
    };
    let ((), printed) = tokio::join!(serve(listener, router, RECEIVER_CONNECTIONS_MAX, stop), print);
    printed.map_err(CommandFailure::output)
}

#[derive(Debug, Default)]
struct SignatureCounts {
    verified: u64,
    refused: u64,
    unchecked: u64,
}

impl SignatureCounts {
    fn add(&mut self, received: &Received) {
        match received.signature {
            Signature::Verified => self.verified += 1,
            Signature::Refused(_) => self.refused += 1,
            Signature::Unchecked => self.unchecked += 1,
        }
    }
}

impl fmt::Display for SignatureCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { verified, refused, unchecked } = self;
        write!(
            f,
            "received {}: {verified} verified, {refused} refused, {unchecked} not checked",
            verified + refused + unchecked
        )
    }
}

/// What arrived, in one line for a terminal. Whoever wrote the message cannot steer the terminal
/// with it: control characters are shown escaped.
pub struct ReceivedLine<'a>(pub &'a Received);

impl fmt::Display for ReceivedLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let received = self.0;
        let signature: Cow<'_, str> = match &received.signature {
            Signature::Verified => "verified".into(),
            Signature::Unchecked => "not checked".into(),
            Signature::Refused(refused) => format!("REFUSED ({refused})").into(),
        };
        let id = received.webhook_id.as_deref().unwrap_or("-");
        write!(
            f,
            "{} {} {} {signature}: ",
            received.at,
            beginning(&received.path, TEXT_SHOWN_MAX),
            beginning(id, TEXT_SHOWN_MAX)
        )?;
        match serde_json::from_slice(&received.body) {
            Ok(ReceivedBody { message }) => write!(f, "{}", summary(&message)),
            Err(_) => write!(f, "{} bytes that are no message", received.body.len()),
        }
    }
}

#[derive(Deserialize)]
struct ReceivedBody {
    message: RawMessage,
}

#[derive(Deserialize)]
struct ShownMessage {
    direction: String,
    message_id: String,
    text: Option<String>,
    attachment: Option<ShownAttachment>,
}

#[derive(Deserialize)]
struct ShownAttachment {
    filename: String,
}

fn summary(message: &RawMessage) -> String {
    let Ok(shown) = serde_json::from_slice::<ShownMessage>(&without_halves(message.bytes())) else {
        return format!("a message of {} bytes", message.bytes().len());
    };
    let mut summary =
        format!("{} {}", beginning(&shown.direction, TEXT_SHOWN_MAX), beginning(&shown.message_id, TEXT_SHOWN_MAX));
    if let Some(attachment) = &shown.attachment {
        summary += &format!(" [{}]", beginning(&attachment.filename, TEXT_SHOWN_MAX));
    }
    if let Some(text) = &shown.text {
        summary += &format!(" {}", beginning(text, TEXT_SHOWN_MAX));
    }
    summary
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::http::receiver::Refused;
    use crate::workspace::Time;

    fn received(body: &str, signature: Signature) -> Received {
        Received {
            at: Time::from_unix_ms(1_614_147_929_000),
            path: "/hook".to_owned(),
            webhook_id: Some("msg_7_1-0".to_owned()),
            signature,
            body: Bytes::from(body.to_owned()),
        }
    }

    fn line(body: &str, signature: Signature) -> String {
        ReceivedLine(&received(body, signature)).to_string()
    }

    #[test]
    fn a_message_is_shown_with_its_id_its_file_and_the_beginning_of_its_text() {
        let body = format!(
            r#"{{"message":{{"direction":"sent","message_id":"m1","text":"{}","attachment":{{"filename":"a.pdf","download_url":"u"}}}}}}"#,
            "x".repeat(100)
        );
        let expected =
            format!("2021-02-24T06:25:29.000Z /hook msg_7_1-0 verified: sent m1 [a.pdf] {}…", "x".repeat(60));
        assert_eq!(line(&body, Signature::Verified), expected);
    }

    #[test]
    fn a_message_cannot_steer_the_terminal() {
        let line = line(
            r#"{"message":{"direction":"sent","message_id":"\u001b[2J","text":"a\nb\u202ec"}}"#,
            Signature::Unchecked,
        );
        assert!(line.ends_with("not checked: sent \\u{1b}[2J a\\nb\\u{202e}c"), "{line}");
    }

    #[test]
    fn half_of_a_character_hides_nothing_of_the_message() {
        let body = r#"{"message":{"direction":"sent","\ude00":1,"message_id":"m1","text":"cut \ud83d"}}"#;
        assert!(line(body, Signature::Unchecked).ends_with("not checked: sent m1 cut \u{fffd}"));
    }

    #[test]
    fn what_is_no_message_is_counted_in_bytes_and_a_refusal_says_why() {
        let line = line("hello", Signature::Refused(Refused::Header("webhook-id")));
        assert!(line.contains("REFUSED (the header webhook-id is absent"), "{line}");
        assert!(line.ends_with("5 bytes that are no message"), "{line}");
    }
}
