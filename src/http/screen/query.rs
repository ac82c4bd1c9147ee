//! What stands behind the `?` of the screen's address.

use url::form_urlencoded;

/// What a form came to; stands behind the `?` of the address that the browser is sent to.
pub(super) const SAVED: &str = "saved";
pub(super) const TESTED: &str = "tested";
pub(super) const SENT: &str = "sent";
pub(super) const ROTATED: &str = "rotated";
/// Shows the secret: `show=secret`.
pub(super) const SHOW: &str = "show";
/// Tells what the page has: the seq of its newest attempt.
pub(super) const AFTER: &str = "after";

/// What stands behind the `?`. Anybody may write anything there; what is not known says nothing.
#[derive(Default)]
pub(super) struct ScreenQuery(Vec<(String, String)>);

impl ScreenQuery {
    pub(super) fn of(query: Option<&str>) -> Self {
        Self(form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned().collect())
    }

    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}
