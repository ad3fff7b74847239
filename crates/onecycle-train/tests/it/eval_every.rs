//! `eval_every` leaves out evaluations and changes nothing else.

use onecycle_train::{Trained, observer::Silent, train};

use crate::runs::{PER_EPOCH, Run, Watch, assert_same, config, finished};

const EACH: [(&str, &str); 1] = [("epochs", "5")];
const RARE: [(&str, &str); 2] = [("epochs", "5"), ("eval_every", "2")];

#[test]
fn the_records_of_some_epochs_cover_those_before() {
    let (each, _) = Run::whole(config(&EACH));
    let (rare, summary) = Run::whole(config(&RARE));
    assert_eq!(rare.steps(), each.steps());
    assert_eq!((summary.epochs, summary.steps), (5, 5 * PER_EPOCH));
    let each = each.folder.read_epochs().unwrap();
    let rare = rare.folder.read_epochs().unwrap();
    let places: Vec<(u64, u64)> = rare.iter().map(|r| (r.epoch, r.steps)).collect();
    // The last epoch is measured although it is the fifth.
    let ends = [2, 4, 5].map(|done| (done - 1, done * PER_EPOCH));
    assert_eq!(places, ends);
    for record in &rare {
        let same = &each[record.epoch as usize];
        assert_eq!(record.val_loss, same.val_loss);
        assert_eq!(record.val_accuracy, same.val_accuracy);
    }
    let both = (each[0].train_loss + each[1].train_loss) / 2.0;
    assert!((rare[0].train_loss - both).abs() < 1e-12 * both);
    assert_eq!(rare[2].train_loss, each[4].train_loss);
}

#[test]
fn a_run_continues_between_evaluations() {
    let (whole, _) = Run::whole(config(&RARE));
    // Within and at the end of epochs, with and without an evaluation.
    for updates in [
        3,
        PER_EPOCH,
        PER_EPOCH + 3,
        2 * PER_EPOCH,
        4 * PER_EPOCH + 1,
    ] {
        let (run, training) = Run::start(config(&RARE));
        training.run(&mut Watch::stop_after(updates)).unwrap();
        run.finish();
        assert_same(&run, &whole, &format!("stopped after {updates}"));
    }
}

#[test]
fn a_run_that_returns_to_a_checkpoint_has_no_record_twice() {
    let diverging = [
        ("on_divergence", "retry"),
        ("policy.kind", "piecewise_constant"),
        ("policy.values", "[[\"0ep\", 0.01], [\"3ep\", 3e3]]"),
    ];
    let (run, training) = Run::start(config(&[&RARE[..], &diverging].concat()));
    finished(training.run(&mut Silent).unwrap());
    let retries = run.folder.read_run_file().unwrap().retries;
    // It returns to the end of the third epoch, which has no record.
    assert_eq!(retries[0].from, 3 * PER_EPOCH);
    let epochs = run.folder.read_epochs().unwrap();
    let numbers: Vec<u64> = epochs.iter().map(|record| record.epoch).collect();
    assert_eq!(numbers, [1, 3, 4]);
}

#[test]
fn a_training_in_memory_evaluates_as_rarely() {
    let (run, summary) = Run::whole(config(&RARE));
    let run = Trained::read(&run.folder, &burn::tensor::Device::flex()).unwrap();
    let memory = train(config(&RARE), &mut Silent).unwrap();
    let losses = |trained: &Trained| -> Vec<(u64, f64, f64)> {
        let epochs = trained.epochs.iter();
        epochs
            .map(|r| (r.epoch, r.train_loss, r.val_loss))
            .collect()
    };
    assert_eq!(losses(&memory), losses(&run));
    assert_eq!(memory.summary.epochs, summary.epochs);
    assert_eq!(memory.summary.test_loss, summary.test_loss);
}
