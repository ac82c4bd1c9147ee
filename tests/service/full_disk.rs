//! The disk of the embedded journal is full, and has room again.

use serde_json::json;

use crate::bench::{Bench, Kind, Parcel, parcel, post_all};

/// More than the messages below and their log take.
const MESSAGES: usize = 200;
const TEXT_BYTES: usize = 200 * 1024;
/// A journal of this size is full after some of them.
const KIB_MAX: u64 = 16 * 1024;

#[tokio::test]
async fn a_service_whose_disk_is_full_ends_with_the_reason_and_goes_on_where_there_is_room_again() {
    let mut bench = Bench::start(Kind::Embedded, &[]).await;
    bench.save("acme", json!({})).await;
    assert_eq!(bench.service.terminate().await.code(), Some(0));
    bench.service.file_kib_max = Some(KIB_MAX);
    bench.service.launch().await;
    let (api, parcels) = (bench.api(), (0..MESSAGES).map(large).collect::<Vec<_>>());
    let publishing = tokio::spawn(async move { post_all(&api, &parcels).await });

    let status = bench.service.ended().await;
    assert_eq!(status.code(), Some(1), "{}", bench.service.log());
    assert!(bench.service.log().contains("File too large"), "{}", bench.service.log());

    bench.service.file_kib_max = None;
    bench.service.launch().await;
    let published = publishing.await.unwrap();
    assert!(!published.acknowledged.is_empty());
    bench
        .receiver
        .until("all that was acknowledged came", |arrivals| {
            published.acknowledged.iter().all(|id| arrivals.iter().any(|arrival| arrival.message_id == *id))
        })
        .await;
}

/// A supervisor starts it again and again: what is owed may not be sent at each start and never be noted as sent.
#[tokio::test]
async fn a_service_is_not_started_on_a_full_disk_and_sends_nothing_there() {
    let mut bench = Bench::start(Kind::Embedded, &[]).await;
    bench.save("acme", json!({})).await;
    bench.receiver.hold();
    bench.publish_ids("acme", "+1", &["m-1"]).await;
    bench.receiver.until("it is under way", |arrivals| arrivals.len() == 1).await;
    bench.service.kill();
    bench.service.file_kib_max = Some(4 * 1024);
    for _ in 0..2 {
        let ended = bench.service.refused();
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.stderr.contains("has not the 8 MiB left that are needed"), "{ended:?}");
    }
    assert_eq!(bench.receiver.arrivals().len(), 1);
    let files = std::fs::read_dir(bench.service.data_dir()).unwrap();
    assert!(files.flatten().all(|file| !file.file_name().to_string_lossy().contains("reserve")));
    bench.service.file_kib_max = None;
    bench.receiver.release();
    bench.service.launch().await;
    bench.api().until("acme", "it is delivered", |webhook| webhook["last_attempt"]["outcome"] == "delivered").await;
    assert_eq!(bench.receiver.arrivals().len(), 2);
}

fn large(n: usize) -> Parcel {
    let parcel = parcel("acme", &format!("+{n}"), &format!("m{n}"));
    let text = format!(r#""filler":"{}","message_id""#, "x".repeat(TEXT_BYTES));
    Parcel { message: parcel.message.replacen(r#""message_id""#, &text, 1), ..parcel }
}
