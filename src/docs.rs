//! The documents, as pages of this book. Each is a Markdown file in `src/docs/` that reads the same in the
//! repository.

/// Declares one page. The link definitions stand before the page's own, which name files, and the first
/// definition of a label counts: so a link leads to the page of the book here, and to the file there.
macro_rules! page {
    ($name:ident, $file:literal, $what:literal) => {
        #[doc = $what]
        #[doc = ""]
        #[doc = "[contract]: crate::docs::contract"]
        #[doc = "[the POST out]: crate::docs::contract#2-the-post-out"]
        #[doc = "[design]: crate::docs::design"]
        #[doc = "[performance]: crate::docs::performance"]
        #[doc = ""]
        #[doc = include_str!($file)]
        pub mod $name {}
    };
}

page!(contract, "docs/contract.md", "What the outside sees: messages in, POSTs out, HTTP, command line, Redis keys.");
page!(design, "docs/design.md", "The inside and why it is so: words, rooms, aggregate, intake, journal, delivery.");
page!(performance, "docs/performance.md", "The physical limits, the peers, and how to measure.");
page!(operations, "docs/operations.md", "For operators: flags, tokens, secrets, Redis, sizes, several nodes.");
page!(integrators, "docs/integrators.md", "For those whose endpoint gets the POSTs.");
page!(changes, "docs/changes.md", "What changed for users, newest first.");
