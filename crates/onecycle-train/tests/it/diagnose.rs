//! Diagnoses of runs do not change the training and are reproducible.

use crate::runs;

use std::fs;

use onecycle_train::{
    RunError, TrainError,
    config::DiagnoseConfig,
    diagnose::{self, Diagnosis},
    diagnose_run,
    observer::Silent,
};
use runs::{Run, Watch, assert_same, config, finished, try_config};

/// Every part of a diagnosis, with few images.
fn few() -> DiagnoseConfig {
    DiagnoseConfig {
        batches: 16,
        batch_size: 8,
        images: 64,
        eigenvalues: 1,
        slices: 1,
        ..DiagnoseConfig::default()
    }
}

fn lines(run: &Run) -> String {
    fs::read_to_string(run.folder.diagnoses()).unwrap_or_default()
}

/// A run that diagnoses itself has the same bits as one that does not. If it is stopped anywhere
/// and resumed, it also has the same diagnoses.
#[test]
fn diagnoses_during_a_run_do_not_change_it() {
    let small = |every| {
        let images = [("data.limit", "128"), ("batch_size", "16")];
        config(&[images[0], images[1], ("diagnose.every", every)])
    };
    let (plain, _) = Run::whole(small("0"));
    assert!(!plain.folder.diagnoses().exists());
    // 14 steps, 7 per epoch: diagnoses after 5, 10 and 14.
    let diagnosed = || small("5");
    let (whole, _) = Run::whole(diagnosed());
    assert_same(&plain, &whole, "with diagnoses");
    let found = diagnose::read_during_run(&whole.folder).unwrap();
    let steps: Vec<u64> = found.iter().map(|one| one.conditions.step).collect();
    assert_eq!(steps, [5, 10, 14]);
    for one in &found {
        assert_eq!(one.problems, Vec::<String>::new());
        assert!(one.noise.unwrap().micro_batches.trace.value > 0.0);
        assert!(one.hessian.as_ref().unwrap().curvature.eigenvalues[0].value > 0.0);
        assert!(one.sharpness.unwrap().sharpness > 0.0);
        assert_eq!((one.gap.train_images, one.gap.val_images), (98, 30));
    }
    assert_eq!(
        found[2].gap.gap,
        found[2].gap.val_loss - found[2].gap.train_loss
    );
    let report = fs::read_to_string(whole.folder.report()).unwrap();
    assert!(report.contains("<h2>Diagnosis</h2>") && report.contains("gradient noise scale"));
    // So few gradients may give no noise scale, and then no figure of it.
    let noise = found
        .iter()
        .filter_map(|one| one.noise?.micro_batches.scale);
    let figures = [
        ("diagnose_noise", noise.count() > 0),
        ("diagnose_sharpness", true),
        ("diagnose_gap", true),
    ];
    for (figure, expected) in figures {
        let path = whole.folder.figures().join(format!("{figure}.png"));
        assert_eq!(path.exists(), expected, "{figure}");
    }

    for updates in [5, 11] {
        let (stopped, training) = Run::start(diagnosed());
        training.run(&mut Watch::stop_after(updates)).unwrap();
        stopped.finish();
        assert_same(&whole, &stopped, "stopped");
        assert_eq!(lines(&whole), lines(&stopped), "stopped after {updates}");
    }
    // Killed after a diagnosis that no checkpoint counts.
    let mut killed = None;
    let (run, training) = Run::start(diagnosed());
    let root = run.folder.root().to_path_buf();
    let mut watch = Watch::at(6, || killed = Some(Run::copy(&root)));
    finished(training.run(&mut watch).unwrap());
    drop(watch);
    let killed = killed.unwrap();
    assert_eq!(lines(&killed).lines().count(), 1);
    killed.finish();
    assert_eq!(lines(&whole), lines(&killed), "killed");
}

/// The configuration sets what a run measures; parts that are skipped are absent and not a problem.
#[test]
fn the_configuration_sets_what_is_measured() {
    let (run, _) = Run::whole(config(&[
        ("diagnose.every", "12"),
        ("diagnose.batches", "0"),
        ("diagnose.images", "60"),
        ("diagnose.eigenvalues", "2"),
        ("diagnose.epsilon", "0"),
        ("diagnose.slices", "1"),
    ]));
    let found = diagnose::read_during_run(&run.folder).unwrap();
    let [one] = found.as_slice() else {
        panic!("{found:?}");
    };
    assert_eq!(one.problems, Vec::<String>::new());
    assert!(one.noise.is_none() && one.sharpness.is_none());
    assert_eq!(one.hessian.as_ref().unwrap().curvature.eigenvalues.len(), 2);
    assert_eq!((one.slices.len(), one.gap.train_images), (1, 60));
    // The settings are those of the run.
    let table = run.folder.read_run_file().unwrap().config.diagnose;
    assert_eq!((table.batches, table.images, table.epsilon), (0, 60, 0.0));

    for (key, value, told) in [
        ("diagnose.batches", "1", "diagnose.batches = 1"),
        ("diagnose.batch_size", "0", "diagnose.batch_size = 0"),
        ("diagnose.images", "0", "diagnose.images = 0"),
        ("diagnose.epsilon", "-1.0", "diagnose.epsilon = -1"),
    ] {
        let text = try_config(&[(key, value)]).unwrap_err().to_string();
        assert!(text.contains(told), "{text}");
    }
}

/// A diagnosis of a finished run is the same every time. It is written into the folder and the
/// report.
#[test]
fn a_finished_run_is_diagnosed() {
    let (run, _) = Run::whole(config(&[("model", "convnet")]));
    let before = (run.model(), run.steps());
    let root = run.folder.root();
    let found = diagnose_run::diagnose(root, &few(), &mut Silent).unwrap();
    assert!(
        !run.folder.diagnosis().exists(),
        "nothing is written without `write`"
    );
    diagnose_run::write(root, &found).unwrap();
    let read: Diagnosis = diagnose::read_requested(&run.folder).unwrap().unwrap();
    assert_eq!(read, found);
    assert_eq!(
        diagnose_run::diagnose(root, &few(), &mut Silent).unwrap(),
        found
    );
    assert_eq!((run.model(), run.steps()), before);

    assert_eq!(found.weights.as_deref(), Some("model.safetensors"));
    assert_eq!(found.conditions.step, 12);
    // The last learning rate, and the quantities that follow from it, for 382 images in batches of
    // 64.
    let last = run.folder.read_steps().unwrap().pop().unwrap();
    let conditions = &found.conditions;
    assert_eq!(
        (conditions.lr, Some(conditions.momentum)),
        (last.lr, last.momentum)
    );
    let temperature = last.lr * 382.0 / (64.0 * (1.0 - conditions.momentum));
    assert!((conditions.temperature / temperature - 1.0).abs() < 1e-12);
    let noise = found.noise.unwrap();
    assert_eq!((noise.batches, noise.batch_size), (16, 8));
    let slice = &found.slices[0];
    // The middle of a slice is the network itself: its loss is that of the ε-sharpness.
    let middle = slice.loss[10].unwrap();
    assert_eq!(slice.alpha[10], 0.0);
    assert!((middle - found.sharpness.unwrap().loss).abs() < 1e-6);
    assert!(
        (middle - found.gap.train_loss).abs() < 1e-4,
        "{middle}, {:?}",
        found.gap
    );
    let report = fs::read_to_string(run.folder.report()).unwrap();
    assert!(report.contains("diagnose_slices") && report.contains("ε-sharpness"));
}

#[test]
fn a_stopped_run_is_diagnosed() {
    let (run, training) = Run::start(config(&[]));
    training.run(&mut Watch::stop_after(8)).unwrap();
    let root = run.folder.root();
    let found = diagnose_run::diagnose(root, &few(), &mut Silent).unwrap();
    diagnose_run::write(root, &found).unwrap();
    assert_eq!(found.conditions.step, 8);
    assert_eq!(
        found.weights.as_deref(),
        Some("the checkpoint after 8 steps")
    );
    assert!(!run.folder.report().exists());
    assert!(run.folder.figures().join("diagnose_slices.svg").exists());
    // The run resumes as without the diagnosis, and its report includes it.
    run.finish();
    let (whole, _) = Run::whole(config(&[]));
    assert_same(&run, &whole, "diagnosed in between");
    let report = fs::read_to_string(run.folder.report()).unwrap();
    assert!(report.contains("after 8 steps"), "the section says when");
}

/// A network that cannot be measured is reported, without an error.
#[test]
fn a_ruined_network_is_not_an_error() {
    let (run, training) = Run::start(config(&[("policy.lr_max", "0.05")]));
    training.run(&mut Watch::stop_after(2)).unwrap();
    let path = run.checkpoints().pop().unwrap();
    let mut checkpoint = onecycle_train::checkpoint::Checkpoint::read(&path).unwrap();
    for data in checkpoint.weights.values_mut() {
        let shape = data.shape().to_vec();
        let nan = vec![f32::NAN; data.num_elements()];
        *data = burn::tensor::TensorData::new(nan, shape);
    }
    checkpoint
        .save(
            &run.folder.checkpoints(),
            onecycle_train::checkpoint::CheckpointKind::Stop,
        )
        .unwrap();
    let root = run.folder.root();
    let found = diagnose_run::diagnose(root, &few(), &mut Silent).unwrap();
    assert!(found.noise.is_none() && found.hessian.is_none() && found.sharpness.is_none());
    assert_eq!(found.problems.len(), 4, "{:?}", found.problems);
    assert!(found.problems[0].contains("finite"), "{:?}", found.problems);
    diagnose_run::write(root, &found).unwrap();
    assert!(
        diagnose::read_requested(&run.folder)
            .unwrap()
            .unwrap()
            .gap
            .val_loss
            .is_nan()
    );
}

#[test]
fn runs_that_cannot_be_diagnosed() {
    let (run, training) = Run::start(config(&[]));
    let root = run.folder.root();
    let refusal =
        |options: &DiagnoseConfig| diagnose_run::diagnose(root, options, &mut Silent).unwrap_err();
    // The training has locked its folder.
    assert!(matches!(
        refusal(&few()),
        TrainError::Run(RunError::InUse { .. })
    ));
    drop(training);
    for (options, name) in [
        (
            DiagnoseConfig {
                batches: 1,
                ..few()
            },
            "batches = 1",
        ),
        (
            DiagnoseConfig {
                batch_size: 0,
                ..few()
            },
            "batch_size = 0",
        ),
        (DiagnoseConfig { images: 0, ..few() }, "images = 0"),
        (
            DiagnoseConfig {
                epsilon: -1.0,
                ..few()
            },
            "epsilon = -1",
        ),
    ] {
        let text = refusal(&options).to_string();
        assert!(text.contains(name), "{text}");
    }
    for path in run.checkpoints() {
        fs::remove_file(path).unwrap();
    }
    assert!(matches!(
        refusal(&few()),
        TrainError::Run(RunError::NoWeights { .. })
    ));
    let missing = diagnose_run::diagnose(&root.join("none"), &few(), &mut Silent).unwrap_err();
    assert!(matches!(missing, TrainError::Run(RunError::NoRun { .. })));
}
