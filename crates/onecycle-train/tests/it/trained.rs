//! One training in one call, in memory and with a run folder: the same bits, and no work is repeated.

use onecycle_burn::state;
use onecycle_train::{
    Config, ConfigError, Experiment, RunError, RunFolder, TrainError, Trained,
    observer::{Silent, on_epoch, on_step},
    record::EpochRecord,
    train, train_in,
};
use onecycle_vision::{DataError, Dataset, Source, Split};
use tempfile::TempDir;

use crate::runs::{self, PER_EPOCH, Run, Watch};

/// The tiny configuration with 500 test images.
fn config(settings: &[(&str, &str)]) -> Config {
    runs::config(&[&[("data.test_limit", "500")], settings].concat())
}

/// The epochs without times.
fn timeless(trained: &Trained<impl Sized>) -> Vec<EpochRecord> {
    let without = |epoch: &EpochRecord| EpochRecord {
        seconds: 0.0,
        images_per_second: 0.0,
        ..epoch.clone()
    };
    trained.epochs.iter().map(without).collect()
}

fn assert_same(a: &Trained, b: &Trained, what: &str) {
    assert_eq!(timeless(a), timeless(b), "{what}");
    assert_eq!(state::weights(&a.model), state::weights(&b.model), "{what}");
    let score = |trained: &Trained| {
        let summary = &trained.summary;
        (
            summary.test_accuracy,
            summary.test_loss,
            summary.best_val_accuracy,
            summary.steps,
            summary.parameters,
        )
    };
    assert_eq!(score(a), score(b), "{what}");
}

#[test]
fn a_training_in_memory_has_the_bits_of_a_run() {
    for settings in [&[] as &[(&str, &str)], &[("data.validation", "0")]] {
        let (run, summary) = Run::whole(config(settings));
        let run = Trained::read(&run.folder, &burn::tensor::Device::flex()).unwrap();
        assert_eq!(run.summary, summary);
        let memory = train(config(settings), &mut Silent).unwrap();
        assert_same(&memory, &run, "in memory");
    }
}

#[test]
fn the_same_call_continues_and_then_repeats_nothing() {
    let whole = train(config(&[]), &mut Silent).unwrap();
    let home = TempDir::new().unwrap();
    let root = home.path().join("run");
    let stopped = train_in(&root, config(&[]), &mut Watch::stop_after(4));
    assert!(matches!(
        stopped,
        Err(TrainError::Run(RunError::Stopped { step: 4, .. }))
    ));
    let mut updates = 0;
    let mut count = on_step(|_| updates += 1);
    let continued = train_in(&root, config(&[]), &mut count).unwrap();
    assert_same(&continued, &whole, "continued");
    let finished = train_in(&root, config(&[]), &mut count).unwrap();
    assert_same(&finished, &whole, "finished");
    assert_eq!(updates, 2 * PER_EPOCH - 4);
    assert_eq!(
        RunFolder::look(&root).unwrap().read_epochs().unwrap(),
        finished.epochs
    );

    let other = train_in(&root, config(&[("batch_size", "32")]), &mut Silent);
    assert!(matches!(
        other,
        Err(TrainError::Run(RunError::OtherSettings { differences, .. }))
            if differences.len() == 1 && differences[0].contains("batch_size")
    ));
}

#[test]
fn a_training_in_memory_ends_early_if_it_is_asked_to() {
    let mut watch = Watch::stop_after(PER_EPOCH + 2);
    let trained = train(config(&[]), &mut watch).unwrap();
    let summary = &trained.summary;
    assert_eq!((summary.steps, summary.epochs), (PER_EPOCH + 2, 1));
    let whole = train(config(&[]), &mut Silent).unwrap();
    assert_eq!(timeless(&trained)[0], timeless(&whole)[0]);
    // The network as it is then, not that of the last epoch.
    assert_ne!(summary.test_loss, trained.epochs[0].val_loss);
    assert!(summary.test_loss.is_finite());
}

#[test]
fn a_loss_that_is_not_finite_is_an_error_with_the_key_of_the_rate() {
    let error = train(config(&[("policy.lr_max", "1e8")]), &mut Silent).unwrap_err();
    let TrainError::Run(RunError::NotFinite { rate, lr, .. }) = error else {
        panic!("{error}");
    };
    assert_eq!(rate, "policy.lr_max");
    assert!(lr > 1e6, "{lr}");
}

#[test]
fn settings_that_need_a_folder_are_refused_in_memory() {
    for (key, value) in [
        ("on_divergence", "retry"),
        ("checkpoint_steps", "3"),
        ("diagnose.every", "3"),
    ] {
        match train(config(&[(key, value)]), &mut Silent) {
            Err(TrainError::Config(ConfigError::Setting {
                key: found,
                expected,
                ..
            })) => {
                assert_eq!(found, key);
                assert!(expected.contains("train_in"), "{expected}");
            }
            other => panic!("{key}: {:?}", other.map(|trained| trained.summary)),
        }
    }
}

#[test]
fn a_network_of_your_own_is_trained_like_a_named_one() {
    let experiment = Experiment::prepare(config(&[])).unwrap();
    let named = experiment.train(&mut Silent).unwrap();
    let network = experiment.initial_model().unwrap();
    let own = experiment.train_network(network, &mut Silent).unwrap();
    assert_same(&own, &named, "own network");
    let ghosts = Experiment::prepare(config(&[("ghost_batch", "16")])).unwrap();
    let refused = ghosts.train_network(ghosts.initial_model().unwrap(), &mut Silent);
    let error = refused.map(|own| own.summary).unwrap_err();
    assert!(error.to_string().contains("ghost_batch = 16"), "{error}");
    assert_eq!(
        (own.summary.model.as_str(), named.summary.model.as_str()),
        ("Model", "lenet5")
    );
}

/// The images of a configuration in memory, under another name.
fn in_memory(name: &str, keep: impl Fn(&Split) -> Split) -> Result<Dataset, DataError> {
    let set = Source::named("fashion-mnist").load()?;
    Dataset::new(
        name,
        set.classes,
        keep(&set.train.sample(512, config(&[]).seed)),
        set.test,
    )
}

#[test]
fn images_in_memory_are_trained_like_those_of_a_file() {
    let data = |keep: fn(&Split) -> Split| in_memory("shirts", keep).unwrap();
    let of_file = train(config(&[]), &mut Silent).unwrap();
    let experiment = || Experiment::with_data(config(&[]), data(Split::clone)).unwrap();
    let mut losses = Vec::new();
    let mut observer = on_epoch(|epoch| losses.push(epoch.val_loss));
    let trained = experiment().train(&mut observer).unwrap();
    assert_same(&trained, &of_file, "in memory");
    assert_eq!(trained.summary.data, "shirts");
    let recorded: Vec<f64> = trained.epochs.iter().map(|epoch| epoch.val_loss).collect();
    assert_eq!(losses, recorded);

    let home = TempDir::new().unwrap();
    let root = home.path().join("run");
    let stopped = experiment().train_in(&root, &mut Watch::stop_after(2));
    assert!(matches!(
        stopped,
        Err(TrainError::Run(RunError::Stopped { .. }))
    ));
    // One image has another label.
    let changed = data(|split| {
        let mut labels = split.labels().to_vec();
        labels[0] = (labels[0] + 1) % 10;
        Split::new(
            split.shape(),
            split.images().flatten().copied().collect(),
            labels,
        )
        .unwrap()
    });
    let changed = Experiment::with_data(config(&[]), changed).unwrap();
    let refused = changed.train_in(&root, &mut Silent);
    assert!(matches!(
        refused,
        Err(TrainError::Run(RunError::OtherData { .. }))
    ));
    let continued = experiment().train_in(&root, &mut Silent).unwrap();
    assert_same(&continued, &of_file, "continued");
}
