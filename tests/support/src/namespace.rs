//! A test in a network of its own, which it can take away and give back. It runs again as a process of its own, as
//! root of nothing but its namespaces.

use std::path::Path;
use std::process::Command;

/// Set in the process that runs apart.
const APART: &str = "OUTBOUND_TEST_APART";

/// Runs `test`, which the harness calls `name`, in namespaces of its own: there only this host can be reached.
pub fn apart(name: &str, test: impl Future<Output = ()>) {
    if std::env::var_os(APART).is_some() {
        ip("link set lo up");
        return tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(test);
    }
    let mut again = Command::new("unshare");
    again.args(["--map-root-user", "--net", "--mount"]).arg(std::env::current_exe().unwrap());
    let output = again.args(["--exact", name, "--nocapture"]).env(APART, "1").output();
    let output = output.expect("unshare of util-linux must be installed");
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && stdout.contains("1 passed"), "{stdout}\n{stderr}");
}

/// `ip` of iproute2, such as `address add 8.8.8.1/32 dev lo`.
pub fn ip(words: &str) {
    let status = Command::new("/sbin/ip").args(words.split(' ')).status().expect("ip of iproute2 must be installed");
    assert!(status.success(), "ip {words}");
}

/// Lets `file` take the place of the system's at `path`, for this test alone.
pub fn replace(path: &str, file: &Path) {
    let status = Command::new("mount").arg("--bind").arg(file).arg(path).status();
    assert!(status.expect("mount of util-linux must be installed").success(), "mount over {path}");
}
