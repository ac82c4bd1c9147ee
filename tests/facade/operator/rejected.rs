//! What is set aside, summed up on the operators' screen, and the forms that move or delete it.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use outbound::journal::port::{RawEntry, RequeueError, Requeued};
use outbound::journal::rejected::rejected_fields;
use outbound::message::EntryId;

use super::{END, page, send, session, words};
use crate::kit::{FakeJournal, NOW, away, facade, working};

fn set_aside(shard: u16, ms: u64, reason: &str) -> (u16, RawEntry) {
    let fields = vec![(Bytes::from_static(b"workspace"), Bytes::from_static(b"acme"))];
    let id = EntryId { ms, n: 0 };
    (shard, RawEntry { id, fields: rejected_fields(&RawEntry { id, fields }, reason, NOW) })
}

#[tokio::test]
async fn rejected_entries_are_summed_up_by_reason_and_requeued_or_discarded_by_it() {
    let not_json = "the message is not JSON: expected value at line 1 <b>";
    let mut rejected = vec![set_aside(0, 1, "the field `workspace` is missing")];
    rejected.extend((1..=20).map(|ms| set_aside(1, ms, not_json)));
    rejected.push(set_aside(2, 9, not_json));
    let done: Arc<Mutex<Vec<String>>> = Arc::default();
    let (discarded, requeued) = (Arc::clone(&done), Arc::clone(&done));
    let journal = FakeJournal {
        rejected,
        discard: Box::new(move |shard, ids| {
            discarded.lock().unwrap().extend(ids.iter().map(|id| format!("discard {shard}/{id}")));
            Ok(ids.len() as u64)
        }),
        requeue: Box::new(move |shard, id| {
            requeued.lock().unwrap().push(format!("requeue {shard}/{id}"));
            match id.ms % 2 {
                0 => Ok(Requeued { workspace: "acme".parse().unwrap(), shard: 1, entry: EntryId { ms: 99, n: 0 } }),
                _ => Err(RequeueError::Invalid { reason: "still".to_owned() }),
            }
        }),
        ..FakeJournal::default()
    };
    let router = facade(Arc::new(journal), working());
    let cookie = session(&router).await;
    let reply = page(&router, "/", &cookie).await;
    let told = words(&reply);
    assert!(told.contains("22 entries are set aside"), "{told}");
    let (first, second) = (told.find("the message is not JSON").unwrap(), told.find("is missing").unwrap());
    assert!(first < second, "most first: {told}");
    assert!(told.contains("21 entries") && told.contains("1 entry"), "{told}");
    assert!(!reply.text.contains("<b>"), "what producers write is escaped");

    let form = |seal: &str| format!("csrf={seal}&reason=the+message+is+not+JSON");
    let seal = reply.csrf();
    for path in ["/operator/rejected/discard", "/operator/rejected/requeue"] {
        assert_eq!(send(&router, path, &cookie, &form("")).await.status, 403, "not without the page's seal");
        assert_eq!(send(&router, path, "", &form(&seal)).await.status, 401, "not without a session");
    }
    assert_eq!(*done.lock().unwrap(), [""; 0]);

    let reply = send(&router, "/operator/rejected/requeue", &cookie, &form(&seal)).await;
    assert_eq!((reply.status.as_u16(), reply.header("location")), (303, "/?requeued=10&invalid=11"));
    assert_eq!(done.lock().unwrap().len(), 21);
    assert!(!done.lock().unwrap().iter().any(|line| line.contains("0/1-0")), "another reason is left alone");
    let reply = page(&router, "/?requeued=10&invalid=11", &cookie).await;
    assert!(words(&reply).contains("10 entries were requeued. 11 entries are still not valid and stay."));

    done.lock().unwrap().clear();
    let reply = send(&router, "/operator/rejected/discard", &cookie, &form(&seal)).await;
    assert_eq!((reply.status.as_u16(), reply.header("location")), (303, "/?discarded=21"));
    assert_eq!(done.lock().unwrap().len(), 21);
    assert!(done.lock().unwrap().iter().all(|line| line.starts_with("discard ") && !line.contains(" 0/")));
}

#[tokio::test]
async fn what_could_not_be_done_is_told() {
    let failing = FakeJournal {
        rejected: vec![set_aside(0, 2, "the message is not JSON")],
        discard: Box::new(|_, _| Err(away())),
        requeue: Box::new(|_, _| Err(RequeueError::Full)),
        ..FakeJournal::default()
    };
    let router = facade(Arc::new(failing), working());
    let cookie = session(&router).await;
    let seal = page(&router, "/", &cookie).await.csrf();
    for (what, told) in [("discard", "The store is away"), ("requeue", "full")] {
        let form = format!("csrf={seal}&reason=the+message+is+not+JSON");
        let reply = send(&router, &format!("/operator/rejected/{what}"), &cookie, &form).await;
        assert_eq!(reply.status, 503, "{}", reply.text);
        assert!(reply.header("content-type").starts_with("text/html"));
        assert!(reply.text.contains(told) && !reply.text.contains("hunter2"), "{}", reply.text);
    }
}

#[tokio::test]
async fn a_requeueing_that_ends_early_tells_what_it_moved_before() {
    let full_store = FakeJournal {
        rejected: (1..=5).map(|ms| set_aside(1, ms, "the message is not JSON")).collect(),
        requeue: Box::new(|_, id| match id.ms {
            1 | 3 => Ok(Requeued { workspace: "acme".parse().unwrap(), shard: 1, entry: EntryId { ms: 99, n: 0 } }),
            2 => Err(RequeueError::Invalid { reason: "still".to_owned() }),
            _ => Err(RequeueError::Full),
        }),
        ..FakeJournal::default()
    };
    let router = facade(Arc::new(full_store), working());
    let cookie = session(&router).await;
    let form = format!("csrf={}&reason=the+message+is+not+JSON", page(&router, "/", &cookie).await.csrf());
    let reply = send(&router, "/operator/rejected/requeue", &cookie, &form).await;
    assert_eq!(reply.status, 503, "{}", reply.text);
    let told = words(&reply);
    assert!(
        told.contains("2 entries were requeued, 1 entry was still not valid; of the next: the store is full"),
        "{told}"
    );
}

/// What a form changes may be lost for good.
#[tokio::test(start_paused = true)]
async fn a_form_whose_session_the_store_does_not_vouch_for_changes_nothing() {
    let discard = Box::new(|_: u16, _: &[EntryId]| panic!("an ended session may have sent it"));
    let rejected = vec![set_aside(0, 2, "the message is not JSON")];
    let journal = Arc::new(FakeJournal { rejected, discard, ..FakeJournal::default() });
    let router = facade(Arc::clone(&journal), working());
    let cookie = session(&router).await;
    let seal = page(&router, "/", &cookie).await.csrf();
    journal.vouches_for_none.store(true, Ordering::Relaxed);
    let form = format!("csrf={seal}&reason=the+message+is+not+JSON");
    let reply = send(&router, "/operator/rejected/discard", &cookie, &form).await;
    assert_eq!(reply.status, 503, "{}", reply.text);
    assert_eq!(page(&router, "/", &cookie).await.status, 200, "to look is needed most now");
    let reply = send(&router, END, &cookie, &format!("csrf={seal}")).await;
    assert_eq!(reply.status, 303, "and whoever signs out changes nothing else");
}
