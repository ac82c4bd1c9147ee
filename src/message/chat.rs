//! The chat that a message belongs to, the unit of order, and the members that name it.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::object::each_member;

/// A chat, as the hash of what names it. Two chats that share a hash are attempted one after the
/// other, which is allowed; messages of one chat always share it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Chat(pub u64);

impl Chat {
    /// The chat of an account's phone with a contact: by its phone, or else its id, or else its name. `None`
    /// when nothing names the contact.
    pub(super) fn of(
        account: Option<&str>,
        phone: Option<&str>,
        id: Option<&str>,
        full_name: Option<&str>,
    ) -> Option<Self> {
        let named = |by: u8| move |name| (by, name);
        let contact = phone.map(named(0)).or(id.map(named(2))).or(full_name.map(named(1)))?;
        let mut hasher = DefaultHasher::new();
        account.unwrap_or_default().hash(&mut hasher);
        contact.hash(&mut hasher);
        Some(Self(hasher.finish()))
    }

    /// The chat of a message that names none: its own, as it waits for no other. `of` tells it from all others.
    #[must_use]
    pub fn alone(of: impl Hash) -> Self {
        let mut hasher = DefaultHasher::new();
        (3_u8, of).hash(&mut hasher);
        Self(hasher.finish())
    }
}

/// The members of an account or contact that name a chat. They are not checked; of one that stands twice the
/// last counts.
pub(super) struct Party<T> {
    pub(super) phone: Option<T>,
    pub(super) full_name: Option<T>,
    /// `id`, `chat_id`, `jid` and `lid`, in the order in which they count.
    pub(super) ids: [Option<T>; 4],
}

impl<T> Default for Party<T> {
    fn default() -> Self {
        Self { phone: None, full_name: None, ids: [const { None }; 4] }
    }
}

impl<T> Party<T> {
    /// Where the value of a member of that name belongs.
    fn place(&mut self, name: &str) -> Option<&mut Option<T>> {
        Some(match name {
            "phone" => &mut self.phone,
            "full name" => &mut self.full_name,
            "id" => &mut self.ids[0],
            "chat_id" => &mut self.ids[1],
            "jid" => &mut self.ids[2],
            "lid" => &mut self.ids[3],
            _ => return None,
        })
    }
}

impl<'a> Party<&'a RawValue> {
    /// The members of an object in any form.
    pub(super) fn written(object: &'a RawValue) -> Self {
        let mut party = Self::default();
        let read = each_member(object.get().as_bytes(), |name, value| {
            if let Some(place) = party.place(name) {
                *place = Some(value);
            }
        });
        debug_assert!(read.is_ok(), "a `RawValue` is JSON");
        party
    }
}

/// By hand, because a derived implementation takes an array as well.
impl<'de, T: Deserialize<'de>> Deserialize<'de> for Party<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(PartyVisitor(PhantomData))
    }
}

struct PartyVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for PartyVisitor<T> {
    type Value = Party<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut party = Party::default();
        while let Some(name) = map.next_key()? {
            match party.place(name) {
                Some(place) => *place = map.next_value()?,
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(party)
    }
}
