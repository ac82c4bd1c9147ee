//! `outbound token` against a running service, and the key that its tokens are signed with.

use std::fs;
use std::path::Path;
use std::process::{Output, Stdio};

use outbound::cli::client::Client;
use outbound::cli::credentials::{CredentialOrigin, TokenText};
use outbound::cli::data_dir::admin_token_file;
use serde_json::Value;
use tempfile::TempDir;
use url::Url;

use support::process::{Process, outbound, printed};

/// A running service with an embedded journal.
struct Service {
    dir: TempDir,
    server: String,
    _process: Process,
}

impl Service {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut serve = outbound(&["serve", "--listen", "127.0.0.1:0", "--shards", "2", "--data-dir"]);
        let (process, server) = Process::serve(serve.arg(dir.path()).stderr(Stdio::null()));
        Self { dir, server, _process: process }
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = outbound(&["token", "--workspace", "acme", "--server", &self.server, "--data-dir"]);
        command.arg(self.dir.path()).args(arguments).output().unwrap()
    }

    /// What the workspace's webhook is for whoever holds the token.
    fn asked_with(&self, token: &str) -> Result<Value, String> {
        let token = TokenText::parse(token, &CredentialOrigin::Variable("the test")).unwrap();
        let url: Url = self.server.parse().unwrap();
        let client = Client::new(&url, &"acme".parse().unwrap(), &token).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(client.get(&["webhook"])).map_err(|error| error.to_string())
    }
}

#[test]
fn a_token_is_printed_alone_and_opens_the_workspace_until_all_are_revoked() {
    let service = Service::start();
    assert_eq!(printed(&service.run(&["--list"])), "no token opens acme\n");
    assert_eq!(printed(&service.run(&["--list", "--json"])), "");
    let plain = printed(&service.run(&["--ttl", "1h"]));
    let token = plain.trim_end();
    assert_eq!((plain.lines().count(), token.split('.').count()), (1, 3), "{plain}");
    assert_eq!(service.asked_with(token).unwrap()["workspace"], "acme");
    let made: Value = serde_json::from_str(&printed(&service.run(&["--subject", "jane", "--json"]))).unwrap();
    assert_eq!(made["subject"], "jane");
    assert!(made["expires_at"].as_str().unwrap().ends_with('Z'), "{made}");

    let listed = printed(&service.run(&["--list"]));
    assert_eq!(listed.lines().count(), 2, "{listed}");
    let id = made["id"].as_str().unwrap();
    assert!(listed.starts_with(&format!("{id}  jane  made ")), "{listed}");
    assert_eq!(printed(&service.run(&["--revoke", id])), format!("the token {id} was revoked\n"));
    assert!(service.asked_with(made["token"].as_str().unwrap()).unwrap_err().contains("was revoked"));
    assert!(service.asked_with(token).is_ok(), "the other one still opens");
    assert_eq!(printed(&service.run(&["--list", "--json"])).lines().count(), 1);
    assert_eq!(service.run(&["--revoke", id]).status.code(), Some(1), "it has ended");

    // As `--revoke "$ID"` has it where there is no such variable.
    for nothing in [&["--revoke", ""][..], &["--revoke="], &["--revoke", " "], &["--revoke=no"]] {
        let refused = service.run(nothing);
        let told = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(2), "{nothing:?}: {told}");
        assert!(told.contains("it names no token"), "{told}");
    }
    assert!(service.asked_with(token).is_ok(), "it ends none");

    assert_eq!(printed(&service.run(&["--revoke"])), "every token of acme was revoked\n");
    for token in [token, made["token"].as_str().unwrap()] {
        let refused = service.asked_with(token).unwrap_err();
        assert!(refused.contains("401") && refused.contains("was revoked"), "{refused}");
    }
    assert!(service.asked_with(fs::read_to_string(admin_token_file(service.dir.path())).unwrap().trim()).is_ok());
}

#[test]
fn a_token_that_may_not_be_made_is_refused_with_a_sentence() {
    let service = Service::start();
    let output = service.run(&["--ttl", "2y"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("such as 12h or 30d"), "{output:?}");
    let output = service.run(&["--subject", "admin"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("subject must not be admin"), "{output:?}");
}

fn refused(key: &str, admin: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let mut serve = outbound(&["serve", "--listen", "127.0.0.1:0", "--data-dir", data.to_str().unwrap()]);
    let output = serve.env("OUTBOUND_TOKEN_KEY", key).env("OUTBOUND_ADMIN_TOKEN", admin).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(!Path::new(&data).exists(), "nothing is made before everything is found valid");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_service_does_not_start_with_a_weak_key_or_with_one_that_is_its_admin_token() {
    let admin = "0123456789abcdef0123456789abcdef0123456789abcdef";
    for (key, sentence) in
        [("c2hvcnQ=", "has 5 bytes"), ("not base64!", "is not Base64"), (admin, "is the admin token")]
    {
        let told = refused(key, admin);
        assert!(told.contains(sentence) && told.contains("openssl rand -base64 32"), "{told}");
        assert!(!told.contains(key), "{told}");
    }
}
