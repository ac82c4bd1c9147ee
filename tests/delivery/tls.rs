//! Certificates and handshakes.

use crate::*;
use support::authority::Authority;

fn trusting(authority: &Authority) -> Courier {
    Courier::with_roots(&options(&["127.0.0.1/32"]), authority.roots()).unwrap()
}

/// One attempt at a receiver behind TLS, which must not have got the request if the attempt failed.
async fn once_tls(courier: &Courier, config: rustls::ServerConfig) -> AttemptOutcome {
    let endpoint = Endpoint::start_tls(vec![Step::Reply(ok())], config);
    let done = attempt(courier, &endpoint.url().replace("http:", "https:")).await;
    assert_eq!(endpoint.seen().requests.len(), usize::from(delivered(&done)));
    assert_eq!(endpoint.seen().connections, 1);
    done
}

#[tokio::test]
async fn a_certificate_of_a_trusted_authority_holds() {
    let authority = Authority::generate();
    let done = once_tls(&trusting(&authority), authority.server("127.0.0.1", 2000..4000)).await;
    assert!(delivered(&done), "{done:?}");
}

#[tokio::test]
async fn a_certificate_that_does_not_hold_is_a_tls_error() {
    let authority = Authority::generate();
    let self_signed = "the certificate of 127.0.0.1 is self-signed, so nobody vouches for it; use one of a public \
                       authority, or have the operator add it to the system's authorities";
    let unknown = "the certificate of 127.0.0.1 comes from an authority that we do not know (Test authority), and \
                   127.0.0.1 sends no other certificate; let it send the whole chain (often called fullchain.pem), or use \
                   one of a public authority";
    for (courier, config, sentence) in [
        (courier(), Authority::self_signed("127.0.0.1"), self_signed),
        (courier(), authority.server("127.0.0.1", 2000..4000), unknown),
        (
            trusting(&authority),
            authority.server("127.0.0.1", 2000..2001),
            "the certificate of 127.0.0.1 expired on 1 January 2001; renew it",
        ),
        (
            trusting(&authority),
            authority.server("127.0.0.1", 3000..4000),
            "the certificate of 127.0.0.1 is not valid before 1 January 3000; check its dates",
        ),
        (
            trusting(&authority),
            authority.server("other.example", 2000..4000),
            "the certificate of 127.0.0.1 is made out to another name (other.example); save the URL with that name, or use a \
             certificate for 127.0.0.1",
        ),
    ] {
        assert_failed(&once_tls(&courier, config).await, ErrorKind::Tls, sentence);
    }
}

#[tokio::test]
async fn a_plain_receiver_behind_an_https_url_is_a_tls_error() {
    let endpoint = Endpoint::start(vec![Step::Reply(ok())]);
    let slamming = Endpoint::start_slamming();
    let speaking_plain = Endpoint::start_greeting(ok());
    let address = speaking_plain.address;
    for (endpoint, sentence) in
        [(speaking_plain, format!("{address} does not speak TLS; check the port")), (slamming, String::new())]
    {
        let address = endpoint.address;
        let done = attempt(&courier(), &format!("https://{address}/")).await;
        let sentence = if sentence.is_empty() { format!("{address} broke off the TLS handshake") } else { sentence };
        assert_failed(&done, ErrorKind::Tls, &sentence);
    }
    // One that waits for a request that it understands is just silent.
    let (clock, courier, url) = (StoppedClock::stop(), courier(), format!("https://{}/", endpoint.address));
    let done = clock.after(endpoint.until(|seen| seen.connections == 1), attempt(&courier, &url)).await;
    let sentence = format!(
        "127.0.0.1 did not answer within 20s: {} took the connection and did not finish the TLS handshake; check that it \
         speaks TLS",
        endpoint.address
    );
    assert_failed(&done, ErrorKind::Timeout, &sentence);
    assert_eq!(endpoint.seen().requests.len(), 0);
}
