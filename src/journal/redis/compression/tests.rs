use proptest::prelude::*;

use super::*;
use crate::message::EntryId;

/// The newest dictionary.
fn newest() -> &'static Dictionary {
    DICTIONARIES.last().unwrap()
}

/// Attempts that differ as those of many workspaces do.
fn samples(count: usize) -> Vec<Bytes> {
    let sample = |n: usize| {
        let (shop, ms) = (n * 7919 % 257, 1_769_860_800_000 + n * 131);
        let text = ["See you at noon", "Where is my parcel?", "Thanks a lot!", "The invoice is attached"][n % 4];
        Bytes::from(format!(
            r#"{{"v":2,"seq":{n},"type":"attempt_delivered","id":"msg_7_{ms}-0","config":1,"ms":{},"url":"https://shop{shop}.example.com/hook","message":{{"direction":"received","message_id":"{ms:x}","contact":{{"full name":"Customer {n}","phone":"+4477009{:05}"}},"text":"{text}, number {n}"}}}}"#,
            n % 90,
            n * 31 % 100_000,
        ))
    };
    (0..count).map(sample).collect()
}

fn read(compressed: &[u8]) -> Result<Bytes, DecompressError> {
    let fields = vec![(Bytes::from_static(b"z"), Bytes::copy_from_slice(compressed))];
    stored_attempt(&RawEntry { id: EntryId { ms: 3, n: 0 }, fields }).map(|event| event.json)
}

#[test]
fn a_dictionary_is_small_and_makes_attempts_small() {
    assert!(newest().bytes.len() <= DICTIONARY_BYTES_MAX);
    for json in samples(900).split_off(600) {
        let compressed = compress(&json).unwrap();
        assert!(compressed.len() * 2 < json.len(), "{} of {}", compressed.len(), json.len());
        assert_eq!(compressed[0], newest().version);
        assert_eq!(read(&compressed).unwrap(), json);
    }
}

#[test]
fn what_was_shipped_is_never_changed() {
    let shipped = DICTIONARIES.iter().map(|dictionary| (dictionary.version, crc32fast::hash(dictionary.bytes)));
    assert_eq!(shipped.collect::<Vec<_>>(), [(1, 0xed9c_fc0d)]);
}

#[test]
fn a_dictionary_that_is_not_known_is_named() {
    let error = read(b"\xffabc").unwrap_err();
    assert!(matches!(error, DecompressError::UnknownDictionary { seq: 3, version: 255 }), "{error}");
    assert!(matches!(read(b"").unwrap_err(), DecompressError::Malformed { seq: 3, .. }));
}

#[test]
fn what_claims_to_be_larger_than_any_attempt_is_refused() {
    let most = vec![b' '; UNPACKED_BYTES_MAX];
    assert_eq!(read(&compress(&most).unwrap()).unwrap(), most);
    let more = vec![b' '; UNPACKED_BYTES_MAX + 1];
    assert_eq!(compress(&more), None);
    // As a program would have written it that takes more.
    let written = |json: &[u8]| [vec![newest().version], zstd::bulk::compress(json, 1).unwrap()].concat();
    assert!(read(&written(&more)).is_err());
    assert_eq!(read(&written(&most)).unwrap(), most);
}

#[test]
fn what_would_not_become_smaller_stays_as_it_is() {
    assert_eq!(compress(b"{}"), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_is_compressed_is_decompressed(texts in proptest::collection::vec("[a-z\"{}:, é]{20,400}", 1..4)) {
        for text in texts {
            if let Some(compressed) = compress(text.as_bytes()) {
                prop_assert!(compressed.len() < text.len());
                prop_assert_eq!(read(&compressed).unwrap(), text);
            }
        }
    }

    #[test]
    fn what_is_corrupt_is_an_error_or_something_else_and_never_a_panic(
        n in 0_usize..400, flips in proptest::collection::vec((any::<proptest::sample::Index>(), 1_u8..), 1..4),
        cut in any::<proptest::sample::Index>(), noise in proptest::collection::vec(any::<u8>(), 0..64),
    ) {
        let compressed = compress(&samples(400)[n]).unwrap();
        let mut flipped = compressed.to_vec();
        for (at, bits) in flips {
            flipped[at.index(compressed.len())] ^= bits;
        }
        for bytes in [&flipped[..], &compressed[..cut.index(compressed.len())], &noise] {
            if let Ok(json) = read(bytes) {
                prop_assert!(json.len() <= UNPACKED_BYTES_MAX);
            }
        }
        prop_assert!(read(&compressed[..compressed.len() - 1]).is_err());
    }
}
