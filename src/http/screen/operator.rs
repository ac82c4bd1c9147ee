//! `/`: the operators' screen, which shows the whole service at a glance and leads to the workspaces' screens.
//!
//! Architecture invariants: as of the room around it. Each part of the page is read apart and within a bound, so that one
//! that cannot be read keeps none of the others away; what costs more than a moment is summed up for everybody who looks
//! and remembered for some seconds.
//!
//! Reading order: what is asked for (`routes`), by whom (`session`), and what stands behind the `?` (`asked`); what is known
//! then (`overview`): by all nodes (`glances`), and by the store, of which the costly parts are remembered for a while (`summaries`)
//! and read by `rejected` and `mails`; the `page` and its parts: `statuses`, `minutes`, `work`, `list`, `aside`.

pub(in crate::http) mod routes;
mod session;
mod asked;
mod overview;
mod glances;
mod rejected;
mod mails;
pub(in crate::http) mod summaries;
mod page;
mod statuses;
mod minutes;
mod work;
mod list;
mod aside;
