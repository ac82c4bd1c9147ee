//! The compressed form of an attempt: which dictionary, then a zstd frame. Pure; where dictionaries are kept is
//! [`super::dictionaries`]' business.
//!
//! Attempts are too small, and too much alike, to be compressed each for itself: what they share stands in a
//! dictionary of at most [`DICTIONARY_BYTES_MAX`] bytes, trained on the service's first attempts. A larger one
//! gains nothing ([performance](crate::docs::performance#the-physical-limits)).

use std::fmt;
use std::io::{self, Cursor};
use std::str::FromStr;

use bytes::Bytes;
use parking_lot::Mutex;
use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::CParameter;

use crate::config::{DICTIONARY_BYTES_MAX, UNPACKED_BYTES_MAX};

/// The higher ones take longer and gain little once there is a dictionary.
const LEVEL: i32 = 1;
/// Parameters that make texts as short as these 3 % smaller for the same time: shorter matches than the
/// level looks for, and a table in which a dictionary of this size loses none of them to others.
const MATCH_BYTES_MIN: u32 = 5;
const TABLE_BITS: u32 = 15;

/// Names a dictionary by the CRC32 of its bytes, so that no two that are ever trained are taken for each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Version(u32);

impl Version {
    /// Bytes before the frame: the version, most significant first.
    const BYTES: usize = size_of::<u32>();

    pub(super) fn of(dictionary: &[u8]) -> Self {
        Self(crc32fast::hash(dictionary))
    }

    /// The dictionary that a compressed attempt names.
    pub(super) fn named_by(packed: &[u8]) -> Option<Self> {
        packed.first_chunk().map(|bytes| Self(u32::from_be_bytes(*bytes)))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

impl FromStr for Version {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u32::from_str_radix(text, 16).map(Self)
    }
}

/// A dictionary and what works with it.
pub(super) struct Dictionary {
    version: Version,
    bytes: Bytes,
    /// A new context costs ten times what it does with one attempt, so they are used again. There are as many as
    /// threads ever used the dictionary at a time.
    packers: Mutex<Vec<Compressor<'static>>>,
    unpackers: Mutex<Vec<Decompressor<'static>>>,
}

impl fmt::Debug for Dictionary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dictionary({})", self.version)
    }
}

impl Dictionary {
    pub(super) fn new(bytes: Bytes) -> Self {
        Self { version: Version::of(&bytes), bytes, packers: Mutex::default(), unpackers: Mutex::default() }
    }

    /// Makes one of what attempts look like.
    ///
    /// # Errors
    /// There are too few, or they have nothing in common.
    pub(super) fn train(samples: &[Bytes]) -> io::Result<Self> {
        zstd::dict::from_samples(samples, DICTIONARY_BYTES_MAX).map(|bytes| Self::new(bytes.into()))
    }

    pub(super) fn version(&self) -> Version {
        self.version
    }

    pub(super) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Compresses an attempt. `None` when that would not make it smaller, or it could not be read again.
    pub(super) fn pack(&self, json: &[u8]) -> Option<Bytes> {
        if json.len() > UNPACKED_BYTES_MAX {
            return None;
        }
        let mut packer = take(&self.packers).map_or_else(|| self.packer(), Ok).ok()?;
        let mut packed = Vec::with_capacity(Version::BYTES + zstd::zstd_safe::compress_bound(json.len()));
        packed.extend_from_slice(&self.version.0.to_be_bytes());
        let mut frame = Cursor::new(packed);
        frame.set_position(Version::BYTES as u64);
        let written = packer.compress_to_buffer(json, &mut frame);
        give_back(&self.packers, packer);
        let packed = frame.into_inner();
        (written.is_ok() && packed.len() < json.len()).then(|| packed.into())
    }

    /// Makes what [`Self::pack`] made an attempt again.
    ///
    /// # Errors
    /// It is nothing that this dictionary compressed, or more than [`UNPACKED_BYTES_MAX`].
    pub(super) fn unpack(&self, packed: &[u8]) -> io::Result<Bytes> {
        let frame = packed.get(Version::BYTES..).ok_or(io::ErrorKind::UnexpectedEof)?;
        let mut unpacker = take(&self.unpackers).map_or_else(|| Decompressor::with_dictionary(&self.bytes), Ok)?;
        let json = unpacker.decompress(frame, UNPACKED_BYTES_MAX);
        give_back(&self.unpackers, unpacker);
        json.map(Bytes::from)
    }

    fn packer(&self) -> io::Result<Compressor<'static>> {
        let mut packer = Compressor::with_dictionary(LEVEL, &self.bytes)?;
        packer.set_parameter(CParameter::MinMatch(MATCH_BYTES_MIN))?;
        packer.set_parameter(CParameter::HashLog(TABLE_BITS))?;
        // The version says it.
        packer.set_parameter(CParameter::DictIdFlag(false))?;
        Ok(packer)
    }
}

fn take<T>(pool: &Mutex<Vec<T>>) -> Option<T> {
    pool.lock().pop()
}

fn give_back<T>(pool: &Mutex<Vec<T>>, context: T) {
    pool.lock().push(context);
}

#[cfg(test)]
pub(super) mod tests;
