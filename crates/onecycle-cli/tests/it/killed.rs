//! A run that is killed at any moment, any number of times, ends with the same bytes as a run that
//! is not killed.
//!
//! The long trial kills 200 times, or as often as `ONECYCLE_KILLS` says:
//! `cargo test --release -p onecycle-cli --test it killed -- --ignored --nocapture`.

use crate::common;
use crate::trial;

use std::time::{Duration, Instant};

use common::Place;
use trial::{Death, Random, assert_same, begin_or_go_on, disturb, finish, write_digits};

const EPOCHS: &str = "4";

/// Fail points at which a run dies, as `kill:STAGE:FILE:NTH`: at the NTH write, half of the file is
/// written, it is not synced, not renamed, or its folder is not synced.
const PLACES: [&str; 14] = [
    "kill:half:.ckpt:1",
    "kill:half:.ckpt:3",
    "kill:written:.ckpt:2",
    "kill:synced:.ckpt:4",
    "kill:renamed:.ckpt:2",
    "kill:half:run.toml:1",
    "kill:renamed:run.toml:1",
    "kill:half:steps.jsonl:6",
    "kill:written:steps.jsonl:9",
    "kill:half:epochs.jsonl:2",
    "kill:written:epochs.jsonl:1",
    "kill:half:model.safetensors:1",
    "kill:half:report.html:1",
    "kill:synced:summary.json:1",
];

/// Makes a run in `whole` without a kill. Returns its duration.
fn uninterrupted(place: &Place) -> Duration {
    write_digits(place);
    let since = Instant::now();
    finish(
        begin_or_go_on(place, "whole", EPOCHS).spawn().unwrap(),
        "whole",
    );
    since.elapsed()
}

#[test]
fn killed_in_the_middle_of_every_write() {
    let place = Place::new();
    uninterrupted(&place);
    for (number, point) in PLACES.iter().enumerate() {
        let out = format!("run-{number}");
        let mut command = begin_or_go_on(&place, &out, EPOCHS);
        let output = command.env("ONECYCLE_FAIL_POINT", point).output().unwrap();
        assert!(output.status.code().is_none(), "{point}: it was not killed");
        // Every other run is killed at the same point a second time, while it resumes.
        if number % 2 == 0 {
            let mut command = begin_or_go_on(&place, &out, EPOCHS);
            command.env("ONECYCLE_FAIL_POINT", point).output().unwrap();
        }
        finish(begin_or_go_on(&place, &out, EPOCHS).spawn().unwrap(), point);
        assert_same(&place, "whole", &out);
    }
}

#[test]
fn killed_at_random_moments() {
    let place = Place::new();
    let time = uninterrupted(&place);
    let kills = killed_runs(&place, time, 12);
    assert!(kills.before_the_end > 0, "{kills:?}");
}

#[test]
#[ignore = "takes minutes"]
fn killed_two_hundred_times() {
    let wanted = std::env::var("ONECYCLE_KILLS").map_or(200, |text| text.parse().unwrap());
    let place = Place::new();
    let time = uninterrupted(&place);
    let since = Instant::now();
    let kills = killed_runs(&place, time, wanted);
    println!(
        "{kills:?}; one uninterrupted run took {time:?}, the trial {:?}",
        since.elapsed()
    );
    assert!(kills.before_the_end >= wanted);
}

#[derive(Debug, Default)]
struct Kills {
    /// Finished runs.
    runs: usize,
    /// Processes killed before their end.
    before_the_end: usize,
    /// Of these, those that died while they wrote a file.
    in_a_write: usize,
    /// Of these, those that died before there was a `run.toml` to resume from.
    before_the_run: usize,
}

/// Makes runs and kills each a few times before it may finish, until `wanted` processes were
/// killed. Asserts that every run leaves the same files as the uninterrupted one.
fn killed_runs(place: &Place, time: Duration, wanted: usize) -> Kills {
    let mut kills = Kills::default();
    let mut random = Random(0x1c7c1e);
    while kills.before_the_end < wanted {
        let out = format!("killed-{}", kills.runs);
        // A limit, because a run that is always killed too early would never finish.
        for _ in 0..8 {
            let command = begin_or_go_on(place, &out, EPOCHS);
            match disturb(command, time, &PLACES, &mut random) {
                Death::None => break,
                Death::InAWrite => kills.in_a_write += 1,
                Death::AtAMoment => {}
            }
            kills.before_the_end += 1;
            kills.before_the_run += usize::from(!place.path(&out).join("run.toml").exists());
        }
        finish(begin_or_go_on(place, &out, EPOCHS).spawn().unwrap(), &out);
        assert_same(place, "whole", &out);
        std::fs::remove_dir_all(place.path(&out)).unwrap();
        kills.runs += 1;
    }
    kills
}
