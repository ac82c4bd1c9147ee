//! Explains why an attempt failed to the people who run the endpoint: what happened, then what helps.
//!
//! The detail of the attempt says what happened. Here the retained response is looked at as well, so that the
//! advice fits.

use url::Url;

use super::event::{AttemptError, ErrorKind, Response};
use super::redirect::redirect;
use super::wording::{sentence, with_full_stop};

/// Explains `error`, which the attempt at `url` ended with. `response` is what came back, if
/// anything did. Never names a resolved address; what the endpoint answered is quoted.
#[must_use]
pub fn explain(error: &AttemptError, url: &str, response: Option<&Response>) -> String {
    match (error.kind, response) {
        (ErrorKind::Redirect, Some(response)) => {
            format!("Your URL {}.", redirect(url, response.status, header(response, "location")))
        }
        (ErrorKind::HttpStatus, Some(response)) => status(url, response),
        _ => {
            let happened = full_sentence(&error.detail, url);
            // Behind a semicolon the detail says itself what helps, before what it quotes.
            let told = error.detail.split('`').next().is_some_and(|detail| detail.contains("; "));
            match advice(error.kind).filter(|_| !told) {
                Some(advice) => format!("{happened} {advice}"),
                None => happened,
            }
        }
    }
}

fn status(url: &str, response: &Response) -> String {
    let code = response.status;
    let helps = match code {
        400 if wants_tls(url, &response.body) => "It expects TLS at this port; write https:// instead of http://.",
        401 | 403 => {
            "It asks for a permission that we do not have: put what it asks for into the custom headers, or let it accept \
             our requests by their signature."
        }
        404 => "There is nothing at this address; check the path.",
        405 => "It does not take POST there; check the path.",
        408 | 504 => "Whatever stands behind it took too long; answer first and work afterwards.",
        410 => "It says that this address is gone for good; save another one, or switch the webhook off.",
        413 => "It takes no body of this size; raise its limit.",
        415 => "It does not take application/json; check how it reads the body.",
        400 | 422 => "It did not understand the message; its answer below may say why.",
        429 => return too_many(response),
        500 => "It failed while it worked on the message; its own log says why.",
        502 | 503 => "It is not up, or what stands behind it is not; look there first.",
        _ if (400..500).contains(&code) => "It refuses the message; its answer below may say why.",
        _ if (500..600).contains(&code) => "The fault is on its side; its own log says why.",
        _ => "Only 200 to 209 count as delivered.",
    };
    format!("Your URL answered {code}. {helps}")
}

/// Whether a server says that it was asked without TLS: nginx, Apache, Go and others answer so, each in its words.
fn wants_tls(url: &str, body: &str) -> bool {
    let body = body.to_ascii_lowercase();
    let names_http = ["plain http", "an http request", "http request was sent"].iter().any(|text| body.contains(text));
    url.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("http:"))
        && names_http
        && ["https", "ssl", "tls"].iter().any(|text| body.contains(text))
}

/// Characters of a Retry-After that are quoted at most: a date has 29.
const RETRY_AFTER_QUOTED_MAX: usize = 40;

fn too_many(response: &Response) -> String {
    let after = header(response, "retry-after").filter(|after| (1..=RETRY_AFTER_QUOTED_MAX).contains(&after.len()));
    let after = match after {
        Some(after) => format!("It asks for a pause (Retry-After: {after})"),
        None => "It asks for a pause".to_owned(),
    };
    format!("Your URL answered 429. {after}; every message is sent once and at once, so let it take more of them.")
}

/// What helps, where the detail does not say it already.
fn advice(kind: ErrorKind) -> Option<&'static str> {
    match kind {
        ErrorKind::Connect => Some("Check that it is up, that the port is right, and that no firewall is in between."),
        ErrorKind::Timeout => Some("Let it answer first and work afterwards."),
        ErrorKind::Protocol => Some("Check what listens at this port, and what stands in front of it."),
        ErrorKind::Interrupted => Some("Test again."),
        // A status without its response: there is nothing to look at.
        ErrorKind::HttpStatus | ErrorKind::Redirect | ErrorKind::ForbiddenAddress | ErrorKind::Dns | ErrorKind::Tls => {
            None
        }
    }
}

/// The detail with a capital, unless it begins with the host's name, and a full stop.
fn full_sentence(detail: &str, url: &str) -> String {
    let host = Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default();
    if host.is_empty() || !detail.starts_with(&host) { sentence(detail) } else { with_full_stop(detail) }
}

fn header<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    let named = response.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
    named.map(|(_, value)| value.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16, headers: &[(&str, &str)]) -> Response {
        let headers = headers.iter().map(|&(name, value)| (name.to_owned().into(), value.to_owned().into())).collect();
        Response { status, headers, body: String::new(), malformed: Vec::new(), truncated: false }
    }

    fn of(kind: ErrorKind, detail: &str, response: Option<&Response>) -> String {
        let error = AttemptError { kind, detail: detail.to_owned() };
        explain(&error, "https://crm.example/hooks/whatsapp", response)
    }

    #[test]
    fn every_class_of_errors_is_explained() {
        for (kind, detail, expected) in [
            (
                ErrorKind::Dns,
                "the name crm.example cannot be resolved; check its spelling and its DNS records",
                "The name crm.example cannot be resolved; check its spelling and its DNS records.",
            ),
            (
                ErrorKind::Connect,
                "no connection to crm.example:443: connection refused",
                "No connection to crm.example:443: connection refused. \
                 Check that it is up, that the port is right, and that no firewall is in between.",
            ),
            (
                ErrorKind::Tls,
                "the certificate of crm.example expired on 3 March 2026; renew it",
                "The certificate of crm.example expired on 3 March 2026; renew it.",
            ),
            (
                ErrorKind::Timeout,
                "crm.example did not answer within 5s",
                "crm.example did not answer within 5s. Let it answer first and work afterwards.",
            ),
            (
                ErrorKind::Timeout,
                "crm.example did not answer within 5s: it has not read the whole message; let it read first",
                "crm.example did not answer within 5s: it has not read the whole message; let it read first.",
            ),
            (
                ErrorKind::Protocol,
                "what crm.example answered is no HTTP/1.1",
                "What crm.example answered is no HTTP/1.1. \
                 Check what listens at this port, and what stands in front of it.",
            ),
            (
                ErrorKind::Interrupted,
                "the service was restarted before the answer came",
                "The service was restarted before the answer came. Test again.",
            ),
            (
                ErrorKind::ForbiddenAddress,
                "crm.example leads to an address that is not public; use a public one",
                "crm.example leads to an address that is not public; use a public one.",
            ),
            (ErrorKind::HttpStatus, "crm.example answered 500", "crm.example answered 500."),
        ] {
            assert_eq!(of(kind, detail, None), expected);
        }
    }

    #[test]
    fn a_server_that_was_asked_without_tls_is_told_by_its_words() {
        for (url, body, is_told) in [
            ("http://crm.example:443/", "<center>The plain HTTP request was sent to HTTPS port</center>", true),
            ("HTTP://crm.example:443/", "You're speaking plain HTTP to an SSL-enabled server port.", true),
            ("http://crm.example:443/", "Client sent an HTTP request to an HTTPS server.\n", true),
            ("http://crm.example/", "no JSON: see https://crm.example/docs", false),
            ("https://crm.example/", "Client sent an HTTP request to an HTTPS server.\n", false),
        ] {
            let response = Response { body: body.to_owned(), ..answered(400, &[]) };
            let error = AttemptError { kind: ErrorKind::HttpStatus, detail: "crm.example answered 400".to_owned() };
            let text = explain(&error, url, Some(&response));
            assert_eq!(text.contains("https:// instead of http://"), is_told, "{body}: {text}");
        }
    }

    #[test]
    fn a_redirect_names_the_address_to_save() {
        for (location, expected) in [
            (
                Some("https://www.crm.example/hooks/whatsapp"),
                "Your URL answered 301 and points to https://www.crm.example/hooks/whatsapp; \
                 save that address instead.",
            ),
            (Some("/new"), "Your URL answered 301 and points to https://crm.example/new; save that address instead."),
            (
                None,
                "Your URL answered 301, a redirect that does not say where to; redirects are not followed, so save \
                 the address that answers by itself.",
            ),
        ] {
            let headers: Vec<_> = location.map(|to| ("location", to)).into_iter().collect();
            assert_eq!(of(ErrorKind::Redirect, "…", Some(&answered(301, &headers))), expected);
        }
    }

    #[test]
    fn a_status_says_what_helps() {
        for (code, helps) in [
            (400, "did not understand"),
            (401, "permission"),
            (403, "permission"),
            (404, "check the path"),
            (405, "does not take POST"),
            (408, "work afterwards"),
            (410, "gone for good"),
            (413, "raise its limit"),
            (415, "application/json"),
            (418, "refuses the message"),
            (422, "did not understand"),
            (429, "asks for a pause;"),
            (500, "failed while it worked"),
            (502, "not up"),
            (503, "not up"),
            (504, "work afterwards"),
            (507, "on its side"),
            (226, "Only 200 to 209"),
            (199, "Only 200 to 209"),
        ] {
            let text = of(ErrorKind::HttpStatus, "…", Some(&answered(code, &[])));
            assert!(text.starts_with(&format!("Your URL answered {code}. ")) && text.contains(helps), "{text}");
        }
        let text = of(ErrorKind::HttpStatus, "…", Some(&answered(429, &[("Retry-After", "120")])));
        assert!(text.contains("(Retry-After: 120)"), "{text}");
        let long = "1".repeat(9_000);
        let text = of(ErrorKind::HttpStatus, "…", Some(&answered(429, &[("Retry-After", &long)])));
        assert!(text.contains("asks for a pause;"), "{text}");
    }
}
