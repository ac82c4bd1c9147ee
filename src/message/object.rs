//! The members of an object of JSON, looked up in its text, whatever else its names hold.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The value of the member of that name in an object of JSON, as it is written; of one that stands twice the last.
#[must_use]
pub fn member<'a>(object: &'a [u8], name: &str) -> Option<&'a RawValue> {
    let mut found = None;
    each_member(object, |each, value| {
        if each == name {
            found = Some(value);
        }
    })
    .ok()?;
    found
}

/// Calls `take` with the name and the value of each member of an object, in their order. A name that no text can be
/// (it holds half of a character) is none that anybody asks for, so its member is passed over; what is derived
/// refuses the whole object for it.
pub(super) fn each_member<'a>(object: &'a [u8], take: impl FnMut(&str, &'a RawValue)) -> serde_json::Result<()> {
    struct EachMember<F>(F);

    impl<'de, F: FnMut(&str, &'de RawValue)> Visitor<'de> for EachMember<F> {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
            #[derive(Deserialize)]
            struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

            while let Some((name, value)) = map.next_entry::<&RawValue, &RawValue>()? {
                if let Ok(Name(name)) = serde_json::from_str(name.get()) {
                    (self.0)(&name, value);
                }
            }
            Ok(())
        }
    }

    let mut json = serde_json::Deserializer::from_slice(object);
    json.deserialize_map(EachMember(take))?;
    json.end()
}
