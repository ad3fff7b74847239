//! Full disks, failing devices and damaged checkpoints: nothing that was complete is lost.

use crate::common;
use crate::trial;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use common::Place;
use onecycle_train::checkpoint::Checkpoint;
use trial::{assert_same, begin_or_go_on, command, finish, said, write_digits};

const EPOCHS: &str = "4";

fn undisturbed() -> Place {
    let place = Place::new();
    write_digits(&place);
    finish(
        begin_or_go_on(&place, "whole", EPOCHS).spawn().unwrap(),
        "whole",
    );
    place
}

/// Asserts one line that names the file, the cause, the remedy and how to continue, and an intact
/// checkpoint.
fn stopped_by_the_disk(place: &Place, out: &str, output: &Output, names: &[&str]) {
    let err = said(output);
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(
        err.starts_with("onecycle: cannot write ") && err.lines().count() == 1,
        "{err}"
    );
    let resume = format!("onecycle train --resume {out}`");
    for name in names.iter().chain(&["its checkpoint", &resume]) {
        assert!(err.contains(name), "{name} is not in {err}");
    }
    let (_, damaged) = Checkpoint::newest(&place.path(out).join("checkpoints")).unwrap();
    assert!(damaged.is_empty(), "{damaged:?}");
}

#[test]
fn a_disk_error_at_any_write_loses_nothing() {
    let place = undisturbed();
    let points = [
        "half:.ckpt:3",
        "written:.ckpt:5",
        "synced:.ckpt:2",
        "renamed:.ckpt:4",
        "half:steps.jsonl:7",
        "half:epochs.jsonl:2",
        "half:model.safetensors:1",
        "half:.png:2",
        "written:report.html:1",
        "synced:summary.json:1",
    ];
    for (number, point) in points.iter().enumerate() {
        let (action, remedy) = match number % 3 {
            2 => ("error", "check the disk"),
            _ => ("full", "free some space"),
        };
        let out = format!("run-{number}");
        let mut command = begin_or_go_on(&place, &out, EPOCHS);
        let output = command
            .env("ONECYCLE_FAIL_POINT", format!("{action}:{point}"))
            .output()
            .unwrap();
        let file = point.split(':').nth(1).unwrap();
        stopped_by_the_disk(&place, &out, &output, &[file, remedy]);
        finish(begin_or_go_on(&place, &out, EPOCHS).spawn().unwrap(), point);
        assert_same(&place, "whole", &out);
    }
}

#[test]
fn a_run_that_cannot_start_leaves_no_folder_behind() {
    let place = undisturbed();
    for point in ["full:half:.ckpt:1", "full:half:run.toml:1"] {
        let mut command = begin_or_go_on(&place, "run", EPOCHS);
        let output = command.env("ONECYCLE_FAIL_POINT", point).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(
            said(&output).starts_with("onecycle: cannot write run/"),
            "{}",
            said(&output)
        );
        assert!(!place.path("run/run.toml").exists());
    }
    finish(
        begin_or_go_on(&place, "run", EPOCHS).spawn().unwrap(),
        "without the error",
    );
    assert_same(&place, "whole", "run");
}

/// A disk of 900 kB has room for two checkpoints but not for a third. Needs the right to mount, so
/// run it as root: `cargo test -p onecycle-cli --test it a_small_disk -- --ignored`.
#[test]
#[ignore = "mounts a file system: needs root"]
fn a_small_disk() {
    let place = undisturbed();
    let disk = Disk::mount(&place.path("disk"), "900k");
    let output = begin_or_go_on(&place, "disk/run", EPOCHS).output().unwrap();
    stopped_by_the_disk(&place, "disk/run", &output, &[".ckpt", "free some space"]);
    disk.resize("20m");
    finish(
        begin_or_go_on(&place, "disk/run", EPOCHS).spawn().unwrap(),
        "with more space",
    );
    assert_same(&place, "whole", "disk/run");
}

/// A file system in memory, unmounted when dropped.
struct Disk(PathBuf);

impl Disk {
    fn mount(path: &Path, size: &str) -> Self {
        fs::create_dir(path).unwrap();
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(path)
            .status();
        assert!(status.unwrap().success(), "mount failed");
        Disk(path.to_path_buf())
    }

    fn resize(&self, size: &str) {
        let options = format!("remount,size={size}");
        let status = Command::new("mount")
            .args(["-o", &options])
            .arg(&self.0)
            .status();
        assert!(status.unwrap().success());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

/// A truncated, corrupted, empty or unrelated checkpoint is reported and the one before it used.
#[test]
fn damaged_checkpoints_are_skipped() {
    let place = undisturbed();
    let mut command = begin_or_go_on(&place, "stopped", EPOCHS);
    let output = command
        .env("ONECYCLE_FAIL_POINT", "kill:half:steps.jsonl:15")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), None);
    let newest = "stopped/checkpoints/step-000000012.ckpt";
    let (whole, steps, epochs) = (
        place.read(newest),
        place.read("stopped/steps.jsonl"),
        place.read("stopped/epochs.jsonl"),
    );
    let before = place.read("stopped/checkpoints/step-000000008.ckpt");
    let mut flipped = whole.clone();
    flipped[whole.len() / 3] ^= 0x20;
    let damages: [(&str, &[u8]); 5] = [
        ("cut short", &whole[..whole.len() - 1]),
        ("cut in its head", &whole[..20]),
        ("a bit flipped", &flipped),
        ("empty", b""),
        (
            "a picture",
            b"\x89PNG\r\n\x1a\n and more than a checksum's worth of other bytes",
        ),
    ];
    for (what, bytes) in damages {
        let _ = fs::remove_dir_all(place.path("stopped/checkpoints"));
        place.write(newest, bytes);
        place.write("stopped/checkpoints/step-000000008.ckpt", &before);
        place.write("stopped/steps.jsonl", &steps);
        place.write("stopped/epochs.jsonl", &epochs);
        let _ = fs::remove_file(place.path("stopped/summary.json"));
        let output = trial::command(&place, &["resume", "stopped"])
            .output()
            .unwrap();
        let err = said(&output);
        assert!(output.status.success(), "{what}: {err}");
        assert!(
            err.contains("note: checkpoint") && err.contains("step-000000012.ckpt is damaged"),
            "{what}: {err}"
        );
        assert!(
            err.contains("continuing from the previous checkpoint"),
            "{what}: {err}"
        );
        assert_same(&place, "whole", "stopped");
    }
}

/// If the data or the format have changed, resuming is refused with the difference, unless
/// `--accept-changes` is given.
#[test]
fn changed_data_and_formats_are_named_or_accepted() {
    let place = undisturbed();
    let stopped = |out: &str| {
        let mut command = begin_or_go_on(&place, out, EPOCHS);
        let point = "kill:half:steps.jsonl:15";
        command.env("ONECYCLE_FAIL_POINT", point).output().unwrap();
    };
    stopped("data");
    stopped("format");
    let state = |out: &str| {
        (
            place.read(&format!("{out}/run.toml")),
            place.read(&format!("{out}/steps.jsonl")),
        )
    };

    let text = place
        .text("format/run.toml")
        .replace("format = 1", "format = 7");
    place.write("format/run.toml", text);
    let before = state("format");
    let refused = place.onecycle(&["resume", "format"]);
    assert_eq!(refused.code, 1);
    for name in [
        "format/run.toml",
        "format 7",
        "format 1",
        "--accept-changes",
    ] {
        assert!(refused.err.contains(name), "{}", refused.err);
    }
    assert!(state("format") == before);
    finish(
        command(&place, &["resume", "format", "--accept-changes"])
            .spawn()
            .unwrap(),
        "format",
    );
    assert_same(&place, "whole", "format");

    let mut labels = place.read("digits/train-labels-idx1-ubyte");
    // The last label was 2.
    *labels.last_mut().unwrap() ^= 2;
    place.write("digits/train-labels-idx1-ubyte", labels);
    let before = state("data");
    let refused = place.onecycle(&["resume", "data"]);
    assert_eq!(
        (refused.code, refused.err.lines().count()),
        (1, 1),
        "{}",
        refused.err
    );
    for name in [
        "data",
        "SHA-256 of train-labels-idx1-ubyte was",
        "--accept-changes",
    ] {
        assert!(refused.err.contains(name), "{}", refused.err);
    }
    assert!(state("data") == before);
    let output = command(&place, &["resume", "data", "--accept-changes"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert!(
        said(&output).contains("continuing with changed data: the SHA-256"),
        "{}",
        said(&output)
    );
    // run.toml records the new data.
    assert_ne!(place.read("data/run.toml"), before.0);
}
