//! Comparing runs that are finished already, also those of other programs.

use std::path::{Path, PathBuf};

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
    /// The configuration of each variant; `None` if a run has none.
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
        let mut runs: Vec<(RunResult, Option<Config>)> = Vec::with_capacity(folders.len());
        for path in folders {
            let (run, config) = read_run(path)?;
            let same = |(other, _): &&(RunResult, Option<Config>)| {
                (&other.label, other.seed) == (&run.label, run.seed)
            };
            if let Some((other, _)) = runs.iter().find(same) {
                let both = format!("{} and {}", other.run.display(), path.display());
                let expected = "folders with different names, which label the variants";
                return Err(ConfigError::setting("runs", both, expected).into());
            }
            runs.push((run, config));
        }
        let configs = configs(&runs)?;
        let mut variants = Variant::group(runs.into_iter().map(|(run, _)| run).collect());
        for variant in &mut variants {
            variant.runs.sort_by_key(|run| run.seed);
        }
        if variants.len() < 2 {
            let expected = "runs of at least two variants to compare";
            return Err(ConfigError::setting("runs", folders.len(), expected).into());
        }
        Ok(FinishedRuns {
            variants,
            configs,
            accuracies,
        })
    }

    /// The variants, in the order of their first runs.
    pub fn variants(&self) -> &[Variant] {
        &self.variants
    }

    /// Whether all runs say which network they trained on which images. Then these are the same.
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

/// The configuration of each label; `None` if a run has none.
///
/// # Errors
/// [`StudyError::NotComparable`] for different networks or images, and for runs of one label that differ in
/// more than the seed.
fn configs(
    runs: &[(RunResult, Option<Config>)],
) -> Result<Option<Vec<(String, Config)>>, StudyError> {
    let known = runs
        .iter()
        .filter_map(|(run, config)| Some((run, config.clone()?)));
    let named: Vec<(String, Config)> = known
        .map(|(run, config)| (run.run.display().to_string(), config))
        .collect();
    different_subjects(&named)?;
    let mut configs: Vec<(String, Config)> = Vec::new();
    let labels = runs.iter().filter(|(_, config)| config.is_some());
    for ((run, _), (folder, config)) in labels.zip(&named) {
        let Some((_, first)) = configs.iter().find(|(label, _)| *label == run.label) else {
            configs.push((run.label.clone(), config.clone()));
            continue;
        };
        let pair = [
            (run.label.clone(), first.clone()),
            (folder.clone(), config.clone()),
        ];
        if let Some(setting) = differing_settings(&pair)?.into_iter().next() {
            let values = pair.iter().zip(setting.values);
            return Err(StudyError::NotComparable {
                key: setting.key,
                values: values
                    .map(|((name, _), value)| {
                        format!("{name}: {}", value.as_deref().unwrap_or("not set"))
                    })
                    .collect(),
            });
        }
    }
    Ok((named.len() == runs.len()).then_some(configs))
}

/// A finished run with its configuration, if it has one.
fn read_run(path: &Path) -> Result<(RunResult, Option<Config>), StudyError> {
    let unfinished = || {
        let expected = "the folder of a finished run, with epochs.jsonl and summary.json";
        ConfigError::setting("runs", path.display(), expected)
    };
    let folder = RunFolder::at(path);
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
    if run.final_accuracy.is_nan() {
        let expected = "a run that measured the accuracy on validation images";
        return Err(ConfigError::setting("runs", path.display(), expected).into());
    }
    Ok((run, config))
}
