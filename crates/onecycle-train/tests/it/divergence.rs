//! Retries after losses that are not finite.

use crate::runs;

use std::fs;

use onecycle_train::{
    RunError, TrainError,
    config::OnDivergence,
    observer::Silent,
    run_folder::Retry,
    training::{ResumeOptions, Training},
};
use runs::{PER_EPOCH, Run, Watch, assert_same, config, finished};

/// A learning rate that is too large at first, but not after a few halvings.
const WILD: [(&str, &str); 3] = [
    ("policy.lr_max", "3e3"),
    ("checkpoint_steps", "2"),
    ("on_divergence", "retry"),
];

fn retries(run: &Run) -> Vec<Retry> {
    run.folder.read_run_file().unwrap().retries
}

#[test]
fn a_diverged_run_retries_with_half_the_learning_rate() {
    let (run, training) = Run::start(config(&WILD));
    let plan = training.experiment().plan.clone();
    let mut watch = Watch::default();
    let summary = finished(training.run(&mut watch).unwrap());
    assert_eq!(summary.steps, plan.steps());

    let retries = retries(&run);
    assert!((1..=8).contains(&retries.len()), "{retries:?}");
    assert_eq!(watch.notes.len(), retries.len());
    let mut scale = 1.0;
    for (retry, note) in retries.iter().zip(&watch.notes) {
        assert_eq!(retry.lr, plan.at(retry.diverged_at).lr * scale);
        scale /= 2.0;
        assert_eq!(retry.lr_scale, scale);
        assert!(retry.from <= retry.diverged_at);
        for number in [retry.diverged_at, retry.from] {
            assert!(note.contains(&format!("step {number}")), "{note}");
        }
    }
    // The record is that of the finished run: every step once, with the learning rate it was made
    // with.
    let steps = run.folder.read_steps().unwrap();
    assert_eq!(steps.len() as u64, plan.steps());
    let run_file = run.folder.read_run_file().unwrap();
    for (n, record) in steps.iter().enumerate() {
        let n = n as u64;
        assert_eq!(record.step, n);
        assert_eq!(record.lr, plan.at(n).lr * run_file.lr_scale(n));
        assert!(record.loss.is_finite());
    }
    assert_eq!(run_file.lr_scale(plan.steps() - 1), scale);
    let report = fs::read_to_string(run.folder.report()).unwrap();
    assert_eq!(report.matches("Retried").count(), retries.len());
}

/// The checkpoint of a retry does not depend on a manual stop.
#[test]
fn a_stopped_run_retries_like_an_uninterrupted_one() {
    let (whole, _) = Run::whole(config(&WILD));
    for stop in [1, 2, 3, PER_EPOCH, PER_EPOCH + 1] {
        let (run, training) = Run::start(config(&WILD));
        training.run(&mut Watch::stop_after(stop)).unwrap();
        run.finish();
        assert_eq!(retries(&run), retries(&whole), "stopped after {stop}");
        assert_same(&whole, &run, &format!("stopped after {stop}"));
    }
}

/// Killed between the removal of later checkpoints and the update of run.toml, and after that.
#[test]
fn a_run_that_is_killed_during_a_retry_retries_again() {
    let (whole, training) = Run::start(config(&WILD));
    let mut copies = Vec::new();
    {
        let mut watch = Noted(|| copies.push(Run::copy(whole.folder.root())));
        finished(training.run(&mut watch).unwrap());
    }
    assert!(!copies.is_empty());
    for (number, copy) in copies.iter().enumerate() {
        // As if run.toml had not been written yet.
        let earlier = Run::copy(copy.folder.root());
        let mut run_file = earlier.folder.read_run_file().unwrap();
        run_file.retries.truncate(number);
        run_file.write(&earlier.folder.run_file()).unwrap();
        for (run, what) in [(copy, "after"), (&earlier, "before")] {
            run.finish();
            assert_eq!(
                retries(run),
                retries(&whole),
                "killed {what} retry {number}"
            );
            assert_same(&whole, run, &format!("killed {what} retry {number}"));
        }
    }
}

/// Calls a function at each note, which a run writes before it truncates its records.
struct Noted<F>(F);

impl<F: FnMut() + Send> onecycle_train::observer::Observer for Noted<F> {
    fn note(&mut self, _text: &str) {
        (self.0)();
    }
}

#[test]
fn a_run_that_always_diverges_ends() {
    let settings = [
        ("policy.kind", "constant"),
        ("policy.lr", "1e30"),
        ("on_divergence", "retry"),
    ];
    let (run, training) = Run::start(config(&settings));
    let error = training.run(&mut Silent).unwrap_err();
    let TrainError::Run(RunError::Diverged {
        retries: made,
        rate,
        ..
    }) = &error
    else {
        panic!("{error}");
    };
    assert_eq!((*made, rate.as_str()), (8, "policy.lr"));
    let message = error.to_string();
    assert!(message.contains("after 8 retries"), "{message}");
    assert!(!message.contains("on-divergence"), "{message}");
    let retries = retries(&run);
    assert_eq!(retries.len(), 8);
    assert!(retries.iter().all(|retry| retry.from == 0));
    assert!(!run.folder.is_finished());
}

/// The weights in the newest checkpoint are ruined although finite: the previous one is used, and
/// finally the start.
#[test]
fn a_failed_retry_uses_an_earlier_checkpoint() {
    let settings = [
        ("policy.kind", "piecewise_constant"),
        ("policy.values", "[[0, 0.01], [2, 1e9]]"),
        ("checkpoint_steps", "1"),
        ("on_divergence", "retry"),
    ];
    let (run, training) = Run::start(config(&settings));
    let _ = training.run(&mut Silent);
    let retries = retries(&run);
    let mut furthest = 0;
    let mut last_from = u64::MAX;
    for Retry {
        from, diverged_at, ..
    } in &retries
    {
        assert!(*from < *diverged_at || *from == 0, "{retries:?}");
        if *diverged_at <= furthest {
            assert!(*from < last_from || *from == 0, "{retries:?}");
        }
        furthest = furthest.max(*diverged_at);
        last_from = *from;
    }
    assert!(retries.iter().any(|retry| retry.from == 0), "{retries:?}");
}

/// Half of this learning rate trains. Weights that will diverge are finite for several updates, and
/// each of them is in a checkpoint.
#[test]
fn a_run_goes_back_far_enough_to_finish() {
    let settings = [
        ("model", "mlp"),
        ("policy.kind", "constant"),
        ("policy.lr", "3"),
        ("optimizer.momentum", "0.99"),
        ("checkpoint_steps", "1"),
        ("on_divergence", "retry"),
    ];
    let (run, training) = Run::start(config(&settings));
    finished(training.run(&mut Silent).unwrap());
    let retries = retries(&run);
    assert!(!retries.is_empty() && retries.len() < 8, "{retries:?}");
}

#[test]
fn a_diverged_run_can_retry_when_it_is_resumed() {
    let wild = [WILD[0], WILD[1]];
    let (run, training) = Run::start(config(&wild));
    let error = training.run(&mut Silent).unwrap_err();
    assert!(
        matches!(
            error,
            TrainError::Run(RunError::Diverged { retries: 0, .. })
        ),
        "{error}"
    );
    let options = ResumeOptions {
        on_divergence: Some(OnDivergence::Retry),
        ..ResumeOptions::default()
    };
    let training = Training::resume_with(run.folder.clone(), options, &mut Silent).unwrap();
    finished(training.run(&mut Silent).unwrap());
    let (whole, _) = Run::whole(config(&WILD));
    assert_same(&whole, &run, "retried when resumed");
    assert_eq!(retries(&whole), retries(&run));
}
