//! A name server on a port of its own that answers as it is told, with the files that lead to it.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tempfile::TempDir;

/// What is said of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It has these addresses, for so many seconds.
    Addresses(Vec<IpAddr>, u32),
    /// This address, not to be kept; who asks for the other family's hears nothing.
    OneFamily(IpAddr),
    /// It is another name for that one (CNAME).
    Alias(String),
    /// There is no such name.
    NoSuchName,
    /// The name server cannot say (SERVFAIL).
    Failure,
    /// The name server does not want to say (REFUSED).
    Refusal,
    /// Nothing.
    Silence,
}

impl Answer {
    /// One address, not to be kept.
    pub fn at(address: &str) -> Self {
        Self::Addresses(vec![address.parse().unwrap()], 0)
    }

    fn code(&self) -> u8 {
        match self {
            Self::Addresses(..) | Self::OneFamily(_) | Self::Alias(_) | Self::Silence => 0,
            Self::Failure => 2,
            Self::NoSuchName => 3,
            Self::Refusal => 5,
        }
    }
}

/// A running name server; it ends when it is dropped.
pub struct DnsServer {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    folder: TempDir,
}

#[derive(Default)]
struct Shared {
    answers: Mutex<HashMap<String, Answer>>,
    asked: Mutex<Vec<String>>,
    stopped: AtomicBool,
}

impl DnsServer {
    /// One that knows no name.
    pub fn start() -> Self {
        Self::listen((Ipv4Addr::LOCALHOST, 0).into())
    }

    /// The same on the port of name servers, on every address of this host.
    pub fn start_everywhere() -> Self {
        Self::listen((Ipv4Addr::UNSPECIFIED, 53).into())
    }

    fn listen(on: SocketAddr) -> Self {
        let socket = UdpSocket::bind(on).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let address = socket.local_addr().unwrap();
        let shared = Arc::<Shared>::default();
        let server = Arc::clone(&shared);
        std::thread::spawn(move || {
            let mut buffer = [0; 1_500];
            while !server.stopped.load(Ordering::Relaxed) {
                let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
                if let Some(response) = server.respond(&buffer[..length]) {
                    socket.send_to(&response, from).ok();
                }
            }
        });
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("resolv.conf"), "nameserver 127.0.0.1\n").unwrap();
        std::fs::write(folder.path().join("hosts"), "").unwrap();
        Self { address, shared, folder }
    }

    /// From now on this is said of `name`.
    pub fn answer(&self, name: &str, answer: Answer) {
        self.shared.answers.lock().unwrap().insert(name.to_owned(), answer);
    }

    /// The names that were asked for, in order, as often as they were.
    pub fn asked(&self) -> Vec<String> {
        self.shared.asked.lock().unwrap().clone()
    }

    /// A file like /etc/resolv.conf that names this server.
    pub fn resolv_conf(&self) -> PathBuf {
        self.folder.path().join("resolv.conf")
    }

    /// A file like /etc/hosts.
    pub fn hosts(&self) -> PathBuf {
        self.folder.path().join("hosts")
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }
}

impl Drop for DnsServer {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Relaxed);
    }
}

impl Shared {
    fn respond(&self, query: &[u8]) -> Option<Vec<u8>> {
        let (name, end) = question(query)?;
        let kind = u16::from_be_bytes([*query.get(end)?, *query.get(end + 1)?]);
        self.asked.lock().unwrap().push(name.clone());
        let answer = match self.answers.lock().unwrap().get(&name).cloned().unwrap_or(Answer::NoSuchName) {
            Answer::Silence => return None,
            Answer::OneFamily(address) if kind != if address.is_ipv4() { 1 } else { 28 } => return None,
            Answer::OneFamily(address) => Answer::Addresses(vec![address], 0),
            answer => answer,
        };
        let mut records = Vec::new();
        let mut count = 0_u8;
        if let Answer::Alias(of) = &answer {
            count = 1;
            records.extend([0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 0]);
            records.extend(u16::try_from(of.len() + 2).unwrap().to_be_bytes());
            for label in of.split('.') {
                records.push(u8::try_from(label.len()).unwrap());
                records.extend(label.as_bytes());
            }
            records.push(0);
        }
        if let Answer::Addresses(addresses, ttl) = &answer {
            for address in addresses {
                let (record_kind, bytes) = match address {
                    IpAddr::V4(address) => (1_u16, address.octets().to_vec()),
                    IpAddr::V6(address) => (28, address.octets().to_vec()),
                };
                if record_kind == kind {
                    count += 1;
                    records.extend([0xc0, 12]);
                    records.extend(kind.to_be_bytes());
                    records.extend(1_u16.to_be_bytes());
                    records.extend(ttl.to_be_bytes());
                    records.extend(u16::try_from(bytes.len()).unwrap().to_be_bytes());
                    records.extend(bytes);
                }
            }
        }
        // The id, "a response with recursion", the code, one question, the answers, nothing else.
        let mut response = vec![query[0], query[1], 0x81, 0x80 | answer.code(), 0, 1, 0, count, 0, 0, 0, 0];
        response.extend(&query[12..end + 4]);
        response.extend(records);
        Some(response)
    }
}

/// The name that is asked for, in lower case, and where it ends.
fn question(query: &[u8]) -> Option<(String, usize)> {
    let (mut labels, mut at) = (Vec::new(), 12);
    loop {
        let length = usize::from(*query.get(at)?);
        at += 1;
        if length == 0 {
            return Some((labels.join("."), at));
        }
        labels.push(String::from_utf8_lossy(query.get(at..at + length)?).to_lowercase());
        at += length;
    }
}
