//! What an attempt costs in Redis: `bytes`. Logs fill to 100 attempts, stored as JSON and as zstd.
//!
//! The figure is the growth of `used_memory` from configured workspaces to full logs, with the service
//! stopped at both moments, divided by the attempts in the logs: keys, snapshots and
//! whatever Redis allocates and does not use are in it. It is set beside what would have to be kept anyway: the
//! body that was POSTed, and headers and body of the answer; once more with the headers of the request too.
//!
//! Bodies have 400 to 2,000 bytes, evenly. What they say must not be easier to compress than real ones: an
//! account and a contact, whose names, phones and addresses are each workspace's and chat's own, ids that
//! are random, and a text. The endpoint answers with five headers and a small JSON body, always the same.
//!
//! The text that the targets are for is English sentences that are not in the sample of the shipped dictionary, none
//! twice in a body. Random words have no target: those of LICENSE, drawn with the frequency that they have
//! there but one by one, so that no phrase comes twice as it would in a language, and no dictionary helps.
//!
//! `random_bytes` is what no dictionary can know of an attempt: the information in the names, phones, ids and times that
//! are drawn, and the signature; clocks and counters are left out. `text_bytes` is how long the text is. A target is
//! within reach when Redis' own bytes and the random ones leave the text as many as zstd needs for it.

use outbound::journal::port::ATTEMPTS_RETAINED;
use redis::Connection;
use support::held_out::HELD_OUT;

use super::process::Usage;
use super::progress;
use super::receiver::TOLD;
use super::report::{Report, Target};
use super::run::{Bench, Tally, wait};
use super::scenario::Size;
use super::seen::unix_us;
use super::store::{self, owed, shard, stream, workspace};

/// Workspaces of a measurement are this part of other scenarios': a log is a hundred messages.
const WORKSPACES_PART: usize = 10;
const CHATS: usize = 5;
/// Messages a workspace: when the last comes, none of the first stands in the log.
const EACH: usize = 2 * ATTEMPTS_RETAINED;
const BODY: std::ops::RangeInclusive<usize> = 400..=2_000;
/// Messages a pipeline.
const PIPELINE: usize = 256;
/// Bytes of names and values of the headers that we send.
const REQUEST_HEADERS: usize = concat!(
    "content-typeapplication/jsonaccept*/*user-agentoutbound/",
    env!("CARGO_PKG_VERSION"),
    "webhook-idmsg_7_1769860800000-0webhook-timestamp1769860800",
    "webhook-signaturev1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=",
)
.len();
/// An HMAC-SHA256, which the log shows as 44 characters.
const SIGNATURE_BYTES: f64 = 32.0;
const PLAIN_MAX: f64 = 1.3;
const ZSTD_MAX: f64 = 0.45;

/// What the messages say.
#[derive(Debug, Clone, Copy)]
enum Text {
    Sentences,
    RandomWords,
}

/// What one form costs.
struct Cost {
    /// Bytes an attempt: as Redis accounts for them, and of what must be kept.
    stored: f64,
    kept: f64,
    random: f64,
    text: f64,
    service_us: f64,
    redis_us: f64,
    rss_mib: f64,
    tally: Tally,
}

pub(crate) async fn measure(size: &Size) -> Report {
    let workspaces = (size.workspaces / WORKSPACES_PART).max(1);
    let (mut plain, mut zstd, mut words) = (Vec::new(), Vec::new(), Vec::new());
    for turn in 1..=size.pairs {
        let step =
            |form: &str| progress::step(&format!("{workspaces} full logs {form}, turn {turn} of {}", size.pairs));
        step("as JSON");
        plain.push(cost("none", Text::Sentences, workspaces).await);
        step("as zstd");
        zstd.push(cost("zstd", Text::Sentences, workspaces).await);
        step("of random words as zstd");
        words.push(cost("zstd", Text::RandomWords, workspaces).await);
    }
    let over = |costs: &[Cost], figure: fn(&Cost) -> f64| costs.iter().map(figure).collect::<Vec<_>>();
    let mut report = Report {
        rss_mb: Some(over(&zstd, |cost| cost.rss_mib).into_iter().fold(0.0, f64::max)),
        tally: plain.iter().chain(&zstd).chain(&words).map(|cost| cost.tally).sum(),
        ..Report::default()
    };
    report.measured("kept_bytes", &over(&plain, |cost| cost.kept));
    report.measured("random_bytes", &over(&plain, |cost| cost.random));
    report.measured("text_bytes", &over(&plain, |cost| cost.text));
    let mut ratios = Vec::new();
    for (name, costs) in [("plain", &plain), ("zstd", &zstd), ("random_words_zstd", &words)] {
        report.measured(&format!("{name}_bytes"), &over(costs, |cost| cost.stored));
        ratios.push(report.measured(&format!("{name}_ratio"), &over(costs, |cost| cost.stored / cost.kept)));
        let with_request = over(costs, |cost| cost.stored / (cost.kept + REQUEST_HEADERS as f64));
        report.measured(&format!("{name}_ratio_with_request_headers"), &with_request);
        report.measured(&format!("{name}_service_us"), &over(costs, |cost| cost.service_us));
        report.measured(&format!("{name}_redis_us"), &over(costs, |cost| cost.redis_us));
    }
    report.targets = vec![
        Target::at_most("plain ÷ (payload + kept response)", ratios[0], PLAIN_MAX),
        Target::at_most("zstd ÷ (payload + kept response)", ratios[1], ZSTD_MAX),
    ];
    report
}

async fn cost(compression: &str, text: Text, workspaces: usize) -> Cost {
    let mut bench = Bench::start();
    let mut redis = bench.connect();
    let flags = ["--journal-compression", compression];
    let mut outbound = bench.outbound(&flags).await;
    outbound.configure((0..workspaces).map(|n| (n, bench.url("told", n, workspaces)))).await;
    outbound.process.terminate();
    let empty = used_memory(&mut bench.connect());

    let mut messages = Messages::new(text, workspaces);
    let mut outbound = bench.outbound(&flags).await;
    bench.receiver.process.tell("reset");
    let (before, used) = (bench.others(), Usage::of(outbound.process.child.id()));
    let sent = EACH * workspaces;
    messages.append(&mut redis, sent);
    wait(|| owed(&mut redis) == 0, sent, &mut bench.receiver);
    let ended = Usage::of(outbound.process.child.id());
    let run = bench.run(sent, Usage { cpu_us: ended.cpu_us - used.cpu_us, ..ended }, &before, &bench.others());
    outbound.process.terminate();

    // What Redis holds for a connection that appended much is no cost of the log.
    drop(redis);
    let mut redis = bench.connect();
    let mut length = |n| store::entries(&mut redis, std::iter::once(attempts(n))) as usize;
    let lengths: Vec<usize> = (0..workspaces).map(&mut length).collect();
    let logged = lengths.iter().sum::<usize>() as f64;
    let bodies: usize = lengths.iter().enumerate().map(|(n, length)| messages.last_bytes(n, *length)).sum();
    Cost {
        stored: (used_memory(&mut redis) - empty) / logged,
        kept: bodies as f64 / logged + kept_of_answer() as f64,
        random: messages.bits / 8.0 / sent as f64 + SIGNATURE_BYTES,
        text: messages.text_bytes as f64 / sent as f64,
        service_us: run.deliverer_us,
        redis_us: run.redis_us,
        rss_mib: run.peak_rss_mib,
        tally: run.tally,
    }
}

fn attempts(n: usize) -> String {
    format!("outbound:{{{}}}:attempts:{}", shard(n), workspace(n))
}

fn used_memory(redis: &mut Connection) -> f64 {
    let info: String = redis::cmd("INFO").arg("memory").query(redis).expect("the memory of Redis");
    let used = info.lines().find_map(|line| line.strip_prefix("used_memory:"));
    used.and_then(|bytes| bytes.parse().ok()).expect("a number")
}

/// Bytes of names and values of the answer's headers, and of its body.
fn kept_of_answer() -> usize {
    let answer = std::str::from_utf8(TOLD).expect("a text");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let headers = head.lines().skip(1).filter_map(|line| line.split_once(": "));
    headers.map(|(name, value)| name.len() + value.len()).sum::<usize>() + body.len()
}

/// Messages, and how large their bodies were.
struct Messages {
    random: Random,
    text: Text,
    words: Vec<&'static str>,
    /// By workspace, in order.
    bytes: Vec<Vec<usize>>,
    /// Of all messages: the texts, and what was drawn beside them.
    text_bytes: usize,
    bits: f64,
    next: usize,
}

impl Messages {
    fn new(text: Text, workspaces: usize) -> Self {
        let page = include_str!("../../LICENSE");
        let words = page
            .split_whitespace()
            .filter(|word| word.chars().all(|c| c.is_ascii_alphabetic() || ".,:;?!".contains(c)));
        let bytes = vec![Vec::new(); workspaces];
        Self { random: Random::new(7), text, words: words.collect(), bytes, text_bytes: 0, bits: 0.0, next: 0 }
    }

    /// Bytes of the last bodies of workspace `n`.
    fn last_bytes(&self, n: usize, count: usize) -> usize {
        self.bytes[n].iter().rev().take(count).sum()
    }

    fn append(&mut self, redis: &mut Connection, count: usize) {
        let end = self.next + count;
        while self.next < end {
            let mut pipeline = redis::pipe();
            for _ in 0..PIPELINE.min(end - self.next) {
                let n = self.next % self.bytes.len();
                let message = self.message(n);
                let cmd = pipeline.cmd("XADD").arg(stream(n)).arg("*");
                cmd.arg("workspace").arg(workspace(n)).arg("message").arg(message).ignore();
                self.next += 1;
            }
            pipeline.query::<()>(redis).expect("appended messages");
        }
    }

    /// The next message of workspace `n`, whose id tells the receiver its number and when it was appended.
    fn message(&mut self, n: usize) -> String {
        let (number, now) = (self.next, unix_us());
        let chat = self.next / self.bytes.len() % CHATS;
        let (account, contact) = (Person::of(n * (CHATS + 1)), Person::of(n * (CHATS + 1) + 1 + chat));
        let wanted = self.random.within(*BODY.start(), *BODY.end());
        let drawn = self.random.bits;
        let received = self.random.below(2) == 0;
        let (direction, sender, receiver) =
            if received { ("received", &contact, &account) } else { ("sent", &account, &contact) };
        let (day, second) = (self.random.within(1, 28), self.random.below(86_400));
        let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
        let mut message = format!(
            concat!(
                r#"{{"whatsapp account":{{"full name":"{}","email":"{}","phone":"{}"}},"#,
                r#""contact":{{"full name":"{}","is_group":false,"phone":"{}"}},"direction":"{}","#,
                r#""timestamp":"2026-01-{:02}T{:02}:{:02}:{:02}+0000","message_id":"{}-{}-{:016X}","#,
                r#""sender":{{"full name":"{}","phone":"{}"}},"receiver":{{"full name":"{}","phone":"{}"}},"text":""#
            ),
            account.name,
            account.email,
            account.phone,
            contact.name,
            contact.phone,
            direction,
            day,
            hour,
            minute,
            second,
            number,
            now,
            self.random.next(),
            sender.name,
            sender.phone,
            receiver.name,
            receiver.phone,
        );
        self.bits += self.random.bits - drawn + account.bits + contact.bits;
        let head = message.len();
        let body = |message: &str| message.len() + r#"{"message":"}}"#.len();
        let mut sentences = HELD_OUT.to_vec();
        while body(&message) < wanted {
            let piece = match self.text {
                Text::Sentences => self.sentence(&mut sentences, contact.first_name()),
                Text::RandomWords => self.word(),
            };
            message.push_str(&piece[..piece.len().min(wanted - body(&message))]);
        }
        self.bytes[n].push(body(&message));
        self.text_bytes += message.len() - head;
        message.push_str("\"}");
        message
    }

    /// One of `sentences`, which loses it.
    fn sentence(&mut self, sentences: &mut Vec<&str>, name: &str) -> String {
        let sentence = sentences.swap_remove(self.random.below(sentences.len()));
        let number = self.random.below(100_000).to_string();
        let price = format!("{}.{:02}", self.random.below(2_000), self.random.below(100));
        let time = format!("{}:{:02}", 8 + self.random.below(12), 15 * self.random.below(4));
        sentence.replace("{n}", &number).replace("{p}", &price).replace("{t}", &time).replace("{f}", name) + " "
    }

    fn word(&mut self) -> String {
        match self.random.below(12) {
            0 => format!("{} ", self.random.below(100_000)),
            _ => format!("{} ", self.words[self.random.below(self.words.len())]),
        }
    }
}

struct Person {
    name: String,
    email: String,
    phone: String,
    /// The information in all of it.
    bits: f64,
}

impl Person {
    /// Always the same for the same number.
    fn of(number: usize) -> Self {
        const SYLLABLES: [&str; 24] = [
            "ba", "ren", "lo", "mi", "tar", "sha", "ko", "wel", "ni", "dor", "es", "pa", "ju", "han", "vi", "ro",
            "gal", "te", "or", "fin", "zu", "cha", "li", "man",
        ];
        let mut random = Random::new(number as u64 + 1_000);
        let mut name = |count: usize| {
            let text: String = (0..count).map(|_| SYLLABLES[random.below(SYLLABLES.len())]).collect();
            text[..1].to_uppercase() + &text[1..]
        };
        let (first, last) = (name(2), name(3));
        let email = format!("{}.{}@{}.example", first.to_lowercase(), last.to_lowercase(), name(3).to_lowercase());
        let phone = format!("+97254{:07}", random.below(10_000_000));
        Self { name: format!("{first} {last}"), email, phone, bits: random.bits }
    }

    fn first_name(&self) -> &str {
        self.name.split(' ').next().unwrap_or_default()
    }
}

/// SplitMix64: the same messages at every run.
struct Random {
    state: u64,
    /// The information in what was drawn.
    bits: f64,
}

impl Random {
    fn new(seed: u64) -> Self {
        Self { state: seed, bits: 0.0 }
    }

    fn next(&mut self) -> u64 {
        self.bits += f64::from(u64::BITS);
        self.drawn()
    }

    fn drawn(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        self.bits += (bound as f64).log2();
        (self.drawn() % bound as u64) as usize
    }

    fn within(&mut self, least: usize, most: usize) -> usize {
        least + self.below(most - least + 1)
    }
}
