//! The login at the mail server, and how it stays out of what is shown.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use lettre::transport::smtp::authentication::Credentials;

use crate::workspace::headers::MASK;

/// A part of the encoded login that is shorter tells nothing, and could be a word.
const TELLING_MIN: usize = 6;

/// A user and its password.
#[derive(Clone)]
pub(super) struct Login {
    pub(super) credentials: Credentials,
    password: String,
    /// As AUTH PLAIN and AUTH LOGIN send them (RFC 4616, RFC 4954), in lower case.
    encoded: [String; 2],
}

impl Login {
    pub(super) fn new(user: String, password: String) -> Self {
        let encoded = [format!("\0{user}\0{password}"), password.clone()]
            .map(|sent| BASE64_STANDARD.encode(sent).trim_end_matches('=').to_ascii_lowercase());
        Self { credentials: Credentials::new(user, password.clone()), password, encoded }
    }

    /// What a server said, without the login: some repeat the command that they do not take, as a whole or cut off, and
    /// owners read what they said.
    pub(super) fn without(&self, said: &str) -> String {
        let mut shown = String::with_capacity(said.len());
        let is_encoded = |c: char| c.is_ascii_alphanumeric() || c == '+' || c == '/';
        let mut rest = said;
        while let Some(start) = rest.find(is_encoded) {
            let (before, word) = rest.split_at(start);
            let (word, behind) = word.split_at(word.find(|c| !is_encoded(c)).unwrap_or(word.len()));
            shown.push_str(before);
            shown.push_str(if self.is_told_by(word) { MASK } else { word });
            rest = behind;
        }
        shown.push_str(rest);
        if self.password.is_empty() { shown } else { shown.replace(&self.password, MASK) }
    }

    fn is_told_by(&self, word: &str) -> bool {
        let word = word.to_ascii_lowercase();
        self.encoded.iter().any(|encoded| {
            let whole = !encoded.is_empty() && word.contains(encoded.as_str());
            whole || (word.len() >= TELLING_MIN && encoded.contains(&word))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_login_is_masked_in_every_form_that_a_server_repeats() {
        let login = Login::new("us@er".to_owned(), "sup3r S/cretPw".to_owned());
        let plain = BASE64_STANDARD.encode("\0us@er\0sup3r S/cretPw");
        let password = BASE64_STANDARD.encode("sup3r S/cretPw");
        for (said, shown) in [
            (
                format!("5.5.1 Command unrecognized: \"AUTH PLAIN {plain}\""),
                "5.5.1 Command unrecognized: \"AUTH PLAIN ***\"",
            ),
            (format!("AUTH PLAIN={}…", &plain[..20]), "AUTH PLAIN=***…"),
            (format!("what is {}?", plain.to_ascii_uppercase()), "what is ***?"),
            (format!("what is {}?", password.trim_end_matches('=')), "what is ***?"),
            ("failed for us@er / sup3r S/cretPw".to_owned(), "failed for us@er / ***"),
            ("5.7.8 wrong password".to_owned(), "5.7.8 wrong password"),
        ] {
            assert_eq!(login.without(&said).replace("***==", "***").replace("***=", "***"), shown);
        }
    }
}
