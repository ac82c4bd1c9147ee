//! Answers as they come from the network (RESP2), read where they lie: a backlog is read so fast that a value of its own for
//! each part of each entry is most of the work. What is read is a slice of the answer and keeps all of it in memory.

use bytes::Bytes;
use redis::{ErrorKind, RedisError, Value};

use super::error::{checked, unexpected};
use crate::journal::port::RawEntry;

/// Where an answer ends. It goes on where it stopped, however the answer is cut on its way.
#[derive(Debug)]
pub(super) struct AnswerEnd {
    at: usize,
    /// Values that are still to come.
    missing: usize,
}

impl AnswerEnd {
    pub(super) fn new() -> Self {
        Self { at: 0, missing: 1 }
    }

    /// How many of the `bytes` are the answer, once they hold all of it. `bytes` begin where they began before.
    ///
    /// # Errors
    /// They are no RESP2.
    pub(super) fn within(&mut self, bytes: &[u8]) -> Result<Option<usize>, RedisError> {
        while self.missing > 0 {
            let Some((kind, line, next)) = header(bytes, self.at) else { return Ok(None) };
            let (mut next, mut inside) = (next, 0);
            match kind {
                b'+' | b'-' | b':' => {}
                b'$' => {
                    if let Some(length) = length(line)? {
                        next = next.saturating_add(length).saturating_add(CRLF.len());
                        if bytes.len() < next {
                            return Ok(None);
                        }
                    }
                }
                b'*' => inside = length(line)?.unwrap_or_default(),
                _ => return Err(no_resp()),
            }
            self.at = next;
            self.missing = (self.missing - 1).saturating_add(inside);
        }
        Ok(Some(self.at))
    }
}

const CRLF: &[u8] = b"\r\n";

/// The kind of the value at `at`, the rest of its first line, and where the next line begins.
fn header(bytes: &[u8], at: usize) -> Option<(u8, &[u8], usize)> {
    let rest = bytes.get(at..)?;
    let end = memchr::memchr(b'\n', rest)?;
    let (kind, line) = rest[..end].split_first()?;
    Some((*kind, line.strip_suffix(b"\r").unwrap_or(line), at + end + 1))
}

/// The length that a line tells; `None` for that of nothing.
fn length(line: &[u8]) -> Result<Option<usize>, RedisError> {
    if line == b"-1" {
        return Ok(None);
    }
    let length = std::str::from_utf8(line).ok().and_then(|text| text.parse().ok());
    length.map(Some).ok_or_else(no_resp)
}

fn no_resp() -> RedisError {
    RedisError::from((ErrorKind::Parse, "what Redis sent is no RESP2"))
}

/// The answer as the library reads it; an error of the server as an error.
pub(super) fn value(answer: &[u8]) -> Result<Value, RedisError> {
    checked(redis::parse_redis_value(answer))
}

/// The entries of several streams by name, as XREAD answers them.
pub(super) fn streams(answer: &Bytes) -> Result<Vec<(Bytes, Vec<RawEntry>)>, RedisError> {
    if answer.first() != Some(&b'*') {
        return Err(value(answer).err().unwrap_or_else(|| unexpected("not a list")));
    }
    let mut answer = Parts { answer, at: 0 };
    let count = answer.list()?.unwrap_or_default();
    let mut streams = Vec::new();
    for _ in 0..count {
        answer.list_of(2)?;
        let name = answer.text()?;
        let entries = answer.list()?.unwrap_or_default();
        streams.push((name, (0..entries).map(|_| answer.entry()).collect::<Result<_, _>>()?));
    }
    Ok(streams)
}

/// The values of an answer that is whole, one after the other.
struct Parts<'a> {
    answer: &'a Bytes,
    at: usize,
}

impl Parts<'_> {
    /// How many values follow that belong together; `None` for nothing.
    fn list(&mut self) -> Result<Option<usize>, RedisError> {
        self.counted(b'*', "not a list")
    }

    fn list_of(&mut self, count: usize) -> Result<(), RedisError> {
        if self.list()? == Some(count) { Ok(()) } else { Err(unexpected("a list of another length")) }
    }

    fn text(&mut self) -> Result<Bytes, RedisError> {
        let length = self.counted(b'$', "not a string")?.ok_or_else(|| unexpected("nothing where a string is due"))?;
        let end = self.at + length;
        if self.answer.len() < end {
            return Err(no_resp());
        }
        let text = self.answer.slice(self.at..end);
        self.at = end + CRLF.len();
        Ok(text)
    }

    fn counted(&mut self, wanted: u8, otherwise: &'static str) -> Result<Option<usize>, RedisError> {
        match header(self.answer, self.at) {
            Some((kind, line, next)) if kind == wanted => {
                self.at = next;
                length(line)
            }
            _ => Err(unexpected(otherwise)),
        }
    }

    fn entry(&mut self) -> Result<RawEntry, RedisError> {
        self.list_of(2)?;
        let id = self.text()?;
        let id = std::str::from_utf8(&id).ok().and_then(|text| text.parse().ok());
        let id = id.ok_or_else(|| unexpected("not an entry id"))?;
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
            let mut end = AnswerEnd::new();
            for cut in cuts {
                prop_assert_eq!(end.within(&wire[..cut]).unwrap(), None, "{} of {}", cut, answer.len());
            }
            prop_assert_eq!(end.within(&wire).unwrap(), Some(answer.len()));
            let read = super::streams(&Bytes::from(answer.clone())).unwrap();
            let theirs = reply::streams(redis::parse_redis_value(&answer).unwrap()).unwrap();
            let theirs: Vec<_> = theirs.into_iter().map(|(name, entries)| (Bytes::from(name), entries)).collect();
            prop_assert_eq!(read, theirs);
        }

        #[test]
        fn what_is_no_answer_is_an_error_and_never_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let mut end = AnswerEnd::new();
            let whole = end.within(&bytes);
            let bytes = Bytes::from(bytes);
            let read = super::streams(&bytes);
            prop_assert!(whole.is_ok() || read.is_err());
        }
    }

    #[test]
    fn nothing_an_error_and_what_is_no_list_are_told_apart() {
        assert_eq!(streams(&Bytes::from_static(b"*-1\r\n")).unwrap(), []);
        let code = |answer: &'static [u8]| streams(&Bytes::from_static(answer)).unwrap_err().code().map(str::to_owned);
        assert_eq!(code(b"-WRONGTYPE Operation against a key\r\n").as_deref(), Some("WRONGTYPE"));
        assert_eq!(code(b"-NOPERM this user\r\n").as_deref(), Some("NOPERM"));
        for odd in [&b":1\r\n"[..], b"+OK\r\n", b"*1\r\n$1\r\na\r\n", b"*1\r\n*2\r\n$1\r\na\r\n", b"*1\r\n*3\r\n"] {
            assert!(streams(&Bytes::from_static(odd)).is_err(), "{odd:?}");
        }
        for (sent, ends) in
            [(&b"+OK\r\n:1\r\n"[..], Some(5)), (b"$-1\r\n", Some(5)), (b"$3\r\nab", None), (b"*2\r\n:1\r\n", None)]
        {
            assert_eq!(AnswerEnd::new().within(sent).unwrap(), ends, "{sent:?}");
        }
        assert!(AnswerEnd::new().within(b"%1\r\n").is_err());
    }
}
