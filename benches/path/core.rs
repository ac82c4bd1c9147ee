//! What each step of a message's path costs by itself, without network or store.
//!
//! `cargo bench --bench core`; one step: `cargo bench --bench core -- sign`.

#![allow(missing_docs, reason = "a program; nobody links to it")]
#![allow(clippy::expect_used, reason = "what fails here ends the bench with its reason")]

mod sample;

use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use outbound::journal::codec::{decode_event, decode_snapshot, encode_event, encode_snapshot};
use outbound::message::Message;
use outbound::sign::{Secret, sign, verify};
use outbound::workspace::{Policy, decide};

/// The program's own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Bytes of a message: a short text, the size of the figures in src/docs/performance.md, a long text.
const SIZES: [usize; 3] = [400, 700, 2_000];

fn main() {
    divan::main();
}

/// From the producer's bytes to a checked message.
#[divan::bench(args = SIZES)]
fn parse(bencher: Bencher<'_, '_>, bytes: usize) {
    let text = sample::message(bytes);
    bencher.counter(BytesCount::new(text.len())).bench(|| Message::parse(black_box(text.clone())).expect("a message"));
}

/// What follows from a delivery.
#[divan::bench]
fn decide(bencher: Bencher<'_, '_>) {
    let (state, policy) = (sample::state(), Policy::default());
    bencher
        .counter(ItemsCount::new(1_usize))
        .with_inputs(|| sample::attempt(700))
        .bench_values(|attempt| decide::outcome(black_box(&state), attempt, sample::NOW, &policy));
}

/// Folding that into the state.
#[divan::bench]
fn evolve(bencher: Bencher<'_, '_>) {
    let event = sample::delivered(700);
    let mut state = sample::state();
    bencher.counter(ItemsCount::new(1_usize)).bench_local(|| state.evolve(black_box(&event)));
}

/// One signature.
#[divan::bench(args = SIZES)]
fn sign_body(bencher: Bencher<'_, '_>, bytes: usize) {
    let (secret, body) = ([sample::secret()], sample::message(bytes));
    bencher
        .counter(BytesCount::new(body.len()))
        .bench(|| sign(black_box(&secret), sample::WEBHOOK_ID, sample::NOW.unix_seconds(), black_box(&body)));
}

/// What the receiver of the demo does with it.
#[divan::bench(args = SIZES)]
fn verify_body(bencher: Bencher<'_, '_>, bytes: usize) {
    let (secret, body, at): (Secret, _, _) = (sample::secret(), sample::message(bytes), sample::NOW.unix_seconds());
    let header = sign(std::slice::from_ref(&secret), sample::WEBHOOK_ID, at, &body);
    bencher.counter(BytesCount::new(body.len())).bench(|| {
        verify(&secret, sample::WEBHOOK_ID, at, black_box(&body), black_box(&header), at).expect("our own signature")
    });
}

/// An attempt in its stored form; the throughput is that of the form.
#[divan::bench(args = SIZES)]
fn encode(bencher: Bencher<'_, '_>, bytes: usize) {
    let event = sample::delivered(bytes);
    let stored = encode_event(1, &event).expect("an attempt is stored");
    bencher.counter(BytesCount::new(stored.len())).bench(|| encode_event(black_box(1), black_box(&event)));
}

/// … and read again.
#[divan::bench(args = SIZES)]
fn decode(bencher: Bencher<'_, '_>, bytes: usize) {
    let stored = encode_event(1, &sample::delivered(bytes)).expect("an attempt is stored");
    bencher
        .counter(BytesCount::new(stored.len()))
        .bench(|| decode_event(black_box(&stored)).expect("what was just written"));
}

#[divan::bench]
fn encode_state(bencher: Bencher<'_, '_>) {
    let state = sample::state();
    let stored = encode_snapshot(&state);
    bencher.counter(BytesCount::new(stored.len())).bench(|| encode_snapshot(black_box(&state)));
}

#[divan::bench]
fn decode_state(bencher: Bencher<'_, '_>) {
    let stored = encode_snapshot(&sample::state());
    bencher
        .counter(BytesCount::new(stored.len()))
        .bench(|| decode_snapshot(black_box(&stored)).expect("what was just written"));
}
