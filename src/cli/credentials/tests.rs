use std::os::unix::fs::PermissionsExt as _;

use rand::SeedableRng;

use super::*;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const KEY: &str = "+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/s=";
const SEALING_KEY: &str = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";

#[test]
fn a_token_of_32_characters_is_taken_without_its_line_end() {
    let token = admin_token(Some(&format!("{TOKEN}\n")), None, FileSharing::Refused).unwrap().unwrap();
    assert_eq!(token.as_str(), TOKEN);
    assert!(!format!("{token:?}").contains(TOKEN));
}

#[test]
fn a_weak_or_unusable_token_is_refused_without_showing_it() {
    for text in [
        &TOKEN[1..],
        "short",
        "0123456789abcdef 0123456789abcdef",
        "ü123456789abcdef0123456789abcdef",
        &"x".repeat(1_025),
    ] {
        let error = admin_token(Some(text), None, FileSharing::Refused).unwrap_err().to_string();
        assert!(error.contains("OUTBOUND_ADMIN_TOKEN"), "{error}");
        assert!(!error.contains(text), "{error}");
    }
}

#[test]
fn an_empty_variable_is_no_token_and_two_tokens_are_too_many() {
    assert_eq!(admin_token(Some(""), None, FileSharing::Refused).unwrap(), None);
    assert!(matches!(
        admin_token(Some(TOKEN), Some(Path::new("file")), FileSharing::Refused),
        Err(CredentialError::Twice { .. })
    ));
}

#[test]
fn a_made_token_passes_its_own_check() {
    let token = TokenText::random(&mut rand::rngs::StdRng::seed_from_u64(7));
    assert_eq!(admin_token(Some(token.as_str()), None, FileSharing::Refused).unwrap().unwrap(), token);
}

fn key(text: &str) -> Result<KeyBytes, CredentialError> {
    token_key(Some(text), None, None, FileSharing::Refused).map(Option::unwrap)
}

#[test]
fn a_key_is_read_from_either_alphabet_with_and_without_padding() {
    let wanted = key(KEY).unwrap();
    assert_eq!(wanted.bytes().len(), 32);
    for text in [&format!(" {KEY}\n"), KEY.trim_end_matches('='), &KEY.replace('+', "-").replace('/', "_")] {
        assert_eq!(key(text).unwrap(), wanted, "{text}");
    }
    assert_eq!(key(&wanted.text()).unwrap(), wanted);
}

#[test]
fn a_weak_or_unreadable_key_is_refused_without_showing_it() {
    for text in ["c2hvcnQ=", "no base64 at all, but long enough to be a key", &KEY[4..]] {
        let error = key(text).unwrap_err().to_string();
        assert!(error.contains("OUTBOUND_TOKEN_KEY") && error.contains("openssl rand -base64 32"), "{error}");
        assert!(!error.contains(text), "{error}");
    }
}

#[test]
fn the_admin_token_is_no_key_and_two_keys_are_too_many() {
    let admin = admin_token(Some(KEY), None, FileSharing::Refused).unwrap();
    assert!(matches!(
        token_key(Some(KEY), None, admin.as_ref(), FileSharing::Refused),
        Err(CredentialError::KeyIsAdminToken { .. })
    ));
    assert!(matches!(
        token_key(Some(KEY), Some(Path::new("file")), None, FileSharing::Refused),
        Err(CredentialError::Twice { .. })
    ));
    assert_eq!(token_key(Some(""), None, None, FileSharing::Refused).unwrap(), None);
}

fn keys(variable: Option<&str>, file: Option<&Path>) -> Result<Keyring, CredentialError> {
    keyring(variable, file, FileSharing::Refused, || [0; 24])
}

#[test]
fn keys_come_from_the_environment_or_a_file_but_not_from_both() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("keys");
    std::fs::write(&file, format!("k2:{SEALING_KEY}\nk1:{SEALING_KEY}\n")).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(keys(None, Some(&file)).unwrap().sealing(), Some("k2"));
    assert_eq!(keys(Some(&format!("k1:{SEALING_KEY}")), None).unwrap().sealing(), Some("k1"));
    assert_eq!(keys(None, None).unwrap().sealing(), None);
    assert_eq!(keys(Some(""), None).unwrap().sealing(), None);
    assert!(matches!(keys(Some(SEALING_KEY), Some(&file)), Err(CredentialError::Twice { .. })));
    assert!(matches!(keys(None, Some(&dir.path().join("none"))), Err(CredentialError::Unreadable { .. })));
}

#[test]
fn a_file_that_is_too_long_is_refused_and_not_cut() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let max = usize::try_from(SECRET_KEY.file_max).unwrap();
    let filled = |length: usize| {
        std::fs::write(file.path(), format!("{:<length$}", format!("k1:{SEALING_KEY}"))).unwrap();
        keys(None, Some(file.path()))
    };
    assert_eq!(filled(max).unwrap().sealing(), Some("k1"));
    let error = filled(max + 1).unwrap_err().to_string();
    assert!(error.contains(&format!("has more than {max} bytes")), "{error}");
}

#[test]
fn a_refusal_says_where_the_keys_are_and_shows_none() {
    let error = keys(Some(&format!("k1:{}", &SEALING_KEY[4..])), None).unwrap_err().to_string();
    assert!(error.contains("OUTBOUND_SECRET_KEY") && error.contains("`k1`"), "{error}");
    assert!(!error.contains(&SEALING_KEY[4..]), "{error}");
}
