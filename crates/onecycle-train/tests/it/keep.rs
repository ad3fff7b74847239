//! `keep = "best"` saves the network of the best epoch.

use crate::runs;

use std::fs;

use onecycle_burn::state;
use onecycle_train::{Experiment, Trained, device, experiment::Data, observer::Silent};
use runs::{PER_EPOCH, Run, Watch, assert_same, config, finished};

/// Three good epochs, then one with a learning rate that is much too large.
const WORSE: [(&str, &str); 5] = [
    ("epochs", "4"),
    ("keep", "best"),
    ("checkpoint_steps", "4"),
    ("policy.kind", "piecewise_constant"),
    ("policy.values", "[[\"0ep\", 0.05], [\"3ep\", 0.7]]"),
];

fn best_of(run: &Run) -> (u64, f64, f64) {
    let epochs = run.folder.read_epochs().unwrap();
    let best = epochs.iter().rev().max_by(|a, b| {
        let order = a.val_accuracy.total_cmp(&b.val_accuracy);
        order.then(b.val_loss.total_cmp(&a.val_loss))
    });
    let best = best.unwrap();
    (best.epoch, best.val_accuracy, best.val_loss)
}

/// Accuracy and loss of the saved network.
fn measured(
    run: &Run,
    experiment: &Experiment,
    images: fn(&Data) -> &onecycle_vision::Loader,
) -> (f64, f64) {
    let device = device::open(device::Device::Cpu).unwrap();
    let saved = Trained::read(&run.folder, &device).unwrap();
    let mut trainer = experiment.trainer().unwrap();
    trainer.model = state::load_weights(trainer.model, state::weights(&saved.model)).unwrap();
    let sums = trainer
        .evaluate(images(&experiment.data).evaluation(500))
        .unwrap();
    (sums.accuracy(), sums.mean_loss())
}

#[test]
fn the_best_network_is_saved_and_said() {
    let (run, summary) = Run::whole(config(&WORSE));
    let (epoch, accuracy, loss) = best_of(&run);
    assert!(epoch < 3, "the last epoch was to be the worst");
    let kept = summary.kept.clone().unwrap();
    assert_eq!(
        (kept.epoch.epoch, kept.epoch.val_accuracy),
        (epoch, accuracy)
    );
    assert_eq!(kept.selected_on, "held out");
    let said = format!(
        "the network of epoch {}, the best on held-out images",
        epoch + 1
    );
    assert!(summary.to_string().ends_with(&said), "{summary}");
    let report = fs::read_to_string(run.folder.report()).unwrap();
    assert!(report.contains(&said));

    let experiment = Experiment::prepare(config(&WORSE)).unwrap();
    assert_eq!(
        measured(&run, &experiment, |data| &data.validation),
        (accuracy, loss)
    );
    // The test accuracy is that of the same network.
    let test = measured(&run, &experiment, |data| &data.test);
    assert_eq!(test, (summary.test_accuracy, summary.test_loss));

    // The default keeps the last one, with the same training.
    let last = [&WORSE[..1], &WORSE[2..]].concat();
    let (last, summary) = Run::whole(config(&last));
    assert_eq!(last.steps(), run.steps());
    assert!(last.model() != run.model());
    assert!(summary.kept.is_none());
    let text = fs::read_to_string(last.folder.summary()).unwrap();
    assert!(!text.contains("kept"), "{text}");
}

#[test]
fn the_best_network_survives_stops_and_kills() {
    let settings = [
        &WORSE[..],
        &[("averaging.kind", "ema"), ("averaging.decay", "0.5")],
    ]
    .concat();
    for settings in [&WORSE[..], &settings] {
        let (whole, _) = Run::whole(config(settings));
        for updates in [4, PER_EPOCH + 1, 3 * PER_EPOCH + 2, 4 * PER_EPOCH] {
            let (watched, training) = Run::start(config(settings));
            let mut left = None;
            let mut watch = Watch::at(updates, || left = Some(Run::copy(watched.folder.root())));
            training.run(&mut watch).unwrap();
            drop(watch);
            let killed = left.unwrap();
            killed.finish();
            assert_same(&whole, &killed, &format!("killed after {updates}"));
            assert_eq!(best_of(&killed), best_of(&whole));
        }
        let (stopped, training) = Run::start(config(settings));
        training.run(&mut Watch::stop_after(2 * PER_EPOCH)).unwrap();
        stopped.resume_until(3 * PER_EPOCH + 1);
        stopped.finish();
        assert_same(&whole, &stopped, "stopped twice");
    }
}

/// A network of an attempt that was rolled back is not kept.
#[test]
fn a_retry_forgets_the_networks_of_the_failed_attempt() {
    let wild = [
        ("policy.lr_max", "3e3"),
        ("checkpoint_steps", "2"),
        ("on_divergence", "retry"),
        ("keep", "best"),
        ("averaging.kind", "lookahead"),
    ];
    let (whole, training) = Run::start(config(&wild));
    let summary = finished(training.run(&mut Silent).unwrap());
    assert!(!whole.folder.read_run_file().unwrap().retries.is_empty());
    let (epoch, accuracy, _) = best_of(&whole);
    let kept = summary.kept.unwrap().epoch;
    assert_eq!((kept.epoch, kept.val_accuracy), (epoch, accuracy));
    for stop in [1, 3, PER_EPOCH + 1] {
        let (run, training) = Run::start(config(&wild));
        training.run(&mut Watch::stop_after(stop)).unwrap();
        run.finish();
        assert_same(&whole, &run, &format!("stopped after {stop}"));
    }
}

#[test]
fn a_selection_on_the_test_images_is_said() {
    let on_test = [&WORSE[..2], &WORSE[3..], &[("data.validation", "0")]].concat();
    let experiment = Experiment::prepare(config(&on_test)).unwrap();
    let note = experiment.selection_note().unwrap();
    assert!(note.contains("data.validation = 0.1"), "{note}");
    assert!(
        Experiment::prepare(config(&WORSE))
            .unwrap()
            .selection_note()
            .is_none()
    );

    let (run, summary) = Run::whole(config(&on_test));
    let (epoch, accuracy, loss) = best_of(&run);
    let kept = summary.kept.clone().unwrap();
    assert_eq!(
        (kept.epoch.epoch, kept.selected_on.as_str()),
        (epoch, "test")
    );
    assert_eq!((summary.test_accuracy, summary.test_loss), (accuracy, loss));
    assert!(
        summary.to_string().contains("test accuracy is too high"),
        "{summary}"
    );
}

#[test]
fn a_training_in_memory_keeps_the_same_network() {
    let settings = [&WORSE[..2], &WORSE[3..]].concat();
    let (run, _) = Run::whole(config(&settings));
    let device = device::open(device::Device::Cpu).unwrap();
    let saved = Trained::read(&run.folder, &device).unwrap();
    let trained = Experiment::prepare(config(&settings))
        .unwrap()
        .train(&mut Silent)
        .unwrap();
    assert_eq!(trained.summary.kept, saved.summary.kept);
    assert_eq!(trained.summary.test_loss, saved.summary.test_loss);
    assert_eq!(state::weights(&trained.model), state::weights(&saved.model));
}
