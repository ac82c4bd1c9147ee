//! Answers of Redis, taken apart by hand: the library's stream types lose the order of fields and
//! copy every value.

use std::time::Duration;

use bytes::Bytes;
use redis::{RedisError, Value};

use super::error::unexpected;
use crate::journal::port::RawEntry;
use crate::message::EntryId;
use crate::workspace::time::Time;

/// A list.
pub(super) fn list(value: Value) -> Result<Vec<Value>, RedisError> {
    match value {
        Value::Array(items) => Ok(items),
        Value::Nil => Ok(Vec::new()),
        _ => Err(unexpected("not a list")),
    }
}

/// A list of exactly so many.
pub(super) fn tuple<const N: usize>(value: Value) -> Result<[Value; N], RedisError> {
    list(value)?.try_into().map_err(|_| unexpected("a list of another length"))
}

/// Bytes, or `None` when there is nothing.
pub(super) fn bytes(value: Value) -> Result<Option<Bytes>, RedisError> {
    match value {
        Value::BulkString(bytes) => Ok(Some(bytes.into())),
        Value::SimpleString(text) => Ok(Some(text.into_bytes().into())),
        Value::Okay => Ok(Some(Bytes::from_static(b"OK"))),
        Value::Nil => Ok(None),
        _ => Err(unexpected("not a string")),
    }
}

/// A text.
pub(super) fn text(value: Value) -> Result<String, RedisError> {
    let bytes = bytes(value)?.ok_or_else(|| unexpected("nothing where a string is due"))?;
    String::from_utf8(bytes.into()).map_err(|_| unexpected("a string that is not UTF-8"))
}

/// A number, as such or as text.
pub(super) fn number(value: Value) -> Result<u64, RedisError> {
    let wrong = || unexpected("not a number");
    match value {
        Value::Int(number) => u64::try_from(number).map_err(|_| wrong()),
        other => text(other)?.parse().map_err(|_| wrong()),
    }
}

/// A moment, as TIME answers it: seconds since the Unix epoch, and microseconds.
pub(super) fn time(value: Value) -> Result<Time, RedisError> {
    let [seconds, micros] = tuple(value)?;
    let (seconds, micros) = (Duration::from_secs(number(seconds)?), Duration::from_micros(number(micros)?));
    Ok(Time::from_unix_ms(0).plus(seconds.saturating_add(micros)))
}

/// A moment in Unix ms.
pub(super) fn unix_ms(value: Value) -> Result<Time, RedisError> {
    let ms = i64::try_from(number(value)?).map_err(|_| unexpected("no time"))?;
    Ok(Time::from_unix_ms(ms))
}

/// An entry id.
pub(super) fn id(value: Value) -> Result<EntryId, RedisError> {
    let id = match &value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok().and_then(|text| text.parse().ok()),
        _ => text(value)?.parse().ok(),
    };
    id.ok_or_else(|| unexpected("not an entry id"))
}

/// The entries of one stream, as XRANGE answers them.
pub(super) fn entries(value: Value) -> Result<Vec<RawEntry>, RedisError> {
    list(value)?.into_iter().map(entry).collect()
}

/// The entries of one stream, as take.lua answers them, and how many bytes each has that was cut.
pub(super) fn taken(value: Value) -> Result<Vec<(RawEntry, Option<usize>)>, RedisError> {
    let taken = |value| {
        let mut parts = list(value)?;
        let bytes = if parts.len() > 2 { parts.pop().map(number).transpose()? } else { None };
        let bytes = bytes.map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        Ok((entry(Value::Array(parts))?, bytes))
    };
    list(value)?.into_iter().map(taken).collect()
}

/// The entries of several streams by name, as XREAD answers them.
pub(super) fn streams(value: Value) -> Result<Vec<(String, Vec<RawEntry>)>, RedisError> {
    let stream = |value| {
        let [name, found] = tuple(value)?;
        Ok((text(name)?, entries(found)?))
    };
    list(value)?.into_iter().map(stream).collect()
}

fn entry(value: Value) -> Result<RawEntry, RedisError> {
    let [name, flat] = tuple(value)?;
    let id = id(name)?;
    let mut flat = list(flat)?.into_iter();
    let mut fields = Vec::with_capacity(flat.len() / 2);
    while let Some(field) = flat.next() {
        let value = flat.next().ok_or_else(|| unexpected("a field without a value"))?;
        let pair = bytes(field)?.zip(bytes(value)?);
        fields.push(pair.ok_or_else(|| unexpected("nothing where a field is due"))?);
    }
    Ok(RawEntry { id, fields })
}

/// What INFO says under a name; empty where it says nothing.
pub(super) fn info_value<'a>(info: &'a str, name: &str) -> &'a str {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap_or_default().trim()
}
