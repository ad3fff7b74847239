//! Chromium without a window, driven over a pair of pipes (its DevTools protocol): no library, no network.

use std::{
    env,
    fs::{self, File, OpenOptions},
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tempfile::TempDir;

/// Path of a Chromium; by default it is looked for under the usual names. Where this or `ONECYCLE_NEEDS_BROWSER` is set, a
/// missing one is a failure.
const PATH: &str = "ONECYCLE_CHROMIUM";
const NEEDED: &str = "ONECYCLE_NEEDS_BROWSER";
/// What a page may take to load on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A running browser with one page.
pub(crate) struct Browser {
    process: Child,
    commands: File,
    answers: BufReader<File>,
    session: String,
    number: u64,
    /// Everything that was told besides answers.
    events: Vec<Value>,
    _home: TempDir,
}

/// What a page did.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// Scripts that failed, and what the browser complained of.
    pub(crate) errors: Vec<String>,
    /// Addresses that were asked for, the page's own apart.
    pub(crate) requests: Vec<String>,
}

impl Browser {
    /// Starts the browser; `None`, and a line that says so, where there is none.
    pub(crate) fn start() -> Option<Browser> {
        let Some(program) = program() else {
            let wanted = env::var_os(PATH).is_some() || env::var_os(NEEDED).is_some();
            assert!(!wanted, "no chromium; {PATH} may say where it is");
            println!("skipped: no chromium on this machine ({PATH} may say where it is)");
            return None;
        };
        let home = TempDir::new().unwrap();
        let [to, from] = ["to", "from"].map(|name| home.path().join(name));
        assert!(
            Command::new("mkfifo")
                .args([&to, &from])
                .status()
                .unwrap()
                .success()
        );
        // Descriptors 3 and 4 are where Chromium reads commands and writes answers.
        let script = "exec \"$0\" --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run \
             --disable-background-networking --disable-component-update --user-data-dir=\"$1\" --remote-debugging-pipe \
             about:blank 3<\"$2\" 4>\"$3\"";
        let process = Command::new("sh")
            .args(["-c", script])
            .arg(program)
            .args([&home.path().join("profile"), &to, &from])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let commands = OpenOptions::new().write(true).open(&to).unwrap();
        let answers = BufReader::new(File::open(&from).unwrap());
        let mut browser = Browser {
            process,
            commands,
            answers,
            session: String::new(),
            number: 0,
            events: Vec::new(),
            _home: home,
        };
        let target = browser.ask("Target.createTarget", json!({ "url": "about:blank" }));
        let attached = browser.ask(
            "Target.attachToTarget",
            json!({ "targetId": target["targetId"], "flatten": true }),
        );
        browser.session = attached["sessionId"].as_str().unwrap().to_owned();
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.ask(&format!("{domain}.enable"), json!({}));
        }
        Some(browser)
    }

    /// Opens a file in a window of so many pixels; what happened until it was loaded.
    pub(crate) fn open(&mut self, page: &Path, width: u32) -> Told {
        let size =
            json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false });
        self.ask("Emulation.setDeviceMetricsOverride", size);
        self.events.clear();
        let address = format!("file://{}", page.display());
        let answer = self.ask("Page.navigate", json!({ "url": address }));
        assert!(answer.get("errorText").is_none(), "{answer}");
        self.wait_for("Page.loadEventFired");
        let mut told = Told::default();
        for event in self.events.drain(..) {
            let parameters = &event["params"];
            match event["method"].as_str().unwrap_or_default() {
                "Runtime.exceptionThrown" => {
                    told.errors.push(parameters["exceptionDetails"].to_string())
                }
                "Log.entryAdded" if parameters["entry"]["level"] == "error" => {
                    told.errors.push(parameters["entry"]["text"].to_string());
                }
                "Network.requestWillBeSent" => {
                    let url = parameters["request"]["url"].as_str().unwrap_or_default();
                    // The fragment does not belong to a request.
                    if url != address {
                        told.requests.push(url.to_owned());
                    }
                }
                _ => {}
            }
        }
        told
    }

    /// The value of a JavaScript expression in the page.
    pub(crate) fn evaluate(&mut self, expression: &str) -> Value {
        let parameters = json!({ "expression": expression, "returnByValue": true });
        let answer = self.ask("Runtime.evaluate", parameters);
        assert!(answer.get("exceptionDetails").is_none(), "{answer}");
        answer["result"]["value"].clone()
    }

    /// Sends a command and waits for its answer.
    fn ask(&mut self, method: &str, parameters: Value) -> Value {
        self.number += 1;
        let mut command = json!({ "id": self.number, "method": method, "params": parameters });
        if !self.session.is_empty() {
            command["sessionId"] = json!(self.session);
        }
        self.commands
            .write_all(command.to_string().as_bytes())
            .unwrap();
        self.commands.write_all(b"\0").unwrap();
        loop {
            let message = self.read();
            if message["id"] == self.number {
                assert!(message.get("error").is_none(), "{method}: {message}");
                return message["result"].clone();
            }
            self.events.push(message);
        }
    }

    fn wait_for(&mut self, event: &str) {
        let since = Instant::now();
        while !self.events.iter().any(|told| told["method"] == event) {
            assert!(since.elapsed() < PATIENCE, "never {event}");
            let message = self.read();
            self.events.push(message);
        }
    }

    fn read(&mut self) -> Value {
        let mut message = Vec::new();
        self.answers.read_until(0, &mut message).unwrap();
        assert_eq!(message.pop(), Some(0), "the browser ended");
        serde_json::from_slice(&message).unwrap()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn program() -> Option<PathBuf> {
    if let Some(path) = env::var_os(PATH) {
        let path = PathBuf::from(path);
        return path.exists().then_some(path);
    }
    let folders = env::split_paths(&env::var_os("PATH")?).collect::<Vec<_>>();
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let paths = names
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    paths
        .into_iter()
        .find(|path| fs::metadata(path).is_ok_and(|file| file.is_file()))
}
