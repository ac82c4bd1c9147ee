//! Certificates and handshakes as they are in the field: each refusal says which, and what to do.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, SanType, date_time_ymd,
};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion, version};
use support::endpoint::{Endpoint, Step, answer};

use crate::*;

/// An authority, what it issues under, and what a client trusts.
struct Tree {
    roots: RootCertStore,
    root: Issuer<'static, KeyPair>,
}

/// What a server shows.
struct Shown {
    chain: Vec<CertificateDer<'static>>,
    key: KeyPair,
}

fn authority(name: &str, years: (i32, i32)) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name = named(name);
    (params.not_before, params.not_after) = (date_time_ymd(years.0, 1, 1), date_time_ymd(years.1, 1, 1));
    params
}

fn named(name: &str) -> DistinguishedName {
    let mut named = DistinguishedName::new();
    named.push(DnType::CommonName, name);
    named
}

fn leaf(names: &[&str]) -> CertificateParams {
    let mut params = CertificateParams::new(names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>()).unwrap();
    params.distinguished_name = named("127.0.0.1");
    params
}

impl Tree {
    fn new() -> Self {
        let (params, key) = (authority("Acme Root", (2000, 4000)), KeyPair::generate().unwrap());
        let certificate = params.self_signed(&key).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(certificate.der().clone()).unwrap();
        Self { roots, root: Issuer::new(params, key) }
    }

    fn issue(&self, params: &CertificateParams) -> Shown {
        let key = KeyPair::generate().unwrap();
        Shown { chain: vec![params.signed_by(&key, &self.root).unwrap().der().clone()], key }
    }

    /// By an intermediate authority that is valid in these years.
    fn issue_below(&self, years: (i32, i32)) -> Shown {
        let (params, between) = (authority("Acme Issuing", years), KeyPair::generate().unwrap());
        let intermediate: Certificate = params.signed_by(&between, &self.root).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = leaf(&["127.0.0.1"]).signed_by(&key, &Issuer::new(params, between)).unwrap();
        Shown { chain: vec![certificate.der().clone(), intermediate.der().clone()], key }
    }
}

fn self_signed(mut params: CertificateParams, is_ca: bool) -> Shown {
    if is_ca {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }
    let key = KeyPair::generate().unwrap();
    Shown { chain: vec![params.self_signed(&key).unwrap().der().clone()], key }
}

fn server(
    shown: Shown,
    versions: &[&'static SupportedProtocolVersion],
    clients: Option<&RootCertStore>,
) -> ServerConfig {
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(versions).unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(roots) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots.clone()), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    builder.with_single_cert(shown.chain, PrivateKeyDer::Pkcs8(shown.key.serialize_der().into())).unwrap()
}

const BOTH: &[&SupportedProtocolVersion] = &[&version::TLS13, &version::TLS12];

async fn once(tree: &Tree, config: ServerConfig) -> AttemptOutcome {
    let endpoint = Endpoint::start_tls(vec![Step::Reply(answer("200 OK", "", "ok"))], config);
    attempt(&trusting(tree), &endpoint.url().replace("http:", "https:")).await
}

fn trusting(tree: &Tree) -> Courier {
    let allow = vec!["127.0.0.0/8".parse().unwrap()];
    let timeout = Duration::from_secs(20);
    let reach = EgressRules { allow, ..EgressRules::default() };
    let clock = || Time::from_unix_ms(1_649_367_553_000);
    let options = CourierOptions { timeout, reach, clock, egress: Egress::default() };
    Courier::with_roots(&options, tree.roots.clone()).unwrap()
}

/// Certificates that were made by hand, copied without their chain, or forgotten.
#[tokio::test]
async fn a_certificate_that_does_not_hold_says_which_and_what_to_do() {
    let tree = Tree::new();
    let dated = |from, to| {
        let mut params = leaf(&["127.0.0.1"]);
        (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(to, 1, 1));
        params
    };
    let mut of_a_client = leaf(&["127.0.0.1"]);
    of_a_client.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let mut for_an_authority = leaf(&["127.0.0.1"]);
    for_an_authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let mut named_by_address = leaf(&[]);
    named_by_address.subject_alt_names = vec![SanType::DnsName("127.0.0.1".try_into().unwrap())];
    let mut without_chain = tree.issue_below((2000, 4000));
    without_chain.chain.truncate(1);
    for (what, shown, said) in [
        ("a common name only", tree.issue(&leaf(&[])), "no alternative name"),
        ("another name", tree.issue(&leaf(&["crm.example"])), "made out to another name (crm.example)"),
        ("expired", tree.issue(&dated(2000, 2001)), "the certificate of 127.0.0.1 expired on 1 January 2001; renew it"),
        ("not valid yet", tree.issue(&dated(3000, 4000)), "not valid before 1 January 3000"),
        (
            "an expired intermediate",
            tree.issue_below((2000, 2001)),
            "sends along with its own expired on 1 January 2001",
        ),
        (
            "no intermediate",
            without_chain,
            "(Acme Issuing), and 127.0.0.1 sends no other certificate; let it send the whole chain",
        ),
        (
            "an unknown authority",
            Tree::new().issue_below((2000, 4000)),
            "an authority that we do not know (Acme Issuing); use one",
        ),
        (
            "self-signed",
            self_signed(leaf(&["127.0.0.1"]), false),
            "have the operator add it to the system's authorities",
        ),
        ("self-signed for nobody", self_signed(leaf(&[]), false), "with 127.0.0.1 as a subject alternative name"),
        (
            "self-signed by openssl's defaults",
            self_signed(leaf(&["127.0.0.1"]), true),
            "is self-signed and made for an authority (CA:TRUE), which no server may show; make it anew",
        ),
        ("made for clients", tree.issue(&of_a_client), "not made for servers"),
        ("made for an authority", tree.issue(&for_an_authority), "is made for an authority (CA:TRUE)"),
        ("an address among the names", tree.issue(&named_by_address), "(subjectAltName=IP:127.0.0.1)"),
        ("a star for several parts", tree.issue(&leaf(&["*.crm.example"])), "a * stands for exactly one part"),
        ("another star beside a name", tree.issue(&leaf(&["*.a.example", "a.example"])), "save the URL with that name"),
    ] {
        let outcome = once(&tree, server(shown, BOTH, None)).await;
        let error = outcome.error.unwrap_or_else(|| panic!("{what} was taken"));
        assert!(error.kind == ErrorKind::Tls && error.detail.contains(said), "{what}: {error:?}");
    }
}

/// Operators who add a self-signed certificate to their authorities, as they were told.
#[tokio::test]
async fn a_self_signed_certificate_that_was_added_is_trusted_unless_it_is_an_authoritys() {
    for (is_ca, said) in [(false, None), (true, Some("make it anew with basicConstraints=CA:FALSE"))] {
        let (mut tree, shown) = (Tree::new(), self_signed(leaf(&["127.0.0.1"]), is_ca));
        tree.roots.add(shown.chain[0].clone()).unwrap();
        let error = once(&tree, server(shown, BOTH, None)).await.error;
        assert!(
            error.as_ref().map(|error| &*error.detail).unwrap_or_default().contains(said.unwrap_or_default()),
            "{error:?}"
        );
        assert_eq!(error.is_some(), said.is_some(), "{error:?}");
    }
}

/// Old appliances know TLS 1.2 only, strict ones 1.3 only; some close without the goodbye that TLS has.
#[tokio::test]
async fn endpoints_of_either_version_are_delivered_to() {
    let tree = Tree::new();
    for versions in [&[&version::TLS12][..], &[&version::TLS13], BOTH] {
        let config = server(tree.issue_below((2000, 4000)), versions, None);
        assert_eq!(once(&tree, config).await.error, None, "{versions:?}");
    }
    for (reply, truncated) in [
        // Only its own goodbye tells that a body without a length is whole.
        ("HTTP/1.1 200 OK\r\n\r\nok", true),
        ("HTTP/1.0 200 OK\r\n\r\nok", true),
        ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", true),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n", true),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", false),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", false),
    ] {
        for versions in [&[&version::TLS12][..], &[&version::TLS13]] {
            let config = server(tree.issue(&leaf(&["127.0.0.1"])), versions, None);
            let endpoint = Endpoint::start_tls(vec![Step::ReplyAndCut(reply.into())], config);
            let courier = trusting(&tree);
            // What is left of the first is not taken for a connection.
            for n in 1..=2 {
                let outcome = attempt(&courier, &endpoint.url().replace("http:", "https:")).await;
                assert_eq!(outcome.error, None, "{reply:?}");
                let response = outcome.response.unwrap();
                assert_eq!((response.body.as_str(), response.truncated), ("ok", truncated), "{reply:?}");
                // A request that crosses with the end of its connection is gone (RFC 9112, section 9.5).
                endpoint.until(|seen| seen.closed == n).await;
            }
            assert_eq!(endpoint.seen().requests.len(), 2, "{reply:?}");
        }
    }
}

/// Hosts with many customers choose the certificate by the name in the handshake.
#[tokio::test]
async fn an_endpoint_that_needs_the_name_in_the_handshake_gets_it() {
    let tree = Tree::new();
    let Shown { chain, key } = tree.issue(&leaf(&["localhost"]));
    let key = ring::sign::any_supported_type(&PrivateKeyDer::Pkcs8(key.serialize_der().into())).unwrap();
    let mut by_name = rustls::server::ResolvesServerCertUsingSni::new();
    by_name.add("localhost", rustls::sign::CertifiedKey::new(chain, key)).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(by_name));
    let endpoint = Endpoint::start_tls(vec![Step::Reply(answer("200 OK", "", "ok"))], config);
    let (courier, port) = (trusting(&tree), endpoint.address.port());
    assert_eq!(attempt(&courier, &format!("https://localhost:{port}/")).await.error, None);
    let error = attempt(&courier, &format!("https://127.0.0.1:{port}/")).await.error.unwrap();
    assert!(error.kind == ErrorKind::Tls && error.detail.contains("127.0.0.1"), "{error:?}");
}

/// A wrong port, and gateways that let only known clients in.
#[tokio::test]
async fn the_wrong_protocol_and_a_demand_for_our_certificate_are_told() {
    let tree = Tree::new();
    let config = server(tree.issue(&leaf(&["127.0.0.1"])), &[&version::TLS12], Some(&tree.roots));
    let error = once(&tree, config).await.error.unwrap();
    assert!(error.kind == ErrorKind::Tls && error.detail.contains("client certificate"), "{error:?}");

    let mut only_http_2 = server(tree.issue(&leaf(&["127.0.0.1"])), BOTH, None);
    only_http_2.alpn_protocols = vec![b"h2".to_vec()];
    let error = once(&tree, only_http_2).await.error.unwrap();
    assert!(error.kind == ErrorKind::Tls && error.detail.contains("let it take HTTP/1.1"), "{error:?}");

    // An alert in place of a handshake: close_notify.
    let closing = Endpoint::start_greeting(b"\x15\x03\x03\x00\x02\x01\x00".to_vec());
    let error = attempt(&trusting(&tree), &format!("https://{}/", closing.address)).await.error.unwrap();
    assert!(error.kind == ErrorKind::Tls && error.detail.contains("broke off the TLS handshake"), "{error:?}");

    let plain = Endpoint::start_greeting(answer("400 Bad Request", "", ""));
    let error = attempt(&trusting(&tree), &format!("https://{}/", plain.address)).await.error.unwrap();
    assert!(error.kind == ErrorKind::Tls && error.detail.contains("does not speak TLS"), "{error:?}");

    // What a TLS server says to a request that is none of TLS: an alert, "unexpected message".
    let tls = Endpoint::start(vec![Step::ReplyAndClose(b"\x15\x03\x03\x00\x02\x02\x0a".to_vec())]);
    let error = attempt(&trusting(&tree), &tls.url()).await.error.unwrap();
    assert!(error.kind == ErrorKind::Protocol && error.detail.contains("write https://"), "{error:?}");
}

/// Appliances that nobody updates. What they say is written out, for no library of today says it.
#[tokio::test]
async fn an_endpoint_of_old_versions_only_is_told_so_and_what_it_lacks() {
    let alert = |code| vec![0x15, 3, 1, 0, 2, 2, code];
    // A ServerHello of TLS 1.0: its version, 32 random bytes, no session, AES128-SHA, no compression.
    let hello = [&[2, 0, 0, 38, 3, 1][..], &[7; 32], &[0, 0, 0x2f, 0]].concat();
    let chooses_1_0 = [&[0x16, 3, 1, 0, 42][..], &hello].concat();
    for (what, greeting, said) in [
        ("protocol_version", alert(70), "speaks neither TLS 1.2 nor 1.3"),
        ("a ServerHello of TLS 1.0", chooses_1_0, "speaks neither TLS 1.2 nor 1.3"),
        ("insufficient_security", alert(71), "offers no cipher suite that we accept"),
        ("handshake_failure", alert(40), "either it offers no cipher suite that we accept"),
    ] {
        let endpoint = Endpoint::start_greeting(greeting);
        let error = attempt(&trusting(&Tree::new()), &format!("https://{}/", endpoint.address)).await.error.unwrap();
        assert!(error.kind == ErrorKind::Tls && error.detail.contains(said), "{what}: {error:?}");
    }
}
