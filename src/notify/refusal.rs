//! What a refusal of a mail server is about: us, which the operator can mend, or the owner's address and the mail.
//!
//! Servers say what they have against a client when they please: Postfix waits for the recipient with it
//! (`smtpd_delay_reject`), Exchange and Amazon SES for the end of the mail. So the words count, and the code of RFC 3463 where
//! there is one, at every stage.

use lettre::Address;

/// How far a hand-over has come: what is being waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// A connection.
    Connecting,
    /// The server's first word.
    Greeting,
    /// What it says to our greeting, STARTTLS and login.
    Introduction,
    /// What it says to the sender's address.
    Sender,
    /// What it says to the owner's address.
    Recipient,
    /// Whether it lets the mail be told.
    Data,
    /// That it reads the mail, whose final dot has not been sent: it cannot have taken it.
    Content,
    /// What it says to the mail.
    Mail,
}

/// What of ours a mail server refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OurFault {
    /// The name that it is greeted with.
    Hello,
    /// A connection without TLS.
    NoTls,
    /// A missing login, or one that may not do this.
    Login,
    /// The sender's address.
    Sender,
    /// This machine, its address, how much it sends, or what the sender's domain says of it.
    Machine,
}

/// A negative answer.
#[derive(Debug)]
pub(super) struct NegativeAnswer<'a> {
    pub(super) stage: Stage,
    /// Of three digits.
    pub(super) code: u16,
    pub(super) text: &'a str,
    /// Those of the mail: they are no words of the server.
    pub(super) addresses: &'a [&'a Address],
    /// The connection is protected, so no missing TLS is meant.
    pub(super) secure: bool,
}

/// What a refusal with one of these codes (of the reply, or of RFC 3463) or with one of these words is about; `None` is the
/// owner's address. The first that fits counts. Words stand between blanks, without the blank behind them where they go on.
type Sign = (Option<OurFault>, &'static [&'static str], &'static [&'static str]);

const SIGNS: &[Sign] = &[
    (None, &[], &[" valid recipient", " valid rcpt ", " nested mail ", " sender already "]),
    (None, &["5.1.1", "5.1.2", "5.1.3", "5.1.4", "5.1.6", "5.1.10", "5.2.0", "5.2.1", "5.2.2", "5.2.3", "5.2.4"], &[]),
    (Some(OurFault::NoTls), &["538", "5.7.10", "5.7.11"], &[" starttls ", " tls ", " encryption "]),
    (
        Some(OurFault::Sender),
        &["5.1.7", "5.1.8", "5.2.252", "5.7.60"],
        &[" send as ", " sendas", " as this sender ", " authenticated sender ", " from header ", " not verified "],
    ),
    (
        Some(OurFault::Machine),
        &["5.4.5", "5.7.20", "5.7.21", "5.7.22", "5.7.23", "5.7.24", "5.7.25", "5.7.26", "5.7.27"],
        &[" spf ", " dkim ", " dmarc "],
    ),
    (Some(OurFault::Login), &["530", "534", "535"], &[" logged in ", " rcpthosts "]),
    (Some(OurFault::Hello), &[], &[" helo command "]),
    (Some(OurFault::Sender), &[], &[" sender address ", " sender verif"]),
    (None, &["5.1.0"], &[" user unknown ", " unknown user ", " no such user ", " no such mailbox "]),
    (
        Some(OurFault::Machine),
        &[],
        &[
            " client host ",
            " blocked using ",
            " spamhaus ",
            " blocklist",
            " block list ",
            " blacklist",
            " black list",
            " denylist",
            " dnsbl ",
            " rbl ",
            " listed ",
            " reverse ",
            " ptr ",
            " rdns ",
            " reputation ",
            " ip ",
            " rate limit",
            " sending limit",
            " sending quota ",
            " sending paused ",
        ],
    ),
    (
        Some(OurFault::Login),
        &["503"],
        &[" auth ", " authenticat", " login ", " log in ", " relay ", " relaying ", " relayed "],
    ),
    (Some(OurFault::Hello), &[], &[" helo ", " ehlo ", " hostname ", " host name ", " fully qualified "]),
    (Some(OurFault::Sender), &[], &[" sender ", " senders "]),
];

/// What is put off so is greylisting, which names anything and passes by itself.
const GREYLISTING: &[&str] = &[" greylist", " graylist", " grey list", " gray list"];
/// With one of these words a passing answer is sure of what it is about: some servers say all refusals so.
const SURE: &[&str] =
    &[" rejected ", " denied ", " refused ", " blocked ", " required ", " must ", " not permitted ", " not allowed "];
/// What is said so of a command is about that command and not about its argument.
const UNKNOWN_COMMAND: &[&str] = &[
    " not supported ",
    " unsupported ",
    " not implemented ",
    " unimplemented ",
    " unknown command ",
    " command unknown ",
    " unrecognized ",
    " unrecognised ",
    " not recognized ",
    " not recognised ",
];
/// What is said so is about how much the server takes now, whomever the mail is to.
const CROWDED: &[&str] = &[
    " throttl",
    " too many connections ",
    " too many concurrent ",
    " too many messages ",
    " too many mails ",
    " too much mail ",
    " concurrent connections ",
    " connection limit",
    " connection rate ",
    " message rate ",
    " sending rate ",
    " rate limit",
    " rate exceeded ",
    " limit exceeded ",
    " server busy ",
    " server is busy ",
    " system resources ",
];

impl NegativeAnswer<'_> {
    /// What of ours it is about; `None`: the owner's address, the mail, or nothing that the words tell. A passing answer means us
    /// only where it is sure of it; our name is always meant.
    pub(super) fn our_fault(&self) -> Option<OurFault> {
        let words = words(self.text, self.addresses);
        let has = |phrases: &[&str]| phrases.iter().any(|phrase| words.contains(phrase));
        let passes = self.passes();
        if passes && has(GREYLISTING) {
            return None;
        }
        let is_sure = !passes || has(SURE);
        let codes = [Some(self.code.to_string()), enhanced_code(self.text)];
        let fits = |(fault, signs, phrases): &&Sign| {
            !(self.secure && *fault == Some(OurFault::NoTls))
                && (codes.iter().flatten().any(|code| signs.contains(&code.as_str()))
                    || ((is_sure || *fault == Some(OurFault::Hello)) && has(phrases)))
        };
        let told = SIGNS.iter().find(fits).and_then(|(fault, ..)| *fault);
        // The owner's address has not been told yet.
        told.or((self.stage == Stage::Sender && !passes).then_some(OurFault::Sender))
    }

    /// Whether the server takes no mail now, or not so many, whomever it is to: it goes (421, RFC 5321 section 3.8), it puts us
    /// off before it knows the owner, or it says so.
    pub(super) fn is_crowded(&self) -> bool {
        let words = words(self.text, self.addresses);
        let has = |phrases: &[&str]| phrases.iter().any(|phrase| words.contains(phrase));
        let knows_owner = matches!(self.stage, Stage::Recipient | Stage::Data | Stage::Content | Stage::Mail);
        // RFC 3463: the owner's address and mailbox.
        let is_owners = enhanced_code(self.text)
            .is_some_and(|code| code.split('.').nth(1).is_some_and(|subject| matches!(subject, "1" | "2")));
        self.passes() && !has(GREYLISTING) && (self.code == 421 || !knows_owner || (has(CROWDED) && !is_owners))
    }

    /// Whether EHLO is refused and HELO may be taken: not known (RFC 5321 section 4.2.4), or refused as servers without extensions
    /// do (RFC 1869 section 4). Those codes are also given for our name, and for what else is refused of us; then HELO ends
    /// in the same way, and what is said of it counts.
    pub(super) fn refuses_ehlo(&self) -> bool {
        let words = words(self.text, self.addresses);
        match self.code {
            500 | 502 => true,
            501 | 504 | 550 | 554 => {
                self.our_fault().is_none() || UNKNOWN_COMMAND.iter().any(|phrase| words.contains(phrase))
            }
            _ => false,
        }
    }

    fn passes(&self) -> bool {
        self.code / 100 == 4
    }
}

/// The words in lower case between single blanks, without addresses and names of hosts: these say nothing.
fn words(text: &str, addresses: &[&Address]) -> String {
    let text = text.to_lowercase();
    let text = addresses.iter().fold(text, |text, address| text.replace(&address.to_string().to_lowercase(), " "));
    let mut words = " ".to_owned();
    for word in text.split(|c: char| !(c.is_alphanumeric() || ".@-_".contains(c))) {
        let word = word.trim_matches(['.', '-', '_']);
        if !word.is_empty() && !word.contains(['.', '@']) {
            words.push_str(&word.replace(['-', '_'], " "));
            words.push(' ');
        }
    }
    words
}

/// The code of RFC 3463 at the beginning, or where qmail writes it: `(#5.7.1)`. One that the server cites from elsewhere does
/// not count. A passing one is told as the lasting one.
fn enhanced_code(text: &str) -> Option<String> {
    let mut words = text.split_whitespace();
    let first = words.next()?;
    let word = text.split_once("(#").map_or(first, |(_, rest)| rest.split(')').next().unwrap_or_default());
    let (class, rest) = word.split_once('.')?;
    let parts = || rest.split('.');
    let numbers = parts().count() == 2 && parts().all(|part| (1..=3).contains(&part.len()) && is_number(part));
    (matches!(class, "4" | "5") && numbers).then(|| format!("5.{rest}"))
}

fn is_number(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault_at(stage: Stage, code: u16, text: &str) -> Option<OurFault> {
        let (from, to) = ("outbound@acme.example".parse().unwrap(), "owner@auth.helo.example".parse().unwrap());
        NegativeAnswer { stage, code, text, addresses: &[&from, &to], secure: false }.our_fault()
    }

    #[test]
    fn the_first_sign_that_fits_counts() {
        for (code, text, fault) in [
            (554, "5.7.1 Helo command [crm.example] blocked using dbl.spamhaus.org", Some(OurFault::Hello)),
            (554, "5.7.1 Sender address [outbound@acme.example] blocked using dbl", Some(OurFault::Sender)),
            (554, "5.7.1 Client host [192.0.2.7] blocked using zen.spamhaus.org", Some(OurFault::Machine)),
            (553, "5.7.1 <outbound@acme.example>: Sender address rejected: not logged in", Some(OurFault::Login)),
            (550, "5.1.0 <outbound@acme.example>: Sender address rejected: User unknown", Some(OurFault::Sender)),
            (
                550,
                "5.7.1 <unknown[192.0.2.7]>: Client host rejected: cannot find your hostname",
                Some(OurFault::Machine),
            ),
            (550, "Callback failed; Response: 550 5.1.1 no such user; Sender verify failed", Some(OurFault::Sender)),
            (503, "Error: need EHLO and AUTH first !", Some(OurFault::Login)),
            (503, "5.5.1 Bad sequence of commands", Some(OurFault::Login)),
            (450, "4.7.25 no", Some(OurFault::Machine)),
        ] {
            assert_eq!(fault_at(Stage::Recipient, code, text), fault, "{text}");
        }
    }

    #[test]
    fn a_refusal_of_the_owner_is_none_of_us() {
        for (code, text) in [
            (550, "5.1.1 <owner@auth.helo.example>: user unknown"),
            (550, "<Owner@AUTH.helo.example> no such address at helo.example"),
            (550, "5.1.1 User unknown in relay recipient table"),
            (550, "User unknown in relay recipient table"),
            (553, "sorry, no mailbox here by that name (#5.1.1)"),
            (554, "5.7.1 looks like spam, says relay.mx.example"),
            (552, "5.2.2 mailbox full"),
            (550, "5.1.1 no such user on this host (hostname mx1.acme.example)"),
            (550, "5.1.2 Bad destination: fully-qualified recipient address required"),
            (550, "says hello"),
        ] {
            assert_eq!(fault_at(Stage::Recipient, code, text), None, "{text}");
            assert_eq!(fault_at(Stage::Sender, code, text), Some(OurFault::Sender), "{text}");
        }
    }

    #[test]
    fn a_server_that_takes_no_more_is_told_from_one_that_does_not_take_this_mail() {
        for (stage, code, text, crowded) in [
            (Stage::Greeting, 421, "4.7.0 mx Error: too many connections from 203.0.113.7", true),
            (Stage::Introduction, 454, "4.7.0 Temporary authentication failure", true),
            (Stage::Sender, 452, "4.3.1 Insufficient system storage", true),
            (Stage::Sender, 451, "4.3.0 Mail server temporarily rejected message", true),
            (Stage::Recipient, 421, "4.7.0 Try again later, closing connection", true),
            (Stage::Recipient, 450, "4.7.1 Error: too much mail from 203.0.113.7", true),
            (Stage::Mail, 454, "Throttling failure: Maximum sending rate exceeded.", true),
            (Stage::Mail, 432, "4.3.2 Concurrent connections limit exceeded", true),
            (Stage::Data, 451, "4.7.500 Server busy. Please try again later", true),
            (Stage::Recipient, 450, "4.2.1 The user you are trying to contact is receiving mail too quickly", false),
            (Stage::Recipient, 452, "4.2.2 mailbox full", false),
            (Stage::Recipient, 450, "4.7.1 Greylisted, try again", false),
            (Stage::Sender, 451, "4.7.1 Greylisting in action", false),
            (Stage::Mail, 554, "5.7.0 sending rate", false),
        ] {
            let address = "a@b.example".parse().unwrap();
            let answer = NegativeAnswer { stage, code, text, addresses: &[&address], secure: false };
            assert_eq!(answer.is_crowded(), crowded, "{stage:?}: {code} {text}");
        }
    }

    #[test]
    fn a_server_that_knows_no_ehlo_is_told_from_one_that_refuses_our_name() {
        for (code, text, refuses) in [
            (500, "5.5.1 Command unrecognized: \"EHLO crm.example\"", true),
            (502, "5.5.1 Error: command not implemented", true),
            (501, "Syntax error", true),
            (501, "EHLO is not supported here", true),
            (504, "Command parameter not implemented", true),
            (550, "5.5.1 unknown command EHLO", true),
            (554, "no", true),
            (501, "5.5.4 Invalid EHLO domain name", false),
            (504, "5.5.2 <localhost>: Helo command rejected: need fully-qualified hostname", false),
            (550, "Access denied - Invalid HELO name (See RFC2821 4.1.1.1)", false),
            (554, "5.7.1 Client host [203.0.113.7] blocked using zen.spamhaus.org", false),
            (530, "5.7.0 Must issue a STARTTLS command first", false),
            (421, "busy", false),
            (450, "4.7.1 later", false),
        ] {
            let answer = NegativeAnswer { stage: Stage::Introduction, code, text, addresses: &[], secure: false };
            assert_eq!(answer.refuses_ehlo(), refuses, "{code} {text}");
        }
    }

    #[test]
    fn over_tls_none_is_missing() {
        let address = "a@b.example".parse().unwrap();
        let [open, secure] = [false, true].map(|secure| {
            let text = "5.7.0 Must issue a STARTTLS command first";
            NegativeAnswer { stage: Stage::Recipient, code: 530, text, addresses: &[&address], secure }.our_fault()
        });
        assert_eq!((open, secure), (Some(OurFault::NoTls), Some(OurFault::Login)));
    }
}
