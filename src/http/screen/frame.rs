//! What stands around every page.

use maud::{DOCTYPE, Markup, html};

use super::assets::{ICON, SCRIPT, STYLE};

/// A whole document. `root` is what stands before our paths in a browser.
pub(super) fn document(root: &str, title: &str, body: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                link rel="icon" type="image/svg+xml" href=(ICON.href(root));
                link rel="stylesheet" href=(STYLE.href(root));
                script src=(SCRIPT.href(root)) defer {}
            }
            body {
                a .skip href="#main" { "Skip to content" }
                (body)
            }
        }
    };
    page.into_string()
}
