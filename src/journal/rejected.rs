//! What is kept of an entry that is no valid message (CONTRACT section 1).

use bytes::Bytes;

use super::port::RawEntry;
use crate::workspace::time::Time;

/// A longer value is cut …
pub const VALUE_BYTES_MAX: usize = 256 * 1024;
/// … to this.
pub const VALUE_BYTES_KEPT: usize = 64 * 1024;
/// Fields kept in all, with ours.
pub const FIELDS_MAX: usize = 16;
/// Bytes of names and values kept in all, with ours.
pub const BYTES_MAX: usize = 512 * 1024;
/// Bytes of a reason.
const REASON_BYTES_MAX: usize = 1024;
/// `_id`, `_reason`, `_at`, `_bytes`.
const OWN_FIELDS: usize = 4;
/// What our own fields take at most: names, an id, a reason, a time, a number.
const OWN_BYTES: usize = REASON_BYTES_MAX + 256;

/// The fields to keep of `entry`: its own, cut to the bounds, then `_id`, `_reason` and `_at`, and
/// when anything was cut `_bytes`, how many bytes it had.
#[must_use]
pub fn rejected_fields(entry: &RawEntry, reason: &str, at: Time) -> Vec<(Bytes, Bytes)> {
    let mut left = BYTES_MAX - OWN_BYTES;
    let mut fields = Vec::with_capacity(FIELDS_MAX);
    for (name, value) in entry.fields.iter().take(FIELDS_MAX - OWN_FIELDS) {
        // A name that leaves no room for a value tells nothing.
        if name.len() > VALUE_BYTES_KEPT || name.len() >= left {
            continue;
        }
        let kept = if value.len() > VALUE_BYTES_MAX { VALUE_BYTES_KEPT } else { value.len() };
        let kept = kept.min(left - name.len());
        left -= name.len() + kept;
        fields.push((name.clone(), value.slice(..kept)));
    }
    let kept = fields.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
    let mut own = |name: &'static str, value: String| fields.push((Bytes::from_static(name.as_bytes()), value.into()));
    own("_id", entry.id.to_string());
    own("_reason", reason[..reason.floor_char_boundary(REASON_BYTES_MAX)].to_owned());
    own("_at", at.to_string());
    if kept < entry.bytes() {
        own("_bytes", entry.bytes().to_string());
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::EntryId;

    fn entry(fields: Vec<(Bytes, Bytes)>) -> RawEntry {
        RawEntry { id: EntryId { ms: 5, n: 1 }, fields }
    }

    fn bytes(fields: &[(Bytes, Bytes)]) -> usize {
        fields.iter().map(|(name, value)| name.len() + value.len()).sum()
    }

    fn names(fields: &[(Bytes, Bytes)]) -> Vec<&str> {
        fields.iter().map(|(name, _)| std::str::from_utf8(name).unwrap()).collect()
    }

    #[test]
    fn a_small_entry_is_kept_whole_with_id_reason_and_time() {
        let kept = rejected_fields(&entry(vec![("workspace".into(), "acme".into())]), "no message", Time::default());
        assert_eq!(names(&kept), ["workspace", "_id", "_reason", "_at"]);
        assert_eq!(kept[1].1, "5-1");
        assert_eq!(kept[2].1, "no message");
        assert_eq!(kept[3].1, "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn a_value_over_the_limit_keeps_its_first_64_kib_and_its_length_is_told() {
        let whole =
            rejected_fields(&entry(vec![("m".into(), vec![b'x'; VALUE_BYTES_MAX].into())]), "", Time::default());
        assert_eq!(whole[0].1.len(), VALUE_BYTES_MAX);
        let kept =
            rejected_fields(&entry(vec![("m".into(), vec![b'x'; VALUE_BYTES_MAX + 1].into())]), "", Time::default());
        assert_eq!(kept[0].1.len(), VALUE_BYTES_KEPT);
        assert_eq!(*kept.last().unwrap(), ("_bytes".into(), (VALUE_BYTES_MAX + 2).to_string().into()));
    }

    #[test]
    fn whatever_comes_at_most_16_fields_and_512_kib_are_kept() {
        let many = (0..100).map(|n| (format!("f{n}").into(), vec![b'x'; 100 * 1024].into())).collect();
        let kept = rejected_fields(&entry(many), &"é".repeat(4096), Time::default());
        assert!(kept.len() <= FIELDS_MAX && bytes(&kept) <= BYTES_MAX);
        assert_eq!(names(&kept)[0], "f0");
        let names_alone = (0..12).map(|_| (vec![b'n'; VALUE_BYTES_KEPT].into(), Bytes::new())).collect();
        assert!(bytes(&rejected_fields(&entry(names_alone), "", Time::default())) <= BYTES_MAX);
    }
}
