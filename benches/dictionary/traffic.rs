//! Made-up attempts in the stored form, always the same: what producers send, and what endpoints answer.

use std::sync::Arc;

use bytes::Bytes;
use outbound::journal::codec::encode_event;
use outbound::message::{EntryId, Message};
use outbound::workspace::event::{Attempt, AttemptError, ErrorKind, Header, Request, Response, Trigger};
use outbound::workspace::{Event, Time};

use super::languages::Language;

/// Of so many attempts one fails.
const FAILED_OF: usize = 8;
/// Of so many failed ones one got no answer.
const UNANSWERED_OF: usize = 2;
/// Of so many messages one has an attachment.
const ATTACHED_OF: usize = 10;
const SENTENCES_MAX: usize = 4;
/// 2026-01-01T00:00:00Z, and three years from there.
const FROM_MS: u64 = 1_767_225_600_000;
const SPAN_MS: u64 = 3 * 365 * 86_400_000;

const URLS: [&str; 8] = [
    "https://hooks.zapier.com/hooks/catch/{n}/{h}/",
    "https://hook.eu1.make.com/{h}{h}",
    "https://{w}.app.n8n.cloud/webhook/{h}",
    "https://api.{w}.example.com/v1/webhooks/whatsapp",
    "https://crm.{w}.example.com/api/whatsapp/messages",
    "https://{w}.example.com/hook",
    "https://www.{w}.example.com/wp-json/whatsapp/v1/inbound",
    "https://{w}.azurewebsites.net/api/outbound?code={h}",
];

/// Heads and bodies that servers answer with; the head's first line is left out, for only its status is kept.
const ANSWERS: [&str; 8] = [
    "server: nginx\ndate: {d}\ncontent-type: application/json; charset=utf-8\ncontent-length: 15\nconnection: keep-alive\n\n{\"success\":true}",
    "date: {d}\nserver: Apache\ncontent-length: 2\ncontent-type: text/html; charset=UTF-8\n\nOK",
    "date: {d}\ncontent-type: application/json\ncontent-length: 88\nconnection: keep-alive\nserver: nginx\nx-content-type-options: nosniff\nstrict-transport-security: max-age=31536000; includeSubDomains\n\n{\"attempt\":\"{h}\",\"id\":\"{h}\",\"request_id\":\"{h}\",\"status\":\"success\"}",
    "x-powered-by: Express\ncontent-type: application/json; charset=utf-8\ncontent-length: 21\netag: W/\"{h}\"\ndate: {d}\nconnection: keep-alive\nkeep-alive: timeout=5\n\n{\"status\":\"received\"}",
    "date: {d}\ncontent-type: text/plain; charset=utf-8\ntransfer-encoding: chunked\nconnection: keep-alive\nserver: cloudflare\ncf-cache-status: DYNAMIC\ncf-ray: {h}-FRA\n\nAccepted",
    "content-length: 0\ndate: {d}\nserver: Microsoft-IIS/10.0\n\n",
    "content-type: application/json\ndate: {d}\nx-amzn-requestid: {h}\nx-amzn-trace-id: Root=1-{h}\ncontent-length: 16\nvia: 1.1 {h}.cloudfront.net (CloudFront)\n\n{\"message\":\"ok\"}",
    "server: nginx\ndate: {d}\ncontent-type: text/html; charset=UTF-8\nx-powered-by: PHP/8.3\ncache-control: no-store, no-cache, must-revalidate\nvary: Accept-Encoding\n\nok",
];

/// What answers bring with an error, by status.
const REFUSALS: [(u16, &str); 6] = [
    (500, "server: nginx\ndate: {d}\ncontent-type: application/json\n\n{\"error\":\"Internal Server Error\"}"),
    (
        502,
        "server: nginx\ndate: {d}\ncontent-type: text/html\ncontent-length: 150\n\n<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n",
    ),
    (503, "date: {d}\nserver: Apache\nretry-after: 30\ncontent-type: text/html; charset=UTF-8\n\nService Unavailable"),
    (404, "date: {d}\nserver: cloudflare\ncontent-type: application/json\n\n{\"message\":\"Not Found\"}"),
    (401, "date: {d}\ncontent-type: application/json\n\n{\"error\":\"Unauthorized\"}"),
    (429, "date: {d}\ncontent-type: application/json\nretry-after: 1\n\n{\"error\":\"Too Many Requests\"}"),
];

/// The generator.
pub(crate) struct Traffic {
    random: Random,
    seq: u64,
}

impl Traffic {
    pub(crate) fn new(seed: u64) -> Self {
        Self { random: Random(seed), seq: 0 }
    }

    /// The stored form of an attempt whose message says some of `sentences`.
    pub(crate) fn attempt(&mut self, language: &Language, sentences: &[&str]) -> Bytes {
        self.seq = self.random.below(100_000) as u64 + 1;
        let ms = FROM_MS + self.random.next() % SPAN_MS;
        let text = self.message(language, sentences, ms);
        let message = Message::parse(text.into()).expect("a valid message");
        let url = self.random.of(&URLS);
        let url = self.filled(url, "");
        let entry = EntryId { ms, n: 0 };
        let webhook_id = format!("msg_{}_{entry}", self.random.below(16));
        let at = Time::from_unix_ms(i64::try_from(ms).expect("a time of our days") + 20);
        let failed = self.random.below(FAILED_OF) == 0;
        let (error, response) = if failed { self.failure(&url, at) } else { (None, Some(self.answer(at))) };
        let attempt = Attempt {
            at,
            trigger: Trigger::Message,
            entry,
            message_id: Arc::clone(message.message_id()),
            errors: Some(u32::from(failed)),
            config: 1 + self.random.below(4) as u64,
            duration_ms: 10 + u32::try_from(self.random.below(900)).unwrap_or_default(),
            error,
            request: Request {
                url: url.into(),
                headers: self.headers(&webhook_id, at).into(),
                message: Some(message.raw().clone()),
            },
            webhook_id: webhook_id.into(),
            response: response.map(Arc::new),
        };
        let event = if failed { Event::AttemptFailed(attempt.into()) } else { Event::AttemptDelivered(attempt.into()) };
        encode_event(self.seq, &event).expect("an attempt is sequenced")
    }

    /// A producer's object, as the contract shows it.
    fn message(&mut self, language: &Language, sentences: &[&str], ms: u64) -> String {
        let [mut account, mut contact] = [0, 1].map(|_| {
            let name = format!("{} {}", self.random.of(language.first), self.random.of(language.last));
            (name, self.digits(language.phone))
        });
        let email = format!("{}@{}.example.com", self.random.of(&["info", "sales", "office"]), self.word());
        let (whatsapp, person) = (account.clone(), contact.clone());
        let received = self.random.below(2) == 0;
        if received {
            std::mem::swap(&mut account, &mut contact);
        }
        let direction = if received { "received" } else { "sent" };
        let time = date(ms, "%Y-%m-%dT%H:%M:%S+0000");
        let id = self.message_id();
        let mut message = format!(
            r#"{{"whatsapp account":{{"full name":"{}","email":"{email}","phone":"{}"}},"contact":{{"full name":"{}","is_group":false,"phone":"{}"}},"direction":"{direction}","timestamp":"{time}","message_id":"{id}","sender":{{"full name":"{}","phone":"{}"}},"receiver":{{"full name":"{}","phone":"{}"}},"text":"#,
            whatsapp.0, whatsapp.1, person.0, person.1, account.0, account.1, contact.0, contact.1,
        );
        let said = (0..=self.random.below(SENTENCES_MAX)).map(|_| {
            let sentence = self.random.of(sentences);
            let name = self.random.of(language.first);
            self.filled(sentence, name)
        });
        let text = said.collect::<Vec<_>>().join(" ");
        message.push_str(&serde_json::to_string(&text).expect("a text"));
        if self.random.below(ATTACHED_OF) == 0 {
            let file = self.random.of(&["invoice.pdf", "IMG-{n}.jpg", "photo.jpeg", "offer.pdf", "PTT-{n}.opus"]);
            let (file, hex) = (self.filled(file, ""), self.hex());
            let url = format!("https://files.example.com/download/{hex}/{file}");
            message.push_str(&format!(r#","attachment":{{"filename":"{file}","download_url":"{url}"}}"#));
        }
        message.push('}');
        message
    }

    /// An id as messages of WhatsApp have them, and as others make them.
    fn message_id(&mut self) -> String {
        let hex = self.hex();
        match self.random.below(4) {
            0 => format!("wamid.HBgM{}", base64(self.random.next())),
            1 => format!("3EB0{}", hex.to_uppercase()),
            2 => format!("{}-{}-4{}-a{}-{hex}", &hex[..8], &hex[4..8], &hex[1..4], &hex[5..8]),
            _ => hex,
        }
    }

    fn headers(&mut self, webhook_id: &str, at: Time) -> Vec<Header> {
        let signature: String = (0..5).map(|_| base64(self.random.next())).collect();
        let signed = at.unix_seconds().to_string();
        [
            ("content-type", "application/json"),
            ("accept", "*/*"),
            ("user-agent", "outbound/0.1.0"),
            ("webhook-id", webhook_id),
            ("webhook-timestamp", &signed),
            ("webhook-signature", &format!("v1,{}=", &signature[..43])),
        ]
        .map(|(name, value)| (name.into(), value.to_owned().into()))
        .into()
    }

    fn answer(&mut self, at: Time) -> Response {
        let answer = self.random.of(&ANSWERS);
        self.response(200, answer, at)
    }

    fn response(&mut self, status: u16, answer: &str, at: Time) -> Response {
        let ms = u64::try_from(at.unix_seconds()).unwrap_or_default() * 1_000;
        let answer = self.filled(answer, "").replace("{d}", &date(ms, "%a, %d %b %Y %H:%M:%S GMT"));
        let (head, body) = answer.split_once("\n\n").expect("a head and a body");
        let headers = head.lines().filter_map(|line| line.split_once(": "));
        let headers = headers.map(|(name, value)| (name.to_owned().into(), value.to_owned().into()));
        Response { status, headers: headers.collect(), body: body.to_owned(), malformed: Vec::new(), truncated: false }
    }

    fn failure(&mut self, url: &str, at: Time) -> (Option<AttemptError>, Option<Response>) {
        let host = url.split('/').nth(2).unwrap_or_default();
        if self.random.below(UNANSWERED_OF) == 0 {
            let (kind, detail) = match self.random.below(4) {
                0 | 1 => (ErrorKind::Timeout, format!("{host} did not answer within 5s")),
                2 => (ErrorKind::Connect, format!("no connection to {host}:443: connection refused")),
                _ => (
                    ErrorKind::Dns,
                    format!("the name {host} cannot be resolved; check its spelling and its DNS records"),
                ),
            };
            return (Some(AttemptError { kind, detail }), None);
        }
        let (status, answer) = self.random.of(&REFUSALS);
        let error = AttemptError { kind: ErrorKind::HttpStatus, detail: format!("{host} answered {status}") };
        (Some(error), Some(self.response(status, answer, at)))
    }

    /// `text` with its slots filled.
    fn filled(&mut self, text: &str, name: &str) -> String {
        let mut filled = text.replace("{f}", name);
        while let Some(at) = ["{n}", "{p}", "{t}", "{h}", "{w}"].iter().filter_map(|slot| filled.find(slot)).min() {
            let value = match &filled[at + 1..at + 2] {
                "n" => self.random.below(900_000).to_string(),
                "p" => format!("{}.{:02}", self.random.below(2_000), self.random.below(100)),
                "t" => format!("{}:{:02}", 8 + self.random.below(12), 15 * self.random.below(4)),
                "h" => self.hex(),
                _ => self.word(),
            };
            filled.replace_range(at..at + 3, &value);
        }
        filled
    }

    /// A company's name.
    fn word(&mut self) -> String {
        const SYLLABLES: [&str; 16] =
            ["al", "bo", "cen", "dra", "el", "fo", "gri", "ho", "ix", "ka", "lum", "mer", "no", "pel", "ris", "tu"];
        (0..3).map(|_| self.random.of(&SYLLABLES)).collect()
    }

    fn hex(&mut self) -> String {
        format!("{:016x}", self.random.next())
    }

    fn digits(&mut self, pattern: &str) -> String {
        let digit = |c: char| if c == '#' { char::from(b'0' + self.random.below(10) as u8) } else { c };
        pattern.chars().map(digit).collect()
    }
}

fn date(ms: u64, format: &str) -> String {
    let at = jiff::Timestamp::from_millisecond(i64::try_from(ms).expect("a time of our days"));
    at.expect("a time of our days").strftime(format).to_string()
}

fn base64(number: u64) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    (0..10).map(|n| char::from(DIGITS[(number >> (6 * n)) as usize % 64])).collect()
}

/// SplitMix64: the same traffic at every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}
