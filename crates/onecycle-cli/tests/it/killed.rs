//! A run that is killed at any instant, any number of times, ends with the same bytes as one that never was.
//!
//! The longer trial: `cargo test --release -p onecycle-cli --test killed -- --ignored --nocapture`, with another number
//! of kills than 200 by `ONECYCLE_KILLS`.

use crate::common;
use crate::trial;

use std::time::{Duration, Instant};

use common::Place;
use trial::{Death, Random, assert_same, begin_or_go_on, disturb, finish, write_digits};

const EPOCHS: &str = "4";

/// Where a run may die: while half of a file is written, before it is synced, before it is renamed, before its folder is
/// synced. Which file, and which time.
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

/// A whole run in `whole`; how long it took.
fn undisturbed(place: &Place) -> Duration {
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
    undisturbed(&place);
    for (number, point) in PLACES.iter().enumerate() {
        let out = format!("run-{number}");
        let mut command = begin_or_go_on(&place, &out, EPOCHS);
        let output = command.env("ONECYCLE_FAIL_POINT", point).output().unwrap();
        assert!(output.status.code().is_none(), "{point}: it was not killed");
        // The same again where it was taken up: what is left of the first is no help.
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
    let time = undisturbed(&place);
    let kills = killed_runs(&place, time, 12);
    assert!(kills.before_the_end > 0, "{kills:?}");
}

#[test]
#[ignore = "takes minutes: a trial for people"]
fn killed_two_hundred_times() {
    let wanted = std::env::var("ONECYCLE_KILLS").map_or(200, |text| text.parse().unwrap());
    let place = Place::new();
    let time = undisturbed(&place);
    let since = Instant::now();
    let kills = killed_runs(&place, time, wanted);
    println!(
        "{kills:?}, an undisturbed run takes {time:?}, the trial took {:?}",
        since.elapsed()
    );
    assert!(kills.before_the_end >= wanted);
}

#[derive(Debug, Default)]
struct Kills {
    /// Runs that were made, each to its end.
    runs: usize,
    /// Processes that were killed before they had ended.
    before_the_end: usize,
    /// Of these, such as died in the middle of writing a file.
    in_a_write: usize,
    /// Of these, such as died before the run had a run.toml to be resumed by.
    before_the_run: usize,
}

/// Kills run after run, each a few times until it comes to its end, until so many processes were killed. Every run must
/// leave what the undisturbed one left.
fn killed_runs(place: &Place, time: Duration, wanted: usize) -> Kills {
    let mut kills = Kills::default();
    let mut random = Random(0x1c7c1e);
    while kills.before_the_end < wanted {
        let out = format!("killed-{}", kills.runs);
        // At most so many for a run, or one that is killed too early each time would never end.
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
