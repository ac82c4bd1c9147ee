//! Answers as they come from the network (RESP2), read where they lie: a backlog is read so fast that a value of its own for
//! each part of each entry is most of the work. Where an answer's values stand is found while it comes. What is read is a slice of
//! the answer and keeps all of it in memory.

use std::slice;

use bytes::Bytes;
use redis::{ErrorKind, RedisError, Value};

use super::error::{checked, unexpected};
use crate::journal::port::RawEntry;
use crate::message::EntryId;

/// An answer that is whole.
#[derive(Debug, Default)]
pub(super) struct RawAnswer {
    bytes: Bytes,
    parts: Vec<Part>,
}

impl RawAnswer {
    /// The answer as the library reads it; an error of the server as an error.
    pub(super) fn value(&self) -> Result<Value, RedisError> {
        checked(redis::parse_redis_value(&self.bytes))
    }

    /// The entries of several streams by name, as XREAD answers them.
    pub(super) fn streams(&self) -> Result<Vec<(Bytes, Vec<RawEntry>)>, RedisError> {
        if !matches!(self.parts.first(), Some(Part::List(_) | Part::Nothing)) {
            return Err(self.value().err().unwrap_or_else(|| unexpected("not a list")));
        }
        let mut parts = Parts { bytes: &self.bytes, parts: self.parts.iter() };
        let count = parts.list()?.unwrap_or_default();
        let mut streams = Vec::new();
        for _ in 0..count {
            parts.list_of(2)?;
            let name = parts.text()?;
            let entries = parts.list()?.unwrap_or_default();
            streams.push((name, (0..entries).map(|_| parts.entry()).collect::<Result<_, _>>()?));
        }
        Ok(streams)
    }

    /// How many entries the answer holds, all of one stream, and the id of the last one; without making entries of them.
    pub(super) fn last_entry(&self) -> Option<(usize, EntryId)> {
        let [Part::List(1), Part::List(2), Part::Text(..), Part::List(count), entries @ ..] = &*self.parts else {
            return None;
        };
        // An entry is its id and a list; a field is two texts.
        let id = entries.windows(3).rev().find_map(|parts| match parts {
            [Part::List(2), Part::Text(start, end), Part::List(_)] => self.bytes.get(*start..*end),
            _ => None,
        })?;
        Some((*count, entry_id(id).ok()?))
    }
}

/// The id that Redis gave to an entry.
fn entry_id(text: &[u8]) -> Result<EntryId, RedisError> {
    let id = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
    id.ok_or_else(|| unexpected("not an entry id"))
}

/// What stands in an answer, one after the other.
#[derive(Debug, Clone, Copy)]
enum Part {
    /// So many values follow that belong together.
    List(usize),
    /// Bytes, from here to there.
    Text(usize, usize),
    /// No list, or no bytes.
    Nothing,
    /// A number, a word or an error.
    Line,
}

/// Looks through an answer while it comes. It goes on where it stopped, however the answer is cut on its way.
#[derive(Debug)]
pub(super) struct AnswerScan {
    at: usize,
    /// Values that are still to come.
    missing: usize,
    parts: Vec<Part>,
}

impl AnswerScan {
    /// Of an answer that most likely has about so many parts.
    pub(super) fn new(parts: usize) -> Self {
        Self { at: 0, missing: 1, parts: Vec::with_capacity(parts) }
    }

    /// How many of the `bytes` are the answer, once they hold all of it. `bytes` begin where they began before.
    ///
    /// # Errors
    /// They are no RESP2.
    pub(super) fn within(&mut self, bytes: &[u8]) -> Result<Option<usize>, RedisError> {
        while self.missing > 0 {
            let Some((part, next)) = part(bytes, self.at)? else { return Ok(None) };
            let inside = if let Part::List(count) = part { count } else { 0 };
            self.parts.push(part);
            self.at = next;
            self.missing = (self.missing - 1).saturating_add(inside);
        }
        Ok(Some(self.at))
    }

    /// How many parts were found.
    pub(super) fn parts(&self) -> usize {
        self.parts.len()
    }

    /// The answer, of which `bytes` are what [`Self::within`] told.
    pub(super) fn whole(self, bytes: Bytes) -> RawAnswer {
        RawAnswer { bytes, parts: self.parts }
    }
}

const CRLF: &[u8] = b"\r\n";

/// What begins at `at`, and where the next part begins; nothing while it is not all there.
fn part(bytes: &[u8], at: usize) -> Result<Option<(Part, usize)>, RedisError> {
    let Some((kind, rest)) = bytes.get(at..).and_then(<[u8]>::split_first) else { return Ok(None) };
    match kind {
        b'$' | b'*' => {
            let Some((number, digits)) = number(rest)? else { return Ok(None) };
            let next = at + 1 + digits;
            Ok(match number {
                None => Some((Part::Nothing, next)),
                Some(count) if *kind == b'*' => Some((Part::List(count), next)),
                Some(length) => {
                    let end = next.saturating_add(length);
                    let behind = end.saturating_add(CRLF.len());
                    match bytes.get(end..behind) {
                        Some(CRLF) => Some((Part::Text(next, end), behind)),
                        Some(_) => return Err(no_resp()),
                        None => None,
                    }
                }
            })
        }
        b'+' | b'-' | b':' => Ok(memchr::memchr(b'\n', rest).map(|end| (Part::Line, at + 1 + end + 1))),
        _ => Err(no_resp()),
    }
}

/// The number that a line holds, `None` for that of nothing, and the length of the line; nothing while it is not all there.
fn number(line: &[u8]) -> Result<Option<(Option<usize>, usize)>, RedisError> {
    const NOTHING: &[u8] = b"-1\r\n";
    let mut number: usize = 0;
    for (n, byte) in line.iter().enumerate() {
        match byte {
            b'0'..=b'9' => {
                let more = number.checked_mul(10).and_then(|tens| tens.checked_add(usize::from(byte - b'0')));
                number = more.ok_or_else(no_resp)?;
            }
            b'\r' if n > 0 => {
                return match line.get(n + 1) {
                    Some(b'\n') => Ok(Some((Some(number), n + CRLF.len()))),
                    Some(_) => Err(no_resp()),
                    None => Ok(None),
                };
            }
            b'-' if line.starts_with(NOTHING) => return Ok(Some((None, NOTHING.len()))),
            b'-' if NOTHING.starts_with(line) => return Ok(None),
            _ => return Err(no_resp()),
        }
    }
    Ok(None)
}

fn no_resp() -> RedisError {
    RedisError::from((ErrorKind::Parse, "what Redis sent is no RESP2"))
}

/// The values of an answer, one after the other.
struct Parts<'a> {
    bytes: &'a Bytes,
    parts: slice::Iter<'a, Part>,
}

impl Parts<'_> {
    /// How many values follow that belong together; `None` for nothing.
    fn list(&mut self) -> Result<Option<usize>, RedisError> {
        match self.parts.next() {
            Some(Part::List(count)) => Ok(Some(*count)),
            Some(Part::Nothing) => Ok(None),
            _ => Err(unexpected("not a list")),
        }
    }

    fn list_of(&mut self, count: usize) -> Result<(), RedisError> {
        if self.list()? == Some(count) { Ok(()) } else { Err(unexpected("a list of another length")) }
    }

    fn text(&mut self) -> Result<Bytes, RedisError> {
        match self.parts.next() {
            Some(Part::Text(start, end)) => Ok(self.bytes.slice(*start..*end)),
            Some(Part::Nothing) => Err(unexpected("nothing where a string is due")),
            _ => Err(unexpected("not a string")),
        }
    }

    fn entry(&mut self) -> Result<RawEntry, RedisError> {
        self.list_of(2)?;
        let id = entry_id(&self.text()?)?;
        let flat = self.list()?.unwrap_or_default();
        if !flat.is_multiple_of(2) {
            return Err(unexpected("a field without a value"));
        }
        let fields = (0..flat / 2).map(|_| Ok((self.text()?, self.text()?)));
        Ok(RawEntry { id, fields: fields.collect::<Result<_, RedisError>>()? })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::journal::redis::reply;

    type Fields = Vec<(Vec<u8>, Vec<u8>)>;
    type Stream = (String, Vec<((u64, u64), Fields)>);

    /// What XREAD answers, as Redis writes it.
    fn written(streams: &[Stream]) -> Vec<u8> {
        let text = |text: &[u8]| [format!("${}\r\n", text.len()).as_bytes(), text, CRLF].concat();
        let list = |count: usize| format!("*{count}\r\n").into_bytes();
        let mut all = list(streams.len());
        for (name, entries) in streams {
            all.extend([list(2), text(name.as_bytes()), list(entries.len())].concat());
            for ((ms, number), fields) in entries {
                all.extend([list(2), text(format!("{ms}-{number}").as_bytes()), list(2 * fields.len())].concat());
                fields.iter().for_each(|(name, value)| all.extend([text(name), text(value)].concat()));
            }
        }
        all
    }

    fn any_streams() -> impl Strategy<Value = Vec<Stream>> {
        let bytes = || prop_oneof![prop::collection::vec(any::<u8>(), 0..40), Just(b"\r\n$-1\r\n*3\r\n".to_vec())];
        let fields = prop::collection::vec((bytes(), bytes()), 0..4);
        let entries = prop::collection::vec((any::<(u64, u64)>(), fields), 0..5);
        prop::collection::vec(("[a-z:{}]{0,9}", entries), 0..4)
    }

    proptest! {
        #[test]
        fn entries_are_read_as_the_library_reads_them_however_they_are_cut(
            streams in any_streams(),
            behind in prop::collection::vec(any::<u8>(), 0..9),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let answer = written(&streams);
            let wire = [&answer[..], &behind].concat();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(answer.len())).collect();
            cuts.sort_unstable();
            let mut scan = AnswerScan::new(0);
            for cut in cuts {
                prop_assert_eq!(scan.within(&wire[..cut]).unwrap(), None, "{} of {}", cut, answer.len());
            }
            prop_assert_eq!(scan.within(&wire).unwrap(), Some(answer.len()));
            let whole = scan.whole(Bytes::from(answer.clone()));
            let read = whole.streams().unwrap();
            if let [(_, entries)] = &read[..] {
                prop_assert_eq!(whole.last_entry(), entries.last().map(|last| (entries.len(), last.id)));
            } else {
                prop_assert_eq!(whole.last_entry(), None);
            }
            let theirs = reply::streams(redis::parse_redis_value(&answer).unwrap()).unwrap();
            let theirs: Vec<_> = theirs.into_iter().map(|(name, entries)| (Bytes::from(name), entries)).collect();
            prop_assert_eq!(read, theirs);
        }

        #[test]
        fn what_is_no_answer_is_an_error_and_never_a_panic(
            bytes in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..60),
                prop::collection::vec(prop::sample::select(&b"*$-+:0129\r\n"[..]), 0..60),
            ],
        ) {
            let mut scan = AnswerScan::new(0);
            let whole = scan.within(&bytes);
            let theirs = redis::parse_redis_value(&bytes);
            if let Ok(Some(length)) = whole {
                let answer = scan.whole(Bytes::from(bytes).slice(..length));
                prop_assert!(theirs.is_ok() || answer.streams().is_err());
            }
        }
    }

    fn whole(bytes: &'static [u8]) -> RawAnswer {
        let mut scan = AnswerScan::new(0);
        assert_eq!(scan.within(bytes).unwrap(), Some(bytes.len()), "{bytes:?}");
        scan.whole(Bytes::from_static(bytes))
    }

    #[test]
    fn nothing_an_error_and_what_is_no_list_are_told_apart() {
        assert_eq!(whole(b"*-1\r\n").streams().unwrap(), []);
        let code = |answer: &'static [u8]| whole(answer).streams().unwrap_err().code().map(str::to_owned);
        assert_eq!(code(b"-WRONGTYPE Operation against a key\r\n").as_deref(), Some("WRONGTYPE"));
        assert_eq!(code(b"-NOPERM this user\r\n").as_deref(), Some("NOPERM"));
        for odd in [
            &b":1\r\n"[..],
            b"+OK\r\n",
            b"$1\r\na\r\n",
            b"*1\r\n$1\r\na\r\n",
            b"*1\r\n*2\r\n$1\r\na\r\n:1\r\n",
            b"*1\r\n*3\r\n:1\r\n:1\r\n:1\r\n",
            b"*1\r\n*2\r\n$-1\r\n*0\r\n",
        ] {
            assert!(whole(odd).streams().is_err(), "{odd:?}");
        }
        assert!(RawAnswer::default().streams().is_err() && RawAnswer::default().value().is_err());
    }

    #[test]
    fn an_answer_ends_where_its_last_value_does() {
        for (sent, ends) in [
            (&b"+OK\r\n:1\r\n"[..], Some(5)),
            (b"$-1\r\n", Some(5)),
            (b"$3\r\nab", None),
            (b"$3\r\nabc\r", None),
            (b"$0\r\n\r\n", Some(6)),
            (b"*0\r\n", Some(4)),
            (b"*2\r\n:1\r\n", None),
            (b"*2\r", None),
            (b"$-", None),
            (b"$18446744073709551615\r\n", None),
        ] {
            assert_eq!(AnswerScan::new(0).within(sent).unwrap(), ends, "{sent:?}");
        }
        for odd in [
            &b"%1\r\n"[..],
            b"$\r\n",
            b"$1\n",
            b"$1\rx",
            b"*-2\r\n",
            b"$1x\r\n",
            b"$1\r\nabc",
            b"$18446744073709551616\r\n",
        ] {
            assert!(AnswerScan::new(0).within(odd).is_err(), "{odd:?}");
        }
    }
}
