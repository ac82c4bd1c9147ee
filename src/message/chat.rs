//! The chat that a message belongs to: the unit of order.

use std::hash::{DefaultHasher, Hash, Hasher};

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
