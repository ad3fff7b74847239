//! Training runs from start to end have the same bits, even if they are interrupted.
//!
//! All runs are tiny and use images of the Fashion-MNIST set in the repository.

use crate::runs;

use std::fs;

use onecycle_train::{
    Experiment, FileError, RunError, TrainError, checkpoint::Checkpoint, observer::Silent,
    run_folder::RunFolder, training::Training,
};
use runs::{PER_EPOCH, Run, Watch, assert_same, config, refusal};

#[test]
fn the_same_seed_gives_the_same_bits_and_another_seed_different_ones() {
    let settings = |seed| [("seed", seed), ("epochs", "1")];
    let (first, _) = Run::whole(config(&settings("1")));
    let (again, _) = Run::whole(config(&settings("1")));
    let (other, _) = Run::whole(config(&settings("2")));
    assert_same(&first, &again, "seed 1 twice");
    assert!(first.model() != other.model());
    assert_ne!(first.steps(), other.steps());
}

/// Stopped in the middle of the first epoch, at its end, and in the second.
#[test]
fn a_stopped_run_ends_like_an_uninterrupted_one() {
    let cases: [(&str, &[(&str, &str)]); 5] = [
        ("sgd", &[]),
        (
            "adamw",
            &[
                ("optimizer.kind", "adamw"),
                ("optimizer.clip_norm", "1.0"),
                ("policy.lr_max", "0.002"),
            ],
        ),
        (
            "batch norm, cutout",
            &[("model", "convnet"), ("augment.cutout", "8")],
        ),
        (
            "mixed images of growing size",
            &[
                ("model", "convnet"),
                ("label_smoothing", "0.1"),
                ("augment.flip", "alternating"),
                ("augment.mixup", "0.4"),
                ("augment.cutmix", "1.0"),
                ("augment.trivial_augment", "true"),
                (
                    "policy.image_size",
                    "[[\"0%\", 14], [\"40%\", 21], [\"80%\", 28]]",
                ),
            ],
        ),
        (
            "constant lr, label smoothing",
            &[
                ("policy.kind", "constant"),
                ("policy.lr", "0.05"),
                ("label_smoothing", "0.1"),
                ("optimizer.nesterov", "true"),
            ],
        ),
    ];
    for (name, settings) in cases {
        let (whole, _) = Run::whole(config(settings));
        let (stopped, training) = Run::start(config(settings));
        let mut watch = Watch::stop_after(4);
        training.run(&mut watch).unwrap();
        assert_eq!(watch.updates, 4);
        stopped.resume_until(PER_EPOCH);
        stopped.resume_until(PER_EPOCH + 3);
        assert_eq!(stopped.finish(), [""; 0], "{name}");
        assert_same(&whole, &stopped, name);
    }
}

#[test]
fn a_stopped_run_with_growing_batches_resumes_exactly() {
    let settings = [(
        "policy.batch_size",
        "[[\"0ep\", 64], [\"0.5ep\", 100], [\"1ep\", 128]]",
    )];
    let (whole, summary) = Run::whole(config(&settings));
    let sizes: Vec<u64> = whole
        .folder
        .read_steps()
        .unwrap()
        .iter()
        .map(|record| record.batch_size)
        .collect();
    // 382 images: three batches of 64 are half an epoch, then one of 100 and the rest. The second
    // epoch has batches of 128.
    assert_eq!(sizes, [64, 64, 64, 100, 90, 128, 128, 126]);
    assert_eq!((summary.steps, summary.epochs), (8, 2));
    for stop in [2, 4, 5, 7] {
        let (stopped, training) = Run::start(config(&settings));
        training.run(&mut Watch::stop_after(stop)).unwrap();
        stopped.finish();
        assert_same(&whole, &stopped, &format!("stopped after {stop}"));
    }
}

/// The files on disk at any moment suffice, even with half a line at the end of a record.
#[test]
fn a_killed_run_resumes_from_its_last_checkpoint() {
    let settings = [("checkpoint_steps", "4")];
    let (whole, training) = Run::start(config(&settings));
    let mut left = None;
    // Checkpoints are written after 4, 6 (the epoch) and 8 updates; eleven are made.
    let mut watch = Watch::at(11, || left = Some(Run::copy(whole.folder.root())));
    training.run(&mut watch).unwrap();
    drop(watch);
    let killed = left.unwrap();
    let names = |run: &Run| -> Vec<String> {
        let paths = run.checkpoints();
        let name = |path: &std::path::PathBuf| path.file_name()?.to_str().map(str::to_owned);
        paths.iter().filter_map(name).collect()
    };
    assert_eq!(
        names(&killed),
        ["step-000000006.ckpt", "step-000000008.ckpt"]
    );
    assert_eq!(killed.steps().lines().count(), 11);

    let steps = killed.folder.steps();
    let text = killed.steps();
    fs::write(&steps, &text[..text.len() - 25]).unwrap();
    // A half-written checkpoint, and a line of an epoch whose checkpoint was never written.
    let aside = killed
        .folder
        .checkpoints()
        .join(".step-000000012.ckpt.part");
    fs::write(&aside, b"1CYCKPT1 half a che").unwrap();
    let epochs = fs::read_to_string(killed.folder.epochs()).unwrap();
    fs::write(killed.folder.epochs(), format!("{epochs}{epochs}")).unwrap();

    assert_eq!(killed.finish(), [""; 0]);
    assert_same(&whole, &killed, "killed after 11 updates");
    assert!(killed.folder.is_finished());
}

#[test]
fn a_damaged_checkpoint_is_replaced_by_the_previous_one_with_a_note() {
    let (whole, _) = Run::whole(config(&[]));
    let (stopped, training) = Run::start(config(&[]));
    training.run(&mut Watch::stop_after(PER_EPOCH + 2)).unwrap();
    let checkpoints = stopped.checkpoints();
    // The checkpoints of the start, of the end of the epoch, and of the stop.
    let [_, _, newest] = checkpoints.as_slice() else {
        panic!("{checkpoints:?}");
    };
    let damage = |path| {
        let mut bytes = fs::read(path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(path, bytes).unwrap();
    };
    damage(newest);
    let all = Run::copy(stopped.folder.root());

    let notes = stopped.finish();
    let [note] = notes.as_slice() else {
        panic!("{notes:?}");
    };
    assert!(note.contains("stop-000000008.ckpt is damaged"), "{note}");
    assert_same(&whole, &stopped, "from the previous checkpoint");

    for path in &all.checkpoints()[..2] {
        damage(path);
    }
    match refusal(&all.folder) {
        TrainError::File(FileError::DamagedCheckpoint { path, .. }) => {
            assert_eq!(path.file_name(), newest.file_name());
        }
        other => panic!("{other}"),
    }
}

#[test]
fn changed_data_are_rejected() {
    let (run, training) = Run::start(config(&[]));
    training.run(&mut Watch::stop_after(2)).unwrap();
    let path = run.folder.run_file();
    let text = fs::read_to_string(&path).unwrap();
    let checksum = text
        .lines()
        .find(|line| line.contains("train-images"))
        .and_then(|line| line.split('"').rev().nth(1))
        .unwrap();
    let changed = [
        text.replace("limit = 512", "limit = 500"),
        text.replace(checksum, &checksum.chars().rev().collect::<String>()),
        text.replace("validation_is = \"held out\"", "validation_is = \"test\""),
    ];
    let (model, steps) = (run.checkpoints(), run.steps());
    for changed in changed {
        assert_ne!(changed, text);
        fs::write(&path, changed).unwrap();
        let error = refusal(&run.folder);
        assert!(
            matches!(error, TrainError::Run(RunError::OtherData { .. })),
            "{error}"
        );
        assert_eq!(
            (run.checkpoints(), run.steps()),
            (model.clone(), steps.clone())
        );
    }
    fs::write(&path, text).unwrap();
    run.finish();
}

#[test]
fn a_folder_with_a_run_is_not_overwritten() {
    let (run, training) = Run::start(config(&[]));
    training.run(&mut Watch::stop_after(2)).unwrap();
    let root = run.folder.root();
    let error = RunFolder::create(root).unwrap_err();
    assert!(
        matches!(error, TrainError::Run(RunError::RunExists { .. })),
        "{error}"
    );
    assert!(error.to_string().contains("--resume"), "{error}");

    // Without its run.toml the run cannot be resumed, and its checkpoints could be mistaken for
    // those of a new run.
    fs::remove_file(run.folder.run_file()).unwrap();
    let error = RunFolder::create(root).unwrap_err();
    match &error {
        TrainError::Run(RunError::Leftovers { file, .. }) => {
            assert!(file.ends_with("stop-000000002.ckpt"))
        }
        other => panic!("{other}"),
    }
    assert!(matches!(
        RunFolder::open(root),
        Err(TrainError::Run(RunError::NoRun { .. }))
    ));
}

/// Killed after its first checkpoint and before its run.toml: the folder can be used for a new run.
#[test]
fn a_run_that_was_killed_at_its_start_is_started_again() {
    let (run, training) = Run::start(config(&[("steps", "2")]));
    drop(training);
    fs::remove_file(run.folder.run_file()).unwrap();
    let folder = RunFolder::create(run.folder.root()).unwrap();
    let experiment = Experiment::prepare(config(&[("steps", "2")])).unwrap();
    let training = Training::start(experiment, folder).unwrap();
    training.run(&mut Silent).unwrap();
    assert_eq!(run.steps().lines().count(), 2);
}

#[test]
fn a_diverged_run_reports_the_step_and_keeps_its_checkpoints() {
    let settings = [("policy.lr_max", "1e6"), ("checkpoint_steps", "1")];
    let (run, training) = Run::start(config(&settings));
    let plan = training.experiment().plan.clone();
    let error = training.run(&mut Silent).unwrap_err();
    let TrainError::Run(RunError::Diverged { step, lr, .. }) = error else {
        panic!("{error}");
    };
    assert_eq!(lr, plan.at(step).lr);
    assert!(step > 0 && step < plan.steps());
    let text = error.to_string();
    assert!(
        text.contains(&format!("at step {step} with lr = {lr}")),
        "{text}"
    );
    assert!(text.contains("lr_max"), "{text}");
    assert_eq!(run.steps().lines().count(), step as usize);
    assert!(!run.folder.is_finished() && !run.folder.model().exists());

    let (newest, damaged) = Checkpoint::newest(&run.folder.checkpoints()).unwrap();
    assert!(damaged.is_empty());
    assert_eq!(newest.progress.step, step);
    // The resumed run diverges again and writes no model.
    let training = Training::resume(run.folder.clone(), &mut Silent).unwrap();
    match training.run(&mut Silent).unwrap_err() {
        TrainError::Run(RunError::Diverged { step: again, .. }) => assert_eq!(again, step),
        other => panic!("{other}"),
    }
}

#[test]
fn a_run_ruined_by_its_last_update_has_diverged() {
    let settings = [
        ("steps", "1"),
        ("policy.kind", "constant"),
        ("policy.lr", "1e30"),
    ];
    let (run, training) = Run::start(config(&settings));
    let error = training.run(&mut Silent).unwrap_err();
    assert!(
        matches!(
            error,
            TrainError::Run(RunError::Diverged {
                step: 0,
                lr: 1e30,
                ..
            })
        ),
        "{error}"
    );
    assert!(!run.folder.is_finished() && !run.folder.model().exists());
}
