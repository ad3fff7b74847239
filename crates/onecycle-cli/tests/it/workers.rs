//! Workers that share the folder of a study: together they leave the files of a study that one
//! process trained, however often they are killed.
//!
//! The long trial: `cargo test -p onecycle-cli --test it workers -- --ignored --nocapture`.

use crate::{common, studies, trial};

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    process::{Child, Command},
    thread,
    time::{Instant, SystemTime},
};

use common::Place;
use onecycle_train::run_folder::RunLock;
use studies::{COMPARE, Study, assert_same, finished, write_policies};
use trial::{Random, kill, said};

/// Number of workers.
const WORKERS: usize = 4;

/// Begins with range tests, which the workers share too.
#[rustfmt::skip]
const WEIGHT_DECAY: Study = Study {
    args: &[
        "reproduce", "weight-decay", "--model", "lenet5", "--images", "64", "--test-images", "32", "--epochs", "2",
        "--seeds", "1", "--threads", "1",
    ],
    result: "weight-decay/result.json",
    runs: 4,
    places: &[],
};

fn worker(study: &Study, place: &Place, out: &str) -> Command {
    let mut command = study.command(place, out);
    command.arg("--worker");
    command
}

/// Starts all workers at once and waits for them. Returns what they said.
fn work(study: &Study, place: &Place, out: &str) -> Vec<String> {
    let spawned = (0..WORKERS).map(|_| worker(study, place, out).spawn().unwrap());
    let spawned: Vec<Child> = spawned.collect();
    let ended = spawned.into_iter().map(|child| {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        said(&output)
    });
    ended.collect()
}

#[test]
fn workers_share_a_study() {
    for study in [COMPARE, WEIGHT_DECAY] {
        let place = Place::new();
        write_policies(&place);
        study.undisturbed(&place);
        let said = work(&study, &place, "shared");
        assert_same(&place, "shared", &study);
        // At least one wrote the result. The others, if any, found nothing left.
        let left = said
            .iter()
            .filter(|text| text.contains("nothing is left for this process"));
        assert!(left.count() < WORKERS, "{said:?}");
    }
}

#[test]
fn shards_leave_the_same_files() {
    let place = Place::new();
    write_policies(&place);
    COMPARE.undisturbed(&place);
    for shard in ["2/2", "1/2"] {
        assert!(!place.path("shared/compare.json").exists());
        let mut command = COMPARE.command(&place, "shared");
        trial::finish(command.args(["--shard", shard]).spawn().unwrap(), shard);
    }
    assert_same(&place, "shared", &COMPARE);
    for (shard, told) in [("3/2", "--shard = 3/2"), ("x", "I/N")] {
        let answer = place.onecycle(&["compare", "cycle.toml", "flat.toml", "--shard", shard]);
        assert_eq!(answer.code, 1);
        assert!(answer.err.contains(told), "{}", answer.err);
    }
}

#[test]
fn a_worker_that_finds_nothing_to_do_says_so() {
    let place = Place::new();
    write_policies(&place);
    let held: Vec<RunLock> = ["cycle", "flat"]
        .into_iter()
        .flat_map(|label| [1, 2].map(|seed| place.path(&format!("shared/runs/{label}-seed{seed}"))))
        .map(|run| {
            fs::create_dir_all(&run).unwrap();
            RunLock::acquire(&run).unwrap()
        })
        .collect();
    let args = ["--out", "shared", "--worker", "--format", "json"];
    let answer = place.onecycle(&[COMPARE.args, &args].concat());
    assert_eq!((answer.code, held.len()), (0, 4), "{}", answer.err);
    assert_eq!(answer.out.trim(), "{\n  \"finished\": 0,\n  \"runs\": 4\n}");
    assert!(
        answer.err.contains("0 of 4 runs are finished"),
        "{}",
        answer.err
    );
}

#[derive(Debug, Default)]
struct Kills {
    studies: usize,
    /// Workers killed before their end.
    workers: usize,
    /// Of these, those that died while they wrote a file.
    in_a_write: usize,
    /// Workers that had ended by themselves when they were to be killed.
    ended: usize,
}

/// Starts a worker. Every third one has a fail point and dies there if it gets that far.
fn crew_member(study: &Study, place: &Place, out: &str, random: &mut Random) -> Child {
    let mut command = worker(study, place, out);
    if random.below(3) == 0 {
        let points = study.places();
        let point = points[random.below(points.len() as u64) as usize];
        command.env("ONECYCLE_FAIL_POINT", point);
    }
    command.spawn().unwrap()
}

/// Keeps four workers at work on a study and kills one after another at random moments, a new one
/// taking its place, until the study is finished. Then the command without `--worker` must find the
/// study complete. Repeats that until `wanted` workers were killed. Asserts that every study leaves
/// the same files as the undisturbed one, and that no finished run is written again.
fn killed_workers(study: &Study, wanted: usize) -> Kills {
    let place = Place::new();
    write_policies(&place);
    let time = study.undisturbed(&place);
    let mut kills = Kills::default();
    let mut random = Random(0x5eed);
    while kills.workers < wanted {
        let out = format!("killed-{}", kills.studies);
        let mut crew: Vec<Child> = (0..WORKERS)
            .map(|_| crew_member(study, &place, &out, &mut random))
            .collect();
        let mut known: BTreeMap<PathBuf, [SystemTime; 2]> = BTreeMap::new();
        // A limit, because a study whose workers are always killed too early would never finish.
        for _ in 0..20 {
            thread::sleep(time.mul_f64(random.below(1000) as f64 / 2000.0));
            let victim = &mut crew[random.below(WORKERS as u64) as usize];
            match victim.try_wait().unwrap() {
                None => {
                    kill(victim);
                    kills.workers += 1;
                }
                Some(status) => match status.code() {
                    None => {
                        kills.workers += 1;
                        kills.in_a_write += 1;
                    }
                    Some(code) => {
                        assert_eq!(code, 0, "a worker failed");
                        kills.ended += 1;
                    }
                },
            }
            let done = finished(&place, &out);
            for (run, written) in &known {
                assert_eq!(done.get(run), Some(written), "{} again", run.display());
            }
            known = done;
            if known.len() == study.runs {
                break;
            }
            *victim = crew_member(study, &place, &out, &mut random);
        }
        for child in crew {
            let output = child.wait_with_output().unwrap();
            let code = output.status.code();
            assert!(matches!(code, None | Some(0)), "{}", said(&output));
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
fn killed_at_random_moments() {
    let kills = killed_workers(&COMPARE, 6);
    assert!(kills.workers >= 6, "{kills:?}");
}

#[test]
#[ignore = "takes minutes"]
fn killed_fifty_times() {
    for (study, wanted) in [(COMPARE, 50), (WEIGHT_DECAY, 20)] {
        let since = Instant::now();
        let kills = killed_workers(&study, wanted);
        println!("the trial took {:?}", since.elapsed());
        assert!(kills.workers >= wanted, "{kills:?}");
    }
}
