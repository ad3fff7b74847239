//! Compares policies on the same network and images over several seeds.
//!
//! Every file is a variant with one run per seed; all runs are trained as a [`Study`], which can be
//! interrupted. With the same seed, all variants start from the same weights and process the images
//! in the same order, so differences are paired by seed.
//!
//! **What may differ.** Files with different networks or images are refused, because their
//! accuracies are not comparable. Everything else may differ, and the table of settings lists what
//! does. That includes the budget (`epochs`, `steps`, `batch_size`): a policy may claim to need
//! fewer steps. The result says so if budgets differ.
//!
//! [`FinishedRuns`] compares runs that exist already.
//!
//! | output | content |
//! |---|---|
//! | `runs/LABEL-seedN/` | each run |
//! | `compare.json` | [`ComparisonResult`]: all numbers, all epochs of all runs |
//! | `compare.html` | one page with tables and figures |
//! | `figures/` | the figures as SVG, PNG and CSV |

mod finished;
mod page;
mod result;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

pub use finished::FinishedRuns;
pub use result::{AccuracyDifference, ComparisonResult, DifferingSetting};

use crate::{
    StudyError,
    study::{Part, RunSpec, Study, StudyOutcome, Variant, write_results},
};
use onecycle_train::{Config, ConfigError, config::Layers, figures, files, observer::Observer};

/// Keys that must have the same value in all variants, so that accuracies are comparable.
const SAME: [&str; 11] = [
    "model",
    "data.name",
    "data.path",
    "data.limit",
    "data.test_limit",
    "data.validation",
    "data.image_size",
    "data.resize",
    "data.skip_bad",
    "data.labels",
    "device",
];
/// Keys that define the training budget.
const BUDGET: [&str; 3] = ["epochs", "steps", "batch_size"];
/// Keys that the table of differing settings leaves out: the comparison sets the seeds, and log files
/// and threads do not change results.
const UNLISTED: [&str; 3] = ["log", "seed", "threads"];

/// A comparison to run.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// At least two configurations with unique labels.
    variants: Vec<(String, Config)>,
    seeds: Vec<u64>,
    accuracies: Vec<f64>,
}

impl Comparison {
    /// Reads one configuration file per variant, labelled by its file name, and applies `settings`
    /// on top of each. The runs use the seeds `seed`, `seed + 1`, ... of the first file. The result
    /// reports steps and time until each of `accuracies` (between 0 and 1). Without any, it uses
    /// the largest whole per cent that all variants reach.
    ///
    /// # Errors
    /// Fewer than two files, two files of the same name, zero seeds, or files that cannot be
    /// compared; errors in a file or a setting.
    pub fn read(
        paths: &[PathBuf],
        settings: &[(String, String)],
        seeds: usize,
        accuracies: &[f64],
    ) -> Result<Self, StudyError> {
        let mut variants: Vec<(String, Config)> = Vec::new();
        for path in paths {
            let mut layers = Layers::new()?.file(path)?;
            for (key, value) in settings {
                layers = layers.set(key, value)?;
            }
            variants.push((label(path), layers.resolve()?));
        }
        Comparison::new(variants, seeds)?.with_accuracies(accuracies)
    }

    /// A comparison of labelled configurations, with one run per seed. The runs use the seeds
    /// `seed`, `seed + 1`, ... of the first configuration.
    ///
    /// # Errors
    /// [`ConfigError::Setting`] for fewer than two configurations, two of the same label, or zero
    /// seeds; [`StudyError::NotComparable`] for different networks or images.
    pub fn new(
        variants: impl IntoIterator<Item = (impl Into<String>, Config)>,
        seeds: usize,
    ) -> Result<Self, StudyError> {
        let variants: Vec<(String, Config)> = variants
            .into_iter()
            .map(|(label, config)| (label.into(), config))
            .collect();
        if variants.len() < 2 {
            let expected = "at least two configurations to compare";
            return Err(ConfigError::setting("files", variants.len(), expected).into());
        }
        let mut labels = BTreeSet::new();
        if let Some((duplicate, _)) = variants.iter().find(|(label, _)| !labels.insert(label)) {
            let expected = "files with different names, which label the variants";
            return Err(ConfigError::setting("files", duplicate, expected).into());
        }
        if seeds == 0 {
            return Err(ConfigError::setting("seeds", 0, "at least 1").into());
        }
        let first = variants[0].1.seed;
        let comparison = Comparison {
            variants,
            seeds: (0..seeds as u64).map(|i| first.wrapping_add(i)).collect(),
            accuracies: Vec::new(),
        };
        different_subjects(&comparison.variants)?;
        Ok(comparison)
    }

    /// Reports steps and time until each of `accuracies` (between 0 and 1). Without any, the result
    /// uses the largest whole per cent that all variants reach.
    ///
    /// # Errors
    /// [`ConfigError::Setting`] for a number outside the range.
    pub fn with_accuracies(self, accuracies: &[f64]) -> Result<Self, StudyError> {
        Ok(Comparison {
            accuracies: accuracies_between_0_and_1(accuracies)?,
            ..self
        })
    }

    /// Labels and configurations of the variants.
    pub fn variants(&self) -> &[(String, Config)] {
        &self.variants
    }

    /// Trains the runs that are not finished yet in `folder` and writes the result there. Returns
    /// `None` if the observer stopped it; the same call continues.
    ///
    /// # Errors
    /// The errors of [`Study::run`]; files that cannot be written.
    pub fn run(
        &self,
        folder: &Path,
        observer: &mut dyn Observer,
    ) -> Result<Option<ComparisonResult>, StudyError> {
        Ok(self.take_part(folder, Part::All, observer)?.finished())
    }

    /// Like [`run`](Self::run), for one of several processes that share the folder. The process that
    /// finishes the last run writes the result.
    ///
    /// # Errors
    /// The errors of [`Study::take_part`]; files that cannot be written.
    pub fn take_part(
        &self,
        folder: &Path,
        part: Part,
        observer: &mut dyn Observer,
    ) -> Result<StudyOutcome<ComparisonResult>, StudyError> {
        let specs = self.variants.iter().flat_map(|(label, config)| {
            let spec = |seed: &u64| RunSpec::new(label.clone(), config.clone(), *seed);
            self.seeds.iter().map(spec)
        });
        // Train seed by seed, so that an early stop leaves variants to compare.
        let mut specs: Vec<RunSpec> = specs.collect();
        specs.sort_by_key(|spec| spec.seed);
        let results = match Study::new(specs)?.take_part(folder, part, observer)? {
            StudyOutcome::Finished(results) => results,
            StudyOutcome::Left { done, of } => return Ok(StudyOutcome::Left { done, of }),
            StudyOutcome::Stopped { done, of } => return Ok(StudyOutcome::Stopped { done, of }),
        };
        let runs = (part, results.len());
        write_results(folder, runs, observer, || {
            let variants = Variant::group(results);
            let compared = ComparisonResult::new(
                differing_settings(&self.variants)?,
                &variants,
                &self.accuracies,
            );
            compared.write(folder, &variants)?;
            Ok(compared)
        })
    }
}

/// The settings in which labelled configurations differ.
fn differing_settings(variants: &[(String, Config)]) -> Result<Vec<DifferingSetting>, StudyError> {
    let all: Result<Vec<_>, _> = variants.iter().map(|(_, config)| config.keys()).collect();
    let all = all?;
    let names: BTreeSet<&String> = all.iter().flat_map(|keys| keys.keys()).collect();
    Ok(names
        .into_iter()
        .filter(|name| !UNLISTED.contains(&name.as_str()))
        .map(|name| DifferingSetting {
            key: name.clone(),
            values: all.iter().map(|keys| keys.get(name).cloned()).collect(),
            of_the_budget: BUDGET.contains(&name.as_str()),
        })
        .filter(|setting| setting.values.windows(2).any(|pair| pair[0] != pair[1]))
        .collect())
}

/// Returns an error if labelled configurations have different networks or images.
fn different_subjects(variants: &[(String, Config)]) -> Result<(), StudyError> {
    let settings = differing_settings(variants)?;
    let differs = |setting: &&DifferingSetting| SAME.contains(&setting.key.as_str());
    let Some(setting) = settings.iter().find(differs) else {
        return Ok(());
    };
    let values = variants.iter().zip(&setting.values);
    Err(StudyError::NotComparable {
        key: setting.key.clone(),
        values: values
            .map(|((label, _), value)| {
                format!("{label}: {}", value.as_deref().unwrap_or("not set"))
            })
            .collect(),
    })
}

/// Checks accuracies for which steps and time are reported.
fn accuracies_between_0_and_1(accuracies: &[f64]) -> Result<Vec<f64>, ConfigError> {
    match accuracies.iter().find(|a| !(**a > 0.0 && **a < 1.0)) {
        None => Ok(accuracies.to_vec()),
        Some(accuracy) => {
            let expected = "numbers between 0 and 1, such as 0.9";
            Err(ConfigError::setting("accuracies", accuracy, expected))
        }
    }
}

/// The file's name without its extension, with `-` for every character that a label cannot contain.
fn label(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let label: String = stem
        .chars()
        .map(|c| if plain(c) { c } else { '-' })
        .collect();
    match label.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        true => label,
        false => format!("run{label}"),
    }
}

impl ComparisonResult {
    /// Writes `compare.json`, `compare.html` and `figures/` into a folder.
    ///
    /// # Errors
    /// Files that cannot be written.
    pub fn write(&self, folder: &Path, variants: &[Variant]) -> Result<(), StudyError> {
        let figures = self.figures(variants);
        for (figure, _) in &figures {
            figures::write(&folder.join("figures"), figure)?;
        }
        let path = folder.join("compare.json");
        files::write_json(&path, "the comparison", self)?;
        let page = page::html(self, &figures)?;
        Ok(files::write_whole(
            &folder.join("compare.html"),
            page.as_bytes(),
        )?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_come_from_file_names() {
        let labels = ["a/one cycle.toml", "b/1e-3.v2.toml", "ä.toml", "_x"]
            .map(|path| label(Path::new(path)));
        assert_eq!(labels, ["one-cycle", "1e-3.v2", "run-", "run_x"]);
    }
}
