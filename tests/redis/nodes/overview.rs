//! The operators' screen behind a balancer: whichever node answers, it shows what all of them know.

use outbound::message::WorkspaceId;

use crate::nodes::bench::{Nodes, SHARDS, workspaces};
use support::process::until;
use support::service::{Service, TOKEN, message};

/// The screen of one node, in a browser that has signed in.
struct Screen<'a> {
    node: &'a Service,
    client: reqwest::Client,
    cookie: String,
}

impl<'a> Screen<'a> {
    async fn of(node: &'a Service) -> Self {
        let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        let form = client.post(format!("http://{}/operator/session", node.api().address()));
        let form = form.header("content-type", "application/x-www-form-urlencoded").body(format!("token={TOKEN}"));
        let reply = form.send().await.unwrap();
        let cookie = reply.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
        Self { node, client, cookie }
    }

    /// The text of the page without its tags.
    async fn words(&self) -> String {
        let page = self.client.get(format!("http://{}/", self.node.api().address()));
        let page = page.header("accept", "text/html").header("cookie", &self.cookie).send().await.unwrap();
        let page = page.text().await.unwrap();
        let text: String = page.split('<').filter_map(|part| part.split_once('>')).map(|(_, text)| text).collect();
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    async fn until_says(&self, part: &str) {
        until(&format!("{} says: {part}", self.node.api().address()), async || self.words().await.contains(part)).await;
    }

    /// Waits until it says that, and none of these: a part that a store which is slow for a moment left out is there again.
    async fn until_says_without(&self, part: &str, others: &[&str]) {
        until(&format!("{} says {part} without {others:?}", self.node.api().address()), async || {
            let words = self.words().await;
            words.contains(part) && !others.iter().any(|other| words.contains(other))
        })
        .await;
    }
}

/// Publishes a message of every workspace, which makes every shard of both nodes work.
async fn publish(nodes: &Nodes, workspaces: &[String], id: &str) {
    for workspace in workspaces {
        let text = message("+1", &format!("{id}-{workspace}"));
        nodes.nodes[0].api().publish(workspace, &text).await.unwrap().ok();
    }
}

#[tokio::test]
async fn every_node_shows_what_all_nodes_did_and_what_waits_anywhere() {
    // No attempt ends by a timeout while answers are held back: nothing would wait any more.
    let flags: &[&str] = &["--timeout", "60s"];
    let mut nodes = Nodes::start_with(&[flags, flags]).await;
    nodes.until_shared(&[0, 1]).await;
    let workspaces = workspaces(12);
    nodes.save(&workspaces).await;
    publish(&nodes, &workspaces, "first").await;
    nodes.until_settled().await;
    for node in &nodes.nodes {
        let screen = Screen::of(node).await;
        screen.until_says_without("12 messages: 12 delivered", &["tells nothing", "told nothing"]).await;
    }

    nodes.receiver.hold();
    publish(&nodes, &workspaces, "under-way").await;
    publish(&nodes, &workspaces, "waiting").await;
    for node in &nodes.nodes {
        let screen = Screen::of(node).await;
        screen.until_says("Waiting longest").await;
        // Ten are named, of both nodes' shards.
        until("workspaces of both nodes are named", async || {
            let words = screen.words().await;
            let (_, waiting) = words.split_once("Waiting longest").unwrap_or_default();
            let waiting = waiting.split("Rejected").next().unwrap_or_default().to_owned();
            waiting.matches("the oldest for").count() == 10
        })
        .await;
    }
    nodes.receiver.release();
    nodes.until_settled().await;

    // What a node did before it ended in order stays, and nothing is missed of it.
    nodes.nodes[1].terminate().await;
    let screen = Screen::of(&nodes.nodes[0]).await;
    screen.until_says_without("36 messages: 36 delivered", &["is gone"]).await;
}

#[tokio::test]
async fn of_a_node_that_was_killed_the_page_says_until_when_it_is_counted() {
    let mut nodes = Nodes::start(2).await;
    let workspaces = workspaces(12);
    nodes.save(&workspaces).await;
    publish(&nodes, &workspaces, "first").await;
    nodes.until_settled().await;
    Screen::of(&nodes.nodes[0]).await.until_says("12 messages: 12 delivered").await;
    let address = nodes.nodes[1].api().address().to_string();
    nodes.nodes[1].kill();
    let screen = Screen::of(&nodes.nodes[0]).await;
    screen.until_says(&format!("Node {address} is gone: what it did is counted until")).await;
    screen.until_says("12 messages: 12 delivered").await;

    // It comes back as another process; what the one before it did is counted still.
    nodes.nodes[1].launch().await;
    nodes.until_shared(&[0, 1]).await;
    publish(&nodes, &workspaces, "second").await;
    nodes.until_settled().await;
    for node in &nodes.nodes {
        let screen = Screen::of(node).await;
        screen.until_says("24 messages: 24 delivered").await;
        screen.until_says_without("works", &["is gone"]).await;
    }
}

#[tokio::test]
async fn what_is_wrong_at_one_node_is_seen_at_the_others() {
    let nodes = Nodes::start(2).await;
    let screen = Screen::of(&nodes.nodes[0]).await;
    screen.until_says("2 nodes do their work and know of no trouble.").await;
    let held = nodes.held(1).await;
    let shard = |id: &str| id.parse::<WorkspaceId>().unwrap().shard(SHARDS);
    let damaged = (0..).map(|n| format!("damaged-{n}")).find(|id| held.contains(&u64::from(shard(id)))).unwrap();
    let key = format!("outbound:{{{}}}:snapshot:{damaged}", shard(&damaged));
    nodes.redis.call::<()>(&["SET", &key, "no snapshot"]);
    nodes.nodes[0].api().publish(&damaged, &message("+1", "m")).await.unwrap().ok();
    screen.until_says("1 workspace cannot be loaded and waits").await;
    assert_eq!(nodes.ready(0).await.1["unavailable_workspaces"], 0, "it is the other node's");

    // One that is stopped tells nothing.
    let address = nodes.nodes[1].api().address().to_string();
    nodes.nodes[1].pause();
    screen.until_says(&format!("Node {address} is gone")).await;
    nodes.nodes[1].resume();
    screen.until_says_without(&address, &["is gone"]).await;
}
