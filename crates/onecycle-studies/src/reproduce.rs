//! Repeats the figures and tables of the 1cycle literature.
//!
//! A [`Reproduction`] defines an experiment: the runs it needs, the published claims, and how to
//! test each claim on the results. Verdicts are computed from 95 % confidence intervals over the
//! seeds, never written by hand. All experiments in a folder share their runs: a variant that
//! several of them need is trained once.
//!
//! | name | repeats |
//! |---|---|
//! | `schedule`, `full-cycle`, `higher-rate`, `long-annihilation` | Gugger's notebook on the 1cycle policy |
//! | `super-convergence` | Smith & Topin: one cycle against many times as many steps; fewer images |
//! | `momentum`, `weight-decay` | Smith, "A disciplined approach" |
//! | `noise-scale` | Jastrzębski et al.: lr / batch size; McCandlish et al.: gradient noise during a run |
//! | `flat-minima` | Keskar et al.: large batches; sharpness of the minima that policies find, and during one cycle |
//! | `batch-warm-start` | Keskar et al.: growing batches |
//! | `large-batch` | Goyal et al.: warm-up, linear scaling, ghost batches |
//! | `curriculum` | Bengio et al.: easy examples first |
//! | `lenet-mnist` | Smith's table on LeNet |
//! | `optimizers` | one cycle with Adam and AdamW |
//!
//! | output | content |
//! |---|---|
//! | `runs/LABEL-seedN/` | each run |
//! | `NAME/` | `result.json`, `index.html` and `figures/` of an experiment |
//! | `reproduce.json`, `reproduce.html` | all experiments of the call, if there are several |

mod baseline;
mod batches;
mod budget;
mod claim;
mod curriculum;
mod cycle;
mod lenet;
mod measured;
mod minima;
mod momentum;
mod noise;
mod optimizers;
mod page;
mod super_convergence;
mod weight_decay;

use std::path::{Path, PathBuf};

use onecycle::Preset;
use serde::{Deserialize, Serialize};

pub use budget::{Budget, StudySize};
pub use claim::{Claim, ClaimVerdict};

use crate::{
    StudyError,
    study::{
        Part, RunSpec, Study, StudyOutcome, Variant, VariantSummary, XAxis, curves, write_results,
    },
};
use onecycle_plot::{Axis, Figure};
use onecycle_train::{Config, ConfigError, RunError, device::Device, figures, observer::Observer};

use claim::{Published, Results};

/// The settings that all experiments of a call share.
#[derive(Debug, Clone, PartialEq)]
pub struct Protocol {
    /// The preset from which the budget comes.
    pub size: StudySize,
    /// The budget: the preset's own, or a changed one.
    pub budget: Budget,
    /// The device to compute on.
    pub device: Device,
}

/// An experiment of the literature.
pub trait Reproduction: Sync {
    /// Its name on the command line.
    fn name(&self) -> &'static str;
    /// Its title, one line.
    fn title(&self) -> &'static str;
    /// Network, data and epochs as text; by default those of the budget.
    fn setup(&self, protocol: &Protocol) -> String {
        protocol.budget.words()
    }
    /// Its budget at this scale; the common one by default.
    fn budget<'a>(&self, common: &'a Budget) -> &'a Budget {
        common
    }
    /// Notes for readers: differences from the original, confounds.
    fn notes(&self, protocol: &Protocol) -> Vec<String>;
    /// Labels and configurations to train; none by default.
    ///
    /// # Errors
    /// Invalid configurations.
    fn variants(&self, _protocol: &Protocol) -> Result<Vec<(String, Config)>, StudyError> {
        Ok(Vec::new())
    }
    /// The runs to train: by default each variant with each seed. An experiment that has to measure
    /// something first keeps the measurements in `folder`. Processes that share the folder share the
    /// measurements too, each its [`Part`]. A run may depend only on measurements of its own seed, so
    /// that further seeds do not change it. Returns `None` if the observer stopped it.
    ///
    /// # Errors
    /// The errors of the measurements.
    fn prepare(
        &self,
        protocol: &Protocol,
        (_folder, _part): (&Path, Part),
        _observer: &mut dyn Observer,
    ) -> Result<Option<Vec<RunSpec>>, StudyError> {
        let variants = self.variants(protocol)?.into_iter();
        let specs = variants.flat_map(|(label, config)| {
            let of_seed = move |seed| RunSpec::new(label.clone(), config.clone(), seed);
            protocol.seeds().map(of_seed)
        });
        Ok(Some(specs.collect()))
    }
    /// Writes what the measurements of [`prepare`](Self::prepare) have in common into `folder`, after
    /// all runs are trained and before the claims are tested. Only one process at a time calls it.
    ///
    /// # Errors
    /// Files that cannot be read or written.
    fn summarise(&self, _protocol: &Protocol, _folder: &Path) -> Result<(), StudyError> {
        Ok(())
    }
    /// The claims with the verdicts that follow from the results.
    ///
    /// # Errors
    /// Files of runs that cannot be read.
    fn claims(
        &self,
        protocol: &Protocol,
        folder: &Path,
        results: &[Variant],
    ) -> Result<Vec<Claim>, StudyError>;
    /// Horizontal axis of the default figures.
    fn x_axis(&self) -> XAxis {
        XAxis::Epochs
    }
    /// Figures with their captions; by default losses and accuracy.
    ///
    /// # Errors
    /// Files of runs that cannot be read.
    fn figures(
        &self,
        _protocol: &Protocol,
        _folder: &Path,
        results: &[Variant],
    ) -> Result<Vec<(Figure, String)>, StudyError> {
        Ok(usual_figures(self.name(), self.x_axis(), results))
    }
}

/// All experiments, in the order of the page.
pub fn all() -> [&'static dyn Reproduction; 14] {
    [
        &cycle::Schedule,
        &cycle::FullCycle,
        &cycle::HigherRate,
        &cycle::LongAnnihilation,
        &super_convergence::SuperConvergence,
        &momentum::Momentum,
        &weight_decay::WeightDecay,
        &noise::NoiseScale,
        &minima::FlatMinima,
        &batches::BatchWarmStart,
        &batches::LargeBatch,
        &curriculum::CurriculumFirst,
        &lenet::LenetMnist,
        &optimizers::Optimizers,
    ]
}

/// The experiment of this name; `all` for all experiments.
///
/// # Errors
/// [`ConfigError::Setting`] with the known names.
pub fn named(name: &str) -> Result<Vec<&'static dyn Reproduction>, StudyError> {
    let found: Vec<_> = all()
        .into_iter()
        .filter(|one| name == "all" || one.name() == name)
        .collect();
    match found.is_empty() {
        false => Ok(found),
        true => Err(ConfigError::setting(
            "NAME",
            name,
            format!(
                "all, suggestions, {}",
                all().map(|one| one.name()).join(", ")
            ),
        )
        .into()),
    }
}

/// The result of an experiment: `result.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExperimentResult {
    /// Its name.
    pub name: String,
    /// Its title.
    pub title: String,
    /// The preset from which its budget came.
    #[serde(rename = "scale")]
    pub size: StudySize,
    /// Network, data and epochs as text.
    pub setup: String,
    /// Notes for readers.
    pub notes: Vec<String>,
    /// The claims with the published and the measured numbers.
    pub claims: Vec<Claim>,
    /// Statistics of the variants.
    pub variants: Vec<VariantSummary>,
    /// Paths of the figures below the folder, without extensions.
    pub figures: Vec<PathBuf>,
}

impl Protocol {
    /// The unchanged budget of a preset, with its number of seeds, on the CPU.
    pub fn of(size: StudySize) -> Self {
        Protocol {
            size,
            budget: size.budget(),
            device: Device::Cpu,
        }
    }

    /// Seeds of the runs of each variant.
    pub fn seeds(&self) -> impl Iterator<Item = u64> + use<> {
        1..=self.budget.seeds as u64
    }

    /// The same settings with the budget of an experiment.
    fn of_experiment(&self, experiment: &dyn Reproduction) -> Protocol {
        Protocol {
            budget: experiment.budget(&self.budget).clone(),
            ..*self
        }
    }

    /// The label of a variant with this budget.
    fn label(&self, name: &str) -> String {
        format!("{}{name}", self.budget.prefix)
    }

    /// Whether network, data and number of epochs are those of the originals.
    fn is_original(&self) -> bool {
        self.size == StudySize::Paper
            && self.budget.equals_but_for_seeds(&StudySize::Paper.budget())
    }

    /// The budget's network, data, augmentation and optimizer with a given policy.
    fn config(&self, policy: impl Into<Preset>) -> Config {
        let mut config = self.budget.base(self.device);
        config.policy.preset = policy.into();
        config
    }
}

/// The result of an experiment with its figures and captions.
struct ExperimentReport {
    result: ExperimentResult,
    figures: Vec<(Figure, String)>,
}

/// Trains the runs that are not finished yet in `folder` and writes the results there. Returns
/// `None` if the observer stopped it; the same call continues.
///
/// # Errors
/// The errors of [`Study::run`]; files that cannot be written.
pub fn run(
    experiments: &[&dyn Reproduction],
    protocol: &Protocol,
    folder: &Path,
    observer: &mut dyn Observer,
) -> Result<Option<Vec<ExperimentResult>>, StudyError> {
    Ok(take_part(experiments, protocol, (folder, Part::All), observer)?.finished())
}

/// Like [`run`], for one of several processes that share the folder. The process that finishes the
/// last run writes the results.
///
/// # Errors
/// The errors of [`Study::take_part`]; files that cannot be written.
pub fn take_part(
    experiments: &[&dyn Reproduction],
    protocol: &Protocol,
    (folder, part): (&Path, Part),
    observer: &mut dyn Observer,
) -> Result<StudyOutcome<Vec<ExperimentResult>>, StudyError> {
    let mut wanted = Vec::with_capacity(experiments.len());
    for experiment in experiments {
        let protocol = protocol.of_experiment(*experiment);
        match experiment.prepare(&protocol, (folder, part), observer)? {
            None => return Ok(StudyOutcome::Stopped { done: 0, of: 0 }),
            Some(specs) => wanted.push(specs),
        }
    }
    let study = study(&wanted, folder)?;
    let results = match study.take_part(folder, part, observer)? {
        StudyOutcome::Finished(results) => Variant::group(results),
        StudyOutcome::Left { done, of } => return Ok(StudyOutcome::Left { done, of }),
        StudyOutcome::Stopped { done, of } => return Ok(StudyOutcome::Stopped { done, of }),
    };
    let runs = (part, study.specs().len());
    write_results(folder, runs, observer, || {
        let mut reports = Vec::with_capacity(experiments.len());
        for (experiment, specs) in experiments.iter().zip(&wanted) {
            let mut labels: Vec<&str> = specs.iter().map(|spec| &spec.label[..]).collect();
            // The seeds of a label follow one another.
            labels.dedup();
            let own: Vec<Variant> = labels
                .into_iter()
                .filter_map(|label| results.iter().find(|v| v.label == label).cloned())
                .collect();
            reports.push(show(*experiment, protocol, folder, &own)?);
        }
        if reports.len() > 1 {
            page::write_all(folder, protocol, &reports)?;
        }
        Ok(reports.into_iter().map(|one| one.result).collect())
    })
}

/// All runs as one study. A run that several experiments ask for is trained once.
fn study(wanted: &[Vec<RunSpec>], folder: &Path) -> Result<Study, StudyError> {
    let mut specs: Vec<RunSpec> = Vec::new();
    for spec in wanted.iter().flatten() {
        match specs.iter().find(|other| other.name() == spec.name()) {
            None => specs.push(spec.clone()),
            Some(other) if other.config == spec.config => {}
            // Two experiments use one label for different configurations: a mistake in this module.
            Some(other) => {
                return Err(RunError::OtherSettings {
                    run: Study::run_folder(folder, spec),
                    differences: other.config.differences(&spec.config)?,
                }
                .into());
            }
        }
    }
    Ok(Study::new(specs)?.without_pictures())
}

/// Tests the claims of an experiment and writes its files.
fn show(
    experiment: &dyn Reproduction,
    protocol: &Protocol,
    folder: &Path,
    results: &[Variant],
) -> Result<ExperimentReport, StudyError> {
    let name = experiment.name();
    let own = &protocol.of_experiment(experiment);
    experiment.summarise(own, folder)?;
    let figures = experiment.figures(own, folder, results)?;
    let report = ExperimentReport {
        result: ExperimentResult {
            name: name.to_owned(),
            title: experiment.title().to_owned(),
            size: protocol.size,
            setup: experiment.setup(own),
            notes: experiment.notes(own),
            claims: experiment.claims(own, folder, results)?,
            variants: results.iter().map(|variant| variant.summary(&[])).collect(),
            figures: figures
                .iter()
                .map(|(figure, _)| Path::new(name).join("figures").join(&figure.name))
                .collect(),
        },
        figures,
    };
    let pictures = folder.join(name).join("figures");
    for (figure, _) in &report.figures {
        figures::write(&pictures, figure)?;
    }
    page::write_one(folder, (protocol, own), &report)?;
    Ok(report)
}

/// The default figures: validation accuracy, training loss and validation loss.
fn usual_figures(name: &str, x_axis: XAxis, results: &[Variant]) -> Vec<(Figure, String)> {
    let results = Results(results.to_vec());
    let named = results.named();
    let accuracy = curves(
        &format!("{name}-accuracy"),
        "Validation accuracy",
        (x_axis, Axis::linear("validation accuracy (%)")),
        &named,
        |epoch| 100.0 * epoch.val_accuracy,
    );
    let val_loss = curves(
        &format!("{name}-val-loss"),
        "Validation loss",
        (x_axis, Axis::log("validation loss (logarithmic)")),
        &named,
        |epoch| epoch.val_loss,
    );
    let train_loss = curves(
        &format!("{name}-train-loss"),
        "Training loss",
        (x_axis, Axis::log("training loss (logarithmic)")),
        &named,
        |epoch| epoch.train_loss,
    );
    [
        (accuracy, "Percentage of validation images classified correctly after each epoch."),
        (val_loss, "Mean cross-entropy on the validation images after each epoch."),
        (train_loss, "Mean cross-entropy over the augmented training images of each epoch, computed before each update."),
    ]
    .into_iter()
    // There is nothing to draw if all runs diverged in their first epoch.
    .filter(|(figure, _)| !figure.series.is_empty())
    .map(|(figure, caption)| (figure, caption.to_owned()))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        assert_eq!(named("all").map(|all| all.len()).ok(), Some(14));
        let one = named("momentum").map(|found| found[0].name());
        assert_eq!(one.ok(), Some("momentum"));
        let error = named("momenta").err().map(|error| error.to_string());
        assert!(error.is_some_and(|text| text.contains("super-convergence, momentum")));
    }
}
