//! The rules of CONTRACT section 3 that are decided here, one scenario each.

mod forget;
mod headers;
mod history;
mod lanes;
mod mail;
mod other_mails;
mod outcome;
mod rotate;
mod save;
mod skip;
mod testing;
mod tokens;
mod view;
