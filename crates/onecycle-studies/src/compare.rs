//! Policies side by side: the same network on the same images, over several seeds.
//!
//! Every file is a variant, every seed a run of it; they are trained as a [`Study`], which can be interrupted. With the same
//! seed all variants begin with the same weights and see the images in the same order, so they are compared seed by seed.
//!
//! **What may differ.** Files with another network or other images are refused: their numbers would not be comparable. All
//! else may differ, and whatever does stands in the table of settings. That includes the budget (`epochs`, `steps`,
//! `batch_size`): that a policy needs fewer steps is a claim that one wants to test. Where budgets differ, the result says so.
//!
//! | what it leaves | |
//! |---|---|
//! | `runs/LABEL-seedN/` | each run |
//! | `compare.json` | [`ComparisonResult`]: all numbers, all epochs of all runs |
//! | `compare.html` | one page with tables and figures |
//! | `figures/` | the figures as SVG, PNG and CSV |

mod page;
mod result;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

pub use result::{AccuracyDifference, ComparisonResult, DifferingSetting};

use crate::{
    StudyError,
    study::{RunSpec, Study, StudyOutcome, Variant},
};
use onecycle_train::{Config, ConfigError, config::Layers, figures, files, observer::Observer};

/// Keys that must agree: by them accuracies are comparable.
const SAME: [&str; 8] = [
    "model",
    "data.name",
    "data.path",
    "data.limit",
    "data.test_limit",
    "data.validation",
    "data.image_size",
    "device",
];
/// Keys whose difference is one of the budget.
const BUDGET: [&str; 3] = ["epochs", "steps", "batch_size"];
/// Keys that are of no interest beside others: the seeds are the comparison's own.
const UNSEEN: [&str; 2] = ["seed", "threads"];

/// What to compare.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// Labels and configurations, at least two, with labels of their own.
    variants: Vec<(String, Config)>,
    seeds: Vec<u64>,
    accuracies: Vec<f64>,
}

impl Comparison {
    /// Reads a file a variant, which is called after it, and lays `settings` over each. The runs have the seeds `seed`,
    /// `seed + 1`, ... of the first file. `accuracies` (between 0 and 1) are those whose steps and time are asked for; without
    /// any, it is the largest whole per cent that all variants reach.
    ///
    /// # Errors
    /// Fewer than two files, files of the same name, without any seed, or that cannot be compared; what is wrong with a file
    /// or a setting.
    pub fn read(
        paths: &[PathBuf],
        settings: &[(String, String)],
        seeds: usize,
        accuracies: &[f64],
    ) -> Result<Self, StudyError> {
        let mut variants = Vec::new();
        for path in paths {
            let mut layers = Layers::new()?.file(path)?;
            for (key, value) in settings {
                layers = layers.set(key, value)?;
            }
            variants.push((label(path), layers.resolve()?));
        }
        Comparison::new(variants, seeds, accuracies)
    }

    /// As [`read`](Self::read), of configurations that are at hand.
    ///
    /// # Errors
    /// The same.
    pub fn new(
        variants: Vec<(String, Config)>,
        seeds: usize,
        accuracies: &[f64],
    ) -> Result<Self, StudyError> {
        let wrong = |key: &str, value: String, expected: &str| {
            Err(ConfigError::Setting {
                key: key.to_owned(),
                value,
                expected: expected.to_owned(),
            })
        };
        if variants.len() < 2 {
            let found = variants.len().to_string();
            return Ok(wrong(
                "files",
                found,
                "at least two configurations to compare",
            )?);
        }
        let mut labels = BTreeSet::new();
        if let Some((twice, _)) = variants.iter().find(|(label, _)| !labels.insert(label)) {
            let expected = "files of different names: variants are called after them";
            return Ok(wrong("files", twice.clone(), expected)?);
        }
        if seeds == 0 {
            return Ok(wrong("seeds", "0".to_owned(), "at least 1")?);
        }
        if let Some(accuracy) = accuracies.iter().find(|a| !(**a > 0.0 && **a < 1.0)) {
            return Ok(wrong(
                "accuracies",
                accuracy.to_string(),
                "shares between 0 and 1, such as 0.9",
            )?);
        }
        let first = variants[0].1.seed;
        let comparison = Comparison {
            variants,
            seeds: (0..seeds as u64).map(|i| first.wrapping_add(i)).collect(),
            accuracies: accuracies.to_vec(),
        };
        comparison.check_comparable()?;
        Ok(comparison)
    }

    /// The variants' labels and configurations.
    pub fn variants(&self) -> &[(String, Config)] {
        &self.variants
    }

    /// Trains what is not trained yet in `folder`, and leaves the result there. `None` where the observer stopped it: the
    /// same call goes on.
    ///
    /// # Errors
    /// Those of [`Study::run`]; files that cannot be written.
    pub fn run(
        &self,
        folder: &Path,
        observer: &mut dyn Observer,
    ) -> Result<Option<ComparisonResult>, StudyError> {
        let specs = self.variants.iter().flat_map(|(label, config)| {
            let spec = |seed: &u64| RunSpec::new(label.clone(), config.clone(), *seed);
            self.seeds.iter().map(spec)
        });
        // By seeds first: whoever stops early has something to compare.
        let mut specs: Vec<RunSpec> = specs.collect();
        specs.sort_by_key(|spec| spec.seed);
        match Study::new(specs)?.run(folder, observer)? {
            StudyOutcome::Stopped { .. } => Ok(None),
            StudyOutcome::Finished(results) => {
                let variants = Variant::group(results);
                let compared = ComparisonResult::new(self.settings()?, &variants, &self.accuracies);
                compared.write(folder, &variants)?;
                Ok(Some(compared))
            }
        }
    }

    /// The settings in which the variants differ.
    fn settings(&self) -> Result<Vec<DifferingSetting>, StudyError> {
        let all: Result<Vec<_>, _> = self
            .variants
            .iter()
            .map(|(_, config)| config.keys())
            .collect();
        let all = all?;
        let names: BTreeSet<&String> = all.iter().flat_map(|keys| keys.keys()).collect();
        Ok(names
            .into_iter()
            .filter(|name| !UNSEEN.contains(&name.as_str()))
            .map(|name| DifferingSetting {
                key: name.clone(),
                values: all.iter().map(|keys| keys.get(name).cloned()).collect(),
                of_the_budget: BUDGET.contains(&name.as_str()),
            })
            .filter(|setting| setting.values.windows(2).any(|pair| pair[0] != pair[1]))
            .collect())
    }

    fn check_comparable(&self) -> Result<(), StudyError> {
        let settings = self.settings()?;
        match settings
            .iter()
            .find(|setting| SAME.contains(&setting.key.as_str()))
        {
            None => Ok(()),
            Some(setting) => Err(StudyError::NotComparable {
                key: setting.key.clone(),
                values: self
                    .variants
                    .iter()
                    .zip(&setting.values)
                    .map(|((label, _), value)| {
                        format!("{label}: {}", value.as_deref().unwrap_or("not set"))
                    })
                    .collect(),
            }),
        }
    }
}

/// The file's name without its ending, with `-` for what a label cannot have.
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
