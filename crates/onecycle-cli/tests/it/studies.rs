//! `compare` and `reproduce` that are killed or stopped any number of times continue with the same
//! command and leave the same files as without interruption. Finished runs are not trained again.
//!
//! The long trial: `cargo test -p onecycle-cli --test it studies -- --ignored --nocapture`.

use crate::common;
use crate::trial;

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    process::Command,
    thread,
    time::{Duration, Instant, SystemTime},
};

use common::Place;
use trial::{Death, Random, command, disturb, finish, left_by, said, send, write_digits};

/// Fail points in the writes of every study, its runs' files and its figures, in an order in which
/// one process after another reaches them.
const PLACES: [&str; 8] = [
    "kill:renamed:run.toml:1",
    "kill:half:.ckpt:2",
    "kill:half:epochs.jsonl:1",
    "kill:renamed:model.safetensors:1",
    "kill:renamed:summary.json:1",
    "kill:synced:summary.json:1",
    "kill:written:steps.jsonl:9",
    "kill:half:.csv:2",
];

/// A command that trains some runs.
pub(crate) struct Study {
    pub(crate) args: &'static [&'static str],
    /// Fail points in the files that it writes besides its runs.
    pub(crate) result: &'static str,
    pub(crate) runs: usize,
    pub(crate) places: &'static [&'static str],
}

/// Two policies, two seeds.
pub(crate) const COMPARE: Study = Study {
    args: &[
        "compare",
        "cycle.toml",
        "flat.toml",
        "--seeds",
        "2",
        "--threads",
        "1",
    ],
    result: "compare.json",
    runs: 4,
    places: &["kill:half:compare.json:1", "kill:synced:compare.html:1"],
};

/// Two peaks, two seeds.
#[rustfmt::skip]
const HIGHER_RATE: Study = Study {
    args: &[
        "reproduce", "higher-rate", "--model", "lenet5", "--images", "256", "--test-images", "64", "--epochs", "3",
        "--seeds", "2", "--threads", "1",
    ],
    result: "higher-rate/result.json",
    runs: 4,
    places: &["kill:half:result.json:1", "kill:synced:index.html:1"],
};

impl Study {
    pub(crate) fn command(&self, place: &Place, out: &str) -> Command {
        command(place, &[self.args, &["--out", out]].concat())
    }

    pub(crate) fn finish(&self, place: &Place, out: &str) {
        finish(self.command(place, out).spawn().unwrap(), out);
    }

    /// Makes the study in `whole` without interruption. Returns its duration.
    pub(crate) fn undisturbed(&self, place: &Place) -> Duration {
        let since = Instant::now();
        self.finish(place, "whole");
        since.elapsed()
    }

    pub(crate) fn places(&self) -> Vec<&'static str> {
        [&PLACES, self.places].concat()
    }
}

/// Writes two files: one cycle and a constant rate, with a checkpoint every 4 of their 12 steps.
pub(crate) fn write_policies(place: &Place) {
    write_digits(place);
    let common = "model = \"lenet5\"\nepochs = 2\nbatch_size = 8\neval_batch_size = 16\ncheckpoint_steps = 4\nthreads = 1\n\
                  data.path = \"digits\"\n";
    for (name, policy) in [
        ("cycle", "kind = \"one_cycle\"\nlr_max = 0.05\n"),
        ("flat", "kind = \"constant\"\nlr = 0.01\n"),
    ] {
        place.write(
            &format!("{name}.toml"),
            format!("{common}[policy]\n{policy}"),
        );
    }
}

/// Times at which the records and the model of each finished run were last written.
pub(crate) fn finished(place: &Place, out: &str) -> BTreeMap<PathBuf, [SystemTime; 2]> {
    let runs = fs::read_dir(place.path(out).join("runs"));
    let runs = runs
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().path());
    let done = runs.filter(|run| run.join("summary.json").exists());
    let written = |run: &PathBuf| {
        ["steps.jsonl", "model.safetensors"]
            .map(|name| fs::metadata(run.join(name)).unwrap().modified().unwrap())
    };
    done.map(|run| (run.clone(), written(&run))).collect()
}

/// Asserts that the study in `out` left the same files as the one in `whole`, in all runs.
pub(crate) fn assert_same(place: &Place, out: &str, study: &Study) {
    let (a, b) = (left_by(&place.path("whole")), left_by(&place.path(out)));
    assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>());
    for (name, bytes) in &a {
        assert!(*bytes == b[name], "{} differs", name.display());
    }
    let of = |name: &str| a.keys().filter(|path| path.ends_with(name)).count();
    assert_eq!(
        (of("model.safetensors"), of("steps.jsonl")),
        (study.runs, study.runs)
    );
    assert!(a.contains_key(&PathBuf::from(study.result)));
}

#[derive(Debug, Default)]
struct Kills {
    /// Finished studies.
    studies: usize,
    /// Processes killed before their end.
    before_the_end: usize,
    /// Of these, those that died while they wrote a file.
    in_a_write: usize,
    /// Of these, those that left some runs finished and others not.
    between_runs: usize,
}

/// Makes studies and kills each a few times before it may finish, until `wanted` processes were
/// killed. Asserts that every study leaves the same files as the uninterrupted one, and that no
/// finished run is written again.
fn killed_studies(study: &Study, wanted: usize) -> Kills {
    let place = Place::new();
    write_policies(&place);
    let time = study.undisturbed(&place);
    let mut kills = Kills::default();
    let mut random = Random(0xc0a9);
    while kills.before_the_end < wanted {
        let out = format!("killed-{}", kills.studies);
        let mut known: BTreeMap<PathBuf, [SystemTime; 2]> = BTreeMap::new();
        // A limit, because a study that is always killed too early would never finish.
        for _ in 0..12 {
            let command = study.command(&place, &out);
            let death = disturb(command, time, &study.places(), &mut random);
            let done = finished(&place, &out);
            for (run, written) in &known {
                assert_eq!(done.get(run), Some(written), "{} again", run.display());
            }
            known = done;
            match death {
                Death::None => break,
                Death::InAWrite => kills.in_a_write += 1,
                Death::AtAMoment => {}
            }
            kills.before_the_end += 1;
            kills.between_runs += usize::from((1..study.runs).contains(&known.len()));
        }
        study.finish(&place, &out);
        for (run, written) in &known {
            let done = finished(&place, &out);
            assert_eq!(done.get(run), Some(written), "{} again", run.display());
        }
        assert_same(&place, &out, study);
        fs::remove_dir_all(place.path(&out)).unwrap();
        kills.studies += 1;
    }
    println!(
        "{:?}: {kills:?}, undisturbed {time:?}",
        study.args[..2].join(" ")
    );
    kills
}

#[test]
fn killed_in_the_middle_of_every_write() {
    for study in [COMPARE, HIGHER_RATE] {
        let place = Place::new();
        write_policies(&place);
        study.undisturbed(&place);
        for point in study.places() {
            let mut killed = study.command(&place, "out");
            let output = killed.env("ONECYCLE_FAIL_POINT", point).output().unwrap();
            assert!(output.status.code().is_none(), "{point}: {}", said(&output));
        }
        study.finish(&place, "out");
        assert_same(&place, "out", &study);
    }
}

#[test]
fn killed_at_random_moments() {
    for (study, wanted) in [(COMPARE, 4), (HIGHER_RATE, 4)] {
        let kills = killed_studies(&study, wanted);
        assert!(kills.before_the_end >= wanted, "{kills:?}");
    }
}

#[test]
#[ignore = "takes minutes"]
fn killed_many_times() {
    for (study, wanted) in [(COMPARE, 60), (HIGHER_RATE, 30)] {
        let since = Instant::now();
        let kills = killed_studies(&study, wanted);
        println!("the trial took {:?}", since.elapsed());
        assert!(kills.in_a_write > 0 && kills.between_runs > 0, "{kills:?}");
    }
}

/// The study is stopped twice, each time after another run is finished.
#[test]
fn a_study_stopped_by_a_signal_continues() {
    for study in [COMPARE, HIGHER_RATE] {
        let place = Place::new();
        write_policies(&place);
        study.undisturbed(&place);
        for (signal, code, runs) in [("-INT", 130, 1), ("-TERM", 143, 2)] {
            let before = finished(&place, "out");
            let child = study.command(&place, "out").spawn().unwrap();
            let since = Instant::now();
            while finished(&place, "out").len() < runs {
                assert!(
                    since.elapsed() < Duration::from_secs(120),
                    "no run was finished"
                );
                thread::sleep(Duration::from_millis(1));
            }
            send(signal, &child);
            let output = child.wait_with_output().unwrap();
            let err = said(&output);
            assert_eq!(output.status.code(), Some(code), "{err}");
            let done = finished(&place, "out");
            let told = format!(
                "stopped with {} of {} runs finished; run the same command again to continue",
                done.len(),
                study.runs
            );
            assert!(err.lines().last() == Some(&told), "{err}");
            for (run, written) in &before {
                assert_eq!(done.get(run), Some(written), "{} again", run.display());
            }
            assert!(!place.path("out").join(study.result).exists());
        }
        study.finish(&place, "out");
        assert_same(&place, "out", &study);
    }
}
