//! Files of a run: records, figures, report, and a model that other programs can evaluate.

use crate::runs;

use std::{collections::BTreeSet, fs};

use burn::{
    module::Module,
    tensor::{Device, Tensor, TensorData},
};
use onecycle_burn::state;
use onecycle_train::{
    Experiment, TrainError, model_file::ModelCard, observer::Silent, predict::Classifier,
    run_folder::RunFolder, tensors, training::Training, tta::Tta,
};
use onecycle_vision::{Source, models::Model, random};
use runs::{PER_EPOCH, Run, config, try_config};
use serde_json::Value;

/// Training images of a run: 512 images without the held-out quarter of each class.
const IMAGES: f64 = 382.0;

fn lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn keys(value: &Value) -> BTreeSet<&str> {
    value
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect()
}

#[test]
fn records_agree_with_the_plan() {
    let (run, summary) = Run::whole(config(&[]));
    let plan = Experiment::prepare(config(&[])).unwrap().plan;
    assert_eq!(plan.steps(), 2 * PER_EPOCH);

    let steps = lines(&run.steps());
    assert_eq!(steps.len() as u64, plan.steps());
    for (n, step) in steps.iter().enumerate() {
        let hyper = plan.at(n as u64);
        assert_eq!(step["step"], n);
        assert_eq!(step["epoch"], n as u64 / PER_EPOCH);
        assert_eq!(step["lr"].as_f64(), Some(hyper.lr), "{n}");
        assert_eq!(step["momentum"].as_f64(), hyper.momentum, "{n}");
        assert_eq!(step["weight_decay"], 5e-4);
        let last_of_epoch = (n as u64 + 1).is_multiple_of(PER_EPOCH);
        assert_eq!(step["batch_size"], if last_of_epoch { 62 } else { 64 });
        assert!(step["loss"].as_f64().unwrap() > 0.0);
    }

    let text = fs::read_to_string(run.folder.epochs()).unwrap();
    let epochs = lines(&text);
    assert_eq!(epochs.len(), 2);
    for (n, epoch) in epochs.iter().enumerate() {
        let documented = [
            "epoch",
            "train_loss",
            "train_accuracy",
            "val_loss",
            "val_accuracy",
            "lr",
            "momentum",
            "seconds",
        ];
        let found = keys(epoch);
        assert!(
            documented.iter().all(|key| found.contains(key)),
            "{found:?}"
        );
        assert_eq!(epoch["epoch"], n);
        for accuracy in ["train_accuracy", "val_accuracy"] {
            assert!((0.0..=1.0).contains(&epoch[accuracy].as_f64().unwrap()));
        }
        // The mean over images, not over batches, because the last batch is smaller.
        let of_epoch = &steps[n * PER_EPOCH as usize..][..PER_EPOCH as usize];
        let number = |step: &Value, key: &str| step[key].as_f64().unwrap();
        let sum: f64 = of_epoch
            .iter()
            .map(|step| number(step, "loss") * number(step, "batch_size"))
            .sum();
        assert!((number(epoch, "train_loss") - sum / IMAGES).abs() < 1e-12);
        let gap = epoch["val_loss"].as_f64().unwrap() - epoch["train_loss"].as_f64().unwrap();
        assert_eq!(epoch["generalisation_gap"].as_f64(), Some(gap));
        let last = plan.at((n as u64 + 1) * PER_EPOCH - 1);
        assert_eq!(epoch["lr"].as_f64(), Some(last.lr));
    }
    let best = epochs
        .iter()
        .map(|epoch| epoch["val_accuracy"].as_f64().unwrap())
        .fold(0.0, f64::max);
    assert_eq!(summary.best_val_accuracy, best);
}

#[test]
fn momentum_and_weight_decay_of_the_optimizer_are_recorded_if_the_policy_sets_none() {
    let settings = [
        ("steps", "2"),
        ("policy.kind", "constant"),
        ("policy.lr", "0.01"),
        ("policy.weight_decay", "[[0, 1e-4], [1, 2e-4]]"),
        ("optimizer.momentum", "0.7"),
        ("optimizer.clip_norm", "0.5"),
    ];
    let (run, _) = Run::whole(config(&settings));
    let records = run.folder.read_steps().unwrap();
    let of = |n: usize| (records[n].momentum, records[n].weight_decay);
    assert_eq!([of(0), of(1)], [(Some(0.7), 1e-4), (Some(0.7), 2e-4)]);
    assert!(records.iter().all(|record| record.grad_norm.unwrap() > 0.0));
}

#[test]
fn figures_and_report_are_written() {
    let (run, summary) = Run::whole(config(&[]));
    let mut stems: BTreeSet<String> = BTreeSet::new();
    for entry in fs::read_dir(run.folder.figures()).unwrap() {
        let path = entry.unwrap().path();
        stems.insert(path.file_stem().unwrap().to_str().unwrap().to_owned());
    }
    let wanted = [
        "schedule",
        "losses",
        "losses_over_lr",
        "gap",
        "accuracy",
        "reliability",
    ];
    for stem in wanted {
        assert!(stems.contains(stem), "{stem} is not among {stems:?}");
    }
    // Pictures of images have no other form: 24 of the worst, and one of training images.
    let of_images = |stem: &&String| stem.starts_with("worst-") || *stem == "training-images";
    let figures: Vec<&String> = stems.iter().filter(|stem| !of_images(stem)).collect();
    assert_eq!(stems.len() - figures.len(), 25);
    for stem in figures {
        let read = |ending: &str| fs::read(run.folder.figures().join(format!("{stem}.{ending}")));
        let svg = String::from_utf8(read("svg").unwrap()).unwrap();
        assert_eq!(
            roxmltree::Document::parse(&svg)
                .unwrap()
                .root_element()
                .tag_name()
                .name(),
            "svg"
        );
        assert!(
            read("png").unwrap().starts_with(b"\x89PNG\r\n\x1a\n"),
            "{stem}"
        );
        assert!(read("csv").unwrap().contains(&b','), "{stem}");
    }
    let report = fs::read_to_string(run.folder.report()).unwrap();
    assert!(report.contains("lenet5 on fashion-mnist"));
    assert!(report.contains(&format!("{:.2}", 100.0 * summary.test_accuracy)));

    let written: Value =
        serde_json::from_str(&fs::read_to_string(run.folder.summary()).unwrap()).unwrap();
    assert_eq!(written, serde_json::to_value(&summary).unwrap());
}

/// Loads the tensors of the file into a new network and counts correct predictions.
#[test]
fn the_reported_accuracy_is_that_of_the_written_model() {
    let (run, summary) = Run::whole(config(&[("model", "convnet"), ("epochs", "3")]));
    let bytes = fs::read(run.folder.model()).unwrap();
    let (weights, metadata) = tensors::from_safetensors(&bytes).unwrap();
    let card: ModelCard = serde_json::from_str(&metadata["onecycle"]).unwrap();
    let parameters: usize = weights
        .iter()
        .filter(|(name, _)| !name.contains("running"))
        .map(|(_, data)| data.num_elements())
        .sum();
    assert_eq!(parameters, summary.parameters);

    let device = Device::flex();
    let mut rng = random::stream(99, "somewhere else", 0);
    let model = Model::new(
        card.model.parse().unwrap(),
        card.shape,
        card.classes.len(),
        &mut rng,
        &device,
    )
    .unwrap();
    let model = state::load_weights(model, weights).unwrap().valid();
    let test = Source::named("fashion-mnist").load().unwrap().test;
    let (mean, std) = (card.statistics.mean[0], card.statistics.std[0]);
    let mut correct = 0;
    let mut loss = 0.0;
    let batch = 250;
    let images: Vec<&[u8]> = test.images().collect();
    for (images, labels) in images.chunks(batch).zip(test.labels().chunks(batch)) {
        let pixels: Vec<f32> = images
            .concat()
            .iter()
            .map(|pixel| (f32::from(*pixel) / 255.0 - mean) / std)
            .collect();
        let data = TensorData::new(pixels, [labels.len(), 1, 28, 28]);
        let logits = model.forward(Tensor::<4>::from_data(data, &device));
        let logits: Vec<f32> = logits.into_data().try_into_vec().unwrap();
        for (row, label) in logits.chunks(10).zip(labels) {
            let best = (0..10).max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap();
            correct += u64::from(best == *label as usize);
            let sum: f64 = row.iter().map(|z| f64::from(*z).exp()).sum();
            loss += sum.ln() - f64::from(row[*label as usize]);
        }
    }
    assert_eq!(summary.test_accuracy, correct as f64 / 10_000.0);
    assert!((summary.test_loss - loss / 10_000.0).abs() < 1e-4);
    // A network that learned nothing would hide most mistakes.
    assert!(summary.test_accuracy > 0.2, "{}", summary.test_accuracy);

    let classifier = Classifier::load(&run.folder.model(), &device).unwrap();
    let prediction = classifier.predict(test.image(0), Tta::Image).unwrap();
    let total: f64 = prediction
        .all
        .iter()
        .map(|(_, probability)| probability)
        .sum();
    assert!((total - 1.0).abs() < 1e-5);
    assert_eq!(prediction.all.len(), 10);
    assert!(prediction.all.is_sorted_by(|a, b| a.1 >= b.1));
}

#[test]
fn the_shortest_runs_work() {
    for (what, settings, steps, epochs) in [
        ("one step", vec![("steps", "1")], 1, 1),
        ("half an epoch", vec![("epochs", "0.5")], PER_EPOCH / 2, 1),
        ("one batch of all", vec![("batch_size", "100000")], 2, 2),
        (
            "one image a batch",
            vec![("batch_size", "1"), ("steps", "3")],
            3,
            1,
        ),
        ("one and a bit", vec![("steps", "7")], 7, 2),
    ] {
        let (run, summary) = Run::whole(config(&settings));
        assert_eq!((summary.steps, summary.epochs), (steps, epochs), "{what}");
        let records = run.folder.read_steps().unwrap();
        assert_eq!(records.len() as u64, steps, "{what}");
        assert_eq!(run.epochs().last().unwrap()["steps"], steps, "{what}");
        assert!(run.folder.report().exists(), "{what}");
    }
}

#[test]
fn impossible_settings_are_reported_before_a_folder_is_created() {
    let cases: [(&[(&str, &str)], &str); 5] = [
        (&[("data.limit", "1")], "validation"),
        (&[("augment.pad", "100")], "augment.pad"),
        (&[("policy.annihilation", "9ep")], "annihilation"),
        (&[("device", "cuda")], "cuda"),
        (&[("policy.batch_size", "[[\"1ep\", 64]]")], "batch_size"),
    ];
    for (settings, name) in cases {
        let error = match try_config(settings).and_then(Experiment::prepare) {
            Ok(_) => panic!("{settings:?} was accepted"),
            Err(error) => error.to_string(),
        };
        assert!(error.contains(name), "{settings:?}: {error}");
    }
}

/// The optimizer state belongs to the network: a checkpoint of another network is rejected with its
/// name.
#[test]
fn a_checkpoint_of_another_network_is_rejected() {
    let (run, training) = Run::start(config(&[("steps", "1")]));
    drop(training);
    let text = fs::read_to_string(run.folder.run_file()).unwrap();
    let other = text.replace("model = \"lenet5\"", "model = \"convnet\"");
    assert_ne!(other, text);
    fs::write(run.folder.run_file(), other).unwrap();
    let folder = RunFolder::open(run.folder.root()).unwrap();
    let error = Training::resume(folder, &mut Silent).map(drop).unwrap_err();
    assert!(matches!(error, TrainError::Burn(_)), "{error}");
    assert!(error.to_string().contains("conv1.weight"), "{error}");
}
