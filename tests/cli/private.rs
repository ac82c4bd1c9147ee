//! What only this process may read: keys, tokens, passwords and the data directory.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use support::process::{Process, outbound};
use support::redis_server::RedisServer;
use support::service::TOKEN;

/// 32 times `1`.
const KEY: &str = "MTExMTExMTExMTExMTExMTExMTExMTExMTExMTExMTE=";

/// What a service may be given, each in a file of its own.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        let sealing = format!("k1:{KEY}");
        let texts = [("admin-token", TOKEN), ("token-key", KEY), ("secret-key", &sealing)];
        for (name, text) in texts.into_iter().chain([("journal", "embedded"), ("smtp-url", "smtp://u:p@127.0.0.1:1")]) {
            fs::write(files.path(name), format!("{text}\n")).unwrap();
            set_mode(&files.path(name), 0o600);
        }
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A service with all of them.
    fn serve(&self, data: &Path) -> Command {
        let mut command =
            outbound(&["serve", "--listen", "127.0.0.1:0", "--shards", "1", "--mail-from", "o@example.com"]);
        for name in ["admin-token", "token-key", "secret-key", "journal", "smtp-url"] {
            command.arg(format!("--{name}-file")).arg(self.path(name));
        }
        command.arg("--data-dir").arg(data);
        command
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[track_caller]
fn refused(mut command: Command, parts: &[&str]) {
    let Output { status, stderr, .. } = command.output().unwrap();
    let error = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(2), "{error}");
    for part in parts {
        assert!(error.contains(part), "{part:?} is missing in: {error}");
    }
    for secret in [TOKEN, KEY, "u:p@"] {
        assert!(!error.contains(secret), "{error}");
    }
}

/// It starts, and ends again.
#[track_caller]
fn starts(mut command: Command) {
    drop(Process::serve(command.stderr(Stdio::null())));
}

#[test]
fn a_file_that_others_may_read_or_write_is_refused_with_the_command_that_mends_it() {
    let files = Files::new();
    let data = files.path("data");
    for name in ["admin-token", "token-key", "secret-key", "journal", "smtp-url"] {
        let path = files.path(name);
        for (mode, verb) in [(0o644, "read"), (0o640, "read"), (0o604, "read"), (0o620, "write"), (0o602, "write")] {
            set_mode(&path, mode);
            let mend = format!("others may {verb} {} (mode {mode:03o}): `chmod 600", path.display());
            refused(files.serve(&data), &[&mend, "--allow-shared-files"]);
        }
        set_mode(&path, 0o600);
    }
    assert!(!data.exists(), "nothing is made before everything is found right");
    // What a link leads to counts, not the link.
    let (link, path) = (files.path("link"), files.path("admin-token"));
    fs::rename(&path, &link).unwrap();
    symlink(&link, &path).unwrap();
    set_mode(&link, 0o444);
    refused(files.serve(&data), &["may read", "chmod 600"]);
    set_mode(&link, 0o400);
    starts(files.serve(&data));
}

/// Who may write there may put another one in its place.
#[test]
fn a_file_in_a_directory_that_others_may_write_in_is_refused_with_the_command_that_mends_it() {
    let files = Files::new();
    let (shared, data) = (files.path("shared"), files.path("data"));
    fs::create_dir(&shared).unwrap();
    let (path, moved) = (files.path("token-key"), shared.join("token-key"));
    fs::rename(&path, &moved).unwrap();
    symlink(&moved, &path).unwrap();
    for mode in [0o777, 0o775, 0o722] {
        set_mode(&shared, mode);
        let mend = format!("others may write in the directory {} (mode {mode:03o}): `chmod go-w", shared.display());
        refused(files.serve(&data), &[&mend, "--allow-shared-files"]);
    }
    // There only its owner takes a file away, as where Kubernetes mounts secrets.
    set_mode(&shared, 0o1777);
    starts(files.serve(&data));
    set_mode(&shared, 0o755);
    starts(files.serve(&data));
    // And the other way round: a link that others may replace.
    let own = files.path("own");
    fs::rename(&moved, &own).unwrap();
    symlink(&own, &moved).unwrap();
    fs::remove_file(&path).unwrap();
    symlink(&moved, &path).unwrap();
    set_mode(&shared, 0o777);
    let mut direct =
        outbound(&["serve", "--listen", "127.0.0.1:0", "--shards", "1", "--data-dir", data.to_str().unwrap()]);
    direct.arg("--token-key-file").arg(&moved);
    let mend = format!("`chmod go-w {}`", shared.display());
    refused(direct, &["others may write in the directory", &mend]);
    // Also where it is only on the way, between two directories of ours.
    refused(files.serve(&data), &["others may write in the directory", &mend]);
}

#[test]
fn the_key_of_tls_to_redis_is_judged_as_every_other() {
    let files = Files::new();
    let (certificate, key) = (files.path("certificate"), files.path("key"));
    for path in [&certificate, &key] {
        fs::write(path, "-----BEGIN").unwrap();
        set_mode(path, 0o644);
    }
    let serve = || {
        let mut command = outbound(&["serve", "--listen", "127.0.0.1:0", "--journal", "rediss://127.0.0.1:1"]);
        command.arg("--data-dir").arg(files.path("data"));
        command.arg("--redis-cert").arg(&certificate).arg("--redis-key").arg(&key);
        command
    };
    refused(serve(), &["of --redis-key is not private", &format!("`chmod 600 {}`", key.display())]);
    set_mode(&key, 0o600);
    let Output { stderr, .. } = serve().output().unwrap();
    assert!(!String::from_utf8_lossy(&stderr).contains("not private"), "who reads a certificate learns nothing");
}

#[test]
fn files_that_are_shared_by_whoever_mounts_them_are_taken_when_that_is_said() {
    let files = Files::new();
    for name in ["admin-token", "token-key", "secret-key", "journal", "smtp-url"] {
        set_mode(&files.path(name), 0o444);
    }
    let data = files.path("data");
    fs::create_dir(&data).unwrap();
    set_mode(&data, 0o777);
    let mut serve = files.serve(&data);
    serve.arg("--allow-shared-files");
    starts(serve);
}

#[test]
fn a_data_directory_is_looked_at_before_it_is_believed() {
    let files = Files::new();
    let data = files.path("data");
    fs::create_dir(&data).unwrap();
    let own = || {
        let mut command = outbound(&["serve", "--listen", "127.0.0.1:0", "--shards", "1", "--data-dir"]);
        command.arg(&data);
        command
    };
    for mode in [0o777, 0o775, 0o1777, 0o722] {
        set_mode(&data, mode);
        let mend = format!("`chmod go-w {}`", data.display());
        refused(own(), &["others may write in the directory", &mend]);
    }
    set_mode(&data, 0o755);
    starts(own());
    for name in ["admin-token", "token-key", "outbound.redb"] {
        let path = data.join(name);
        set_mode(&path, 0o640);
        refused(own(), &[&format!("others may read {} (mode 640): `chmod 600", path.display())]);
        set_mode(&path, 0o600);
    }
    starts(own());
}

#[test]
fn a_journal_with_a_password_comes_from_a_file_or_from_the_command_line_but_not_from_both() {
    let redis = RedisServer::start();
    redis.call::<()>(&["CONFIG", "SET", "requirepass", "hunter2"]);
    let files = Files::new();
    let (path, data) = (files.path("journal"), files.path("data"));
    fs::write(&path, format!("redis://:hunter2@127.0.0.1:{}\n", redis.port())).unwrap();
    starts(files.serve(&data));
    let shard = outbound(&["shard", "a", "--journal-file"]).arg(&path).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&shard.stdout), "outbound:{0}:messages\n", "{shard:?}");
    let mut both = files.serve(&data);
    both.args(["--journal", "embedded"]);
    refused(both, &["--journal-file", "cannot be used with", "--journal"]);
    let mut both = files.serve(&data);
    both.env("OUTBOUND_SMTP_URL", "smtp://127.0.0.1:1");
    refused(both, &["--smtp-url-file", "cannot be used with"]);
    let mut variables = outbound(&["shard", "a"]);
    let shard = variables.env("OUTBOUND_JOURNAL_FILE", &path).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&shard.stdout), "outbound:{0}:messages\n", "{shard:?}");
}
