//! Comparing runs that are finished already, also those of other programs.

use std::path::PathBuf;

use super::{ComparisonResult, accuracies_between_0_and_1, different_subjects, differing_settings};
use crate::{
    StudyError,
    study::{RunResult, RunSpec, Variant},
};
use onecycle_train::{Config, ConfigError, run_folder::RunFolder};

/// Finished runs to compare.
///
/// A run is a folder with `epochs.jsonl` and `summary.json`, as `onecycle train`, `fit` and the Python
/// function `onecycle.torch.fit_one_cycle` leave it. Runs whose folders are called `LABEL-seed1`,
/// `LABEL-seed2`, ... are one variant; any other run is a variant of its own, named after its folder.
#[derive(Debug, Clone, PartialEq)]
pub struct FinishedRuns {
    /// The runs by label, in the order of the labels' first appearance.
    variants: Vec<Variant>,
    /// The configuration of each variant's first run; `None` if a variant has none.
    configs: Option<Vec<(String, Config)>>,
    accuracies: Vec<f64>,
}

impl FinishedRuns {
    /// Reads the runs. The result reports steps and time until each of `accuracies` (between 0 and
    /// 1); without any, until the largest whole per cent that all variants reach.
    ///
    /// # Errors
    /// [`ConfigError::Setting`] for a folder that is not a finished run, two runs of the same name, a
    /// single variant or an accuracy outside the range; [`StudyError::NotComparable`] for runs of
    /// different networks or images, as far as their folders say so; files that cannot be read.
    pub fn read(folders: &[PathBuf], accuracies: &[f64]) -> Result<Self, StudyError> {
        let accuracies = accuracies_between_0_and_1(accuracies)?;
        let mut runs: Vec<RunResult> = Vec::with_capacity(folders.len());
        let mut configs: Vec<(String, Config)> = Vec::new();
        for path in folders {
            let (run, config) = read_run(path)?;
            let same = |other: &&RunResult| (&other.label, other.seed) == (&run.label, run.seed);
            if let Some(other) = runs.iter().find(same) {
                let both = format!("{} and {}", other.run.display(), path.display());
                let expected = "folders with different names, which label the variants";
                return Err(ConfigError::setting("runs", both, expected).into());
            }
            if let Some(config) = config
                && !configs.iter().any(|(label, _)| *label == run.label)
            {
                configs.push((run.label.clone(), config));
            }
            runs.push(run);
        }
        different_subjects(&configs)?;
        let variants = Variant::group(runs);
        if variants.len() < 2 {
            let expected = "runs of at least two variants to compare";
            return Err(ConfigError::setting("runs", folders.len(), expected).into());
        }
        Ok(FinishedRuns {
            configs: (configs.len() == variants.len()).then_some(configs),
            variants,
            accuracies,
        })
    }

    /// The variants, in the order of their first runs.
    pub fn variants(&self) -> &[Variant] {
        &self.variants
    }

    /// Whether all variants say which network they trained on which images. Then these are the same.
    pub fn are_known_to_be_comparable(&self) -> bool {
        self.configs.is_some()
    }

    /// The comparison. [`ComparisonResult::write`] writes it.
    ///
    /// # Errors
    /// A configuration that cannot be written as TOML.
    pub fn compare(&self) -> Result<ComparisonResult, StudyError> {
        let settings = match &self.configs {
            None => Vec::new(),
            Some(configs) => differing_settings(configs)?,
        };
        Ok(ComparisonResult::new(
            settings,
            &self.variants,
            &self.accuracies,
        ))
    }
}

/// A finished run with its configuration, if it has one.
fn read_run(path: &PathBuf) -> Result<(RunResult, Option<Config>), StudyError> {
    let unfinished = || {
        let expected = "the folder of a finished run, with epochs.jsonl and summary.json";
        ConfigError::setting("runs", path.display(), expected)
    };
    let folder = RunFolder::of_records(path);
    if !folder.epochs().exists() {
        return Err(unfinished().into());
    }
    let config = match folder.run_file().exists() {
        true => Some(folder.read_run_file()?.config),
        false => None,
    };
    let named = RunSpec::parse_name(path).unwrap_or_else(|| {
        let name = path.file_name().unwrap_or(path.as_os_str());
        let seed = config.as_ref().map_or(0, |config| config.seed);
        (name.to_string_lossy().into_owned(), seed)
    });
    let run = RunResult::of_records(named, &folder)?.ok_or_else(unfinished)?;
    Ok((run, config))
}
