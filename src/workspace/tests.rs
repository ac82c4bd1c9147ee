//! The rules of [contract, section 3](crate::docs::contract#3-the-rules) that are decided here, one scenario each.

mod forget;
mod headers;
mod history;
mod chat_queues;
mod mail;
mod other_mails;
mod outcome;
mod rotate;
mod save;
mod skip;
mod testing;
mod tokens;
mod view;
