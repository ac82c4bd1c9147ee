//! The rules of [contract, section 3](crate::docs::contract#3-the-rules) that are decided here, one scenario each.

mod forget;
mod headers;
mod history;
mod chat_queues;
mod credentials;
mod mail;
mod other_mails;
mod outcome;
mod save;
mod testing;
mod view;
