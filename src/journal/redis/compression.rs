//! The compressed form of an attempt: one byte that names a dictionary, then a zstd frame.
//!
//! Attempts are too small, and too much alike, to be compressed each for itself: what they share stands in a
//! dictionary of at most [`DICTIONARY_BYTES_MAX`] bytes; a larger one gains nothing
//! ([performance](crate::docs::performance#the-physical-limits)). Dictionaries are part of the program. `make
//! dictionary` builds one from generated traffic, so that none holds a piece of anybody's messages.

use std::io::{self, Cursor};

use bytes::Bytes;
use parking_lot::Mutex;
use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::CParameter;

use crate::config::{DICTIONARY_BYTES_MAX, UNPACKED_BYTES_MAX};
use crate::journal::port::{LoadError, RawEntry, StoredEvent};
use crate::message::WorkspaceId;

/// Every dictionary that was ever shipped, oldest first. None is changed or removed: stored attempts name it.
static DICTIONARIES: [Dictionary; 1] = [Dictionary::new(1, include_bytes!("dictionary-1.zdict"))];

/// The higher ones take longer and gain little once there is a dictionary.
const LEVEL: i32 = 1;
/// Parameters that make texts as short as these 3 % smaller for the same time: shorter matches than the
/// level looks for, and a table in which a dictionary of this size loses none of them to others.
const MATCH_BYTES_MIN: u32 = 5;
const TABLE_BITS: u32 = 15;

/// Why a stored attempt cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum DecompressError {
    #[error(
        "the attempt at seq {seq} is compressed with dictionary {version}, which this program does not have: start \
         the newer program"
    )]
    UnknownDictionary { seq: u64, version: u8 },
    #[error("the attempt at seq {seq} cannot be decompressed: {source}")]
    Malformed { seq: u64, source: io::Error },
    #[error("the attempt at seq {seq} has neither the field e nor z")]
    NoField { seq: u64 },
}

impl DecompressError {
    /// The same, as what it means for loading `workspace`.
    pub(super) fn for_workspace(&self, workspace: &WorkspaceId) -> LoadError {
        LoadError::Corrupt { workspace: workspace.clone(), detail: self.to_string() }
    }
}

/// Compresses an attempt's JSON with the newest dictionary. `None` when that would not make it smaller, or when it
/// has more than [`UNPACKED_BYTES_MAX`] bytes and could not be read again.
#[must_use]
pub fn compress(json: &[u8]) -> Option<Bytes> {
    DICTIONARIES.last()?.compress(json)
}

/// The attempts, whichever form each of them has.
///
/// # Errors
/// See [`DecompressError`].
pub(super) fn stored_attempts(entries: &[RawEntry]) -> Result<Vec<StoredEvent>, DecompressError> {
    entries.iter().map(stored_attempt).collect()
}

fn stored_attempt(entry: &RawEntry) -> Result<StoredEvent, DecompressError> {
    let seq = entry.id.ms;
    if let Some(json) = entry.field("e") {
        return Ok(StoredEvent { seq, json: json.clone() });
    }
    let compressed = entry.field("z").ok_or(DecompressError::NoField { seq })?;
    let malformed = |source| DecompressError::Malformed { seq, source };
    let (&version, frame) = compressed.split_first().ok_or_else(|| malformed(io::ErrorKind::UnexpectedEof.into()))?;
    let dictionary = DICTIONARIES.iter().find(|dictionary| dictionary.version == version);
    let dictionary = dictionary.ok_or(DecompressError::UnknownDictionary { seq, version })?;
    dictionary.decompress(frame).map(|json| StoredEvent { seq, json }).map_err(malformed)
}

/// A dictionary and what works with it.
struct Dictionary {
    version: u8,
    bytes: &'static [u8],
    /// A new context costs ten times what it does with one attempt, so they are used again. There are as many as
    /// threads ever used the dictionary at a time.
    compressors: Mutex<Vec<Compressor<'static>>>,
    decompressors: Mutex<Vec<Decompressor<'static>>>,
}

impl Dictionary {
    const fn new(version: u8, bytes: &'static [u8]) -> Self {
        assert!(bytes.len() <= DICTIONARY_BYTES_MAX);
        Self { version, bytes, compressors: Mutex::new(Vec::new()), decompressors: Mutex::new(Vec::new()) }
    }

    fn compress(&self, json: &[u8]) -> Option<Bytes> {
        if json.len() > UNPACKED_BYTES_MAX {
            return None;
        }
        let mut compressor = take(&self.compressors).map_or_else(|| self.compressor(), Ok).ok()?;
        let mut compressed = Vec::with_capacity(1 + zstd::zstd_safe::compress_bound(json.len()));
        compressed.push(self.version);
        let mut frame = Cursor::new(compressed);
        frame.set_position(1);
        let written = compressor.compress_to_buffer(json, &mut frame);
        give_back(&self.compressors, compressor);
        let compressed = frame.into_inner();
        (written.is_ok() && compressed.len() < json.len()).then(|| compressed.into())
    }

    /// Makes the JSON of a frame again, of at most [`UNPACKED_BYTES_MAX`] bytes.
    fn decompress(&self, frame: &[u8]) -> io::Result<Bytes> {
        let mut decompressor =
            take(&self.decompressors).map_or_else(|| Decompressor::with_dictionary(self.bytes), Ok)?;
        let json = decompressor.decompress(frame, UNPACKED_BYTES_MAX);
        give_back(&self.decompressors, decompressor);
        json.map(Bytes::from)
    }

    fn compressor(&self) -> io::Result<Compressor<'static>> {
        let mut compressor = Compressor::with_dictionary(LEVEL, self.bytes)?;
        compressor.set_parameter(CParameter::MinMatch(MATCH_BYTES_MIN))?;
        compressor.set_parameter(CParameter::HashLog(TABLE_BITS))?;
        // The version says it.
        compressor.set_parameter(CParameter::DictIdFlag(false))?;
        Ok(compressor)
    }
}

fn take<T>(pool: &Mutex<Vec<T>>) -> Option<T> {
    pool.lock().pop()
}

fn give_back<T>(pool: &Mutex<Vec<T>>, context: T) {
    pool.lock().push(context);
}

#[cfg(test)]
mod tests;
