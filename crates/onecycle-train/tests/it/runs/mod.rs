//! Tiny runs on the Fashion-MNIST images in the repository, and comparisons between them.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use onecycle_train::{
    Config, Experiment, TrainError,
    config::Layers,
    finish::Summary,
    observer::{Observer, Silent},
    record::StepRecord,
    run_folder::RunFolder,
    training::{Outcome, Training},
};
use serde_json::Value;
use tempfile::TempDir;

/// Steps per epoch of a [`config`]: 382 images in batches of 64.
pub(crate) const PER_EPOCH: u64 = 6;

/// Two epochs of LeNet-5 on 382 images, with 130 images held out. `settings` are merged over it.
pub(crate) fn config(settings: &[(&str, &str)]) -> Config {
    try_config(settings).unwrap()
}

/// Like [`config`], for settings that may be invalid.
pub(crate) fn try_config(settings: &[(&str, &str)]) -> Result<Config, TrainError> {
    let base = [
        ("model", "lenet5"),
        ("epochs", "2"),
        ("batch_size", "64"),
        ("data.limit", "512"),
        ("data.validation", "0.25"),
        ("augment.pad", "2"),
        ("policy.lr_max", "0.05"),
        ("threads", "0"),
    ];
    let layers = |layers: Layers, pairs: &[(&str, &str)]| {
        pairs.iter().fold(layers, |layers, (key, value)| {
            layers.set(key, value).unwrap()
        })
    };
    // The base is a file, so a kind in the settings replaces the table below it.
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("base.toml");
    let base = layers(Layers::new().unwrap(), &base).resolve().unwrap();
    fs::write(&file, base.to_toml().unwrap()).unwrap();
    let over = Layers::new().unwrap().file(&file).unwrap();
    Ok(layers(over, settings).resolve()?)
}

/// A run in a temporary folder.
pub(crate) struct Run {
    _home: TempDir,
    pub(crate) folder: RunFolder,
}

impl Run {
    /// Starts a run.
    pub(crate) fn start(config: Config) -> (Run, Training) {
        let home = TempDir::new().unwrap();
        let folder = RunFolder::create(&home.path().join("run")).unwrap();
        let experiment = Experiment::prepare(config).unwrap();
        let training = Training::start(experiment, folder.clone()).unwrap();
        let run = Run {
            _home: home,
            folder,
        };
        (run, training)
    }

    /// Makes a whole run.
    pub(crate) fn whole(config: Config) -> (Run, Summary) {
        let (run, training) = Run::start(config);
        let summary = finished(training.run(&mut Silent).unwrap());
        (run, summary)
    }

    /// Resumes the run to its end; returns the notes made when resuming.
    pub(crate) fn finish(&self) -> Vec<String> {
        let mut watch = Watch::default();
        let training = Training::resume(self.folder.clone(), &mut watch).unwrap();
        finished(training.run(&mut Silent).unwrap());
        watch.notes
    }

    /// Resumes the run and stops it after `updates` updates in total.
    pub(crate) fn resume_until(&self, updates: u64) {
        let mut watch = Watch::stop_after(updates);
        let training = Training::resume(self.folder.clone(), &mut watch).unwrap();
        let outcome = training.run(&mut watch).unwrap();
        assert_eq!(outcome, Outcome::Stopped { step: updates });
    }

    /// Copies the folder as it is now, as a kill would leave it, into a run of its own.
    pub(crate) fn copy(root: &Path) -> Run {
        let home = TempDir::new().unwrap();
        copy_folder(root, &home.path().join("run"));
        let folder = RunFolder::open(&home.path().join("run")).unwrap();
        Run {
            _home: home,
            folder,
        }
    }

    pub(crate) fn model(&self) -> Vec<u8> {
        fs::read(self.folder.model()).unwrap()
    }

    pub(crate) fn steps(&self) -> String {
        fs::read_to_string(self.folder.steps()).unwrap()
    }

    /// `epochs.jsonl` without the times.
    pub(crate) fn epochs(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.folder.epochs()).unwrap();
        let timeless = |line: &str| {
            let mut value: Value = serde_json::from_str(line).unwrap();
            let record = value.as_object_mut().unwrap();
            assert!(record.remove("seconds").is_some());
            assert!(record.remove("images_per_second").is_some());
            value
        };
        text.lines().map(timeless).collect()
    }

    /// Checkpoints by name, oldest first.
    pub(crate) fn checkpoints(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.folder.checkpoints()).unwrap();
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.retain(|path| path.extension().is_some_and(|ending| ending == "ckpt"));
        paths.sort();
        paths
    }
}

/// Asserts that two runs have the same model, steps and epochs.
pub(crate) fn assert_same(a: &Run, b: &Run, what: &str) {
    assert_eq!(a.steps(), b.steps(), "{what}: steps.jsonl");
    assert_eq!(a.epochs(), b.epochs(), "{what}: epochs.jsonl");
    assert!(a.model() == b.model(), "{what}: model.safetensors");
}

pub(crate) fn finished(outcome: Outcome) -> Summary {
    match outcome {
        Outcome::Finished(summary) => *summary,
        stopped => panic!("{stopped:?}"),
    }
}

/// An observer that records events, stops the run, or does something during it.
#[derive(Default)]
pub(crate) struct Watch<'a> {
    pub(crate) notes: Vec<String>,
    pub(crate) updates: u64,
    stop_after: Option<u64>,
    at: Option<(u64, Box<dyn FnMut() + Send + 'a>)>,
}

impl<'a> Watch<'a> {
    /// Stops after `updates` updates.
    pub(crate) fn stop_after(updates: u64) -> Self {
        Watch {
            stop_after: Some(updates),
            ..Watch::default()
        }
    }

    /// Calls `action` after `updates` updates.
    pub(crate) fn at(updates: u64, action: impl FnMut() + Send + 'a) -> Self {
        Watch {
            at: Some((updates, Box::new(action))),
            ..Watch::default()
        }
    }
}

impl Observer for Watch<'_> {
    fn step(&mut self, record: &StepRecord) {
        self.updates = record.step + 1;
        if let Some((updates, action)) = &mut self.at
            && *updates == self.updates
        {
            action();
        }
    }

    fn note(&mut self, text: &str) {
        self.notes.push(text.to_owned());
    }

    fn stop(&mut self) -> bool {
        self.stop_after == Some(self.updates)
    }
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy_folder(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), &target).unwrap()),
        }
    }
}

/// The error of resuming a run.
pub(crate) fn refusal(folder: &RunFolder) -> TrainError {
    match Training::resume(folder.clone(), &mut Silent) {
        Ok(_) => panic!("was taken up"),
        Err(error) => error,
    }
}
