//! Headless Chromium, driven with the DevTools protocol over a pair of pipes, without a library.

use std::{
    env,
    fs::{self, File, OpenOptions},
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
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
        let address = format!("file://{}", page.display());
        self.go(&address, width);
        self.told(|url| url == address)
    }

    /// Opens an address in a window of this width in pixels, and waits until it is loaded.
    pub(crate) fn go(&mut self, address: &str, width: u32) {
        let size =
            json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false });
        self.ask("Emulation.setDeviceMetricsOverride", size);
        self.events.clear();
        let answer = self.ask("Page.navigate", json!({ "url": address }));
        assert!(answer.get("errorText").is_none(), "{answer}");
        self.wait_for("Page.loadEventFired");
    }

    /// The events since the last call, without requests to addresses that the page may request.
    pub(crate) fn told(&mut self, may_request: impl Fn(&str) -> bool) -> Told {
        // All events before the answer are read.
        self.evaluate("0");
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
                    if !may_request(url) && !url.starts_with("data:") {
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

    /// Waits until a JavaScript expression is true in the page.
    pub(crate) fn wait_until(&mut self, expression: &str) {
        let since = Instant::now();
        while self.evaluate(&format!("Boolean({expression})")) != true {
            if since.elapsed() > PATIENCE {
                let page = self.evaluate("document.body.innerText");
                panic!("never {expression}: {page}");
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Presses the left button of the mouse at `from`, moves to `to` and releases it; in pixels from
    /// the top left corner of the window.
    pub(crate) fn drag(&mut self, from: (f64, f64), to: (f64, f64)) {
        let events = [
            ("mouseMoved", from, 0),
            ("mousePressed", from, 1),
            ("mouseMoved", to, 1),
            ("mouseReleased", to, 1),
        ];
        for (kind, (x, y), buttons) in events {
            let button = if kind == "mouseMoved" { "none" } else { "left" };
            let event = json!({
                "type": kind, "x": x, "y": y, "button": button, "buttons": buttons, "clickCount": 1,
            });
            self.ask("Input.dispatchMouseEvent", event);
        }
    }

    /// Presses a key that is one character.
    pub(crate) fn press(&mut self, key: &str) {
        for kind in ["keyDown", "keyUp"] {
            let event = json!({ "type": kind, "key": key, "text": key });
            self.ask("Input.dispatchKeyEvent", event);
        }
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
