//! This machine has too little of something: that is nobody else's fault.

use std::collections::BTreeSet;
use std::time::Instant;

use reqwest::Method;
use serde_json::json;
use support::endpoint::Receiver;
use support::service::{PATIENCE, Service, message};

/// More endpoints than descriptors, each on an address of its own, so that no connection serves two.
#[tokio::test]
async fn with_few_descriptors_many_endpoints_get_everything_once_and_nothing_is_counted() {
    const ENDPOINTS: usize = 400;
    let receiver = Receiver::start_everywhere();
    let mut service = Service::new("embedded", &["--error-limit", "1", "--timeout", "30s"]);
    service.open_files = Some((200, 256));
    service.launch().await;
    let api = service.api();
    let workspaces: Vec<String> = (0..ENDPOINTS).map(|n| format!("w{n}")).collect();
    for (n, workspace) in workspaces.iter().enumerate() {
        let host = format!("127.0.{}.{}", 1 + n / 250, 1 + n % 250);
        let url = format!("http://{host}:{}/{workspace}", receiver.address.port());
        api.save(workspace, &json!({ "url": url })).await.ok();
    }
    for round in ["first", "second"] {
        for workspace in &workspaces {
            let sent = message("+1", &format!("{workspace}-{round}"));
            api.publish(workspace, &sent).await.unwrap().ok();
        }
    }
    receiver.until("all have come", |arrivals| arrivals.len() >= 2 * ENDPOINTS).await;
    for workspace in &workspaces {
        let logged = format!("{workspace}: both are logged");
        let webhook = api
            .until(workspace, &logged, |webhook| webhook["last_attempt"]["message_id"] == format!("{workspace}-second"))
            .await;
        assert_eq!((&webhook["consecutive_errors"], &webhook["enabled"]), (&json!(0), &json!(true)), "{webhook}");
    }
    let ids: BTreeSet<String> = receiver.arrivals().into_iter().map(|arrival| arrival.message_id).collect();
    assert_eq!((ids.len(), receiver.count()), (2 * ENDPOINTS, 2 * ENDPOINTS), "each once");
    assert!(service.log().contains("The limit of open files is raised."), "the log says so");
}

/// Endpoints that take all connections there are and do not answer.
#[tokio::test]
async fn what_waits_for_a_descriptor_is_delivered_in_the_end() {
    const ENDPOINTS: usize = 150;
    let receiver = Receiver::start_everywhere();
    let mut service = Service::new("embedded", &["--error-limit", "1", "--timeout", "60s"]);
    service.open_files = Some((256, 256));
    service.launch().await;
    let api = service.api();
    receiver.hold();
    for n in 0..ENDPOINTS {
        let url = format!("http://127.0.1.{}:{}/w{n}", 1 + n, receiver.address.port());
        api.save(&format!("w{n}"), &json!({ "url": url })).await.ok();
        api.publish(&format!("w{n}"), &message("+1", &format!("m{n}"))).await.unwrap().ok();
    }
    // The facade keeps its own share.
    receiver.until("connections are used up", |arrivals| arrivals.len() >= 60).await;
    let ready = api.call(Method::GET, "/readyz", None).await.unwrap();
    assert_eq!(ready.status, 200, "{}", ready.body);
    receiver.release();
    receiver.until("all have come", |arrivals| arrivals.len() >= ENDPOINTS).await;
    let began = Instant::now();
    for n in 0..ENDPOINTS {
        let workspace = format!("w{n}");
        let webhook = api.until(&workspace, "it is logged", |webhook| !webhook["last_attempt"].is_null()).await;
        assert_eq!(webhook["last_attempt"]["outcome"], "delivered", "{webhook}");
        assert!(began.elapsed() < PATIENCE);
    }
    assert_eq!(receiver.count(), ENDPOINTS, "each once");
}
