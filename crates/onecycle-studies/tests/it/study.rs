//! Studies: no run is trained twice, divergences are results, other settings are refused.

use std::{fs, path::Path, thread};

use onecycle_studies::{
    StudyError,
    study::{Part, RunResult, RunSpec, Shard, Study, StudyOutcome},
};
use onecycle_train::{
    RunError, TrainError,
    observer::{Observer, RunEnd, RunPosition, Silent},
    record::StepRecord,
    run_folder::RunLock,
};

use tempfile::TempDir;

use crate::runs::config;

/// Updates per run: two epochs of six.
const STEPS: u64 = 12;

fn spec(label: &str, lr_max: &str, seed: u64) -> RunSpec {
    RunSpec::new(label, config(&[("policy.lr_max", lr_max)]), seed)
}

fn study() -> Study {
    let specs = ["0.02", "0.05"]
        .into_iter()
        .flat_map(|lr| [1, 2].map(|seed| spec(&format!("lr-{lr}"), lr, seed)));
    Study::new(specs).unwrap().without_pictures()
}

/// Counts updates and stops after a number of them.
#[derive(Default)]
struct Watch {
    updates: u64,
    stop_after: Option<u64>,
    begun: Vec<(usize, usize)>,
    position: (u64, u64),
    ended: Vec<(String, u64, RunEnd)>,
    seconds_left: Vec<f64>,
}

impl Observer for Watch {
    fn study(&mut self, runs: usize, done: usize) {
        self.begun.push((runs, done));
    }

    fn run_position(&mut self, position: &RunPosition<'_>) {
        self.position = (position.step, position.steps);
        self.seconds_left.extend(position.seconds_left);
    }

    fn step(&mut self, record: &StepRecord) {
        assert_eq!(self.position, (record.step + 1, STEPS));
        self.updates += 1;
    }

    fn run_end(&mut self, position: &RunPosition<'_>, end: RunEnd) {
        assert_eq!(position.step, position.steps);
        self.ended
            .push((position.label.to_owned(), position.seed, end));
    }

    fn stop(&mut self) -> bool {
        self.stop_after.is_some_and(|limit| self.updates >= limit)
    }
}

#[test]
fn missing_data_are_reported_before_the_first_training() {
    let folder = TempDir::new().unwrap();
    let missing = folder.path().join("photos");
    let path = missing.display().to_string();
    let lost = RunSpec::new("lost", config(&[("data.path", path.as_str())]), 1);
    let study = Study::new([spec("first", "0.02", 1), lost]).unwrap();
    let mut watch = Watch::default();
    let error = study
        .run(folder.path(), &mut watch)
        .unwrap_err()
        .to_string();
    assert!(error.contains("photos"), "{error}");
    assert_eq!((watch.updates, watch.begun), (0, vec![(2, 0)]));
}

fn finished(outcome: StudyOutcome<Vec<RunResult>>) -> Vec<RunResult> {
    match outcome {
        StudyOutcome::Finished(results) => results,
        stopped => panic!("{stopped:?}"),
    }
}

/// The results without times and paths.
fn timeless(mut results: Vec<RunResult>) -> Vec<RunResult> {
    for result in &mut results {
        assert!(result.seconds > 0.0);
        result.seconds = 0.0;
        result.run = Default::default();
        for epoch in &mut result.epochs {
            (epoch.seconds, epoch.images_per_second) = (0.0, 0.0);
        }
    }
    results
}

#[test]
fn a_study_stopped_many_times_repeats_nothing_and_gives_the_same_results() {
    let home = TempDir::new().unwrap();
    let mut watch = Watch::default();
    let whole = finished(study().run(&home.path().join("whole"), &mut watch).unwrap());
    assert_eq!((watch.updates, watch.ended.len()), (4 * STEPS, 4));
    assert_eq!(watch.begun, [(4, 0)]);
    assert!(watch.seconds_left.last().unwrap() < watch.seconds_left.first().unwrap());
    assert_eq!(whole.len(), 4);
    assert_eq!((whole[3].label.as_str(), whole[3].seed), ("lr-0.05", 2));
    assert!(
        whole
            .iter()
            .all(|result| result.steps == STEPS && result.epochs.len() == 2)
    );
    assert_ne!(
        whole[0].epochs[1].val_loss, whole[1].epochs[1].val_loss,
        "seeds differ"
    );

    let cut = home.path().join("cut");
    let (mut updates, mut stops) = (0, 0);
    let results = loop {
        // Stop within an epoch, at its end, and at the end of a run.
        let stop_after = Some([5, 1, 6, 12][stops % 4]);
        let mut watch = Watch {
            stop_after,
            ..Watch::default()
        };
        let outcome = study().run(&cut, &mut watch).unwrap();
        updates += watch.updates;
        stops += 1;
        assert!(stops < 20);
        match outcome {
            StudyOutcome::Finished(results) => break results,
            StudyOutcome::Stopped { done, of } => assert!(done < 4 && of == 4),
            StudyOutcome::Left { .. } => panic!("nothing else works here"),
        }
    };
    assert_eq!(updates, 4 * STEPS, "an update was made twice");
    assert!(stops > 4);
    assert_eq!(timeless(results), timeless(whole));

    // Another call changes nothing; additional runs only train themselves.
    let mut watch = Watch::default();
    let results = finished(study().run(&cut, &mut watch).unwrap());
    assert_eq!((results.len(), watch.updates), (4, 0));
    let more = study()
        .specs()
        .to_vec()
        .into_iter()
        .chain([spec("lr-0.05", "0.05", 3)]);
    let mut watch = Watch::default();
    let more = Study::new(more).unwrap().without_pictures();
    let results = finished(more.run(&cut, &mut watch).unwrap());
    assert_eq!((results.len(), watch.updates), (5, STEPS));
    assert_eq!(watch.begun, [(5, 4)]);
}

#[test]
fn three_workers_make_every_update_once() {
    let home = TempDir::new().unwrap();
    let whole = finished(
        study()
            .run(&home.path().join("whole"), &mut Silent)
            .unwrap(),
    );
    let shared = home.path().join("shared");
    let work = || {
        let mut watch = Watch::default();
        let outcome = study()
            .take_part(&shared, Part::Worker, &mut watch)
            .unwrap();
        (outcome, watch)
    };
    let ended: Vec<(StudyOutcome<Vec<RunResult>>, Watch)> = thread::scope(|scope| {
        let workers: Vec<_> = (0..3).map(|_| scope.spawn(work)).collect();
        workers.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let updates: u64 = ended.iter().map(|(_, watch)| watch.updates).sum();
    assert_eq!(updates, 4 * STEPS);
    let mut results: Vec<_> = ended
        .into_iter()
        .filter_map(|(one, _)| one.finished())
        .collect();
    assert!(!results.is_empty(), "the last worker has all results");
    let results = results.swap_remove(0);
    assert_eq!(timeless(results), timeless(whole));
    assert!(
        !shared.join(".lock").exists(),
        "workers do not lock the study"
    );
}

#[test]
fn a_worker_skips_locked_runs_and_a_process_alone_refuses_them() {
    let home = TempDir::new().unwrap();
    let run = Study::run_folder(home.path(), &study().specs()[2]);
    fs::create_dir_all(&run).unwrap();
    let held = RunLock::acquire(&run).unwrap();
    let mut watch = Watch::default();
    let outcome = study()
        .take_part(home.path(), Part::Worker, &mut watch)
        .unwrap();
    assert_eq!(outcome, StudyOutcome::Left { done: 3, of: 4 });
    assert_eq!(watch.updates, 3 * STEPS);
    assert!(
        watch.seconds_left.is_empty(),
        "nobody knows what is left for a worker"
    );
    let error = study().run(home.path(), &mut Silent).unwrap_err();
    assert!(error.to_string().contains("in use"), "{error}");
    drop(held);
    let mut watch = Watch::default();
    let outcome = study()
        .take_part(home.path(), Part::Worker, &mut watch)
        .unwrap();
    assert_eq!((finished(outcome).len(), watch.updates), (4, STEPS));
}

#[test]
fn shards_divide_a_study() {
    let home = TempDir::new().unwrap();
    let shard = |index: usize| {
        let mut watch = Watch::default();
        let part = Part::Shard(Shard::new(index, 3).unwrap());
        let outcome = study().take_part(home.path(), part, &mut watch).unwrap();
        let trained: Vec<String> = watch
            .ended
            .iter()
            .map(|(label, seed, _)| format!("{label} {seed}"))
            .collect();
        (outcome, trained)
    };
    let left = |done| StudyOutcome::Left { done, of: 4 };
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(shard(2), (left(1), names(&["lr-0.02 2"])));
    assert_eq!(shard(1), (left(3), names(&["lr-0.02 1", "lr-0.05 2"])));
    assert_eq!(shard(1), (left(3), Vec::new()));
    let (outcome, trained) = shard(3);
    assert_eq!(
        (finished(outcome).len(), trained),
        (4, names(&["lr-0.05 1"]))
    );
}

#[test]
fn a_divergence_is_a_result() {
    let home = TempDir::new().unwrap();
    let specs = [spec("wild", "1e30", 1), spec("calm", "0.05", 1)];
    let study = Study::new(specs).unwrap();
    let results = finished(study.run(home.path(), &mut Silent).unwrap());
    let [wild, calm] = results.as_slice() else {
        panic!("{results:?}");
    };
    let diverged = wild.diverged.unwrap();
    assert!(diverged.step < STEPS && diverged.lr > 1e20, "{diverged:?}");
    assert_eq!(wild.steps, diverged.step);
    assert_eq!(
        (wild.final_accuracy, wild.generalisation_gap),
        (0.1, f64::INFINITY)
    );
    assert_eq!(wild.summary().unwrap(), None);
    assert!(calm.diverged.is_none());
    assert_eq!(calm.summary().unwrap().unwrap().steps, STEPS);
    assert!(calm.run.join("report.html").exists());

    let json = serde_json::to_string(&results).unwrap();
    assert_eq!(
        serde_json::from_str::<Vec<RunResult>>(&json).unwrap(),
        results
    );

    let mut watch = Watch::default();
    assert_eq!(
        finished(study.run(home.path(), &mut watch).unwrap()),
        results
    );
    assert_eq!(watch.updates, 0, "a divergence is not tried again");
}

#[test]
fn a_folder_with_other_settings_is_refused_before_training() {
    let home = TempDir::new().unwrap();
    let first = Study::new([spec("b", "0.05", 1)])
        .unwrap()
        .without_pictures();
    finished(first.run(home.path(), &mut Silent).unwrap());
    let run = home.path().join("runs/b-seed1");
    assert!(!run.join("report.html").exists() && !run.join("checkpoints").exists());
    assert!(run.join("model.safetensors").exists());

    let other = Study::new([spec("a", "0.05", 1), spec("b", "0.1", 1)]).unwrap();
    let error = other.run(home.path(), &mut Silent).unwrap_err();
    assert!(matches!(
        error,
        StudyError::Train(TrainError::Run(RunError::OtherSettings { .. }))
    ));
    let text = error.to_string();
    for part in ["b-seed1", "policy.lr_max was 0.05, is 0.1", "another --out"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!home.path().join("runs/a-seed1").exists());

    // The number of threads does not change results.
    let mut same = spec("b", "0.05", 1);
    same.config.threads = 1;
    finished(
        Study::new([same])
            .unwrap()
            .run(home.path(), &mut Silent)
            .unwrap(),
    );
}

#[test]
fn runs_need_unique_names() {
    let refused = |specs: Vec<RunSpec>| Study::new(specs).unwrap_err().to_string();
    let twice = refused(vec![spec("a", "0.1", 1), spec("a", "0.2", 1)]);
    assert!(twice.contains("label = a-seed1"), "{twice}");
    for label in ["", "../a", "a/b", ".a", "ä"] {
        let text = refused(vec![spec(label, "0.1", 1)]);
        assert!(text.contains("letters, digits"), "{label}: {text}");
    }
    let folder = Study::run_folder(Path::new("x"), &spec("a", "0.1", 7));
    assert_eq!(folder, Path::new("x/runs/a-seed7"));
    assert!(fs::metadata(folder).is_err());
}
