//! A small run of the real command that is disturbed, and what to compare with one that was not.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use onecycle_lab::checkpoint::{Checkpoint, Occasion};
use serde_json::Value;
use tempfile::TempDir;

use crate::common::{Place, binary};

/// Training images of [`write_digits`].
const IMAGES: usize = 48;

/// Arguments of a run of 6 steps an epoch with a checkpoint every 4 steps, on a data set that is read at once.
#[rustfmt::skip]
const RUN: [&str; 16] = [
    "--data", "digits", "--model", "lenet5", "--batch-size", "8", "--lr-max", "0.02",
    "--set", "checkpoint_steps=4", "--set", "augment.pad=1", "--set", "eval_batch_size=8", "--threads", "1",
];

/// Writes the data set `digits`: 48 training and 16 test images of 28x28 pixels in four IDX files.
pub(crate) fn write_digits(place: &Place) {
    for (part, count) in [("train", IMAGES), ("t10k", 16)] {
        let mut images = header(0x803, &[count, 28, 28]);
        let mut labels = header(0x801, &[count]);
        for index in 0..count {
            let class = index % 3;
            labels.push(class as u8);
            // A bar whose place tells the class, on a ground that differs from image to image.
            for pixel in 0..28 * 28 {
                let on_bar = (pixel / 28) / 9 == class;
                images.push(if on_bar {
                    220
                } else {
                    ((pixel * 7 + index * 13) % 90) as u8
                });
            }
        }
        place.write(&format!("digits/{part}-images-idx3-ubyte"), images);
        place.write(&format!("digits/{part}-labels-idx1-ubyte"), labels);
    }
}

fn header(magic: u32, sizes: &[usize]) -> Vec<u8> {
    let sizes = sizes.iter().map(|size| *size as u32);
    [magic]
        .into_iter()
        .chain(sizes)
        .flat_map(u32::to_be_bytes)
        .collect()
}

/// The command in `place`, quiet, with a pipe for what it says.
pub(crate) fn command(place: &Place, args: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command
        .args(args)
        .arg("-q")
        .current_dir(place.path(""))
        .env_remove("ONECYCLE_DATA")
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}

/// Begins a run of so many epochs in the folder `out`, or goes on with it.
pub(crate) fn begin_or_go_on(place: &Place, out: &str, epochs: &str) -> Command {
    if place.path(out).join("run.toml").exists() {
        return command(place, &["resume", out]);
    }
    let run = ["train", "--out", out, "--epochs", epochs];
    command(place, &[&run, &RUN[..]].concat())
}

/// Waits for the end of a command that must succeed.
pub(crate) fn finish(child: Child, what: &str) {
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{what}: {}", said(&output));
}

pub(crate) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Asserts that two runs left the same files with the same bytes, but for what a clock told them.
pub(crate) fn assert_same(place: &Place, whole: &str, disturbed: &str) {
    let (a, b) = (left_by(&place.path(whole)), left_by(&place.path(disturbed)));
    let names = |files: &BTreeMap<PathBuf, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&a), names(&b));
    for (name, bytes) in &a {
        assert!(*bytes == b[name], "{} differs", name.display());
    }
    assert!(a.len() > 20, "only {} files were compared", a.len());
}

/// The files of a run by name. Times are taken out of them.
pub(crate) fn left_by(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for folder in ["", "checkpoints", "figures"] {
        // Range tests alone have no checkpoints.
        for entry in fs::read_dir(root.join(folder)).into_iter().flatten() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root).unwrap().to_path_buf();
            // Which process had it last.
            if path.is_dir() || name == Path::new(".lock") {
                continue;
            }
            let bytes = fs::read(&path).unwrap();
            files.insert(name, timeless(&path, bytes));
        }
    }
    files
}

fn timeless(path: &Path, bytes: Vec<u8>) -> Vec<u8> {
    let text = || String::from_utf8(bytes.clone()).unwrap();
    match path.file_name().and_then(|name| name.to_str()).unwrap() {
        "epochs.jsonl" => {
            let line = |line: &str| without(line, &["seconds", "images_per_second"]);
            text()
                .lines()
                .map(line)
                .collect::<Vec<_>>()
                .join("\n")
                .into_bytes()
        }
        "range_test.json" => timeless_tests(&text()),
        "summary.json" => without(&text(), &["train_seconds"]).into_bytes(),
        "report.html" => timeless_report(&text()).into_bytes(),
        name if name.ends_with(".ckpt") => {
            let mut checkpoint = Checkpoint::read(path).unwrap();
            checkpoint.progress.seconds = 0.0;
            let aside = TempDir::new().unwrap();
            fs::read(checkpoint.save(aside.path(), Occasion::Regular).unwrap()).unwrap()
        }
        _ => bytes,
    }
}

/// A record of range tests without what they cost.
fn timeless_tests(json: &str) -> Vec<u8> {
    let mut found: Value = serde_json::from_str(json).unwrap();
    for group in found["groups"].as_array_mut().unwrap() {
        for test in group["tests"].as_array_mut().unwrap() {
            test.as_object_mut().unwrap().remove("cost").unwrap();
        }
    }
    if let Some(cycles) = found["search"]["cycles"].as_array_mut() {
        for cycle in cycles {
            cycle.as_object_mut().unwrap().remove("seconds").unwrap();
        }
    }
    found.to_string().into_bytes()
}

/// A JSON object without these keys, which must be in it.
fn without(json: &str, keys: &[&str]) -> String {
    let mut value: Value = serde_json::from_str(json).unwrap();
    for key in keys {
        value.as_object_mut().unwrap().remove(*key).unwrap();
    }
    value.to_string()
}

/// The report without the card of the training time and the last two columns of the table of epochs.
fn timeless_report(html: &str) -> String {
    let (before, card) = html.split_once("<dt>Training time</dt>").unwrap();
    let (_, after) = card.split_once("</dd>").unwrap();
    let (middle, table) = after.split_once("<h2>Epochs</h2>").unwrap();
    let (table, rest) = table.split_once("</table>").unwrap();
    let rows: Vec<String> = table
        .split("</tr>")
        .map(|row| {
            let cells: Vec<&str> = row.split("<td>").collect();
            cells[..cells.len().saturating_sub(2).max(1)].join("<td>")
        })
        .collect();
    assert!(rows.len() > 3, "{table}");
    [before, middle, &rows.join("\n"), rest].join("\n")
}

/// Kills a command at once, as the system does when memory runs out.
pub(crate) fn kill(child: &mut Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Sends a process a signal such as `-TERM`.
pub(crate) fn send(signal: &str, child: &Child) {
    let status = Command::new("kill")
        .args([signal, &child.id().to_string()])
        .status();
    assert!(status.unwrap().success());
}

/// The same moments every time, so far as a clock can give them (Steele, Lea & Flood, "Fast splittable pseudorandom
/// number generators", 2014: SplitMix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}
