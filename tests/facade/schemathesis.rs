//! Schemathesis against the running service: it makes requests out of `/openapi.json`, right ones and
//! wrong ones, and holds every answer to it.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use support::service::{Service, TOKEN};

/// Nothing takes so long: it is about one minute on a quiet machine. This only turns a hang into a failure, before
/// .config/nextest.toml does.
const TIME_MAX: Duration = Duration::from_secs(13 * 60);

#[tokio::test]
async fn schemathesis_finds_nothing_that_is_not_described() {
    // Samples are sent to hosts that are not there: what names them may take a moment, no more.
    let service = Service::start("embedded", &["--timeout", "200ms"]).await;
    let folder = tempfile::tempdir().unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let program = root.join("target/tools/bin/st");
    assert!(program.exists(), "{} is not there; `make tools` installs it", program.display());
    let report = folder.path().join("report");
    let mut running = Command::new(program)
        .arg("--config-file")
        .arg(root.join("tests/facade/schemathesis/schemathesis.toml"))
        .args(["run", &format!("http://{}/openapi.json", service.api().address()), "--no-color"])
        .args(["--header", &format!("Authorization: Bearer {TOKEN}")])
        // It leaves files where it runs.
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(std::fs::File::create(&report).unwrap())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let began = Instant::now();
    let status = loop {
        if let Some(status) = running.try_wait().unwrap() {
            break Some(status);
        }
        if began.elapsed() > TIME_MAX {
            running.kill().unwrap();
            running.wait().unwrap();
            break None;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let report = std::fs::read_to_string(report).unwrap();
    assert!(status.is_some_and(|status| status.success()), "{status:?}\n{report}");
    // It leaves out where the description itself comes from and what has no end, and nothing else.
    let mut described = service.api().get("/openapi.json").await.ok();
    let calls = described["paths"].as_object_mut().unwrap();
    calls.remove("/openapi.json").unwrap();
    calls.remove("/v1/workspaces/{workspace}/attempts/live").unwrap();
    let calls = calls.values().flat_map(|item| item.as_object().unwrap()).count();
    assert!(report.contains(&format!("Tested: {calls}\n")), "{calls} calls are described\n{report}");
    assert_eq!(service.log().matches("panicked").count(), 0);
}
