//! Sample traffic: WhatsApp messages of four made-up companies, as a producer would write them
//! ([contract, section 2](crate::docs::contract#2-the-post-out)). The same random numbers make the
//! same messages. Phone numbers are of
//! ranges that are set aside for fiction, hosts are under `example.com`.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use rand::seq::IndexedRandom;
use rand::{Rng, RngExt};
use serde::Serialize;

use crate::message::{RawMessage, WorkspaceId};

/// The workspace whose endpoint fails in the demo.
pub(super) const FAILING: &str = "umbrella";

/// A message and the workspace that it happened in.
#[derive(Debug, Clone)]
pub(super) struct WorkspaceMessage {
    /// The workspace.
    pub(super) workspace: WorkspaceId,
    /// The producer's JSON.
    pub(super) message: RawMessage,
}

/// The workspaces that messages are made for, [`FAILING`] last.
#[must_use]
pub(super) fn workspaces() -> Vec<WorkspaceId> {
    COMPANIES.iter().filter_map(|company| company.workspace.parse().ok()).collect()
}

/// Makes messages without end.
#[derive(Debug)]
pub(super) struct Traffic<R> {
    rng: R,
}

impl<R: Rng> Traffic<R> {
    /// Traffic that `rng` decides.
    pub(super) fn new(rng: R) -> Self {
        Self { rng }
    }

    /// The next message, of any of the workspaces, written at `now`.
    pub(super) fn next_at(&mut self, now: Timestamp) -> WorkspaceMessage {
        let company = &COMPANIES[self.rng.random_range(0..COMPANIES.len())];
        let workspace = company.workspace.parse();
        let message = serde_json::to_vec(&self.message(company, now)).map(Into::into).and_then(RawMessage::from_stored);
        #[expect(
            clippy::expect_used,
            reason = "the companies' names are workspace ids and the message is a plain struct, which serialises"
        )]
        WorkspaceMessage { workspace: workspace.expect("a workspace id"), message: message.expect("JSON") }
    }

    fn message(&mut self, company: &Company, now: Timestamp) -> SampleMessage {
        let account = self.pick(company.accounts);
        let contact = self.pick(CONTACTS);
        // In a group somebody writes, but the chat is the group's, which has no phone.
        let them = SampleParty { name: contact.name, phone: Some(contact.phone) };
        let group = self.rng.random_ratio(1, 8).then(|| SampleParty { name: self.pick(GROUPS), phone: None });
        let us = SampleParty { name: account.name, phone: Some(account.phone) };
        let sent = self.rng.random_bool(0.5);
        let (sender, receiver) = match (sent, group) {
            (true, group) => (us, group.unwrap_or(them)),
            (false, Some(group)) => (them, group),
            (false, None) => (them, us),
        };
        let attachment = self.rng.random_ratio(1, 4).then(|| self.attachment(now));
        let captioned =
            attachment.as_ref().is_none_or(|attachment| !attachment.is_voice() && self.rng.random_bool(0.5));
        SampleMessage {
            account: SampleAccount {
                name: account.name,
                email: format!("{}@{}.example.com", account.mailbox, company.workspace),
                phone: account.phone,
            },
            contact: SampleContact {
                name: group.unwrap_or(them).name,
                is_group: group.is_some(),
                phone: group.unwrap_or(them).phone,
            },
            direction: if sent { "sent" } else { "received" },
            timestamp: now.to_zoned(TimeZone::UTC).strftime("%Y-%m-%dT%H:%M:%S%z").to_string(),
            message_id: self.id(26),
            sender,
            receiver,
            text: captioned.then(|| self.text()),
            attachment,
        }
    }

    fn text(&mut self) -> String {
        let number = self.rng.random_range(1_000..10_000);
        self.pick(TEXTS).replace('#', &number.to_string())
    }

    fn attachment(&mut self, now: Timestamp) -> SampleAttachment {
        let day = now.to_zoned(TimeZone::UTC).strftime("%Y%m%d").to_string();
        let number = self.rng.random_range(1..1_000);
        let filename = match self.rng.random_range(0..4) {
            0 => format!("PTT-{day}-WA{number:04}{VOICE}"),
            1 => format!("IMG-{day}-WA{number:04}.jpg"),
            2 => format!("Invoice {number}.pdf"),
            _ => format!("delivery note {number} (signed).pdf"),
        };
        let download_url = format!("https://files.example.com/{}/{}", self.id(12), filename.replace(' ', "%20"));
        SampleAttachment { filename, download_url }
    }

    fn id(&mut self, length: usize) -> String {
        let letters = b"abcdefghijklmnopqrstuvwxyz0123456789";
        (0..length).map(|_| char::from(letters[self.rng.random_range(0..letters.len())])).collect()
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        #[expect(clippy::expect_used, reason = "every list of this file has an item")]
        *of.choose(&mut self.rng).expect("an item")
    }
}

/// The end of a voice message's name.
const VOICE: &str = ".ogg";

// The members stand in the order of section 2 of src/docs/contract.md.
#[derive(Serialize)]
struct SampleMessage {
    #[serde(rename = "whatsapp account")]
    account: SampleAccount,
    contact: SampleContact,
    direction: &'static str,
    timestamp: String,
    message_id: String,
    sender: SampleParty,
    receiver: SampleParty,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attachment: Option<SampleAttachment>,
}

#[derive(Serialize)]
struct SampleAccount {
    #[serde(rename = "full name")]
    name: &'static str,
    email: String,
    phone: &'static str,
}

#[derive(Serialize)]
struct SampleContact {
    #[serde(rename = "full name")]
    name: &'static str,
    is_group: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    phone: Option<&'static str>,
}

#[derive(Clone, Copy, Serialize)]
struct SampleParty {
    #[serde(rename = "full name")]
    name: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    phone: Option<&'static str>,
}

#[derive(Serialize)]
struct SampleAttachment {
    filename: String,
    download_url: String,
}

impl SampleAttachment {
    fn is_voice(&self) -> bool {
        self.filename.ends_with(VOICE)
    }
}

struct Company {
    workspace: &'static str,
    accounts: &'static [Person],
}

#[derive(Clone, Copy)]
struct Person {
    name: &'static str,
    mailbox: &'static str,
    phone: &'static str,
}

const fn person(name: &'static str, mailbox: &'static str, phone: &'static str) -> Person {
    Person { name, mailbox, phone }
}

const COMPANIES: &[Company] = &[
    Company {
        workspace: "acme",
        accounts: &[person("John Doe", "john.doe", "+12025550101"), person("Wile Coyote", "wile", "+12025550102")],
    },
    Company { workspace: "globex", accounts: &[person("Hank Scorpio", "hank", "+12025550111")] },
    Company {
        workspace: "initech",
        accounts: &[
            person("Peter Gibbons", "peter", "+12025550121"),
            person("Milton Waddams", "milton", "+12025550122"),
        ],
    },
    Company { workspace: FAILING, accounts: &[person("Alice Abernathy", "alice", "+12025550131")] },
];

const CONTACTS: &[Person] = &[
    person("Jane Smith", "jane", "+447700900101"),
    person("Zoë Müller", "zoe", "+447700900102"),
    person("דנה כהן", "dana", "+447700900103"),
    person("محمد علي", "mohamed", "+447700900104"),
    person("山田 花子", "hanako", "+447700900105"),
    person("Conan O\u{2019}Brien", "conan", "+447700900106"),
    person("\"Speedy\" Gonzales", "speedy", "+447700900107"),
    person("Lola 🌻", "lola", "+447700900108"),
];

const GROUPS: &[&str] = &["Sales & support", "Warehouse 7", "Spring fair 🎪"];

const TEXTS: &[&str] = &[
    "Hi, is order #-A ready to be picked up?",
    "Thanks, it arrived this morning 👍",
    "Could you send me the invoice again?\nThe number is #.",
    "Our driver is 20 minutes away.",
    "שלום, מתי אפשר לקבל את המשלוח?",
    "The price is \"final\": # € incl. VAT",
    "👍",
    "Sure, see you on Thursday at 10:30!",
    "https://shop.example.com/orders/#?tab=items&lang=en",
    "Please confirm delivery # before noon. The customer has asked twice, and the gate closes at one.",
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use rand::SeedableRng;
    use rand::rngs::StdRng;
    use serde_json::Value;

    use super::*;
    use crate::message::Message;

    fn samples(seed: u64, count: usize) -> Vec<WorkspaceMessage> {
        let mut traffic = Traffic::new(StdRng::seed_from_u64(seed));
        let now = "2021-02-24T06:25:29Z".parse().unwrap();
        (0..count).map(|_| traffic.next_at(now)).collect()
    }

    #[test]
    fn every_sample_is_a_valid_message_with_an_id_of_its_own() {
        let ids: HashSet<_> = samples(1, 5_000)
            .iter()
            .map(|sample| Message::parse(sample.message.bytes().clone()).unwrap().message_id().clone())
            .collect();
        assert_eq!(ids.len(), 5_000);
    }

    #[test]
    fn the_same_seed_makes_the_same_traffic() {
        let texts = |seed| samples(seed, 50).into_iter().map(|sample| sample.message).collect::<Vec<_>>();
        assert_eq!(texts(7), texts(7));
        assert_ne!(texts(7), texts(8));
    }

    #[test]
    fn members_stand_as_in_the_contract() {
        let sample = &samples(3, 1)[0];
        let text = std::str::from_utf8(sample.message.bytes()).unwrap().to_owned();
        assert!(text.starts_with(r#"{"whatsapp account":{"full name":""#), "{text}");
        assert!(text.contains(r#""timestamp":"2021-02-24T06:25:29+0000","message_id":""#), "{text}");
    }

    #[test]
    fn traffic_has_every_kind_of_message_in_every_workspace() {
        let mut seen = HashSet::new();
        for sample in samples(5, 20_000) {
            let message: Value = serde_json::from_slice(sample.message.bytes()).unwrap();
            let text = message.get("text").is_some();
            let file = message.pointer("/attachment/filename").and_then(Value::as_str);
            assert!(text || file.is_some(), "a message says something: {message}");
            let kind = match file {
                None => "text",
                Some(name) if name.ends_with(VOICE) => "voice",
                Some(_) if text => "captioned file",
                Some(_) => "file",
            };
            let group = message["contact"]["is_group"].as_bool().unwrap();
            assert_eq!(group, message["contact"].get("phone").is_none());
            seen.insert((sample.workspace.to_string(), message["direction"].to_string(), kind, group));
        }
        assert_eq!(workspaces().len(), COMPANIES.len());
        assert_eq!(seen.len(), workspaces().len() * 2 * 4 * 2);
    }
}
