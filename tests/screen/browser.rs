//! A headless Chromium of its own for a test, driven over WebDriver; both processes end with it.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fantoccini::error::{CmdError, ErrorStatus};
use fantoccini::wd::{Capabilities, WebDriverCompatibleCommand};
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use tempfile::TempDir;
use url::{ParseError, Url};

use support::service::PATIENCE;

/// Between two looks at a condition.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// Widths of the pictures in pixels: a desk, and a small telephone.
const WIDTHS: [u32; 2] = [1280, 360];
/// A picture is not higher than this, however long the page.
const HEIGHT_MAX: u64 = 2_400;
/// How much of the page README shows.
const README_HEIGHT: u64 = 900;

/// What is different about a browser.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Kind {
    /// No page may run a script.
    pub(crate) without_scripts: bool,
}

/// A browser with one window.
pub(crate) struct Browser {
    client: Client,
    /// Where downloads land; the profile is below it, too.
    folder: TempDir,
    driver: Driver,
    runs_scripts: bool,
}

/// The driver's process group: with it the browser's processes end.
struct Driver(Child);

impl Drop for Driver {
    fn drop(&mut self) {
        kill_process_group(Pid::from_child(&self.0), Signal::KILL).ok();
        self.0.wait().ok();
    }
}

/// A command of the browser's own protocol, beyond WebDriver.
#[derive(Debug)]
struct DevTools(&'static str, Value);

impl WebDriverCompatibleCommand for DevTools {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, ParseError> {
        base.join(&format!("session/{}/goog/cdp/execute", session.unwrap_or_default()))
    }

    fn method_and_body(&self, _url: &Url) -> (axum::http::Method, Option<String>) {
        (axum::http::Method::POST, Some(json!({"cmd": self.0, "params": self.1}).to_string()))
    }
}

/// A driver, and its port. It takes a port that is free for one family of addresses and ends where another process has it for
/// the other; then there is another one to be taken.
async fn started(folder: &Path) -> (Driver, String) {
    for _ in 0..STARTS_MAX {
        let mut child = Command::new("chromedriver")
            .arg("--port=0")
            .env("HOME", folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("chromedriver, which `make tools` installs");
        let stdout = child.stdout.take().unwrap();
        let driver = Driver(child);
        let port = tokio::task::spawn_blocking(move || {
            let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
            let port = lines.find_map(|line| {
                line.split("started successfully on port ").nth(1).map(|rest| rest.trim_end_matches('.').to_owned())
            });
            // Reads on, so that the driver is never kept from writing.
            std::thread::spawn(move || lines.for_each(drop));
            port
        });
        if let Some(port) = port.await.unwrap() {
            return (driver, port);
        }
    }
    panic!("no driver says its port");
}

/// Ports that a driver may find taken in a row.
const STARTS_MAX: usize = 10;

impl Browser {
    pub(crate) async fn start(kind: Kind) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (driver, port) = started(folder.path()).await;
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities(kind, folder.path()))
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .expect("a session of the browser");
        Self { client, folder, driver, runs_scripts: !kind.without_scripts }
    }

    pub(crate) async fn open(&self, url: &str) {
        self.client.goto(url).await.unwrap();
    }

    pub(crate) async fn reload(&self) {
        self.client.refresh().await.unwrap();
    }

    /// What the service sent, more or less.
    pub(crate) async fn source(&self) -> String {
        self.client.source().await.unwrap()
    }

    pub(crate) async fn address(&self) -> Url {
        self.client.current_url().await.unwrap()
    }

    /// The text that is seen of the first element; `None` when there is none.
    pub(crate) async fn text(&self, css: &str) -> Option<String> {
        self.client.find(Locator::Css(css)).await.ok()?.text().await.ok()
    }

    pub(crate) async fn count(&self, css: &str) -> usize {
        self.client.find_all(Locator::Css(css)).await.unwrap().len()
    }

    /// A property of the first element, such as the value of a field.
    pub(crate) async fn property(&self, css: &str, name: &str) -> Option<String> {
        self.client.find(Locator::Css(css)).await.ok()?.prop(name).await.ok()?
    }

    /// Clicks; what follows is waited for by the caller.
    pub(crate) async fn click(&self, css: &str) {
        self.click_on(Locator::Css(css)).await;
    }

    /// Clicks the button or link with that text; what follows is waited for by the caller.
    pub(crate) async fn press(&self, text: &str) {
        let path = format!("//*[self::button or self::a or self::summary][normalize-space()='{text}']");
        self.click_on(Locator::XPath(&path)).await;
    }

    /// Clicks the button or link with that text and waits until another page has taken the place of this one, which may say
    /// the same.
    pub(crate) async fn follow(&self, text: &str) {
        self.leaving(self.press(text)).await;
    }

    /// Waits until what is done has led to another page.
    pub(crate) async fn leaving(&self, does: impl Future<Output = ()>) {
        let before = self.client.find(Locator::Css("html")).await.unwrap();
        does.await;
        let began = Instant::now();
        while !before.tag_name().await.is_err_and(|error| is_gone(&error)) {
            assert!(began.elapsed() < PATIENCE, "no other page comes");
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Clicks as soon as that is there and can be clicked. An update of the page may take it away, or move another in front of
    /// it, at the last moment: then nothing was clicked.
    async fn click_on(&self, locator: Locator<'_>) {
        let began = Instant::now();
        loop {
            let clicked = match self.client.find(locator).await {
                Ok(found) => found.click().await,
                Err(missing) => Err(missing),
            };
            let Err(error) = clicked else { return };
            let not_yet = is_gone(&error) || error.is_element_not_interactable() || is_intercepted(&error);
            assert!(not_yet && began.elapsed() < PATIENCE, "{locator:?} cannot be clicked: {error}");
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Puts `text` into a field in place of what stands there.
    pub(crate) async fn fill(&self, css: &str, text: &str) {
        let field = self.client.find(Locator::Css(css)).await.unwrap();
        field.clear().await.unwrap();
        field.send_keys(text).await.unwrap();
    }

    /// Waits until the element with that id has the focus: a page gives it when it has been shown.
    pub(crate) async fn until_focused(&self, id: &str) {
        self.until_true(&format!("return document.activeElement.id === '{id}'")).await;
    }

    /// Waits until the address has that query.
    pub(crate) async fn until_query(&self, wanted: &str) {
        let began = Instant::now();
        while self.address().await.query() != Some(wanted) {
            assert!(began.elapsed() < PATIENCE, "waited in vain for {wanted:?}: {}", self.address().await);
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Waits until a script returns true.
    pub(crate) async fn until_true(&self, script: &str) {
        let began = Instant::now();
        while self.run(script).await != json!(true) {
            assert!(began.elapsed() < PATIENCE, "waited in vain for {script}");
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Waits until the first such element says something, and not `before`.
    pub(crate) async fn until_says_other(&self, css: &str, before: &str) {
        let began = Instant::now();
        while self.text(css).await.is_none_or(|said| said == before) {
            assert!(began.elapsed() < PATIENCE, "waited in vain for another text than {before:?} in {css}");
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Waits until the first such element says `part`.
    pub(crate) async fn until_says(&self, css: &str, part: &str) -> String {
        let began = Instant::now();
        loop {
            let said = self.text(css).await.unwrap_or_default();
            if said.contains(part) {
                return said;
            }
            assert!(began.elapsed() < PATIENCE, "waited in vain for {part:?} in {css}: {said:?}");
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Waits until a property of the first element is `wanted`.
    pub(crate) async fn until_property(&self, css: &str, name: &str, wanted: &str) {
        let began = Instant::now();
        while self.property(css, name).await.as_deref() != Some(wanted) {
            let is = self.property(css, name).await;
            assert!(began.elapsed() < PATIENCE, "waited in vain for {wanted:?} as {name} of {css}: {is:?}");
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// What a script returns.
    pub(crate) async fn run(&self, script: &str) -> Value {
        self.client.execute(script, Vec::new()).await.unwrap()
    }

    /// Presses keys where the focus is.
    pub(crate) async fn keys(&self, keys: &str) {
        self.client.active_element().await.unwrap().send_keys(keys).await.unwrap();
    }

    /// Every cookie is gone, as when a session has ended.
    pub(crate) async fn forget_cookies(&self) {
        self.client.delete_all_cookies().await.unwrap();
    }

    pub(crate) async fn title(&self) -> String {
        self.client.title().await.unwrap()
    }

    /// Waits until there are so many such elements.
    pub(crate) async fn until_count(&self, css: &str, wanted: usize) {
        let began = Instant::now();
        // While a page comes, nothing is counted.
        while self.client.find_all(Locator::Css(css)).await.map_or(usize::MAX, |found| found.len()) != wanted {
            assert!(began.elapsed() < PATIENCE, "waited in vain for {wanted} of {css}: {}", self.count(css).await);
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Marks the page, so that a later look tells whether it is still the same.
    pub(crate) async fn mark(&self) {
        self.client.execute("window.marked = true", Vec::new()).await.unwrap();
    }

    pub(crate) async fn is_marked(&self) -> bool {
        self.client.execute("return window.marked === true", Vec::new()).await.unwrap() == json!(true)
    }

    /// The file that is downloaded into an empty folder, once it is there as a whole.
    pub(crate) async fn downloaded(&self) -> (String, Vec<u8>) {
        let began = Instant::now();
        loop {
            let files = files(&self.downloads());
            if let [file] = &files.iter().collect::<Vec<_>>()[..]
                && !file.ends_with(".crdownload")
                && !file.starts_with('.')
            {
                return ((*file).clone(), fs::read(self.downloads().join(file)).unwrap());
            }
            assert!(began.elapsed() < PATIENCE, "nothing was downloaded: {files:?}");
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    fn downloads(&self) -> PathBuf {
        downloads(self.folder.path())
    }

    /// Takes pictures of the page in both widths, and looks for what keeps people out.
    pub(crate) async fn shoot(&self, name: &str) {
        for width in WIDTHS {
            self.picture(&format!("{name}-{width}"), width).await;
            if self.runs_scripts {
                assert_eq!(self.violations().await, [""; 0], "{name}-{width}");
            }
        }
        self.dev_tools("Emulation.clearDeviceMetricsOverride", json!({})).await;
    }

    /// What axe-core finds wrong with the page, a line each.
    pub(crate) async fn violations(&self) -> Vec<String> {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/axe/axe_playwright_python/axe.min.js");
        let axe = fs::read_to_string(file).expect("axe-core, which `make tools` installs");
        // A page that was looked at before has it.
        if self.run("return typeof axe === 'undefined'").await == json!(true) {
            self.client.execute(&axe, Vec::new()).await.unwrap();
        }
        let run = "const done = arguments[arguments.length - 1]; axe.run(document).then((result) => done(result.violations));";
        let found = self.client.execute_async(run, Vec::new()).await.unwrap();
        let line = |one: &Value| format!("{}: {} {}", one["id"], one["help"], one["nodes"][0]["html"]);
        found.as_array().unwrap().iter().map(line).collect()
    }

    /// The same in dark colours.
    pub(crate) async fn shoot_dark(&self, name: &str) {
        let dark = json!({"features": [{"name": "prefers-color-scheme", "value": "dark"}]});
        self.dev_tools("Emulation.setEmulatedMedia", dark).await;
        self.shoot(name).await;
        self.dev_tools("Emulation.setEmulatedMedia", json!({"features": []})).await;
    }

    /// Takes the upper part of the page at a desk, as README shows it.
    pub(crate) async fn shoot_upper(&self, name: &str) {
        self.capture(name, WIDTHS[0], README_HEIGHT).await;
        self.dev_tools("Emulation.clearDeviceMetricsOverride", json!({})).await;
    }

    async fn picture(&self, name: &str, width: u32) {
        self.dev_tools("Emulation.setDeviceMetricsOverride", metrics(width, 800)).await;
        let layout = self.laid_out(width).await;
        let size = |name: &str| layout["cssContentSize"][name].as_f64().unwrap();
        assert!(size("width") <= f64::from(width), "{name}: the page is {} wide and scrolls sideways", size("width"));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the height of a page in pixels")]
        let height = (size("height").ceil() as u64).clamp(400, HEIGHT_MAX);
        self.capture(name, width, height).await;
    }

    /// The page once it is laid out for that width.
    async fn laid_out(&self, width: u32) -> Value {
        let began = Instant::now();
        loop {
            let layout = self.dev_tools("Page.getLayoutMetrics", json!({})).await;
            if layout["cssLayoutViewport"]["clientWidth"] == width {
                return layout;
            }
            assert!(began.elapsed() < PATIENCE, "the page does not become {width} wide: {layout}");
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    async fn capture(&self, name: &str, width: u32, height: u64) {
        self.dev_tools("Emulation.setDeviceMetricsOverride", metrics(width, height)).await;
        let shot = self.dev_tools("Page.captureScreenshot", json!({"format": "png"})).await;
        let png = STANDARD.decode(shot["data"].as_str().unwrap()).unwrap();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/screens");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("{name}.png")), png).unwrap();
    }

    async fn dev_tools(&self, command: &'static str, parameters: Value) -> Value {
        self.client.issue_cmd(DevTools(command, parameters)).await.unwrap_or_else(|error| panic!("{command}: {error}"))
    }

    /// Ends the browser in order; it ends with the test in any case.
    pub(crate) async fn close(self) {
        self.client.close().await.ok();
        drop(self.driver);
    }
}

/// Whether the element is there no more, or not yet.
fn is_gone(error: &CmdError) -> bool {
    error.is_stale_element_reference() || error.is_no_such_element()
}

/// Whether something else stood in front of what was to be clicked.
fn is_intercepted(error: &CmdError) -> bool {
    matches!(error, CmdError::Standard(said) if said.error == ErrorStatus::ElementClickIntercepted)
}

fn metrics(width: u32, height: u64) -> Value {
    json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false})
}

fn downloads(folder: &Path) -> PathBuf {
    folder.join("downloads")
}

fn files(folder: &Path) -> BTreeSet<String> {
    let Ok(entries) = fs::read_dir(folder) else { return BTreeSet::new() };
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn capabilities(kind: Kind, folder: &Path) -> Capabilities {
    let scripts = if kind.without_scripts { 2 } else { 1 };
    let options = json!({
        "args": [
            "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
            "--window-size=1280,900", "--lang=en-GB", format!("--user-data-dir={}", folder.join("profile").display()),
            // Its own first page takes longer to load than any of ours.
            "about:blank",
        ],
        "prefs": {
            "download.default_directory": downloads(folder),
            "download.prompt_for_download": false,
            "profile.managed_default_content_settings.javascript": scripts,
        },
    });
    // A script may take as long as a busy machine needs for it; the whole of axe is one.
    let timeouts = json!({"script": PATIENCE.as_secs() * 4_000});
    let all = [("browserName", json!("chrome")), ("goog:chromeOptions", options), ("timeouts", timeouts)];
    all.map(|(name, value)| (name.to_owned(), value)).into_iter().collect()
}
