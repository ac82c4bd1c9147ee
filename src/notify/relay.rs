//! One hand-over over SMTP.
//!
//! lettre's ready-made transport is not used: its timeout covers only the connecting, and it waits for
//! the answer to QUIT before it says what became of the mail. Its connection is used instead, command
//! by command, so that a refusal is known with its reason at once, whatever the server does next. It reads
//! UTF-8 only, and what mail servers say is not always UTF-8: TCP and TLS are our own, and lettre's connection
//! stands on a stream that is cleaned.

use std::io;
use std::iter;
use std::sync::Arc;
use std::time::Duration;

use lettre::Address;
use lettre::transport::smtp::Error as SmtpError;
use lettre::transport::smtp::authentication::DEFAULT_MECHANISMS;
use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::commands::{Data, Mail, Rcpt, Starttls};
use lettre::transport::smtp::extension::{ClientId, Extension, MailParameter};
use lettre::transport::smtp::response::{Response, Severity};
use parking_lot::Mutex;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::cleaned::{CleanedStream, Verb, Wire};
use super::hello;
use super::login::Login;
use super::outcome::{ConnectError, Ended, NotTaken, Outcome};
use super::progress::{MailLimits, MailProgress};
use super::refusal::Stage;
use super::server::{MailServer, Security};
use crate::workspace::decide::MailResult;

/// What a server says to a mechanism that it does not know.
const UNKNOWN_PARAMETER: u16 = 504;
/// How long the goodbye may take once the outcome is known.
const QUIT_WAIT: Duration = Duration::from_secs(1);

/// The way to a mail server.
#[derive(Debug, Clone)]
pub(super) struct Relay {
    server: MailServer,
    /// What it is greeted with; without a name the address of the connection.
    hello: Option<ClientId>,
}

/// The mail of one hand-over.
#[derive(Debug)]
pub(super) struct Parcel<'a> {
    pub(super) from: &'a Address,
    pub(super) to: &'a Address,
    pub(super) raw: &'a [u8],
}

impl Relay {
    /// Mails go to `server`, which is greeted with `hello`, or else with the address of the connection.
    pub(super) fn new(server: MailServer, hello: Option<ClientId>) -> Self {
        Self { server, hello }
    }

    /// Hands one mail over within `limits`. Once the server is ready for it, `permit` says whether that may be. When `recalled`
    /// ends before the final dot is sent it is not handed over: without the dot no server takes a mail (RFC 5321 section
    /// 4.1.1.4). Dropping the future closes the connection.
    pub(super) async fn hand_over(
        &self,
        parcel: &Parcel<'_>,
        limits: MailLimits,
        permit: impl Future<Output = bool>,
        recalled: impl Future<Output = ()>,
    ) -> Ended {
        let progress = MailProgress::begin(limits);
        let in_time = tokio::select! {
            // A recall that has come is seen before the dot is sent.
            biased;
            () = progress.recall(recalled) => return Ended::Mail(MailResult::NotBegun),
            in_time = progress.bound(self.hand_over_unbounded(parcel, &progress, permit)) => in_time,
        };
        let (ended, connection) = match in_time {
            Ok(ended) => ended,
            Err(silence) => (self.outcome(&progress, parcel).silent(silence), None),
        };
        // The outcome is known: whatever becomes of the goodbye changes nothing.
        if let Some(mut connection) = connection {
            drop(timeout(QUIT_WAIT, connection.abort()).await);
        }
        ended
    }

    fn outcome<'a>(&'a self, progress: &MailProgress, parcel: &Parcel<'a>) -> Outcome<'a> {
        Outcome { server: &self.server, stage: progress.stage(), addresses: [parcel.from, parcel.to] }
    }

    async fn hand_over_unbounded(
        &self,
        parcel: &Parcel<'_>,
        progress: &MailProgress,
        permit: impl Future<Output = bool>,
    ) -> (Ended, Option<AsyncSmtpConnection>) {
        let outcome = || self.outcome(progress, parcel);
        let (mut connection, hello) = match self.connect(progress, parcel).await {
            Ok(connected) => connected,
            Err(error) => return (outcome().unusable(&error), None),
        };
        let ended = match permit.await {
            true => match transact(&mut connection, parcel, progress).await {
                Ok(()) => Ended::Mail(MailResult::Sent),
                Err(why) => outcome().not_taken(&why, &hello),
            },
            false => Ended::Mail(MailResult::NotBegun),
        };
        (ended, Some(connection))
    }

    /// Connects, greets, protects and logs in; also says what it greeted with.
    async fn connect(
        &self,
        progress: &MailProgress,
        parcel: &Parcel<'_>,
    ) -> Result<(AsyncSmtpConnection, ClientId), ConnectError> {
        let refuses_ehlo = |error| {
            let outcome = self.outcome(progress, parcel);
            outcome.stage == Stage::Introduction && outcome.refuses_ehlo(error)
        };
        let (mut connection, hello) = match self.introduce(progress, Verb::Ehlo).await {
            // It knows no extensions (RFC 5321 section 3.2), and lettre has closed the connection.
            Err(ConnectError::Smtp(error)) if refuses_ehlo(&error) => self.introduce(progress, Verb::Helo).await?,
            introduced => introduced?,
        };
        if let Some(login) = &self.server.login {
            log_in(&mut connection, login, progress).await?;
        }
        Ok((connection, hello))
    }

    async fn introduce(
        &self,
        progress: &MailProgress,
        verb: Verb,
    ) -> Result<(AsyncSmtpConnection, ClientId), ConnectError> {
        progress.reached(Stage::Connecting);
        let stream = self.dial(progress.limits.connect).await?;
        let hello = match &self.hello {
            Some(hello) => hello.clone(),
            None => hello::of_connection(stream.local_addr()?),
        };
        progress.reached(Stage::Greeting);
        let greet = async |wire, said| greet(wire, said, &hello, verb, progress).await;
        let connection = match &self.server.security {
            Security::Plain => greet(Wire::Plain(stream), b"").await?.0,
            Security::Implicit(tls) => greet(tls.begin(stream).await?, b"").await?.0,
            Security::StartTls(tls) => {
                let (mut connection, wire) = greet(Wire::Plain(stream), b"").await?;
                if !connection.can_starttls() {
                    return Err(ConnectError::NoStartTls);
                }
                progress.reached(Stage::Introduction);
                connection.command(Starttls).await.map_err(ConnectError::StartTls)?;
                progress.reached(Stage::Introduction);
                // With it goes what came unprotected behind its answer (RFC 3207 section 4.2).
                drop(connection);
                let Some(Wire::Plain(stream)) = Arc::into_inner(wire).map(Mutex::into_inner) else {
                    return Err(ConnectError::NoStartTls);
                };
                // A server does not greet again; lettre's connection begins with a greeting.
                greet(tls.begin(stream).await?, b"220 protected\r\n").await?.0
            }
        };
        Ok((connection, hello))
    }

    /// Connects to the first of the host's addresses that answers, each within `limit`.
    async fn dial(&self, limit: Duration) -> io::Result<TcpStream> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "its name has no address");
        for address in lookup_host((self.server.host.as_str(), self.server.port)).await? {
            match timeout(limit, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => last = error,
                Err(_) => last = io::ErrorKind::TimedOut.into(),
            }
        }
        Err(last)
    }
}

/// Tells the server sender, owner and mail, each when it has taken what was before.
async fn transact(
    connection: &mut AsyncSmtpConnection,
    parcel: &Parcel<'_>,
    progress: &MailProgress,
) -> Result<(), NotTaken> {
    let mut parameters = Vec::new();
    if !parcel.to.to_string().is_ascii() {
        if !connection.server_info().supports_feature(Extension::SmtpUtfEight) {
            return Err(NotTaken::Ascii);
        }
        parameters.push(MailParameter::SmtpUtfEight);
    }
    progress.reached(Stage::Sender);
    taken(connection.command(Mail::new(Some(parcel.from.clone()), parameters)).await?)?;
    progress.reached(Stage::Recipient);
    taken(connection.command(Rcpt::new(parcel.to.clone(), Vec::new())).await?)?;
    progress.reached(Stage::Data);
    let go_on = connection.command(Data).await?;
    if go_on.code().severity != Severity::PositiveIntermediate {
        return Err(NotTaken::OutOfTurn(go_on));
    }
    progress.reached(Stage::Content);
    // lettre asks for the next part when it has sent the one before, and sends the dot behind the last.
    let dot_follows = iter::from_fn(|| {
        progress.reached(Stage::Mail);
        None
    });
    taken(connection.message_iter(iter::once(parcel.raw).chain(dot_follows)).await?)
}

/// Reads the greeting, `said` before what comes over the wire, and greets back with `verb`. The wire can be had back once
/// the connection is dropped.
async fn greet(
    wire: Wire,
    said: &[u8],
    hello: &ClientId,
    verb: Verb,
    progress: &MailProgress,
) -> Result<(AsyncSmtpConnection, Arc<Mutex<Wire>>), ConnectError> {
    let peer = wire.peer()?;
    let wire = Arc::new(Mutex::new(wire));
    let mut stream = CleanedStream::new(Arc::clone(&wire), peer, said, verb);
    if stream.heard().await? {
        progress.reached(Stage::Introduction);
    }
    Ok((AsyncSmtpConnection::connect_with_transport(Box::new(stream), hello).await?, wire))
}

/// Logs in, in the first of the ways that the server offers and knows (RFC 4954 section 4).
async fn log_in(
    connection: &mut AsyncSmtpConnection,
    login: &Login,
    progress: &MailProgress,
) -> Result<(), ConnectError> {
    let mut why = ConnectError::NoLogin { starttls: connection.can_starttls() };
    for mechanism in DEFAULT_MECHANISMS {
        if !connection.server_info().supports_auth_mechanism(*mechanism) {
            continue;
        }
        progress.reached(Stage::Introduction);
        match connection.auth(&[*mechanism], &login.credentials).await {
            Ok(_) => return Ok(()),
            Err(error) if code(&error) == Some(UNKNOWN_PARAMETER) => why = ConnectError::Login(error),
            Err(error) => return Err(ConnectError::Login(error)),
        }
    }
    Err(why)
}

fn code(error: &SmtpError) -> Option<u16> {
    error.status().map(u16::from)
}

/// A command was done, which is said by 2yz.
fn taken(response: Response) -> Result<(), NotTaken> {
    match response.code().severity {
        Severity::PositiveCompletion => Ok(()),
        _ => Err(NotTaken::OutOfTurn(response)),
    }
}
