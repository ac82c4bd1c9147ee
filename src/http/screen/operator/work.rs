//! What is owed, by shard and by the workspaces that wait longest, and which node runs what.

use maud::{Markup, html};

use super::overview::Overview;
use crate::config::{OWING_SHARDS_SHOWN, ShardSet};
use crate::http::api::nodes::{ListedNode, ListedShard, NodeList};
use crate::http::screen::parts::{Tone, count, grouped, span, time, unknown};
use crate::journal::port::NodeRole;
use crate::workspace::time::Time;

/// What is owed.
pub(super) fn owed(overview: &Overview<'_>) -> Markup {
    html! {
        section #owed .panel aria-labelledby="owed-title" {
            h2 #owed-title { "Owed" }
            @match &overview.work {
                Err(why) => (unknown(why)),
                Ok(work) => (by_shard(work, overview.now)),
            }
            (longest(overview))
        }
    }
}

fn by_shard(work: &NodeList, now: Time) -> Markup {
    let mut owing: Vec<&ListedShard> = work.shards.iter().filter(|shard| shard.owed > 0).collect();
    owing.sort_by_key(|shard| (shard.oldest_at, shard.shard));
    let total: u64 = owing.iter().map(|shard| shard.owed).sum();
    let oldest = owing.first().and_then(|shard| shard.oldest_at);
    html! {
        @if owing.is_empty() {
            p { "Nothing is owed: every message that came was attempted or skipped." }
        } @else {
            p {
                strong { (count(total, "message")) }
                @if let Some(oldest) = oldest { ", the oldest for " strong { (span(now.since(oldest))) } } "."
            }
            div .scroll tabindex="0" role="region" aria-label="Owed by shard" {
                table {
                    thead { tr { th scope="col" { "Shard" } th scope="col" { "Owed" } th scope="col" { "Oldest" } th scope="col" { "Runs on" } } }
                    tbody {
                        @for shard in owing.iter().take(OWING_SHARDS_SHOWN) {
                            tr {
                                th scope="row" { (shard.shard) }
                                td { (grouped(shard.owed)) }
                                td { @if let Some(oldest) = shard.oldest_at { (span(now.since(oldest))) } }
                                td { @match &shard.node { Some(node) => (short(node)), None => strong { "no node" } } }
                            }
                        }
                    }
                }
            }
            @if owing.len() > OWING_SHARDS_SHOWN {
                p .hint { "And " (count((owing.len() - OWING_SHARDS_SHOWN) as u64, "more shard")) "." }
            }
        }
    }
}

/// The workspaces that wait longest.
fn longest(overview: &Overview<'_>) -> Markup {
    let waiting = &overview.all.longest_waiting;
    html! {
        @if !waiting.is_empty() {
            h3 { "Waiting longest" }
            ol .rows {
                @for (workspace, waits) in waiting {
                    li {
                        a .id href={ (overview.root) "/workspaces/" (workspace) "/outbound" } { (workspace) }
                        span .facts {
                            span { @if waits.at_least { "at least " } (count(waits.count, "message")) }
                            span { "the oldest for " (span(overview.now.since(waits.oldest_at))) }
                        }
                    }
                }
            }
        }
    }
}

/// The nodes, and who holds what.
pub(super) fn nodes(overview: &Overview<'_>) -> Markup {
    html! {
        section #nodes .panel aria-labelledby="nodes-title" {
            h2 #nodes-title { "Nodes" }
            @match &overview.work {
                Err(why) => (unknown(why)),
                Ok(work) => {
                    ul .rows { @for node in &work.nodes { (node_row(node)) } }
                    @let nobodys: ShardSet = work.shards.iter().filter(|shard| shard.node.is_none()).map(|shard| shard.shard).collect();
                    @if !nobodys.is_empty() {
                        p .unknown { (Tone::Bad.icon()) " Held by no node: shards " (nobodys) "." }
                    }
                }
            }
        }
    }
}

fn node_row(node: &ListedNode) -> Markup {
    let held: ShardSet = node.shards.iter().copied().collect();
    let (tone, words) = match (node.alive, node.role) {
        (false, _) => (Tone::Bad, "gone"),
        (true, NodeRole::Worker) => (Tone::Good, "works"),
        (true, NodeRole::Standby) => (Tone::Good, "stands by"),
        (true, NodeRole::Facade) => (Tone::Good, "facade only"),
        (true, NodeRole::Leaving) => (Tone::Warning, "leaving"),
    };
    html! {
        li {
            span .state .(tone.class()) { (tone.icon()) " " (words) }
            strong .id { (node.address) }
            span .facts {
                span .id { "node " (short(&node.id)) }
                span { "version " (node.version) }
                @if held.is_empty() { span { "no shard" } } @else { span .id { "shards " (held) } }
                @if node.alive { span { "since " (time(node.began_at)) } } @else { span { "last seen " (time(node.seen_at)) } }
            }
        }
    }
}

/// Enough of a node's id to tell it from the others.
fn short(id: &str) -> String {
    id.chars().take(8).collect()
}
