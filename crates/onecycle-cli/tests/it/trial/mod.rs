//! Small runs of the real command that are killed or stopped, and the comparison with whole runs.
#![allow(dead_code, unused_imports, reason = "each test file uses its own part")]

mod timeless;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::common::{Place, binary};
pub(crate) use timeless::json as timeless_json;

/// Training images of [`write_digits`].
const IMAGES: usize = 48;

/// Arguments of a run with 6 steps per epoch and a checkpoint every 4 steps, on a tiny data set.
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
            // A bar whose position tells the class, on a background that differs between images.
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

/// The command in `place`, quiet, with a pipe for standard error.
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

/// Starts a run of `epochs` epochs in the folder `out`, or resumes it.
pub(crate) fn begin_or_go_on(place: &Place, out: &str, epochs: &str) -> Command {
    if place.path(out).join("run.toml").exists() {
        return command(place, &["resume", out]);
    }
    let run = ["train", "--out", out, "--epochs", epochs];
    command(place, &[&run, &RUN[..]].concat())
}

/// Waits for a command and asserts success.
pub(crate) fn finish(child: Child, what: &str) {
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{what}: {}", said(&output));
}

pub(crate) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Asserts that two runs left the same files with the same bytes, apart from times.
pub(crate) fn assert_same(place: &Place, whole: &str, disturbed: &str) {
    let (a, b) = (left_by(&place.path(whole)), left_by(&place.path(disturbed)));
    let names = |files: &BTreeMap<PathBuf, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&a), names(&b));
    for (name, bytes) in &a {
        assert!(*bytes == b[name], "{} differs", name.display());
    }
    assert!(a.len() > 20, "only {} files were compared", a.len());
}

/// The files of a run, or of a study with all its runs, by name, with times removed.
pub(crate) fn left_by(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            // Contains a process id.
            if path.ends_with(".lock") || path.extension().is_some_and(|end| end == "lock") {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(root).unwrap().to_path_buf();
            files.insert(name, timeless::file(&path));
        }
    }
    files
}

/// How a process ended that was to be killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Death {
    /// It finished before.
    None,
    /// Killed at a random moment.
    AtAMoment,
    /// Killed by a fail point during a write.
    InAWrite,
}

/// Kills a command that takes about `time` after a random part of it. Every third command also has
/// one of the fail `points` and dies there if it gets that far.
pub(crate) fn disturb(
    mut command: Command,
    time: Duration,
    points: &[&str],
    random: &mut Random,
) -> Death {
    if random.below(3) == 0 {
        let point = points[random.below(points.len() as u64) as usize];
        command.env("ONECYCLE_FAIL_POINT", point);
    }
    let mut child = command.spawn().unwrap();
    let moment = Instant::now() + time.mul_f64(random.below(1000) as f64 / 1000.0);
    while Instant::now() < moment && child.try_wait().unwrap().is_none() {
        thread::sleep(Duration::from_micros(300));
    }
    match child.try_wait().unwrap() {
        None => {
            kill(&mut child);
            Death::AtAMoment
        }
        Some(status) => match status.code() {
            None => Death::InAWrite,
            Some(0) => Death::None,
            Some(code) => panic!(
                "{command:?} ended with {code}: {}",
                said(&child.wait_with_output().unwrap())
            ),
        },
    }
}

/// Kills a command at once with SIGKILL, as the system does when memory runs out.
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

/// SplitMix64 with a fixed seed (Steele, Lea & Flood, "Fast splittable pseudorandom number
/// generators", 2014).
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
