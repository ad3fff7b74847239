//! `onecycle watch` as a child process, and a small client for it.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    common::{Place, binary},
    trial::{self, write_digits},
};

/// Longest time that a message may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running server.
pub(crate) struct Watching {
    process: Child,
    /// The printed address, with the token if there is one.
    pub(crate) url: String,
    pub(crate) port: u16,
}

/// An answer to a request.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) code: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Watching {
    /// Starts `onecycle watch` with these arguments in `place`, and waits for its address.
    pub(crate) fn start(place: &Place, args: &[&str]) -> Watching {
        let mut process = Command::new(binary())
            .arg("watch")
            .args(args)
            .current_dir(place.path(""))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut url = String::new();
        let mut out = BufReader::new(process.stdout.take().unwrap());
        out.read_line(&mut url).unwrap();
        let url = url.trim().to_owned();
        let port = url.split(['/', ':']).find_map(|part| part.parse().ok());
        let port = port.unwrap_or_else(|| panic!("no address: {url}"));
        Watching { process, url, port }
    }

    /// `http://127.0.0.1:PORT`.
    pub(crate) fn origin(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Sends a request with these lines after the first one, and a body.
    pub(crate) fn request(&self, first: &str, headers: &[&str], body: &str) -> Reply {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut text = format!(
            "{first} HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n",
            body.len()
        );
        for header in headers {
            text += &format!("{header}\r\n");
        }
        stream
            .write_all(format!("{text}\r\n{body}").as_bytes())
            .unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let code = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        Reply {
            code: code.unwrap_or_else(|| panic!("{first}: {answer}")),
            head: head.to_owned(),
            body: body.to_owned(),
        }
    }

    /// The `Host` header that belongs to this server.
    pub(crate) fn host(&self) -> String {
        format!("Host: 127.0.0.1:{}", self.port)
    }

    /// Gets a path as the page does.
    pub(crate) fn get(&self, path: &str) -> Reply {
        self.request(&format!("GET {path}"), &[&self.host()], "")
    }

    /// Asks to stop a run as the page does.
    pub(crate) fn stop(&self, run: &str) -> Reply {
        let origin = format!("Origin: {}", self.origin());
        let headers = [
            self.host().as_str(),
            &origin,
            "Content-Type: application/json",
        ]
        .map(str::to_owned);
        let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
        self.request(
            "POST /stop",
            &headers,
            &serde_json::json!({ "run": run }).to_string(),
        )
    }

    /// The entry of the run with this name, once `is` holds for it.
    pub(crate) fn wait_for_run(&self, name: &str, is: impl Fn(&Value) -> bool) -> Value {
        let since = Instant::now();
        let mut last = Value::Null;
        while since.elapsed() < PATIENCE {
            let state: Value = serde_json::from_str(&self.get("/state").body).unwrap();
            let runs = state["runs"].as_array().unwrap();
            let run = runs.iter().find(|run| run["name"] == name);
            match run {
                Some(run) if is(run) => return run.clone(),
                other => last = other.cloned().unwrap_or_default(),
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("{name} never became as wanted: {last}");
    }

    /// The stream of events with this query.
    pub(crate) fn events(&self, query: &str) -> Events {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let text = format!("GET /events?{query} HTTP/1.1\r\n{}\r\n\r\n", self.host());
        stream.write_all(text.as_bytes()).unwrap();
        Events {
            lines: BufReader::new(stream),
        }
    }

    /// Ends the server.
    pub(crate) fn end(mut self) {
        trial::kill(&mut self.process);
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A stream of events.
pub(crate) struct Events {
    lines: BufReader<TcpStream>,
}

impl Events {
    /// The next event with this name that `is` accepts. Others are skipped.
    pub(crate) fn wait_for(&mut self, name: &str, is: impl Fn(&Value) -> bool) -> Value {
        let since = Instant::now();
        let mut event = String::new();
        while since.elapsed() < PATIENCE {
            let mut line = String::new();
            assert!(
                self.lines.read_line(&mut line).unwrap() > 0,
                "the stream ended"
            );
            if let Some(named) = line.strip_prefix("event: ") {
                event = named.trim().to_owned();
            }
            if let Some(data) = line.strip_prefix("data: ")
                && event == name
            {
                let data: Value = serde_json::from_str(data).unwrap();
                if is(&data) {
                    return data;
                }
            }
        }
        panic!("no such event {name}");
    }
}

/// Trains a tiny run in the folder `template`, from whose files others are made.
pub(crate) fn write_template(place: &Place) {
    write_digits(place);
    let run = trial::begin_or_go_on(place, "template", "2")
        .spawn()
        .unwrap();
    trial::finish(run, "the template");
}

/// Makes a finished run of the template with another seed and validation accuracy. Its steps are left
/// out.
pub(crate) fn write_run(place: &Place, name: &str, seed: u64, accuracy: f64) {
    let run_file = place.text("template/run.toml");
    let seeded = run_file.replacen("seed = 1\n", &format!("seed = {seed}\n"), 1);
    assert!(seeded != run_file || seed == 1, "{run_file}");
    let epochs: Vec<String> = place
        .text("template/epochs.jsonl")
        .lines()
        .map(|line| {
            let mut epoch: Value = serde_json::from_str(line).unwrap();
            epoch["val_accuracy"] = accuracy.into();
            format!("{epoch}\n")
        })
        .collect();
    place.write(&format!("{name}/epochs.jsonl"), epochs.concat());
    place.write(&format!("{name}/run.toml"), seeded);
    // Written last, as by a real run.
    place.write(
        &format!("{name}/summary.json"),
        place.text("template/summary.json"),
    );
}

/// Gives a run `count` steps whose loss is 1 except for a single spike of 50 at step 31 415, and a
/// configuration of that length.
pub(crate) fn write_long_steps(place: &Place, name: &str, count: usize) {
    let run_file = place.text(&format!("{name}/run.toml"));
    let long = run_file.replacen("epochs = 2.0\n", &format!("steps = {count}\n"), 1);
    assert_ne!(long, run_file, "{run_file}");
    place.write(&format!("{name}/run.toml"), long);
    let mut text = String::new();
    for step in 0..count {
        let loss = if step == 31_415 {
            50.0
        } else {
            1.0 + (step % 7) as f64 / 100.0
        };
        text += &format!(
            "{{\"step\":{step},\"epoch\":{},\"lr\":0.01,\"momentum\":0.9,\"weight_decay\":0.0,\"batch_size\":8,\"loss\":{loss},\"grad_norm\":null}}\n",
            step / 6
        );
    }
    place.write(&format!("{name}/steps.jsonl"), text);
}

/// Copies a file if it exists.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    fs::copy(from, to).unwrap();
}
