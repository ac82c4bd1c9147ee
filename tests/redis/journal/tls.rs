//! TLS to Redis: an authority of one's own, and a Redis that asks for a certificate.

use std::fs;
use std::path::PathBuf;
use std::process::Output;

use support::authority::Authority;
use support::port::Port;
use support::process::outbound;
use support::redis_server::RedisServer;
use tempfile::TempDir;

struct Secured {
    _server: RedisServer,
    port: Port,
    folder: TempDir,
}

impl Secured {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::generate();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write("ca.pem", &authority.pem());
        for (file, name) in [("server", "127.0.0.1"), ("client", "outbound"), ("another", "another")] {
            let (certificate, key) = authority.issued(name);
            write(&format!("{file}.pem"), &certificate);
            write(&format!("{file}.key"), &key);
        }
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let port = Port::take();
        let (number, certificate, key, ca) =
            (port.number().to_string(), path("server.pem"), path("server.key"), path("ca.pem"));
        let server = RedisServer::start_with(&[
            "--tls-port",
            &number,
            "--tls-cert-file",
            &certificate,
            "--tls-key-file",
            &key,
            "--tls-ca-cert-file",
            &ca,
            "--tls-auth-clients",
            "yes",
        ]);
        Self { _server: server, port, folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What a subcommand that reads the journal says.
    fn asked(&self, scheme: &str, files: &[(&str, &str)]) -> Output {
        let url = format!("{scheme}://127.0.0.1:{}", self.port.number());
        let mut command = outbound(&["shard", "acme", "--journal", &url]);
        for (flag, file) in files {
            command.arg(flag).arg(self.path(file));
        }
        command.output().unwrap()
    }

    #[track_caller]
    fn refused(&self, scheme: &str, files: &[(&str, &str)], part: &str) {
        let output = self.asked(scheme, files);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && error.contains(part), "{files:?}: {error}");
    }
}

#[test]
fn an_authority_and_a_certificate_of_ones_own_are_named_by_files() {
    let secured = Secured::start();
    let own = [("--redis-ca", "ca.pem"), ("--redis-cert", "client.pem"), ("--redis-key", "client.key")];
    let asked = secured.asked("rediss", &own);
    assert!(asked.status.success(), "{asked:?}");
    assert!(String::from_utf8_lossy(&asked.stdout).starts_with("outbound:{"), "{asked:?}");
    secured.refused("rediss", &own[1..], "name the authority with --redis-ca");
    secured.refused("rediss", &[own[0], own[1]], "--redis-key");
    secured.refused("rediss", &own[..1], "name one that it trusts, and its key, with --redis-cert and --redis-key");
    let mixed = [own[0], own[1], ("--redis-key", "another.key")];
    secured.refused("rediss", &mixed, "name a certificate and the key that it was made for");
    secured.refused("rediss", &[("--redis-ca", "none.pem")], "name a readable file in PEM form");
    secured.refused("rediss", &[("--redis-ca", "client.key")], "it holds no certificate");
    secured.refused("rediss", &[own[0], own[1], ("--redis-key", "ca.pem")], "name a readable file in PEM form");
    secured.refused("redis", &own[..1], "are for TLS: write rediss://");
}
