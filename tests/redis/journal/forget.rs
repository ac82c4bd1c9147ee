//! Forgetting and the append-only file: Redis writes an empty stream in one way as a snapshot and in
//! another as commands, and both must keep its last id.

use outbound::journal::codec;
use outbound::journal::port::Step;
use outbound::workspace::event::{Event, Forgotten};
use outbound::workspace::time::Time;

use crate::journal::kit::{acquire, batch, begun, entry, journal};
use support::redis_server::RedisServer;

#[tokio::test]
async fn the_last_id_of_a_forgotten_workspace_survives_a_rewrite_of_the_append_only_file() {
    for preamble in ["yes", "no"] {
        let mut server = RedisServer::start_with(&["--aof-use-rdb-preamble", preamble]);
        let (_, connection, mut acme) = begun(&server.url()).await;
        connection.commit(batch([acme.attempted(entry(1)), acme.saved(), acme.attempted(entry(2))])).await.unwrap();
        acme.state.evolve(&Event::Forgotten(Forgotten { at: Time::from_unix_ms(3_000), by: "admin".to_owned() }));
        let snapshot = Some(codec::encode_snapshot(&acme.state));
        let forgotten = Step { workspace: Some(acme.id.clone()), forget: true, snapshot, ..Step::default() };
        connection.commit(batch([forgotten])).await.unwrap();

        server.rewrite_log();
        server.restart();
        let last_id = |stream: &str| {
            let info: Vec<redis::Value> = server.call(&["XINFO", "STREAM", &format!("outbound:{{0}}:{stream}:acme")]);
            let text = |value: &redis::Value| redis::from_redis_value_ref::<String>(value).ok();
            let at = info.iter().position(|value| text(value).as_deref() == Some("last-generated-id")).unwrap();
            text(&info[at + 1]).unwrap()
        };
        assert_eq!((last_id("attempts"), last_id("journal")), ("4-0".to_owned(), "3-0".to_owned()));

        let journal = journal(&server.url()).await;
        let connection = acquire(&journal).await.connection;
        assert_eq!(connection.load(&acme.id).await.unwrap().unwrap().state, acme.state);
        connection.commit(batch([acme.saved()])).await.unwrap();
        assert_eq!(connection.load(&acme.id).await.unwrap().unwrap().state, acme.state);
        assert_eq!(acme.state.seq, 5);
    }
}
