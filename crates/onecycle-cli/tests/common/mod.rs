//! The real command in a folder of its own.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use assert_cmd::Command;
use serde_json::Value;
use tempfile::TempDir;

/// A folder in which the command is run, with a cache folder of its own.
pub(crate) struct Place {
    home: TempDir,
}

/// What a command said.
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
        let output = Command::new(binary())
            .args(args)
            .current_dir(self.path(folder))
            .env("XDG_CACHE_HOME", self.home.path().join("cache"))
            .env_remove("ONECYCLE_DATA")
            .timeout(Duration::from_secs(300))
            .output()
            .unwrap();
        Answer {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Runs `onecycle`, which must succeed; its standard output.
    pub(crate) fn succeed(&self, args: &[&str]) -> String {
        let answer = self.onecycle(args);
        assert_eq!(answer.code, 0, "{args:?}: {}", answer.err);
        answer.out
    }

    /// Runs `onecycle`, whose standard output must be one JSON document.
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let out = self.succeed(args);
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{args:?}: {error}: {out}"))
    }
}

/// Path of the command.
pub(crate) fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_onecycle"))
}

/// The numbers of a JSON list.
pub(crate) fn numbers(list: &Value) -> Vec<f64> {
    let list = list.as_array().unwrap_or_else(|| panic!("{list}"));
    list.iter().map(|value| value.as_f64().unwrap()).collect()
}
