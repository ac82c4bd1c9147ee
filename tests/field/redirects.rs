//! Endpoints that answer by redirect, with tokens in their addresses.

use serde_json::json;
use support::endpoint::{Endpoint, Step};
use support::service::{Service, message};
use support::smtp::SmtpServer;

/// Web frameworks redirect `/hook` to `/hook/` with the query as it came; scripts answer every POST with a 302.
#[tokio::test]
async fn no_mail_summary_or_log_line_shows_a_token_of_a_redirect() {
    let smtp = SmtpServer::start([]).await;
    let url = format!("smtp://{}", smtp.address);
    let service =
        Service::start("embedded", &["--smtp-url", &url, "--mail-from", "outbound@acme.example", "--error-limit", "1"])
            .await;
    let api = service.api();
    for (workspace, status, location, shown, advice) in [
        ("a", "301 Moved Permanently", "/hook/?token=s3cret", "/hook/", "save that address instead"),
        (
            "b",
            "308 Permanent Redirect",
            "//u:s3cret@127.0.0.1/x#s3cret",
            "http://127.0.0.1/x",
            "save that address instead",
        ),
        ("c", "302 Found", "https://one.example/echo?key=s3cret", "https://one.example/echo", "do not save it"),
        ("d", "307 Temporary Redirect", "?t=s3cret", "/hook", "do not save it"),
        ("f", "301 Moved Permanently", "/hook?token=s3cret", "/hook", "that is the address that you saved"),
        ("g", "308 Permanent Redirect", "javascript:s3cret", "javascript:", "nothing can be sent there"),
        // What Apache makes of a rule without [NE], and of a query that is rewritten.
        ("h", "301 Moved Permanently", "/hook%3Ftoken=s3cret", "/", "at the address that you saved"),
        ("i", "302 Found", "/hook/s3cret/%253Ftoken=s3cret", "/", "do not save it"),
        ("e", "301 Moved Permanently", "https://other.example/?t=s3cret", "https://other.example/", "another site"),
    ] {
        let answer = format!("HTTP/1.1 {status}\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n");
        let endpoint = Endpoint::start(vec![Step::Reply(answer.into_bytes())]);
        let url = format!("http://{}/hook?token=s3cret", endpoint.address);
        api.save(workspace, &json!({"url": url, "owner_email": "owner@acme.example"})).await.ok();
        for n in 0..2 {
            api.publish(workspace, &message("+1", &format!("m{n}"))).await.unwrap();
        }
        let webhook = api.until(workspace, "its mail is sent", |webhook| webhook["mail"]["state"] == "sent").await;
        let detail = webhook["last_attempt"]["error"]["detail"].as_str().unwrap();
        let absolute =
            if shown.starts_with('/') { format!("http://{}{shown}", endpoint.address) } else { shown.to_owned() };
        let said = |end| detail.contains(&format!("points to {absolute}{end}"));
        assert!((said(";") || said(", with a path that is not shown")) && detail.contains(advice), "{detail}");
        assert!(!webhook["last_attempt"].to_string().contains("s3cret"), "{webhook}");
        assert!(!webhook["mail"].to_string().contains("s3cret"), "{webhook}");
    }
    let mails = smtp.received();
    assert_eq!(mails.len(), 9);
    for mail in mails {
        // Without the line breaks that quoted-printable puts into long lines.
        let text = mail.data.replace("=\r\n", "");
        assert!(text.contains("points to") && !text.contains("s3cret"), "{text}");
    }
    assert!(!service.log().contains("s3cret"), "{}", service.log());
}
