use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;

/// Attempts that differ as those of many workspaces do.
pub(in super::super) fn samples(count: usize) -> Vec<Bytes> {
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

fn dictionary() -> &'static Dictionary {
    static TRAINED: LazyLock<Dictionary> = LazyLock::new(|| Dictionary::train(&samples(400)).unwrap());
    &TRAINED
}

#[test]
fn a_dictionary_is_small_and_makes_attempts_small() {
    let dictionary = dictionary();
    assert!(dictionary.bytes().len() <= DICTIONARY_BYTES_MAX);
    for json in samples(900).split_off(600) {
        let packed = dictionary.pack(&json).unwrap();
        assert!(packed.len() * 3 < json.len(), "{} of {}", packed.len(), json.len());
        assert_eq!(Version::named_by(&packed), Some(dictionary.version()));
        assert_eq!(dictionary.unpack(&packed).unwrap(), json);
    }
}

#[test]
fn a_version_is_the_same_for_the_same_bytes_and_is_told_as_it_is_read() {
    let dictionary = dictionary();
    let again = Dictionary::new(dictionary.bytes().clone());
    assert_eq!(again.version(), dictionary.version());
    assert_eq!(dictionary.version().to_string().parse::<Version>().unwrap(), dictionary.version());
    assert_eq!(Version::of(b"123456789").to_string(), "cbf43926");
    assert_eq!(Version::named_by(b"abc"), None);
}

#[test]
fn what_claims_to_be_larger_than_any_attempt_is_refused() {
    let dictionary = dictionary();
    let most = vec![b' '; UNPACKED_BYTES_MAX];
    assert_eq!(dictionary.unpack(&dictionary.pack(&most).unwrap()).unwrap(), most);
    let more = vec![b' '; UNPACKED_BYTES_MAX + 1];
    assert_eq!(dictionary.pack(&more), None);
    // As a program would have written it that takes more.
    let mut packed = dictionary.version().0.to_be_bytes().to_vec();
    packed.extend(zstd::bulk::compress(&more, 1).unwrap());
    assert!(dictionary.unpack(&packed).is_err());
    let mut packed = dictionary.version().0.to_be_bytes().to_vec();
    packed.extend(zstd::bulk::compress(&most, 1).unwrap());
    assert_eq!(dictionary.unpack(&packed).unwrap(), most);
}

#[test]
fn nothing_to_learn_from_makes_no_dictionary() {
    assert!(Dictionary::train(&[]).is_err());
}

#[test]
fn what_would_not_become_smaller_stays_as_it_is() {
    assert_eq!(dictionary().pack(b"{}"), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_is_packed_is_unpacked(texts in proptest::collection::vec("[a-z\"{}:, é]{20,400}", 1..4)) {
        let dictionary = dictionary();
        for text in texts {
            if let Some(packed) = dictionary.pack(text.as_bytes()) {
                prop_assert!(packed.len() < text.len());
                prop_assert_eq!(dictionary.unpack(&packed).unwrap(), text);
            }
        }
    }

    #[test]
    fn what_is_corrupt_is_an_error_or_something_else_and_never_a_panic(
        n in 0_usize..400, flips in proptest::collection::vec((any::<proptest::sample::Index>(), 1_u8..), 1..4),
        cut in any::<proptest::sample::Index>(), noise in proptest::collection::vec(any::<u8>(), 0..64),
    ) {
        let dictionary = dictionary();
        let packed = dictionary.pack(&samples(400)[n]).unwrap();
        let mut flipped = packed.to_vec();
        for (at, bits) in flips {
            flipped[at.index(packed.len())] ^= bits;
        }
        for bytes in [&flipped[..], &packed[..cut.index(packed.len())], &noise] {
            if let Ok(json) = dictionary.unpack(bytes) {
                prop_assert!(json.len() <= UNPACKED_BYTES_MAX);
            }
        }
        prop_assert!(dictionary.unpack(&packed[..packed.len() - 1]).is_err());
    }
}
