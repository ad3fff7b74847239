//! The figures and tables of the 1cycle literature, each by its name.
//!
//! A [`Reproduction`] says which runs it needs, what is claimed and published, and how to tell from the runs whether the claim
//! shows. The verdicts are computed from 95 % intervals over the seeds, never written down. All experiments of a folder share
//! their runs: the same variant is trained once, whoever asks for it, and what is there is not trained again.
//!
//! | name | what it repeats |
//! |---|---|
//! | `schedule`, `full-cycle`, `higher-rate`, `long-annihilation` | Gugger's notebook on the 1cycle policy |
//! | `super-convergence` | Smith & Topin: one cycle against many times its steps; fewer images |
//! | `momentum`, `weight-decay` | Smith, "A disciplined approach" |
//! | `noise-scale` | Jastrzębski et al.: lr / batch size; McCandlish et al.: gradient noise along a run |
//! | `flat-minima` | Keskar et al.: large batches; sharpness of what policies find, and along one cycle |
//! | `batch-warm-start` | Keskar et al.: batches that grow |
//! | `large-batch` | Goyal et al.: warm-up, linear scaling, ghost batches |
//! | `curriculum` | Bengio et al.: easy examples first |
//! | `lenet-mnist` | Smith's table on LeNet |
//! | `optimizers` | one cycle with Adam and AdamW |
//!
//! | what it leaves | |
//! |---|---|
//! | `runs/LABEL-seedN/` | each run |
//! | `NAME/` | `result.json`, `index.html` and `figures/` of an experiment |
//! | `reproduce.json`, `reproduce.html` | all experiments of the call, where there are several |

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
    study::{RunSpec, Study, StudyOutcome, Variant, VariantSummary, XAxis, curves},
};
use onecycle_plot::{Axis, Figure};
use onecycle_train::{Config, ConfigError, RunError, device::Device, figures, observer::Observer};

use claim::{Published, Results};

/// How to reproduce.
#[derive(Debug, Clone, PartialEq)]
pub struct Protocol {
    /// How much it may cost.
    pub size: StudySize,
    /// The scale's budget, or another one in its place.
    pub budget: Budget,
    /// Seeds of the runs of each variant.
    pub seeds: Vec<u64>,
    /// Where to compute.
    pub device: Device,
}

/// An experiment of the literature.
pub trait Reproduction: Sync {
    /// Its name on the command line.
    fn name(&self) -> &'static str;
    /// What it is about, in a line.
    fn title(&self) -> &'static str;
    /// Network, data and epochs in words: the budget's.
    fn setup(&self, protocol: &Protocol) -> String {
        protocol.budget.words()
    }
    /// What a reader has to know: how it differs from the original, confounds.
    fn notes(&self, protocol: &Protocol) -> Vec<String>;
    /// Labels and configurations to train; none by default.
    ///
    /// # Errors
    /// Configurations that cannot be.
    fn variants(&self, _protocol: &Protocol) -> Result<Vec<(String, Config)>, StudyError> {
        Ok(Vec::new())
    }
    /// What to train: each variant under each seed. Where something has to be found out before, it is kept in `folder`, and what
    /// a cell is may depend on what its own seed found, so that further seeds change none. `None` where the observer stopped it.
    ///
    /// # Errors
    /// Those of what it does.
    fn prepare(
        &self,
        protocol: &Protocol,
        _folder: &Path,
        _observer: &mut dyn Observer,
    ) -> Result<Option<Vec<RunSpec>>, StudyError> {
        let variants = self.variants(protocol)?.into_iter();
        let specs = variants.flat_map(|(label, config)| {
            let of_seed = move |seed: &u64| RunSpec::new(label.clone(), config.clone(), *seed);
            protocol.seeds.iter().map(of_seed)
        });
        Ok(Some(specs.collect()))
    }
    /// Claims with what the results say of them.
    ///
    /// # Errors
    /// Files of runs that cannot be read.
    fn claims(
        &self,
        protocol: &Protocol,
        folder: &Path,
        results: &[Variant],
    ) -> Result<Vec<Claim>, StudyError>;
    /// What the usual figures are drawn over.
    fn x_axis(&self) -> XAxis {
        XAxis::Epochs
    }
    /// Figures with their captions: the usual ones, of losses and accuracy.
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

/// All experiments, in the order of a page.
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

/// The experiments of this name; `all` names all of them.
///
/// # Errors
/// [`ConfigError::Setting`] with the names that there are.
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

/// An experiment that was repeated: `result.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExperimentResult {
    /// Its name.
    pub name: String,
    /// What it is about.
    pub title: String,
    /// The scale.
    #[serde(rename = "scale")]
    pub size: StudySize,
    /// Network, data and epochs in words.
    pub setup: String,
    /// What a reader has to know.
    pub notes: Vec<String>,
    /// Claims, what is published and what was measured.
    pub claims: Vec<Claim>,
    /// The variants in numbers.
    pub variants: Vec<VariantSummary>,
    /// Paths of the figures below the folder, without their endings.
    pub figures: Vec<PathBuf>,
}

impl Protocol {
    /// A scale as it is, with its own number of seeds.
    pub fn of(size: StudySize) -> Self {
        let budget = size.budget();
        Protocol {
            size,
            seeds: (1..=budget.seeds as u64).collect(),
            budget,
            device: Device::Cpu,
        }
    }

    /// Whether network, data and lengths are those of the originals.
    fn is_original(&self) -> bool {
        self.size == StudySize::Paper && self.budget == StudySize::Paper.budget()
    }

    /// Network, data, augmentation and optimizer of the scale under a policy.
    fn config(&self, policy: impl Into<Preset>) -> Config {
        let mut config = self.budget.base(self.device);
        config.policy.preset = policy.into();
        config
    }
}

/// An experiment with its results and figures.
struct ExperimentReport {
    result: ExperimentResult,
    figures: Vec<(Figure, String)>,
}

/// Trains what is not trained yet in `folder`, and leaves the results there. `None` where the observer stopped it: the same
/// call goes on.
///
/// # Errors
/// Those of [`Study::run`]; files that cannot be written.
pub fn run(
    experiments: &[&dyn Reproduction],
    protocol: &Protocol,
    folder: &Path,
    observer: &mut dyn Observer,
) -> Result<Option<Vec<ExperimentResult>>, StudyError> {
    let mut wanted = Vec::with_capacity(experiments.len());
    for experiment in experiments {
        match experiment.prepare(protocol, folder, observer)? {
            None => return Ok(None),
            Some(specs) => wanted.push(specs),
        }
    }
    let Some(results) = train(&wanted, folder, observer)? else {
        return Ok(None);
    };
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
    Ok(Some(reports.into_iter().map(|one| one.result).collect()))
}

/// Trains all cells, each once whoever asks for it.
fn train(
    wanted: &[Vec<RunSpec>],
    folder: &Path,
    observer: &mut dyn Observer,
) -> Result<Option<Vec<Variant>>, StudyError> {
    let mut specs: Vec<RunSpec> = Vec::new();
    for spec in wanted.iter().flatten() {
        match specs.iter().find(|other| other.name() == spec.name()) {
            None => specs.push(spec.clone()),
            Some(other) if other.config == spec.config => {}
            // Two experiments mean different things by one label: a mistake in this module.
            Some(other) => {
                return Err(RunError::OtherSettings {
                    run: Study::run_folder(folder, spec),
                    differences: other.config.differences(&spec.config)?,
                }
                .into());
            }
        }
    }
    let study = Study::new(specs)?.without_pictures();
    match study.run(folder, observer)? {
        StudyOutcome::Stopped { .. } => Ok(None),
        StudyOutcome::Finished(results) => Ok(Some(Variant::group(results))),
    }
}

/// Judges an experiment and writes what it leaves.
fn show(
    experiment: &dyn Reproduction,
    protocol: &Protocol,
    folder: &Path,
    results: &[Variant],
) -> Result<ExperimentReport, StudyError> {
    let name = experiment.name();
    let figures = experiment.figures(protocol, folder, results)?;
    let report = ExperimentReport {
        result: ExperimentResult {
            name: name.to_owned(),
            title: experiment.title().to_owned(),
            size: protocol.size,
            setup: experiment.setup(protocol),
            notes: experiment.notes(protocol),
            claims: experiment.claims(protocol, folder, results)?,
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
    page::write_one(folder, protocol, &report)?;
    Ok(report)
}

/// The curves that most experiments have: validation accuracy, training and validation loss.
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
        (accuracy, "Share of the validation images classified rightly after each epoch."),
        (val_loss, "Mean cross-entropy on the validation images after each epoch."),
        (train_loss, "Mean cross-entropy over each epoch's training images, augmented, each before its update."),
    ]
    .into_iter()
    // Where all runs diverged in their first epoch there is nothing to draw.
    .filter(|(figure, _)| !figure.series.is_empty())
    .map(|(figure, caption)| (figure, caption.to_owned()))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_there_are() {
        assert_eq!(named("all").map(|all| all.len()).ok(), Some(14));
        let one = named("momentum").map(|found| found[0].name());
        assert_eq!(one.ok(), Some("momentum"));
        let error = named("momenta").err().map(|error| error.to_string());
        assert!(error.is_some_and(|text| text.contains("super-convergence, momentum")));
    }
}
