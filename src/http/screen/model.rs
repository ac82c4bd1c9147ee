//! What is known when a page is made.

use maud::{Markup, html};

use super::filter::AttemptFilter;
use super::notice::Notice;
use super::typed::Typed;
use crate::workspace::Policy;
use crate::workspace::access::AccessDeed;
use crate::workspace::event::Attempt;
use crate::workspace::history::ConfigurationChange;
use crate::workspace::time::Time;
use crate::workspace::view::WebhookView;

/// The hidden field of every form that holds [`Model::csrf`].
pub(super) const CSRF_FIELD: &str = "csrf";

/// What the page shows.
pub(super) struct Model<'a> {
    /// What stands before our paths in a browser.
    pub(super) root: &'a str,
    /// The screen's path in a browser.
    pub(super) base: &'a str,
    /// Stands in every form.
    pub(super) csrf: &'a str,
    /// Who looks.
    pub(super) who: &'a str,
    /// Whether that is an operator, who sees all workspaces.
    pub(super) is_operators: bool,
    pub(super) webhook: &'a WebhookView,
    /// The rules' numbers.
    pub(super) policy: &'a Policy,
    pub(super) now: Time,
    /// The last attempts with their seqs, newest first.
    pub(super) attempts: &'a [(u64, Attempt)],
    /// Which of them are listed.
    pub(super) filter: &'a AttemptFilter,
    /// Whether there is a message to test with.
    pub(super) has_message: bool,
    /// Newest first.
    pub(super) changes: &'a [ConfigurationChange],
    /// What was done with what opens the workspace, newest first.
    pub(super) deeds: Vec<AccessDeed>,
    pub(super) secret: SecretShown<'a>,
    /// Until when the secret before the present one is signed with, too.
    pub(super) previous_until: Option<Time>,
    pub(super) typed: Typed,
    /// Whether somebody typed what stands in the form: it follows nothing that is saved meanwhile.
    pub(super) is_typed: bool,
    pub(super) notice: Option<Notice>,
    /// What other clocks say of this machine's, when that is off.
    pub(super) clock: Option<String>,
}

/// How much of the signing secret is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SecretShown<'a> {
    /// There is none before the first save.
    None,
    Hidden,
    Shown(&'a str),
}

impl Model<'_> {
    pub(super) fn csrf_field(&self) -> Markup {
        html! { input type="hidden" name=(CSRF_FIELD) value=(self.csrf); }
    }
}
