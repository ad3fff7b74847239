//! Averages of the weights: the arithmetic, and runs that are stopped and killed.

use crate::runs;

use std::collections::BTreeMap;

use burn::module::Module;
use onecycle_burn::state::{self, TensorMap};
use onecycle_train::{
    Experiment, checkpoint::Checkpoint, predict::Classifier, trainer::StepResult, trainer::Trainer,
};
use runs::{PER_EPOCH, Run, Watch, assert_same, config, try_config};

const STEPS: u64 = 2 * PER_EPOCH;

const LOOKAHEAD: [(&str, &str); 3] = [
    ("model", "convnet"),
    ("averaging.kind", "lookahead"),
    ("averaging.every", "5"),
];
const EMA: [(&str, &str); 3] = [
    ("model", "convnet"),
    ("averaging.kind", "ema"),
    ("averaging.decay", "0.8"),
];
const SWA: [(&str, &str); 4] = [
    ("model", "convnet"),
    ("averaging.kind", "swa"),
    ("averaging.start", "0.5"),
    ("averaging.every", "2"),
];

type Values = BTreeMap<String, Vec<f64>>;

fn values(weights: &TensorMap) -> Values {
    let list = |(name, data): (&String, &burn::tensor::TensorData)| {
        (name.clone(), data.iter::<f64>().collect())
    };
    weights.iter().map(list).collect()
}

fn trainer(settings: &[(&str, &str)]) -> (Experiment, Trainer) {
    let experiment = Experiment::prepare(config(settings)).unwrap();
    let trainer = experiment.trainer().unwrap();
    (experiment, trainer)
}

fn step(trainer: &mut Trainer) {
    assert!(matches!(trainer.step().unwrap(), StepResult::Updated(_)));
}

fn assert_close(found: &Values, expected: &Values, what: &str) {
    assert_eq!(found.len(), expected.len());
    for (name, expected) in expected {
        for (found, expected) in found[name].iter().zip(expected) {
            let error = (found - expected).abs() / expected.abs().max(1.0);
            assert!(error < 2e-6, "{what}, {name}: {found} for {expected}");
        }
    }
}

/// Moves `average` by `weight` towards `new`, in double precision.
fn lerp(average: &mut Values, new: &Values, weight: f64) {
    for (name, values) in average {
        for (value, new) in values.iter_mut().zip(&new[name]) {
            *value += weight * (new - *value);
        }
    }
}

/// Every fifth update, `slow += (1 - 0.95^5 (t / T)^3) (fast - slow)` and `fast = slow`; at the end
/// the network becomes the slow weights. Weights and running statistics.
#[test]
fn lookahead_follows_its_definition() {
    let (experiment, mut trainer) = trainer(&LOOKAHEAD);
    let mut slow = values(&state::weights(&trainer.model));
    let mut moved = 0;
    for t in 1..=STEPS {
        // The same update without lookahead.
        let mut plain = Trainer::new(
            state::fork(&trainer.model),
            trainer.optimizer.clone(),
            experiment.plan.clone(),
            experiment.training_data().unwrap(),
        )
        .at(trainer.cursor(), Default::default());
        step(&mut plain);
        step(&mut trainer);
        let fast = values(&state::weights(&plain.model));
        let found = values(&state::weights(&trainer.model));
        if t % 5 == 0 {
            let decay = 0.95_f64.powi(5) * (t as f64 / STEPS as f64).powi(3);
            lerp(&mut slow, &fast, 1.0 - decay);
            moved += 1;
        }
        if t % 5 == 0 || t == STEPS {
            assert_close(&found, &slow, &format!("slow weights after {t}"));
            assert_ne!(found, fast);
        } else {
            assert_eq!(found, fast, "fast weights after {t}");
        }
        if t % 5 == 0 {
            slow = found;
        }
    }
    assert_eq!(moved, 2);
    assert_eq!(
        state::weights(&trainer.network()),
        state::weights(&trainer.model)
    );
}

#[test]
fn the_exponential_average_follows_its_definition() {
    for warm_up in [true, false] {
        let word = warm_up.to_string();
        let settings = [&EMA[..], &[("averaging.warm_up", &word)]].concat();
        let (_, mut trainer) = trainer(&settings);
        let mut expected = None::<Values>;
        for t in 0..STEPS {
            step(&mut trainer);
            let weights = values(&state::weights(&trainer.model));
            let young = (1.0 + t as f64) / (10.0 + t as f64);
            let decay = if warm_up { young.min(0.8) } else { 0.8 };
            match &mut expected {
                None => expected = Some(weights),
                Some(average) => lerp(average, &weights, 1.0 - decay),
            }
        }
        let found = values(&state::weights(&trainer.network()));
        assert_close(&found, &expected.unwrap(), &format!("warm-up {warm_up}"));
    }
}

/// The mean of the weights after 6, 8, 10 and 12 updates; running statistics are the mean over the
/// batches of a pass under these weights.
#[test]
fn swa_is_the_equal_average_with_statistics_of_its_own() {
    let (experiment, mut trainer) = trainer(&SWA);
    let mut sum = Values::new();
    for t in 1..=STEPS {
        step(&mut trainer);
        if [6, 8, 10, 12].contains(&t) {
            for (name, values) in values(&state::weights(&trainer.model)) {
                let sum = sum.entry(name).or_insert(vec![0.0; values.len()]);
                sum.iter_mut()
                    .zip(values)
                    .for_each(|(sum, value)| *sum += value / 4.0);
            }
        }
    }
    let before = values(&state::weights(&trainer.network()));
    assert_close(&before, &sum, "the mean");
    // A measurement that is stopped changes nothing.
    assert!(trainer.measure_statistics(|| true).unwrap());
    assert_eq!(values(&state::weights(&trainer.network())), before);

    assert!(!trainer.measure_statistics(|| false).unwrap());
    let found = values(&state::weights(&trainer.network()));
    let is_statistic = |name: &String| name.contains("running_");
    for (name, mean) in &before {
        assert_eq!(is_statistic(name), found[name] != *mean, "{name}");
    }
    let again = values(&state::weights(&{
        trainer.measure_statistics(|| false).unwrap();
        trainer.network()
    }));
    assert_eq!(again, found, "repeated");
    let evaluated = trainer
        .evaluate(experiment.data.validation.evaluation(100))
        .unwrap();
    assert!(evaluated.mean_loss().is_finite());
}

#[test]
fn stopped_and_killed_runs_resume_exactly() {
    for (name, settings) in [("lookahead", &LOOKAHEAD[..]), ("ema", &EMA), ("swa", &SWA)] {
        let settings = [settings, &[("checkpoint_steps", "4")]].concat();
        let (whole, training) = Run::start(config(&settings));
        let mut left = Vec::new();
        for updates in [3, 9, 11] {
            let (watched, training) = Run::start(config(&settings));
            let mut watch = Watch::at(updates, || left.push(Run::copy(watched.folder.root())));
            training.run(&mut watch).unwrap();
        }
        let summary = runs::finished(training.run(&mut onecycle_train::observer::Silent).unwrap());
        for killed in left {
            killed.finish();
            assert_same(&whole, &killed, name);
        }
        let (stopped, training) = Run::start(config(&settings));
        training.run(&mut Watch::stop_after(7)).unwrap();
        stopped.resume_until(10);
        stopped.finish();
        assert_same(&whole, &stopped, name);

        // The last epoch, the summary and the model are of the same network.
        let epochs = whole.folder.read_epochs().unwrap();
        let last = epochs.last().unwrap();
        let device = onecycle_train::device::open(onecycle_train::device::Device::Cpu).unwrap();
        let model = Classifier::open(whole.folder.root(), &device).unwrap();
        assert_eq!(model.card().model, "convnet");
        assert!(last.val_loss.is_finite() && summary.test_loss.is_finite());
        let plain = [("model", "convnet"), ("checkpoint_steps", "4")];
        let (plain, _) = Run::whole(config(&plain));
        assert!(plain.model() != whole.model(), "{name} had no effect");
        if name != "lookahead" {
            // Averaging does not change the training.
            assert_eq!(plain.steps(), whole.steps(), "{name}");
        }
    }
}

/// A checkpoint has the network and its average.
#[test]
fn checkpoints_hold_both_networks() {
    let (run, _) = Run::whole(config(&EMA));
    let (last, _) = Checkpoint::newest(&run.folder.checkpoints()).unwrap();
    assert_eq!(last.average.count, STEPS);
    assert_eq!(
        last.average.tensors.keys().collect::<Vec<_>>(),
        last.weights.keys().collect::<Vec<_>>()
    );
    let (plain, _) = Run::whole(config(&[("model", "convnet")]));
    let (other, _) = Checkpoint::newest(&plain.folder.checkpoints()).unwrap();
    assert_eq!(last.weights, other.weights);
    assert_eq!(other.average, Default::default());
}

#[test]
fn a_decay_of_zero_keeps_the_last_network() {
    let settings = [
        ("model", "convnet"),
        ("averaging.kind", "ema"),
        ("averaging.decay", "0"),
        ("averaging.warm_up", "false"),
    ];
    let (zero, _) = Run::whole(config(&settings));
    let (plain, _) = Run::whole(config(&[("model", "convnet")]));
    assert_same(&plain, &zero, "decay 0");
}

#[test]
fn impossible_settings_name_the_key_and_the_remedy() {
    let cases: [(&[(&str, &str)], &str); 6] = [
        (
            &[("averaging.kind", "ema"), ("averaging.decay", "1")],
            "averaging.decay = 1: expected at least 0 and below 1",
        ),
        (
            &[("averaging.kind", "lookahead"), ("averaging.every", "0")],
            "averaging.every = 0: expected at least 1 update",
        ),
        (
            &[("averaging.kind", "swa"), ("averaging.every", "0ep")],
            "averaging.every = 0ep: expected a span above 0",
        ),
        (
            &[("averaging.kind", "swa"), ("averaging.start", "3ep")],
            "averaging.start = 3ep: expected a point within the run of 12 steps",
        ),
        (
            &[("averaging.kind", "lookahed")],
            "did you mean \"lookahead\"?",
        ),
        (
            &[("averaging.kind", "swa"), ("averaging.decay", "0.5")],
            "unknown key `averaging.decay`",
        ),
    ];
    for (settings, expected) in cases {
        let error = match try_config(settings) {
            Ok(config) => Experiment::prepare(config)
                .err()
                .map(|error| error.to_string()),
            Err(error) => Some(error.to_string()),
        };
        let error = error.unwrap_or_else(|| panic!("{settings:?} was accepted"));
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_configuration_without_averaging_does_not_mention_it() {
    let text = config(&[]).to_toml().unwrap();
    assert!(!text.contains("averaging"), "{text}");
    let text = config(&[("averaging.kind", "swa")]).to_toml().unwrap();
    assert!(text.contains("[averaging]\nkind = \"swa\""), "{text}");
    let off = [("averaging.kind", "none")];
    assert!(config(&off).averaging.is_none());
}

#[test]
fn a_training_in_memory_gives_the_same_network() {
    for settings in [&LOOKAHEAD[..], &EMA, &SWA] {
        let config = config(settings);
        let trained = Experiment::prepare(config.clone()).unwrap();
        let trained = trained
            .train(&mut onecycle_train::observer::Silent)
            .unwrap();
        let (run, summary) = Run::whole(config);
        assert_eq!(trained.summary.test_loss, summary.test_loss);
        let device = onecycle_train::device::open(onecycle_train::device::Device::Cpu).unwrap();
        let saved = onecycle_train::Trained::read(&run.folder, &device).unwrap();
        assert_eq!(
            state::weights(&trained.model.valid()),
            state::weights(&saved.model)
        );
    }
}
