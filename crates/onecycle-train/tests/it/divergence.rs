//! Losses that are not finite, and the way back from them.

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

/// A learning rate that soon is too large, and not so after some halvings.
const WILD: [(&str, &str); 3] = [
    ("policy.lr_max", "3e3"),
    ("checkpoint_steps", "2"),
    ("on_divergence", "retry"),
];

fn retries(run: &Run) -> Vec<Retry> {
    run.folder.read_run_file().unwrap().retries
}

#[test]
fn a_run_goes_back_and_on_with_half_the_learning_rate() {
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
    // The record is that of the run that came to its end: every step once, with the rate that it was made with.
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

/// Where a run goes back to does not depend on whether it was stopped in between.
#[test]
fn a_run_that_was_stopped_goes_back_as_one_that_was_not() {
    let (whole, _) = Run::whole(config(&WILD));
    for stop in [1, 2, 3, PER_EPOCH, PER_EPOCH + 1] {
        let (run, training) = Run::start(config(&WILD));
        training.run(&mut Watch::stop_after(stop)).unwrap();
        run.finish();
        assert_eq!(retries(&run), retries(&whole), "stopped after {stop}");
        assert_same(&whole, &run, &format!("stopped after {stop}"));
    }
}

/// Killed between the removal of ruined checkpoints and the note in run.toml, and after that.
#[test]
fn a_run_that_is_killed_while_it_goes_back_goes_back_again() {
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

/// Calls a function at each note: when a run has decided to go back, and has not yet.
struct Noted<F>(F);

impl<F: FnMut() + Send> onecycle_train::observer::Observer for Noted<F> {
    fn note(&mut self, _text: &str) {
        (self.0)();
    }
}

#[test]
fn a_run_that_diverges_whatever_it_does_ends() {
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
    assert!(error.to_string().contains("after 8 retries"), "{error}");
    let retries = retries(&run);
    assert_eq!(retries.len(), 8);
    assert!(retries.iter().all(|retry| retry.from == 0));
    assert!(!run.folder.is_finished());
}

/// Weights that are ruined, though finite, at the newest checkpoint: the one before it is taken, at last the start.
#[test]
fn a_checkpoint_that_was_gone_back_to_in_vain_is_not_taken_again() {
    let settings = [
        ("policy.kind", "piecewise_constant"),
        ("policy.values", "[[0, 0.01], [2, 1e9]]"),
        ("checkpoint_steps", "1"),
        ("on_divergence", "retry"),
    ];
    let (run, training) = Run::start(config(&settings));
    let _ = training.run(&mut Silent);
    let from: Vec<u64> = retries(&run).iter().map(|retry| retry.from).collect();
    let fell = from.windows(2).filter(|pair| pair[1] < pair[0]).count();
    assert!(fell > 0, "{from:?}");
    assert!(
        from.windows(2)
            .all(|pair| pair[0] != pair[1] || pair[0] == 0),
        "{from:?}"
    );
}

#[test]
fn a_run_that_ended_can_be_sent_back_afterwards() {
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
    assert_same(&whole, &run, "sent back afterwards");
    assert_eq!(retries(&whole), retries(&run));
}
