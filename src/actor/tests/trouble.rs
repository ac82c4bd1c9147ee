//! Panics, and workspaces that take more than their share.

use std::time::Duration;

use super::bench::{Bench, treatment};
use crate::http::receiver::Treatment;

#[tokio::test]
async fn a_poison_message_is_set_aside_and_everything_else_goes_on() {
    let bench = Bench::new().await;
    bench.treat("acme", Treatment { delay: Duration::from_millis(50), ..treatment(200) });
    bench.save("acme").await;
    bench.save("globex").await;
    for n in 0..30 {
        bench.publish("acme", &format!("+{}", n % 5), &format!("m{n}")).await;
        if n == 10 {
            bench.publish("acme", "+7", "poison").await;
        }
        bench.publish("globex", "+2", &format!("g{n}")).await;
    }
    bench.until("globex", "all are logged", |r| r.attempts.len() == 30).await;
    bench.until("acme", "all are logged", |r| r.attempts.len() == 30).await;
    let mut ids = bench.message_ids("acme");
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 30);
    assert_eq!(bench.received("acme").len(), 30, "nothing that was attempted is attempted again");
}

#[tokio::test]
async fn a_slow_workspace_does_not_hold_up_its_neighbour() {
    let bench = Bench::new().await;
    bench.treat("slow", Treatment { delay: Duration::from_millis(500), ..treatment(200) });
    bench.save("slow").await;
    let neighbour = (0..).map(|n| format!("n{n}")).find(|w| shard(w) == shard("slow")).unwrap();
    bench.save(&neighbour).await;
    for n in 0..6_000 {
        bench.publish("slow", "+2", &format!("m{n}")).await;
    }
    for n in 0..20 {
        bench.publish(&neighbour, "+2", &format!("m{n}")).await;
    }
    bench.until_received(&neighbour, 20).await;
    assert!(bench.received("slow").len() < 100);
}

fn shard(workspace: &str) -> u16 {
    super::bench::id(workspace).shard(2)
}
