//! A process that stood still for longer than an attempt may take: a paused container, a suspended machine.

use crate::*;

const TIMEOUT: Duration = Duration::from_secs(1);

/// One attempt at an endpoint; as soon as it begins to answer, the thread of the attempt does nothing for so long.
async fn stood_still(script: Vec<Step>, pause: Duration) -> AttemptOutcome {
    let endpoint = Endpoint::start(script);
    let courier = Courier::new(&CourierOptions { timeout: TIMEOUT, ..options(&["127.0.0.1/32"]) }).unwrap();
    let url = endpoint.url();
    let stands_still = async {
        endpoint.until(|seen| seen.answered == 1).await;
        // This is what stands still.
        std::thread::sleep(pause);
    };
    tokio::join!(attempt(&courier, &url), stands_still).0
}

/// Seen in the field: eleven answers lay in the sockets when the process went on, and the webhook was switched off.
#[tokio::test]
async fn an_answer_that_came_meanwhile_counts() {
    let (head, rest) = (b"HTTP/1.1 200 OK\r\n".to_vec(), b"content-length: 2\r\n\r\nok".to_vec());
    let done = stood_still(vec![Step::Trickle(head, rest, Duration::from_millis(20))], TIMEOUT * 3 / 2).await;
    assert_eq!((&done.error, done.excused), (&None, false), "{done:?}");
    assert_eq!(done.response.unwrap().status, 200);
}

#[tokio::test]
async fn without_an_answer_it_is_logged_and_not_counted() {
    let done = stood_still(vec![Step::ReplyAndStall(Vec::new())], TIMEOUT + Duration::from_secs(3)).await;
    assert_eq!(done.error.as_ref().map(|error| error.kind), Some(ErrorKind::Timeout));
    assert!(done.excused, "{done:?}");
}

/// It had all of its time, and some more.
#[tokio::test]
async fn an_endpoint_that_is_late_by_itself_is_counted_as_ever() {
    let done = stood_still(vec![Step::ReplyAndStall(Vec::new())], Duration::ZERO).await;
    assert_eq!(done.error.as_ref().map(|error| error.kind), Some(ErrorKind::Timeout));
    assert!(!done.excused, "{done:?}");
}
