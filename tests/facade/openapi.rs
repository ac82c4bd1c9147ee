//! The description of the API against the service: routes, problems and examples.

mod examples;
mod page;
mod problems;
mod routes;
