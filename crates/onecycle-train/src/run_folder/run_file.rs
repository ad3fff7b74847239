use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use onecycle::Plan;

use crate::{
    Config, ConfigError, Experiment, FileError, RunError, TrainError,
    experiment::{self, Data},
    files,
    init::InitFile,
};

/// Format of a run folder. A version can only resume runs of its own format to the same bits.
pub const FORMAT: i64 = 1;

/// Contents of `run.toml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunFile {
    /// Version of this library that started the run.
    pub version: String,
    /// Format of the folder, see [`FORMAT`].
    pub format: i64,
    /// The complete configuration.
    pub config: Config,
    /// The data set as it was read.
    pub data: DataSummary,
    /// The file with the weights that the run started from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init: Option<InitFile>,
    /// Retries after losses that were not finite, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub retries: Vec<Retry>,
}

/// The data set as `run.toml` records it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataSummary {
    /// Name of the data set.
    pub name: String,
    /// Training images.
    pub train_images: usize,
    /// Images to measure on after each epoch.
    pub validation_images: usize,
    /// Their origin: `test`, `held out` or `validation`.
    pub validation_is: String,
    /// SHA-256 of each file.
    pub checksums: BTreeMap<String, String>,
}

/// A return to a checkpoint after a loss that was not finite, with a smaller learning rate from
/// there.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// The update whose loss, or after which the validation loss, was not finite.
    pub diverged_at: u64,
    /// Learning rate of that update.
    pub lr: f64,
    /// Updates made at the checkpoint.
    pub from: u64,
    /// Factor on the plan's learning rate from there on; it replaces the factors of earlier
    /// retries.
    pub lr_scale: f64,
}

impl RunFile {
    /// The contents at the start of a run.
    pub fn new(config: &Config, data: &Data) -> Self {
        RunFile {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            format: FORMAT,
            config: config.clone(),
            data: DataSummary {
                name: data.name.clone(),
                train_images: data.train.len(),
                validation_images: data.validation.len(),
                validation_is: data.validation_is.to_owned(),
                checksums: data.checksums.clone(),
            },
            init: None,
            retries: Vec::new(),
        }
    }

    /// The contents at the start of a run of `experiment`.
    pub(crate) fn of(experiment: &Experiment) -> Self {
        RunFile {
            init: experiment.init.as_ref().map(|init| init.file().clone()),
            ..RunFile::new(&experiment.config, &experiment.data)
        }
    }

    /// Reads `run.toml`. With `any_format`, another format is accepted if it can be parsed.
    ///
    /// # Errors
    /// [`RunError::OtherFormat`]; the file is missing or cannot be parsed.
    pub fn read(path: &Path, any_format: bool) -> Result<Self, TrainError> {
        let text = files::read_text(path)?;
        // The format is checked first, because another format may have keys that this version does
        // not know.
        let table: Table = text
            .parse()
            .map_err(|error| ConfigError::toml(path, &text, &error))?;
        let found = table.get("format").and_then(Value::as_integer);
        if found != Some(FORMAT) && !any_format {
            return Err(RunError::OtherFormat {
                path: path.to_path_buf(),
                found,
                expected: FORMAT,
                version: table
                    .get("version")
                    .and_then(Value::as_str)
                    .unwrap_or("an unknown version")
                    .to_owned(),
            }
            .into());
        }
        Ok(toml::from_str(&text).map_err(|error| ConfigError::toml(path, &text, &error))?)
    }

    /// Writes `run.toml`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), TrainError> {
        Ok(files::write_whole(path, self.to_text()?.as_bytes())?)
    }

    /// The text of `run.toml`.
    ///
    /// # Errors
    /// A value that TOML does not have.
    pub(crate) fn to_text(&self) -> Result<String, FileError> {
        toml::to_string(self).map_err(|source| FileError::ToToml {
            source: Box::new(source),
        })
    }

    /// Reads the text of a `run.toml` of this version. The error says what is wrong.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    /// The plan of the run, for the number of training images that it began with.
    ///
    /// # Errors
    /// Those of [`experiment::plan`].
    pub fn plan(&self) -> Result<Plan, ConfigError> {
        experiment::plan(&self.config, Some(self.data.train_images))
    }

    /// Checks that a run of `found` continues or repeats this one, which is in the folder `run`.
    ///
    /// # Errors
    /// [`RunError::OtherSettings`] and [`RunError::OtherData`] with the differences.
    pub(crate) fn check_same(&self, found: &RunFile, run: &Path) -> Result<(), TrainError> {
        let run = run.to_path_buf();
        let mut differences = self.config.differences(&found.config)?;
        differences.extend(self.other_init(found));
        if !differences.is_empty() {
            return Err(RunError::OtherSettings { run, differences }.into());
        }
        let differences = self.data.differences(&found.data);
        if !differences.is_empty() {
            return Err(RunError::OtherData { run, differences }.into());
        }
        Ok(())
    }

    /// How the file with the first weights of `found` differs, in words.
    pub(crate) fn other_init(&self, found: &RunFile) -> Option<String> {
        let short = |init: &Option<InitFile>| -> String {
            let sum = init
                .as_ref()
                .map(|init| init.sha256.chars().take(12).collect());
            sum.unwrap_or("none".to_owned())
        };
        let (was, is) = (short(&self.init), short(&found.init));
        (was != is).then(|| format!("the SHA-256 of the weights in `init` was {was}.., is {is}.."))
    }

    /// Factor on the plan's learning rate in update `step`; 1 without a retry.
    pub fn lr_scale(&self, step: u64) -> f64 {
        let latest = self.retries.iter().rev().find(|retry| retry.from <= step);
        latest.map_or(1.0, |retry| retry.lr_scale)
    }

    /// A retry after update `diverged_at` returns to a checkpoint of fewer updates than this: than
    /// `diverged_at`, and than the last retry returned to if the run has come no further since.
    pub(crate) fn retry_before(&self, diverged_at: u64) -> u64 {
        let furthest = self.retries.iter().map(|retry| retry.diverged_at).max();
        match (self.retries.last(), furthest) {
            (Some(last), Some(furthest)) if diverged_at <= furthest => last.from.min(diverged_at),
            _ => diverged_at,
        }
    }
}

impl DataSummary {
    /// Lists how `found` differs, in words; empty if the data are the same.
    pub fn differences(&self, found: &DataSummary) -> Vec<String> {
        let mut differences = Vec::new();
        let mut compare = |what: &str, was: &str, is: &str| {
            if was != is {
                differences.push(format!("{what} was {was}, is {is}"));
            }
        };
        compare("the name", &self.name, &found.name);
        compare(
            "the validation set",
            &self.validation_is,
            &found.validation_is,
        );
        for (what, was, is) in [
            ("training images", self.train_images, found.train_images),
            (
                "validation images",
                self.validation_images,
                found.validation_images,
            ),
        ] {
            compare(
                &format!("the number of {what}"),
                &was.to_string(),
                &is.to_string(),
            );
        }
        let names: BTreeSet<&String> = self
            .checksums
            .keys()
            .chain(found.checksums.keys())
            .collect();
        for name in names {
            let (was, is) = (self.checksums.get(name), found.checksums.get(name));
            if was != is {
                let short = |sum: Option<&String>| {
                    sum.map_or("none".to_owned(), |sum| sum.chars().take(12).collect())
                };
                let (was, is) = (short(was), short(is));
                differences.push(format!("the SHA-256 of {name} was {was}.., is {is}.."));
            }
        }
        differences
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    fn run() -> RunFile {
        RunFile {
            version: "0.1.0".to_owned(),
            format: FORMAT,
            config: Config::default(),
            data: DataSummary {
                name: "digits".to_owned(),
                train_images: 100,
                validation_images: 20,
                validation_is: "test".to_owned(),
                checksums: BTreeMap::from([("a".to_owned(), "0".repeat(64))]),
            },
            init: None,
            retries: Vec::new(),
        }
    }

    #[test]
    fn a_written_file_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.toml");
        let mut run = run();
        for retries in [
            vec![],
            vec![Retry {
                diverged_at: 7,
                lr: 0.1 + 0.2,
                from: 4,
                lr_scale: 0.5,
            }],
        ] {
            run.retries = retries;
            run.write(&path).unwrap();
            assert_eq!(RunFile::read(&path, false).unwrap(), run);
        }
    }

    #[test]
    fn another_format_is_reported_before_unknown_keys() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.toml");
        std::fs::write(&path, "version = \"9.0.0\"\nformat = 2\nnew_key = 1\n").unwrap();
        let error = RunFile::read(&path, false).unwrap_err().to_string();
        for part in ["run.toml", "format 2", "9.0.0", "format 1"] {
            assert!(error.contains(part), "{part}: {error}");
        }
        assert!(matches!(
            RunFile::read(&path, true),
            Err(TrainError::Config(ConfigError::Syntax { .. }))
        ));
    }

    #[test]
    fn the_last_retry_before_a_step_applies() {
        let mut run = run();
        let retry = |from, lr_scale| Retry {
            diverged_at: 99,
            lr: 1.0,
            from,
            lr_scale,
        };
        run.retries = vec![retry(20, 0.5), retry(40, 0.25)];
        assert_eq!(
            [0, 19, 20, 39, 40].map(|step| run.lr_scale(step)),
            [1.0, 1.0, 0.5, 0.5, 0.25]
        );
        run.retries.push(retry(10, 0.125));
        assert_eq!(
            [9, 10, 25, 45].map(|step| run.lr_scale(step)),
            [1.0, 0.125, 0.125, 0.125]
        );
    }

    #[test]
    fn differences_are_listed() {
        let was = run().data;
        assert!(was.differences(&was).is_empty());
        let mut is = was.clone();
        is.train_images = 99;
        is.checksums = BTreeMap::from([
            ("a".to_owned(), "1".repeat(64)),
            ("b".to_owned(), "2".repeat(64)),
        ]);
        let differences = was.differences(&is);
        assert_eq!(differences.len(), 3, "{differences:?}");
        assert_eq!(
            differences[0],
            "the number of training images was 100, is 99"
        );
        assert!(differences[1].contains("SHA-256 of a"));
        assert!(
            differences[2].contains("SHA-256 of b was none"),
            "{}",
            differences[2]
        );
    }
}
