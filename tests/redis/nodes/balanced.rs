//! Nodes behind a load balancer that asks `/readyz`: what a rolled, a killed and a standing-by node cost its callers.

use std::fs;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::json;
use tempfile::TempDir;

use crate::nodes::bench::{Nodes, workspaces};
use support::port::Port;
use support::process::until;
use support::service::TOKEN;

/// Callers at a time, each with one request in a node's hands.
const CALLERS: usize = 4;

/// A running haproxy in front of some nodes.
struct Balancer {
    port: Port,
    /// Where it tells whom it takes for well.
    told_at: Port,
    child: Child,
    _folder: TempDir,
}

impl Balancer {
    fn start(nodes: &[SocketAddr]) -> Self {
        let [port, told_at] = [Port::take(), Port::take()];
        let [bind, bind_told] = [port.address(), told_at.address()];
        let servers: String = nodes
            .iter()
            .enumerate()
            .map(|(n, node)| format!("  server n{n} {node} check inter 50ms fall 1 rise 1\n"))
            .collect();
        let config = format!(
            "defaults\n  mode http\n  timeout connect 5s\n  timeout check 30s\n  timeout client 60s\n  timeout server 60s\n  retries 3\n  \
             option redispatch 1\n  retry-on conn-failure\n  http-reuse never\nfrontend all\n  bind {bind}\n  \
             default_backend nodes\nbackend nodes\n  option httpchk GET /readyz\n  http-check expect status 200\n{servers}\
             frontend told\n  bind {bind_told}\n  stats enable\n  stats uri /\n"
        );
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("haproxy.cfg");
        fs::write(&file, config).unwrap();
        let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin";
        let mut command = Command::new("haproxy");
        command.arg("-db").arg("-f").arg(&file).env("PATH", path).stdout(Stdio::null()).stderr(Stdio::null());
        Self { port, told_at, child: command.spawn().expect("haproxy must be installed"), _folder: folder }
    }
}

impl Balancer {
    /// Waits until it sends callers to the node.
    async fn until_up(&self, node: usize) {
        let (told, line) = (format!("http://{}/;csv", self.told_at.address()), format!("nodes,n{node},"));
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        until("the balancer has found the node", async || {
            let Ok(reply) = client.get(&told).send().await else { return false };
            let text = reply.text().await.unwrap_or_default();
            text.lines().any(|one| one.starts_with(&line) && one.contains(",UP,"))
        })
        .await;
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Callers that go on reading and saving.
struct Callers {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    failed: Arc<Mutex<Vec<String>>>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Callers {
    fn start(balancer: SocketAddr, url: &str) -> Self {
        let (stop, answered) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let failed = Arc::<Mutex<Vec<String>>>::default();
        let client = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build().unwrap();
        let call = |n: usize| {
            let (stop, answered, failed) = (Arc::clone(&stop), Arc::clone(&answered), Arc::clone(&failed));
            let (client, body) = (client.clone(), json!({"url": url}).to_string());
            let webhook = format!("http://{balancer}/v1/workspaces/w{n}/webhook");
            tokio::spawn(async move {
                let mut save = true;
                while !stop.load(Ordering::SeqCst) {
                    let request = if save { client.put(&webhook).body(body.clone()) } else { client.get(&webhook) };
                    let request = request.bearer_auth(TOKEN).header("content-type", "application/json");
                    match request.send().await {
                        Ok(response) if response.status().is_success() => {
                            answered.fetch_add(1, Ordering::SeqCst);
                        }
                        Ok(response) => {
                            let said = format!("{} {}", response.status(), response.text().await.unwrap_or_default());
                            failed.lock().unwrap().push(said);
                        }
                        Err(error) => failed.lock().unwrap().push(format!("{error:?}")),
                    }
                    save = !save;
                }
            })
        };
        let tasks = (0..CALLERS).map(call).collect();
        Self { stop, answered, failed, tasks }
    }

    /// Waits until so many more were answered.
    async fn until_more(&self, n: usize) {
        let before = self.answered.load(Ordering::SeqCst);
        until("more are answered", async || self.answered.load(Ordering::SeqCst) >= before + n).await;
    }

    fn failed(&self) -> Vec<String> {
        self.failed.lock().unwrap().clone()
    }

    async fn end(self) {
        self.stop.store(true, Ordering::SeqCst);
        for task in self.tasks {
            task.await.unwrap();
        }
    }
}

#[tokio::test]
async fn behind_a_balancer_a_rolled_a_standing_by_and_a_killed_node_cost_no_request_but_those_in_its_hands() {
    // They come back where the balancer looks for them.
    let ports = [(); 3].map(|()| Port::take());
    let addresses = ports.each_ref().map(Port::address);
    let mut nodes = Nodes::start_with(&[]).await;
    for (address, flags) in addresses.iter().zip([&[][..], &[], &["--static-shards", "none"]]) {
        nodes.add_on(&address.to_string(), flags);
    }
    nodes.until_shared(&[0, 1]).await;
    nodes.until_ready(2).await;
    nodes.save(&workspaces(CALLERS)).await;
    let balancer = Balancer::start(&addresses);
    for node in 0..3 {
        balancer.until_up(node).await;
    }

    let callers = Callers::start(balancer.port.address(), &nodes.receiver.url("all"));
    callers.until_more(40).await;
    for node in 0..3 {
        assert_eq!(nodes.nodes[node].terminate().await.code(), Some(0));
        callers.until_more(20).await;
        nodes.nodes[node].launch().await;
        // Who rolls nodes waits until the one before is back.
        nodes.until_shared(&[0, 1]).await;
        balancer.until_up(node).await;
        callers.until_more(20).await;
    }
    assert_eq!(callers.failed(), Vec::<String>::new(), "rolled");
    nodes.nodes[1].kill();
    callers.until_more(40).await;
    assert!(callers.failed().len() <= CALLERS, "failed beyond what was in its hands: {:?}", callers.failed());
    callers.end().await;
}
