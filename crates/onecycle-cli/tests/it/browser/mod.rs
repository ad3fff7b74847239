//! Headless Chromium, driven with the DevTools protocol over a pair of pipes, without a library.

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

/// Environment variable with the path of Chromium. Without it, the usual names are tried.
const PATH: &str = "ONECYCLE_CHROMIUM";
/// Longest time that a page may take to load on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A running browser with one page.
pub(crate) struct Browser {
    process: Child,
    commands: File,
    answers: BufReader<File>,
    session: String,
    number: u64,
    /// All messages besides answers.
    events: Vec<Value>,
    _home: TempDir,
}

/// Events of a page.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// Failed scripts and errors of the browser.
    pub(crate) errors: Vec<String>,
    /// Requested addresses besides the page itself.
    pub(crate) requests: Vec<String>,
}

impl Browser {
    /// Starts the browser.
    pub(crate) fn start() -> Browser {
        let program =
            program().unwrap_or_else(|| panic!("no Chromium found; set {PATH} to its path"));
        let home = TempDir::new().unwrap();
        let [to, from] = ["to", "from"].map(|name| home.path().join(name));
        assert!(
            Command::new("mkfifo")
                .args([&to, &from])
                .status()
                .unwrap()
                .success()
        );
        // Chromium reads commands from descriptor 3 and writes answers to descriptor 4.
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
        browser
    }

    /// Opens a file in a window of this width in pixels. Returns the events until it is loaded.
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
                    // Neither a fragment nor a picture embedded in the page causes a request.
                    if url != address && !url.starts_with("data:") {
                        told.requests.push(url.to_owned());
                    }
                }
                _ => {}
            }
        }
        told
    }

    /// Evaluates a JavaScript expression in the page.
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
