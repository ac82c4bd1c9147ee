//! The file of the embedded journal is damaged: the service says so, and what can be read of it is not lost.

use std::fs;
use std::path::PathBuf;
use std::process::Output;

use serde_json::json;

use crate::bench::{Bench, Kind, Parcel, parcel};
use support::process::{outbound, printed};
use support::service::TOKEN;

const PAGE: usize = 4096;
/// Text of messages of `acme`, each of which nearly fills a page of the file.
const MARK: &str = "a-mark-that-stands-nowhere-else";
const LAST_MARKED: usize = 4;

#[tokio::test]
async fn a_file_that_was_cut_off_is_refused_as_it_is_and_can_be_repaired() {
    let mut bench = written().await;
    let file = file(&bench);
    let bytes = fs::read(&file).unwrap();
    for length in [bytes.len() / 2, PAGE + 1, 100] {
        fs::write(&file, &bytes[..length]).unwrap();
        let ended = bench.service.refused();
        assert_eq!(ended.code, Some(1), "{ended:?}");
        for part in ["outbound.redb cannot be opened: the file is damaged", "`outbound repair --file FILE`"] {
            assert!(ended.stderr.contains(part), "{ended:?}");
        }
        assert_eq!(fs::read(&file).unwrap(), &bytes[..length], "it is left as it is");
    }
    let mut repaired = None;
    // Where in the file its root stands is chance: without that, nothing of it can be found.
    for sixteenths in 1..16 {
        let rest = &bytes[..bytes.len() * sixteenths / 16];
        fs::write(&file, rest).unwrap();
        let output = repair(&bench, &["--file", file.to_str().unwrap()]);
        if output.status.success() {
            let told = printed(&output);
            assert!(told.contains("outbound.redb is new; the damaged file is"), "{sixteenths}: {told}");
            assert!(told.contains("what is lost:"), "{sixteenths}: {told}");
            repaired = Some(fs::read(&file).unwrap());
        } else {
            let told = failed(&output);
            assert!(told.contains("nothing can be read of"), "{sixteenths}: {told}");
            assert_eq!(fs::read(&file).unwrap(), rest, "it is left as it is");
        }
    }
    // Of the last cut perhaps nothing was found.
    fs::write(&file, repaired.expect("a part of the file that is enough")).unwrap();
    bench.service.launch().await;
    bench.save("new", json!({})).await;
}

#[tokio::test]
async fn a_page_that_was_overwritten_costs_what_stood_on_it() {
    let mut bench = written().await;
    let file = file(&bench);
    let mut bytes = fs::read(&file).unwrap();
    let mut overwritten = 0;
    for page in bytes.chunks_mut(PAGE) {
        // A page may hold what both have written one after the other.
        if holds(page, MARK) && !holds(page, "beta") {
            page.fill(0);
            overwritten += 1;
        }
    }
    assert!(overwritten > 0, "the mark is nowhere");
    fs::write(&file, &bytes).unwrap();
    let told = printed(&repair(&bench, &["--file", file.to_str().unwrap()]));
    for part in
        ["  a part of the events\n", "acme has lost a part (", "run `outbound repair acme` when the service runs"]
    {
        assert!(told.contains(part), "{part:?} in {told}");
    }
    assert!(!told.contains("beta"), "{told}");
    bench.service.launch().await;
    assert_eq!(bench.api().read("acme", "attempts").await.problem(), (503, "workspace-unavailable"));
    let beta = bench.api().log("beta").await;
    assert_eq!(beta.len(), 2, "its neighbour has lost nothing");
    let before = bench.receiver.arrivals().len();
    bench.publish_ids("acme", "+1", &["m-new"]).await;
    bench.publish_ids("beta", "+1", &["m-new"]).await;
    bench.receiver.until("the neighbour's is sent", |arrivals| arrivals.len() == before + 1).await;

    let server = format!("http://{}", bench.api().address());
    let told = printed(&repair(&bench, &["acme", "--server", &server]));
    assert!(told.contains("acme was repaired; what is lost:"), "{told}");
    bench.receiver.until("what waited is sent", |arrivals| arrivals.len() == before + 2).await;
    assert_eq!(bench.api().webhook("acme").await["url"], bench.receiver.url("acme"));
    let whole = failed(&repair(&bench, &["--file", file.to_str().unwrap()]));
    assert!(whole.contains("is in use by another process: stop it"), "{whole}");
    assert_eq!(bench.service.terminate().await.code(), Some(0));
    let whole = printed(&repair(&bench, &["--file", file.to_str().unwrap()]));
    assert_eq!(whole, format!("the file {} is whole\n", file.display()));
}

/// What it holds in memory it would not miss before the next start.
#[tokio::test]
async fn a_file_that_is_cut_off_under_a_running_service_lets_it_end_before_it_acknowledges_anything() {
    let mut bench = written().await;
    bench.service.launch().await;
    let file = file(&bench);
    let bytes = fs::read(&file).unwrap();
    fs::OpenOptions::new().write(true).open(&file).unwrap().set_len(bytes.len() as u64 / 8).unwrap();
    none_is_acknowledged(&bench).await;
    assert_eq!(bench.service.ended().await.code(), Some(1), "{}", bench.service.log());
    assert!(bench.service.log().contains("outbound.redb was cut off while the service ran"), "{}", bench.service.log());
    assert_eq!(fs::read(&file).unwrap(), &bytes[..bytes.len() / 8], "it is left as it is");
    // As an operator's copy would be.
    fs::write(&file, bytes).unwrap();
    bench.service.launch().await;
    bench.save("new", json!({})).await;
}

/// A copy that is put back by `cp` goes into the file that is open.
#[tokio::test]
async fn a_copy_that_is_put_back_under_a_running_service_ends_it_and_is_not_written_to() {
    let mut bench = written().await;
    let file = file(&bench);
    let copy = fs::read(&file).unwrap();
    // Of the same length, a longer and a shorter one than what is there now.
    let longer = [copy.clone(), vec![0; copy.len()]].concat();
    let shorter = copy[..copy.len() - PAGE].to_vec();
    for (n, put_back) in [longer, shorter, copy.clone()].into_iter().enumerate() {
        bench.service.launch().await;
        bench.save(&format!("late-{n}"), json!({})).await;
        bench.service.pause();
        fs::write(&file, &put_back).unwrap();
        bench.service.resume();
        none_is_acknowledged(&bench).await;
        assert_eq!(bench.service.ended().await.code(), Some(1), "{}", bench.service.log());
        let told = "outbound.redb was written to by another program while the service ran";
        assert!(bench.service.log().contains(told), "{}", bench.service.log());
        assert!(fs::read(&file).unwrap() == put_back, "it is left as it was put there");
        fs::write(&file, &copy).unwrap();
    }
    bench.service.launch().await;
    assert_eq!(bench.api().log("acme").await.len(), 1 + LAST_MARKED);
}

/// No advice leads back to the repair that could not do anything.
#[tokio::test]
async fn a_file_of_which_nothing_can_be_read_is_left_to_a_copy() {
    let bench = written().await;
    let file = file(&bench);
    let whole = fs::read(&file).unwrap();
    let headless = [vec![0; PAGE], whole[PAGE..].to_vec()].concat();
    for bytes in [headless, vec![0; 64 * 1024], b"no journal, but a letter".repeat(400), Vec::new()] {
        fs::write(&file, &bytes).unwrap();
        let told = failed(&repair(&bench, &["--file", file.to_str().unwrap()]));
        let found = if bytes.is_empty() { "it has 0 bytes" } else { "nothing can be read of" };
        assert!(told.contains(found) && told.contains("Put a copy of "), "{told}");
        assert!(!told.contains("outbound repair"), "{told}");
        assert!(fs::read(&file).unwrap() == bytes, "it is left as it is");
        assert_eq!(bench.service.refused().code, Some(1));
    }
    let told = bench.service.refused();
    assert!(told.stderr.contains("it has 0 bytes") && !told.stderr.contains("outbound repair"), "{told:?}");
    let files = fs::read_dir(bench.service.data_dir()).unwrap().map(|file| file.unwrap().file_name());
    let beside: Vec<_> = files.filter(|name| name.to_string_lossy().starts_with("outbound.redb.")).collect();
    assert!(beside.is_empty(), "{beside:?}");
}

/// The system lets anybody take a file away that is open, or put another one in its place.
#[tokio::test]
async fn a_file_that_is_taken_away_under_a_running_service_lets_it_end_before_it_acknowledges_anything() {
    let mut bench = written().await;
    let (file, aside) = (file(&bench), bench.service.data_dir().join("aside.redb"));
    let copy = bench.service.data_dir().join("copy.redb");
    fs::copy(&file, &copy).unwrap();
    let logged_before = bench.receiver.arrivals().len();
    for (how, told) in [
        ("deleted", "it was deleted or moved while the service ran"),
        ("moved", "it was deleted or moved while the service ran"),
        ("replaced", "another file was put in its place while the service ran"),
    ] {
        bench.service.launch().await;
        let before = bench.service.log().len();
        fs::rename(&file, &aside).unwrap();
        if how == "replaced" {
            fs::copy(&copy, &file).unwrap();
        }
        if how != "moved" {
            fs::remove_file(&aside).unwrap();
        }
        // An idle one finds it, too.
        if how == "deleted" {
            none_is_acknowledged(&bench).await;
        }
        assert_eq!(bench.service.ended().await.code(), Some(1), "{how}: {}", bench.service.log());
        let log = bench.service.log().split_off(before);
        assert!(log.contains(told) && log.contains(file.to_str().unwrap()), "{how}: {log}");
        fs::copy(&copy, &file).unwrap();
    }
    bench.service.launch().await;
    assert_eq!(bench.api().log("acme").await.len(), 1 + LAST_MARKED);
    assert_eq!(bench.receiver.arrivals().len(), logged_before);
}

/// Messages are published of which none is said to be stored.
async fn none_is_acknowledged(bench: &Bench) {
    for n in LAST_MARKED + 1..LAST_MARKED + 9 {
        // It may have ended already.
        let reply = bench.api().publish("acme", &marked(n).message).await;
        assert!(reply.as_ref().is_ok_and(|reply| reply.status == 503) || reply.is_err(), "{reply:?}");
    }
}

/// Two workspaces with messages. The last ones are marked and come when everything else is stored, so that
/// pages hold nothing else. The service has ended as it should.
async fn written() -> Bench {
    let mut bench = Bench::start(Kind::Embedded, &[]).await;
    for workspace in ["acme", "beta"] {
        bench.save(workspace, json!({})).await;
        bench.publish_ids(workspace, "+1", &["m-0"]).await;
    }
    bench.publish_ids("beta", "+1", &["m-1"]).await;
    logged(&bench, "beta", "m-1").await;
    for n in 1..=LAST_MARKED {
        bench.publish(&[marked(n)]).await;
        logged(&bench, "acme", &format!("m-{n}")).await;
    }
    assert_eq!(bench.service.terminate().await.code(), Some(0));
    bench
}

async fn logged(bench: &Bench, workspace: &str, id: &str) {
    bench.api().until(workspace, "it is logged", |webhook| webhook["last_attempt"]["message_id"] == id).await;
}

fn holds(page: &[u8], text: &str) -> bool {
    page.windows(text.len()).any(|part| part == text.as_bytes())
}

fn marked(n: usize) -> Parcel {
    let parcel = parcel("acme", &format!("+{n}"), &format!("m-{n}"));
    let text = format!(r#""filler":"{}","message_id""#, MARK.repeat(2 * PAGE / 3 / MARK.len()));
    Parcel { message: parcel.message.replacen(r#""message_id""#, &text, 1), ..parcel }
}

fn file(bench: &Bench) -> PathBuf {
    bench.service.data_dir().join("outbound.redb")
}

fn repair(bench: &Bench, arguments: &[&str]) -> Output {
    let mut command = outbound(&["repair"]);
    command.args(arguments).current_dir(bench.service.data_dir()).env("OUTBOUND_ADMIN_TOKEN", TOKEN);
    command.output().unwrap()
}

fn failed(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8(output.stderr.clone()).unwrap()
}
