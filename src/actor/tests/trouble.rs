//! Panics, and workspaces that take more than their share.

use std::time::Duration;

use super::bench::Bench;
use support::endpoint::Manner;
use support::process::until;

#[tokio::test]
async fn a_poison_message_is_set_aside_and_everything_else_goes_on() {
    let bench = Bench::new().await;
    bench.treat("acme", Manner { delay: Duration::from_millis(50), ..Manner::default() });
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
async fn a_drain_starts_nothing_new() {
    let mut bench = Bench::with(|options| options.policy.in_flight_max = 2).await;
    // One whose attempt keeps the drain waiting, and a quick one with a backlog, both held back until it is heard of.
    bench.treat("slow", Manner { answered_max: 0, ..Manner::default() });
    bench.save("slow").await;
    let quick = (0..).map(|n| format!("n{n}")).find(|w| shard(w) == shard("slow")).unwrap();
    bench.treat(&quick, Manner { answered_max: 0, ..Manner::default() });
    bench.save(&quick).await;
    bench.publish("slow", "+2", "m1").await;
    for n in 0..100 {
        bench.publish(&quick, &format!("+{n}"), &format!("m{n}")).await;
    }
    bench.until_received("slow", 1).await;
    bench.until_received(&quick, 2).await;
    let handle = bench.handle.take().unwrap();
    let report = handle.reporter();
    let answers = async {
        // The shards are told together, and the other one has nothing to wait for.
        until("the other shard is given up", async || report().held.len() == 1).await;
        bench.treat(&quick, Manner { delay: Duration::from_millis(20), ..Manner::default() });
        bench.until(&quick, "those in flight are settled", |r| r.attempts.len() >= 2).await;
        // What would be attempted now would be attempted within this time.
        tokio::time::sleep(Duration::from_millis(500)).await;
        bench.treat("slow", Manner::default());
    };
    tokio::join!(handle.drain(), answers);
    // Those that were in flight, and as many that began before its shard heard of it.
    let received = bench.received(&quick).len();
    assert!(received <= 2 + 8, "{received} requests");
    assert_eq!(bench.read(&quick).await.attempts.len(), received, "all that was attempted is settled");
    assert_eq!(bench.read("slow").await.attempts.len(), 1);
}

#[tokio::test]
async fn a_poison_message_at_the_end_of_the_stream_is_set_aside_too() {
    let bench = Bench::new().await;
    bench.save("acme").await;
    bench.publish("acme", "+2", "poison").await;
    bench.publish("acme", "+3", "m1").await;
    bench.publish("acme", "+2", "poison too").await;
    bench.until("acme", "the other one is logged", |r| r.attempts.len() == 1).await;
    // Whoever is set aside does not hold up what comes next.
    let began = tokio::time::Instant::now();
    bench.publish("acme", "+2", "m2").await;
    bench.until("acme", "the next one is logged", |r| r.attempts.len() == 2).await;
    assert!(began.elapsed() < Duration::from_secs(25), "it took {:?}", began.elapsed());
}

#[tokio::test]
async fn workspaces_that_wait_for_a_place_get_one() {
    let bench = Bench::with(|options| options.in_flight_max = 3).await;
    let workspaces: Vec<String> = (0..12).map(|n| format!("w{n}")).collect();
    for workspace in &workspaces {
        bench.treat(workspace, Manner { delay: Duration::from_millis(20), ..Manner::default() });
        bench.save(workspace).await;
        for n in 0..10 {
            bench.publish(workspace, &format!("+{}", n % 3), &format!("m{n}")).await;
        }
    }
    for workspace in &workspaces {
        bench.until(workspace, "all are logged", |r| r.attempts.len() == 10).await;
    }
}

#[tokio::test]
async fn a_slow_workspace_does_not_hold_up_its_neighbour() {
    let bench = Bench::new().await;
    bench.treat("slow", Manner { delay: Duration::from_millis(500), ..Manner::default() });
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
    // Its own take 50 minutes: most of them are left.
    assert!(bench.received("slow").len() < 3_000);
}

fn shard(workspace: &str) -> u16 {
    super::bench::id(workspace).shard(2)
}
