//! What a subcommand says of a service that does not answer, or of something else that does.

use support::authority::Authority;
use support::endpoint::{Endpoint, Step, answer};

use support::service::message;

use crate::mistakes::{fails, web_server, with_token};

/// Asks what answers there for the attempts of a workspace; the exit code is 1, and everything is said once.
#[track_caller]
fn says(server: &str, parts: &[&str]) {
    fails(&mut with_token(&["attempts", "acme", "--server", server]), 1, parts);
}

fn plain(reply: Vec<u8>) -> (Endpoint, String) {
    let endpoint = Endpoint::start(vec![Step::Reply(reply)]);
    let url = format!("http://{}", endpoint.address);
    (endpoint, url)
}

#[test]
fn a_wrong_scheme_and_a_certificate_that_nobody_trusts_are_told_apart_from_nobody() {
    let secure =
        Endpoint::start_tls(vec![Step::Reply(answer("200 OK", "", "{}"))], Authority::self_signed("127.0.0.1"));
    says(&format!("https://{}", secure.address), &["its certificate is not trusted; the system must trust who issued"]);
    says(&format!("http://{}", secure.address), &["write https:// if it speaks TLS"]);
    says(&format!("https://127.0.0.1:{}", web_server()), &["does not speak TLS; write http:// in --server"]);
    // A label of more than 63 characters is refused by the system's resolver itself, so nobody is asked.
    let unresolved = format!("http://{}.invalid", "x".repeat(64));
    says(&unresolved, &["its name cannot be resolved; check the host in --server"]);
    says(
        "http://127.0.0.1:1",
        &["is `outbound serve` running, and is --server right?\n  caused by: Connection refused"],
    );
}

#[test]
fn an_answer_that_is_none_of_ours_is_told_with_who_may_have_sent_it() {
    let (_redis, url) = plain(b"-ERR unknown command\r\n".to_vec());
    says(&url, &["answered as no HTTP server does: check host and port of --server"]);
    let elsewhere = answer("301 Moved Permanently", "location: https://new.example/x?token=s3cret\r\n", "");
    let (_moved, url) = plain(elsewhere);
    says(&url, &["answered 301: it sends elsewhere: name https://new.example with --server\n"]);
    let (_proxy, url) = plain(answer("502 Bad Gateway", "", "<h1>Bad Gateway</h1>"));
    says(&url, &["answered 502: a proxy before the service says so: is the service behind it running?"]);
    let (_other, url) = plain(answer("404 Not Found", "", "<h1>Not Found</h1>"));
    says(&url, &["answered 404: that is no answer of this service: is --server right?"]);
    for body in ["<h1>Hello</h1>", "{\"a\":1}", ""] {
        let (_page, url) = plain(answer("200 OK", "", body));
        says(&url, &["the answer cannot be read: is --server right?"]);
    }
    // Whoever answers 200 to everything has published nothing.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("messages");
    std::fs::write(&file, message("+1", "m-1")).unwrap();
    for body in ["<h1>Hello</h1>", "{\"a\":1}", "", "[]"] {
        let (_page, url) = plain(answer("200 OK", "", body));
        let mut publish = with_token(&["publish", "--workspace", "acme", "--server", &url]);
        fails(publish.arg(&file), 1, &["0 messages are published", "the answer cannot be read: is --server right?"]);
    }
    let cut = Endpoint::start(vec![Step::ReplyAndClose(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{".to_vec())]);
    says(&format!("http://{}", cut.address), &["the answer broke off; whether the request was carried out is unknown"]);
    let mute = Endpoint::start(vec![Step::Close]);
    says(&format!("http://{}", mute.address), &["gave no answer; whether the request was carried out is unknown"]);
    let reset = Endpoint::start(vec![Step::Reset]);
    says(&format!("http://{}", reset.address), &["gave no answer", "write https:// in --server if it speaks TLS"]);
}
