//! Runs that start from existing weights.

use crate::runs;

use std::{collections::HashMap, fs, path::Path};

use burn::tensor::TensorData;
use onecycle_burn::state::{self, TensorMap};
use onecycle_train::{
    Config, Experiment, RunError, TrainError, observer::Silent, tensors, train_in,
};
use onecycle_vision::{Dataset, ImageShape, Split};
use runs::{PER_EPOCH, Run, Watch, assert_same, config};
use safetensors::{Dtype, tensor::TensorView};

/// A finished run of LeNet-5, and its weights.
fn source() -> (Run, TensorMap) {
    let (run, _) = Run::whole(config(&[("epochs", "1")]));
    let weights = read(&run.folder.model());
    (run, weights)
}

fn read(path: &Path) -> TensorMap {
    tensors::from_safetensors(&fs::read(path).unwrap())
        .unwrap()
        .0
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn initial(experiment: &Experiment) -> TensorMap {
    state::weights(&experiment.initial_model().unwrap())
}

/// 40 random images of 1 x 28 x 28 pixels, with labels of these classes in turn.
fn dataset(classes: &[&str]) -> Dataset {
    let split = |count: usize| {
        let pixels = (0..count * 784).map(|i| (i * 31 % 251) as u8).collect();
        let labels = (0..count).map(|i| (i % classes.len()) as u32).collect();
        Split::new(ImageShape::new(1, 28, 28), pixels, labels).unwrap()
    };
    let names = classes.iter().map(|name| (*name).to_owned());
    Dataset::new("drawings", names, split(40), split(20)).unwrap()
}

fn error(settings: &[(&str, &str)]) -> String {
    match Experiment::prepare(config(settings)) {
        Ok(_) => panic!("{settings:?} was accepted"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn the_network_and_its_normalisation_are_those_of_the_run() {
    let (run, weights) = source();
    for path in [run.folder.root().to_path_buf(), run.folder.model()] {
        let experiment =
            Experiment::prepare(config(&[("init", text(&path)), ("data.limit", "300")]));
        let experiment = experiment.unwrap();
        assert_eq!(initial(&experiment), weights);
        let of_run = Experiment::prepare(config(&[])).unwrap();
        // Other images, but the statistics of the run.
        assert_eq!(experiment.data.statistics, of_run.data.statistics);
        let own = Experiment::prepare(config(&[("data.limit", "300")])).unwrap();
        assert_ne!(own.data.statistics, of_run.data.statistics);
        let notes = experiment.data.notes.join("\n");
        assert!(
            notes.contains("normalised by the mean and standard deviation of the weights"),
            "{notes}"
        );
    }
}

#[test]
fn training_continues_from_the_weights() {
    let (run, _) = Run::whole(config(&[("epochs", "8")]));
    let settings = [("init", text(run.folder.root())), ("epochs", "1")];
    let (continued, _) = Run::whole(config(&settings));
    let first = |run: &Run| run.folder.read_steps().unwrap()[0].loss;
    let last = run.folder.read_epochs().unwrap().pop().unwrap();
    assert!(
        first(&continued) < 0.9 * first(&run),
        "{} after {}",
        first(&continued),
        first(&run)
    );
    assert!((first(&continued) - last.val_loss).abs() < 0.4 * last.val_loss);
    let run_file = continued.folder.read_run_file().unwrap();
    let init = run_file.init.unwrap();
    assert_eq!(init.sha256, onecycle_vision::files::sha256(&run.model()));
    assert!(run_file.config.init.unwrap().is_absolute());
}

/// Another number of classes: the last layer is that of a new network, the others are loaded.
#[test]
fn the_head_starts_anew_for_other_classes() {
    let (run, weights) = source();
    let with_init = config(&[("init", text(run.folder.root()))]);
    for classes in [
        &["cat", "dog", "eel"][..],
        &["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"],
    ] {
        let plain = Config {
            init: None,
            ..with_init.clone()
        };
        let plain = initial(&Experiment::with_data(plain, dataset(classes)).unwrap());
        let experiment = Experiment::with_data(with_init.clone(), dataset(classes)).unwrap();
        let loaded = initial(&experiment);
        for (name, data) in &loaded {
            let expected = if name.starts_with("fc3") {
                &plain
            } else {
                &weights
            };
            assert_eq!(*data, expected[name], "{name}");
        }
        let notes = experiment.data.notes.join("\n");
        assert!(
            notes.contains("the last layer, `fc3`, starts anew"),
            "{notes}"
        );
        experiment.train(&mut Silent).unwrap();
    }
}

#[test]
fn rows_of_the_head_are_sorted_by_class() {
    let (run, weights) = source();
    let known = Experiment::prepare(config(&[])).unwrap().data.classes;
    let mut order: Vec<usize> = (0..10).rev().collect();
    order.swap(0, 4);
    let classes: Vec<&str> = order.iter().map(|index| known[*index].as_str()).collect();
    let with_init = config(&[("init", text(run.folder.root()))]);
    let experiment = Experiment::with_data(with_init, dataset(&classes)).unwrap();
    let loaded = initial(&experiment);
    for name in ["fc3.weight", "fc3.bias"] {
        let (was, is) = (&weights[name], &loaded[name]);
        let row = was.num_elements() / 10;
        let values = |data: &TensorData| data.iter::<f32>().collect::<Vec<_>>();
        let (was, is) = (values(was), values(is));
        for (to, from) in order.iter().enumerate() {
            assert_eq!(
                is[to * row..(to + 1) * row],
                was[from * row..(from + 1) * row],
                "{name}"
            );
        }
    }
    assert_eq!(loaded["fc2.weight"], weights["fc2.weight"]);
    let notes = experiment.data.notes.join("\n");
    assert!(notes.contains("sorted by name"), "{notes}");
}

/// A file as PyTorch writes it: without a description, with counters of batch norm.
#[test]
fn plain_weights_load_by_name_and_shape() {
    let folder = tempfile::tempdir().unwrap();
    let settings = [("model", "convnet")];
    let own = Experiment::prepare(config(&settings)).unwrap();
    let weights = initial(&own);
    let path = folder.path().join("weights.safetensors");
    let count = 7_i64.to_le_bytes();
    let mut views: Vec<(String, TensorView<'_>)> = weights
        .iter()
        .map(|(name, data)| {
            let shape = data.shape().to_vec();
            (
                name.clone(),
                TensorView::new(Dtype::F32, shape, data.as_bytes()).unwrap(),
            )
        })
        .collect();
    let counter = TensorView::new(Dtype::I64, vec![], &count).unwrap();
    views.push(("conv1.bn.num_batches_tracked".to_owned(), counter));
    fs::write(&path, safetensors::serialize(views, None).unwrap()).unwrap();

    let other = [("model", "convnet"), ("seed", "7"), ("init", text(&path))];
    let experiment = Experiment::prepare(config(&other)).unwrap();
    assert_eq!(initial(&experiment), weights);
    let unseeded = Experiment::prepare(config(&other[..2])).unwrap();
    assert_ne!(initial(&unseeded), weights);
    let notes = experiment.data.notes.join("\n");
    assert!(
        notes.contains("does not say how its images were normalised"),
        "{notes}"
    );
    assert!(experiment.init.unwrap().file().statistics.is_none());
}

/// 40 random images of 3 x 32 x 32 pixels, in three classes.
fn photos() -> Dataset {
    let split = |count: usize| {
        let pixels = (0..count * 3072).map(|i| (i * 31 % 251) as u8).collect();
        let labels = (0..count).map(|i| (i % 3) as u32).collect();
        Split::new(ImageShape::new(3, 32, 32), pixels, labels).unwrap()
    };
    let names = ["cat", "dog", "eel"].map(str::to_owned);
    Dataset::new("photos", names, split(40), split(20)).unwrap()
}

/// Files of other libraries: the names of EfficientNet-PyTorch, those of a wrapper, and one without a
/// last layer.
#[test]
fn names_of_other_libraries_are_translated() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    let settings = [("model", "tf-efficientnet-lite0"), ("seed", "7")];
    let plain = initial(&Experiment::with_data(config(&settings), photos()).unwrap());
    let source = [("model", "tf-efficientnet-lite0"), ("seed", "1")];
    let weights = initial(&Experiment::with_data(config(&source), photos()).unwrap());
    // The reverse of the translation for the first layers of the first two blocks and the stem.
    let efficientnet = |name: &str| {
        [
            ("conv_stem", "_conv_stem"),
            ("bn1", "_bn0"),
            ("blocks.0.0.bn2", "_blocks.0._bn2"),
            ("blocks.1.0.conv_pwl", "_blocks.1._project_conv"),
            ("blocks.1.1.bn3", "_blocks.2._bn2"),
        ]
        .into_iter()
        .find_map(|(ours, theirs)| {
            Some(format!(
                "{theirs}{}",
                name.strip_prefix(&format!("{ours}."))
                    .map(|tensor| format!(".{tensor}"))?
            ))
        })
        .unwrap_or_else(|| name.to_owned())
    };
    let wrapped = |name: &str| format!("module.{name}");
    for rename in [&efficientnet as &dyn Fn(&str) -> String, &wrapped] {
        for with_head in [true, false] {
            let kept = weights
                .iter()
                .filter(|(name, _)| with_head || !name.starts_with("classifier"));
            let file = kept
                .map(|(name, data)| (rename(name), data.clone()))
                .collect();
            fs::write(
                &path,
                tensors::to_safetensors(file, HashMap::new()).unwrap(),
            )
            .unwrap();
            let with_init = config(&[settings[0], settings[1], ("init", text(&path))]);
            let experiment = Experiment::with_data(with_init, photos()).unwrap();
            for (name, data) in &initial(&experiment) {
                let source = if with_head || !name.starts_with("classifier") {
                    &weights
                } else {
                    &plain
                };
                assert_eq!(data, &source[name], "{name}");
            }
            let notes = experiment.data.notes.join("\n");
            assert_eq!(
                notes.contains("the file has no last layer"),
                !with_head,
                "{notes}"
            );
            // ImageNet's, because the file does not say any.
            assert!(notes.contains("those of ImageNet are used"), "{notes}");
            assert_eq!(
                experiment.data.statistics,
                onecycle_vision::weights::imagenet_statistics()
            );
            let layers = onecycle_train::config::Layers::new().unwrap();
            let model = layers
                .set_text("init", text(&path))
                .unwrap()
                .resolve()
                .unwrap()
                .model;
            assert!(model.ends_with("efficientnet-lite0"), "{model}");
        }
    }
}

#[test]
fn a_file_of_pytorch_is_refused_with_its_conversion() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.pth");
    fs::write(&path, b"PK\x03\x04").unwrap();
    let said = error(&[("init", text(&path))]);
    for part in [
        "import torch, safetensors.torch",
        "weights_only=True",
        "weights.safetensors",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn weights_that_do_not_fit_are_named() {
    let (run, _) = source();
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let mut fewer = read(&run.folder.model());
    fewer.remove("conv1.bias").unwrap();
    fewer.insert("extra".to_owned(), TensorData::from([1.0_f32]));
    let fewer = tensors::to_safetensors(fewer, HashMap::new()).unwrap();
    let (unfinished, training) = Run::start(config(&[]));
    drop(training);
    let root = run.folder.root();
    let cases = [
        (
            root.to_path_buf(),
            "resnet8",
            &[
                "conv1.weight has shape [6, 1, 5, 5], expected [16, 1, 3, 3]",
                "model = \"lenet5\"",
                "more",
            ][..],
        ),
        (
            write("fewer", &fewer),
            "lenet5",
            &[
                "conv1.bias is missing",
                "extra is not in the network",
                "model = \"NAME\"",
            ],
        ),
        (write("text", b"text"), "lenet5", &["a safetensors file"]),
        (folder.path().join("none"), "lenet5", &["cannot read"]),
        (folder.path().to_path_buf(), "lenet5", &["cannot read"]),
        (
            unfinished.folder.root().to_path_buf(),
            "lenet5",
            &["is not finished", "onecycle resume"],
        ),
    ];
    for (path, model, names) in cases {
        let said = error(&[("model", model), ("init", text(&path))]);
        for name in names {
            assert!(said.contains(name), "{name}: {said}");
        }
        assert!(said.contains(text(&path)) && !said.contains('\n'), "{said}");
    }
}

/// Without `model`, it is the network of the weights.
#[test]
fn the_network_is_that_of_the_weights() {
    let (run, _) = source();
    let layers = || onecycle_train::config::Layers::new().unwrap();
    let init = |layers: onecycle_train::config::Layers| {
        layers.set_text("init", text(run.folder.root())).unwrap()
    };
    assert_eq!(init(layers()).resolve().unwrap().model, "lenet5");
    let other = layers().set("model", "mlp").unwrap();
    assert_eq!(init(other).resolve().unwrap().model, "mlp");
}

/// A resumed run needs the file no more: everything is in its checkpoint and in run.toml.
#[test]
fn a_run_resumes_exactly_without_the_file() {
    let (run, _) = source();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("weights.safetensors");
    fs::copy(run.folder.model(), &file).unwrap();
    let settings = [
        ("init", text(&file)),
        ("data.limit", "500"),
        ("averaging.kind", "lookahead"),
    ];
    let (whole, _) = Run::whole(config(&settings));
    let (stopped, training) = Run::start(config(&settings));
    training.run(&mut Watch::stop_after(4)).unwrap();
    let (begun, training) = Run::start(config(&settings));
    drop(training);
    fs::remove_file(&file).unwrap();
    stopped.resume_until(PER_EPOCH + 1);
    stopped.finish();
    assert_same(&whole, &stopped, "stopped, without the file");
    begun.finish();
    assert_same(
        &whole,
        &begun,
        "stopped before the first step, without the file",
    );
    // A diagnosis needs it neither.
    let options = onecycle_train::config::DiagnoseConfig {
        images: 50,
        batches: 2,
        ..Default::default()
    };
    onecycle_train::diagnose_run::diagnose(whole.folder.root(), &options, &mut Silent).unwrap();
}

#[test]
fn a_repeated_call_notices_another_file() {
    let (run, _) = source();
    let (other, _) = Run::whole(config(&[("epochs", "1"), ("seed", "9")]));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("weights.safetensors");
    fs::copy(run.folder.model(), &file).unwrap();
    let out = folder.path().join("run");
    let settings = config(&[("init", text(&file))]);
    let train = || train_in(&out, settings.clone(), &mut Silent);
    let first = train().unwrap().summary;
    assert_eq!(train().unwrap().summary, first);
    fs::copy(other.folder.model(), &file).unwrap();
    match train().unwrap_err() {
        TrainError::Run(RunError::OtherSettings { differences, .. }) => {
            assert!(
                differences[0].contains("SHA-256 of the weights in `init`"),
                "{differences:?}"
            );
        }
        error => panic!("{error}"),
    }
}

/// A run that must start again, because its loss diverged and its checkpoints are gone, needs the
/// file.
#[test]
fn a_run_that_starts_again_needs_the_file() {
    let (run, _) = source();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("weights.safetensors");
    fs::copy(run.folder.model(), &file).unwrap();
    let settings = [
        ("init", text(&file)),
        ("policy.lr_max", "1e9"),
        ("on_divergence", "retry"),
    ];
    let (begun, training) = Run::start(config(&settings));
    // As after a resume: the file is only recorded.
    drop(training);
    let training =
        onecycle_train::training::Training::resume(begun.folder.clone(), &mut Silent).unwrap();
    let remove = || {
        fs::remove_file(&file).unwrap();
        for checkpoint in begun.checkpoints() {
            fs::remove_file(checkpoint).unwrap();
        }
    };
    let fault = training.run(&mut Watch::at(1, remove)).unwrap_err();
    assert!(
        matches!(fault, TrainError::Run(RunError::InitChanged { .. })),
        "{fault}"
    );
    assert!(fault.to_string().contains("restore that file"), "{fault}");

    let missing = error(&settings);
    assert!(missing.contains("cannot read"), "{missing}");
}

#[test]
fn images_divided_by_another_seed_are_said() {
    let (run, _) = source();
    let notes = |seed| {
        let settings = [("init", text(run.folder.root())), ("seed", seed)];
        Experiment::prepare(config(&settings))
            .unwrap()
            .data
            .notes
            .join("\n")
    };
    assert!(
        notes("2").contains("trained on these data with seed 1"),
        "{}",
        notes("2")
    );
    assert!(!notes("1").contains("with seed"), "{}", notes("1"));
}
