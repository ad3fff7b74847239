//! Runs the real command in a temporary folder.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use assert_cmd::Command;
use serde_json::Value;
use tempfile::TempDir;

/// A temporary folder in which the command runs, with its own cache folder.
pub(crate) struct Place {
    home: TempDir,
}

/// Exit code and output of a command.
pub(crate) struct Answer {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Place {
    pub(crate) fn new() -> Self {
        let home = TempDir::new().unwrap();
        fs::create_dir(home.path().join("work")).unwrap();
        Place { home }
    }

    /// A path in the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join("work").join(name)
    }

    pub(crate) fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, contents).unwrap();
        path
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        let path = self.path(name);
        fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    pub(crate) fn text(&self, name: &str) -> String {
        String::from_utf8(self.read(name)).unwrap()
    }

    /// Runs `onecycle` in this folder.
    pub(crate) fn onecycle(&self, args: &[&str]) -> Answer {
        self.onecycle_in("", args)
    }

    /// Runs `onecycle` in a folder below this one.
    pub(crate) fn onecycle_in(&self, folder: &str, args: &[&str]) -> Answer {
        self.run(folder, args, "")
    }

    /// Runs `onecycle` in this folder with a text on standard input.
    pub(crate) fn onecycle_with_input(&self, args: &[&str], input: &str) -> Answer {
        self.run("", args, input)
    }

    fn run(&self, folder: &str, args: &[&str], input: &str) -> Answer {
        let output = Command::new(binary())
            .args(args)
            .current_dir(self.path(folder))
            .env("XDG_CACHE_HOME", self.home.path().join("cache"))
            .env_remove("ONECYCLE_DATA")
            .write_stdin(input)
            .timeout(Duration::from_secs(600))
            .output()
            .unwrap();
        Answer {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Runs `onecycle`, asserts success, and returns its standard output.
    pub(crate) fn succeed(&self, args: &[&str]) -> String {
        let answer = self.onecycle(args);
        assert_eq!(answer.code, 0, "{args:?}: {}", answer.err);
        answer.out
    }

    /// Runs `onecycle`, asserts success, and parses its standard output as one JSON document.
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let out = self.succeed(args);
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{args:?}: {error}: {out}"))
    }
}

/// Checks the refusals of many inputs. Collects all faults, so that a failure shows every one.
#[derive(Default)]
pub(crate) struct Refusals {
    count: usize,
    faults: Vec<String>,
}

impl Refusals {
    /// Checks a refusal: exit code 1, nothing on standard output, and one line on standard error
    /// that starts with `onecycle: ` and contains the `names`.
    pub(crate) fn expect(&mut self, answer: &Answer, names: &[&str], what: &str) {
        let Answer { code, out, err } = answer;
        self.count += 1;
        let mut fault = |found: String| self.faults.push(format!("{what}: {found}: {err}"));
        if *code != 1 {
            fault(format!("exit code {code}"));
        }
        if !out.is_empty() {
            fault(format!("{out} on standard output"));
        }
        if !err.starts_with("onecycle: ") || err.lines().count() != 1 || err.contains("panicked") {
            fault("not one line of the command's own".to_owned());
        }
        for name in names {
            if !err.contains(name) {
                fault(format!("{name} is not named"));
            }
        }
    }

    /// Checks that the path does not exist.
    pub(crate) fn expect_none(&mut self, path: &Path, what: &str) {
        if path.exists() {
            self.faults
                .push(format!("{what}: {} was made", path.display()));
        }
    }

    /// Asserts that there were no faults and at least this number of inputs.
    pub(crate) fn end(self, at_least: usize) {
        assert!(self.faults.is_empty(), "{}", self.faults.join("\n"));
        assert!(self.count >= at_least, "only {} inputs", self.count);
        println!("{} inputs", self.count);
    }
}

/// Trains LeNet-5 on 256 images, in batches of 64.
pub(crate) const TINY: [&str; 7] = [
    "train",
    "--model",
    "lenet5",
    "--limit",
    "256",
    "--batch-size",
    "64",
];

/// Arguments that compare two learning rates, each one seed of an epoch on 128 images, in the folder
/// `study`.
pub(crate) fn tiny_comparison(place: &Place) -> [&'static str; 14] {
    place.write("a.toml", "policy.lr_max = 0.01\n");
    place.write("b.toml", "policy.lr_max = 0.02\n");
    [
        "compare",
        "a.toml",
        "b.toml",
        "--seeds",
        "1",
        "--out",
        "study",
        "-q",
        "--set",
        "model=\"lenet5\"",
        "--set",
        "data.limit=128",
        "--set",
        "epochs=1",
    ]
}

/// Path of the command.
pub(crate) fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_onecycle"))
}

/// Numbers of a JSON list.
pub(crate) fn numbers(list: &Value) -> Vec<f64> {
    let list = list.as_array().unwrap_or_else(|| panic!("{list}"));
    list.iter().map(|value| value.as_f64().unwrap()).collect()
}
