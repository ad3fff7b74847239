//! Options of a run (ghost batches, curriculum, fewer test images, momentum curve): their effect,
//! and that runs with them resume to the same bits.

use crate::runs;

use onecycle_train::{Experiment, record::StepRecord};
use runs::{Run, assert_same, config, try_config};

#[test]
fn a_run_with_a_curriculum_resumes_to_the_same_bits() {
    let easy = [
        ("data.curriculum.epochs", "2"),
        ("data.curriculum.start", "0.3"),
    ];
    let (whole, _) = Run::whole(config(&easy));
    let (plain, _) = Run::whole(config(&[]));
    assert_ne!(whole.steps(), plain.steps());
    let (cut, training) = Run::start(config(&easy));
    drop(training);
    cut.resume_until(4);
    cut.resume_until(9);
    cut.finish();
    assert_same(&whole, &cut, "easy images first");

    // The first epoch draws from the easiest 30 % of 382 images, the last of two epochs from all.
    let experiment = Experiment::prepare(config(&easy)).unwrap();
    let pool = |epoch| {
        let mut drawn = experiment.data.train.order(epoch);
        drawn.sort_unstable();
        drawn.dedup();
        drawn
    };
    assert_eq!((pool(0).len(), pool(2).len()), (115, 382));
}

#[test]
fn ghost_batches_change_the_statistics_of_batch_norm() {
    let run = |ghost: &str| {
        let settings = [("model", "convnet"), ("steps", "3"), ("ghost_batch", ghost)];
        let (run, _) = Run::whole(config(&settings));
        let steps = run.steps();
        let steps = steps
            .lines()
            .map(|line| serde_json::from_str(line).unwrap());
        steps
            .map(|step: StepRecord| step.loss)
            .collect::<Vec<f64>>()
    };
    let (whole, ghosts, all) = (run("0"), run("16"), run("64"));
    assert_ne!(whole, ghosts);
    // A ghost batch as large as the batch.
    assert_eq!(whole, all);
    assert!(ghosts.iter().all(|loss| loss.is_finite()));
}

#[test]
fn test_limit_and_momentum_curve_are_applied() {
    let settings = [
        ("data.validation", "0"),
        ("data.test_limit", "77"),
        ("policy.momentum_curve", "[[0, 0.5], [3, 0.7]]"),
    ];
    let experiment = Experiment::prepare(config(&settings)).unwrap();
    assert_eq!(
        (experiment.data.test.len(), experiment.data.validation.len()),
        (77, 77)
    );
    let momentum = [0, 2, 3].map(|step| experiment.plan.at(step).momentum);
    assert_eq!(momentum, [Some(0.5), Some(0.5), Some(0.7)]);
    let text = experiment.config.to_toml().unwrap();
    assert_eq!(
        toml::from_str::<onecycle_train::Config>(&text).unwrap(),
        experiment.config
    );
}

#[test]
fn impossible_curricula_are_rejected() {
    for (key, value, part) in [
        ("start", "0", "above 0 and at most 1"),
        ("start", "1.5", "above 0 and at most 1"),
        ("epochs", "-1", "at least 0"),
        ("scoring_epochs", "0", "at least 1"),
        ("scoring_lr", "0", "above 0"),
        ("pace", "2", "unknown key"),
    ] {
        let key = format!("data.curriculum.{key}");
        let settings = [("data.curriculum.epochs", "2"), (key.as_str(), value)];
        let error = try_config(&settings).unwrap_err().to_string();
        assert!(
            error.contains(&key) && error.contains(part),
            "{key}: {error}"
        );
    }
}
