//! The common input on one primary of a cluster, most shards on another one, which dies and loses what it had not written
//! down: what the input handed over to it comes all the same.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;

use crate::chaos::bench::{Parcel, check_arrivals, parcels, workspaces};
use crate::journal::cluster::{cluster_of, is_on_second};
use support::endpoint::Receiver;
use support::process::until;
use support::service::Service;

#[tokio::test]
async fn every_message_arrives_when_the_shards_server_dies_and_loses_what_was_not_on_disk() {
    let mut nodes = cluster_of(&["--appendfsync", "everysec"]).await;
    let seeds = nodes.each_ref().map(|node| format!("127.0.0.1:{}", node.port())).join(",");
    let service = Service::start(&format!("redis+cluster://{seeds}"), &["--shards", "4"]).await;
    let (receiver, workspaces) = (Receiver::start(), workspaces("w", 8));
    for workspace in &workspaces {
        service.api().save(workspace, &json!({"url": receiver.url(workspace)})).await.ok();
    }
    let home = usize::from(is_on_second(&nodes, "outbound:messages"));
    let parcels = parcels(&workspaces, "m", 40, 3);
    let expected: BTreeSet<String> = parcels.iter().map(|parcel| parcel.id.clone()).collect();
    let url = nodes[home].own_url();
    let produce = |parcels: Vec<Parcel>| {
        let url = url.clone();
        std::thread::spawn(move || {
            let mut connection = redis::Client::open(url).unwrap().get_connection().unwrap();
            for parcel in parcels {
                let fields = [("workspace", &parcel.workspace), ("message", &parcel.message)];
                let mut add = redis::cmd("XADD");
                add.arg("outbound:messages").arg("*").arg(&fields).query::<String>(&mut connection).unwrap();
                std::thread::sleep(Duration::from_millis(4)); // The pace of the load, nothing that is waited for.
            }
        })
    };
    let (first, second) = parcels.split_at(parcels.len() / 3);
    produce(first.to_vec()).join().unwrap();
    receiver.until("some came", |arrivals| arrivals.len() >= first.len()).await;
    let () = nodes[1 - home].call(&["CONFIG", "SET", "appendfsync", "no"]);
    let written = nodes[1 - home].copy_data();
    let producer = produce(second.to_vec());
    receiver.until("more came", |arrivals| arrivals.len() > first.len() + 20).await;
    nodes[1 - home].roll_back(&written);
    producer.join().unwrap();

    receiver
        .until("all came", |arrivals| {
            let came: BTreeSet<&String> = arrivals.iter().map(|one| &one.message_id).collect();
            expected.iter().all(|id| came.contains(id))
        })
        .await;
    check_arrivals(&receiver.arrivals());
    until("nothing is left", async || nodes[home].call::<u64>(&["XLEN", "outbound:messages"]) == 0).await;
}
