//! Files of a finished run: model, [`Summary`], figures and report.

use std::fmt;

use onecycle_plot::format::duration;
use onecycle_vision::models::Model;
use serde::{Deserialize, Serialize};

use crate::{
    Experiment, FileError, TrainError,
    assessment::{self, Answers, Assessment, Pictures, Scores},
    best::BestEpoch,
    checkpoint,
    data_report::DataReport,
    depth,
    diagnose::{self, Diagnosis},
    event_log::{EventLog, TestResult},
    experiment::Data,
    figures::{self, RunRecords},
    files,
    lr_search::{
        found::{self, RangeTestResult},
        journal,
    },
    metrics::{Evaluator, MetricSums},
    model_file,
    plan_view::PlanView,
    record::EpochRecord,
    report::{AssessmentSection, DataChecksum, Report},
    run_folder::RunFolder,
    training_images::TrainingImages,
    tta::Tta,
};

/// Result of a run in numbers: `summary.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Name of the network.
    pub model: String,
    /// Number of trained parameters, without running statistics.
    pub parameters: usize,
    /// Name of the data set.
    pub data: String,
    /// Updates made.
    pub steps: u64,
    /// Epochs trained.
    pub epochs: u64,
    /// Accuracy of the final network on the test images, 0 to 1.
    #[serde(with = "onecycle::not_finite")]
    pub test_accuracy: f64,
    /// Mean cross-entropy of the final network on the test images, in nats.
    #[serde(with = "onecycle::not_finite")]
    pub test_loss: f64,
    /// Highest accuracy on the validation images after any epoch, 0 to 1.
    #[serde(with = "onecycle::not_finite")]
    pub best_val_accuracy: f64,
    /// Wall-clock time of training in seconds, without evaluation.
    #[serde(with = "onecycle::not_finite")]
    pub train_seconds: f64,
    /// Views of a test image over which its prediction is the mean.
    #[serde(default, skip_serializing_if = "Tta::is_image")]
    pub tta: Tta,
    /// Scores of the final network over all classes of the test images, with
    /// `test_balanced_accuracy` and `test_macro_f1`; `None` in the summaries of older versions.
    #[serde(flatten)]
    pub test_scores: Option<TestScores>,
    /// The epoch of the saved network, if it was chosen as the best one (`keep = "best"`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<Kept>,
    /// Cost of the search for the learning rate before the run, with `search_updates` and
    /// `search_seconds`; `None` without a search.
    #[serde(flatten)]
    pub search: Option<SearchCost>,
    /// Result of the run that trained the last layer before; `None` without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<HeadResult>,
}

/// Result of the run that trained the last layer of a pretrained network, in `head/`, before all
/// layers were trained.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct HeadResult {
    /// Updates made.
    pub steps: u64,
    /// Accuracy on the test images, 0 to 1.
    #[serde(with = "onecycle::not_finite")]
    pub test_accuracy: f64,
    /// Mean cross-entropy on the test images, in nats.
    #[serde(with = "onecycle::not_finite")]
    pub test_loss: f64,
    /// Wall-clock time of its training in seconds, without features and evaluation.
    #[serde(with = "onecycle::not_finite")]
    pub train_seconds: f64,
}

impl HeadResult {
    /// The result in the folder of a run, if it has one.
    fn of(folder: &RunFolder) -> Result<Option<Self>, FileError> {
        match RunFolder::at(&folder.head()).summary() {
            path if path.exists() => files::read_json(&path).map(Some),
            _ => Ok(None),
        }
    }
}

/// For people.
impl fmt::Display for HeadResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "test accuracy {:.2} %, test loss {:.4}, after {} updates of the last layer alone",
            100.0 * self.test_accuracy,
            self.test_loss,
            self.steps
        )
    }
}

/// Cost of the search for the learning rate before a run: range tests and short cycles.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SearchCost {
    /// Updates made.
    pub search_updates: u64,
    /// Time of its range tests and short cycles in seconds. Several processes make range tests at the same
    /// time; each of them counts.
    pub search_seconds: f64,
}

impl SearchCost {
    /// The cost recorded in the folder of a run, if there was a search.
    fn of(folder: &RunFolder) -> Result<Option<Self>, FileError> {
        let path = folder.range_test();
        if !path.exists() {
            return Ok(None);
        }
        let found = RangeTestResult::read(&path)?;
        Ok(Some(SearchCost {
            search_updates: found.updates(),
            search_seconds: found.seconds(),
        }))
    }
}

/// The epoch that a network was chosen from, and the images that decided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// The epoch with its validation metrics.
    #[serde(flatten)]
    pub epoch: BestEpoch,
    /// Origin of the validation images: `test`, `held out` or `validation`.
    pub selected_on: String,
}

impl Kept {
    pub(crate) fn of(epoch: BestEpoch, data: &Data) -> Self {
        Kept {
            epoch,
            selected_on: data.validation_is.to_owned(),
        }
    }
}

/// For people, with the epoch counted from 1.
impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let images = match self.selected_on.as_str() {
            "test" => "the test images, so its test accuracy is too high",
            "held out" => "held-out images",
            _ => "the validation images",
        };
        write!(
            f,
            "the network of epoch {}, the best on {images}",
            self.epoch.epoch + 1
        )
    }
}

/// Scores on the test images that do not depend on how many images each class has.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TestScores {
    /// Mean recall over the classes, 0 to 1.
    pub test_balanced_accuracy: f64,
    /// Mean F1 over the classes, 0 to 1.
    pub test_macro_f1: f64,
    /// Expected calibration error, 0 to 1; `None` if a probability is NaN.
    pub test_calibration_error: Option<f64>,
    /// Test images of the largest class per test image of the smallest class, at least 1.
    pub test_imbalance: f64,
}

impl TestScores {
    /// Whether the accuracy says little about the small classes; see
    /// [`Scores::is_imbalanced`].
    pub fn is_imbalanced(&self) -> bool {
        self.test_imbalance > assessment::IMBALANCED
    }
}

impl From<Scores> for TestScores {
    fn from(scores: Scores) -> Self {
        TestScores {
            test_balanced_accuracy: scores.balanced_accuracy,
            test_macro_f1: scores.macro_f1,
            test_calibration_error: scores.calibration_error,
            test_imbalance: scores.imbalance,
        }
    }
}

/// One line for people. If the classes of the test images are imbalanced, it has the balanced
/// accuracy and the macro F1 too.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "test accuracy {:.2} %, ", 100.0 * self.test_accuracy)?;
        if let Some(scores) = self.test_scores.filter(TestScores::is_imbalanced) {
            write!(
                f,
                "balanced accuracy {:.2} %, macro F1 {:.3}, ",
                100.0 * scores.test_balanced_accuracy,
                scores.test_macro_f1,
            )?;
        }
        write!(
            f,
            "test loss {:.4}, after {} epochs and {} of training",
            self.test_loss,
            self.epochs,
            duration(self.train_seconds),
        )?;
        if self.tta != Tta::Image {
            write!(f, "; mean of {} views of each image", self.tta.views())?;
        }
        match &self.kept {
            None => Ok(()),
            Some(kept) => write!(f, "; {kept}"),
        }
    }
}

/// Files that a finished run writes, besides its records and checkpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Artifacts {
    /// Model, summary, figures and report.
    #[default]
    All,
    /// Model, summary and assessment, without pictures. A figure takes a tenth of a second, too long for studies of hundreds of
    /// runs.
    WithoutFigures,
}

/// The network that a run ends with, and what the last evaluation measured of it.
pub(crate) struct FinalNetwork {
    /// The network, in evaluation mode.
    pub(crate) model: Model,
    /// Number of trained parameters.
    pub(crate) parameters: usize,
    /// Its epoch, if it was chosen as the best one.
    pub(crate) best: Option<BestEpoch>,
    /// Metrics on the test images; empty if the epochs were measured on them.
    pub(crate) tested: MetricSums,
    /// Its answers to the test images. Incomplete if they were not measured, or in another process.
    pub(crate) answers: Answers,
}

/// Writes the files of a finished run.
pub(crate) fn finish(
    experiment: &Experiment,
    folder: &RunFolder,
    network: FinalNetwork,
    artifacts: Artifacts,
    log: Option<&mut EventLog>,
) -> Result<Summary, TrainError> {
    let data = &experiment.data;
    let FinalNetwork {
        model,
        parameters,
        best: chosen,
        tested,
        answers,
    } = network;
    model_file::write(&folder.model(), experiment, &model)?;
    let epochs = folder.read_epochs()?;
    let (test_accuracy, test_loss) = match (epochs.last(), chosen) {
        // This epoch measured the same network on the same images.
        (_, Some(best)) if tested.images == 0 => (best.val_accuracy, best.val_loss),
        (Some(last), None) if tested.images == 0 => (last.val_accuracy, last.val_loss),
        _ => (tested.accuracy(), tested.mean_loss()),
    };
    let answers = complete(answers, experiment, &model)?;
    let assessment = write_assessment(experiment, folder, &answers, artifacts)?;
    let summary = Summary {
        model: experiment.architecture.to_string(),
        parameters,
        data: data.name.clone(),
        steps: experiment.plan.steps(),
        epochs: epochs.last().map_or(0, |last| last.epoch + 1),
        test_accuracy,
        test_loss,
        best_val_accuracy: best(&epochs),
        train_seconds: epochs.iter().map(|epoch| epoch.seconds).sum(),
        tta: experiment.config.tta,
        test_scores: assessment.map(|assessment| assessment.scores.into()),
        kept: chosen.map(|epoch| Kept::of(epoch, data)),
        search: SearchCost::of(folder)?,
        head: HeadResult::of(folder)?,
    };
    if artifacts == Artifacts::All {
        if let Some((images, picture)) = TrainingImages::of(experiment)? {
            images.write(&picture, &folder.figures())?;
        }
        write_report(folder, &summary, &epochs)?;
    }
    if let Some(log) = log {
        let test = TestResult {
            steps: summary.steps,
            test_accuracy,
            test_loss,
        };
        log.finish(&folder.figures(), test)?;
    }
    checkpoint::remove_stop(&folder.checkpoints())?;
    journal::remove(folder)?;
    // Written last: a folder with a summary is a finished run.
    files::write_json(&folder.summary(), "the summary", &summary)?;
    Ok(summary)
}

/// The answers to all test images. If some are missing, because a process was stopped during the
/// evaluation, the network is evaluated again.
fn complete(
    answers: Answers,
    experiment: &Experiment,
    model: &Model,
) -> Result<Answers, TrainError> {
    let test = &experiment.data.test;
    if answers.len() == test.len() {
        return Ok(answers);
    }
    let mut answers = Answers::default();
    let batches = test.evaluation(experiment.config.eval_batch_size);
    let evaluator = Evaluator::new(model, &experiment.device).with_tta(experiment.config.tta);
    evaluator.each(batches, |logits| {
        answers.add(logits.values, logits.labels, logits.indices);
        false
    })?;
    Ok(answers)
}

/// Writes `assessment/` and, with all artifacts, the pictures of the worst images.
fn write_assessment(
    experiment: &Experiment,
    folder: &RunFolder,
    answers: &Answers,
    artifacts: Artifacts,
) -> Result<Option<Assessment>, TrainError> {
    let data = &experiment.data;
    let images = data.test.split();
    let on = assessment::measured_on(data);
    let mut assessment = Assessment::new(answers, &data.classes, images, on);
    if let Some(assessment) = &mut assessment {
        let figures = folder.figures();
        let pictures = (artifacts == Artifacts::All).then_some(Pictures {
            folder: &figures,
            images,
        });
        assessment.write(&folder.assessment(), pictures)?;
    }
    Ok(assessment)
}

/// Writes `figures/` and `report.html` of a finished run again, from its records.
///
/// # Errors
/// The records cannot be read, or files cannot be written.
pub(crate) fn rewrite_report(folder: &RunFolder) -> Result<(), TrainError> {
    let path = folder.summary();
    let text = files::read_text(&path)?;
    let summary: Summary = serde_json::from_str(&text).map_err(|source| FileError::JsonLine {
        path,
        line: source.line(),
        source,
    })?;
    write_report(folder, &summary, &folder.read_epochs()?)
}

/// Writes `figures/` and `report.html`. The data set is described as the run recorded it: it may
/// have changed since.
fn write_report(
    folder: &RunFolder,
    summary: &Summary,
    epochs: &[EpochRecord],
) -> Result<(), TrainError> {
    let run_file = folder.read_run_file()?;
    let plan = run_file.plan()?;
    let view = PlanView::new(&plan);
    let steps = folder.read_steps()?;
    let mut figures = figures::of_run(&RunRecords {
        steps: &steps,
        epochs,
        phases: view.marks(),
    });
    let found = match folder.range_test() {
        path if path.exists() => Some(RangeTestResult::read(&path)?),
        _ => None,
    };
    if let Some(found) = &found {
        figures.insert(0, found::captioned(found));
    }
    let rates = depth::rates(&run_file.config, run_file.config.model.parse()?)?;
    if !rates.is_empty() {
        figures.push(figures::rates_by_depth(&steps, &rates));
    }
    if summary.head.is_some() {
        let head = RunFolder::at(&folder.head());
        figures.extend(figures::of_head(&RunRecords {
            steps: &head.read_steps()?,
            epochs: &head.read_epochs()?,
            phases: &[],
        }));
    }
    let diagnoses = diagnose::read_during_run(folder)?;
    let requested = diagnose::read_requested(folder)?;
    figures.extend(diagnose::figures::of_diagnoses(
        &diagnoses,
        requested.as_ref(),
        &steps,
    ));
    let pictures = folder.figures();
    let assessment = Assessment::read(&folder.assessment())?;
    let reliability = assessment.as_ref().map(figures::reliability);
    if let Some(reliability) = &reliability {
        figures::write(&folder.figures(), &reliability.figure)?;
    }
    // A diagnosis made on request is more thorough than those of the run.
    let diagnosis = requested.as_ref().or(diagnoses.last());
    figures::write_all(&folder.figures(), &figures)?;

    let data = &run_file.data;
    let checksums: Vec<DataChecksum> = data
        .checksums
        .iter()
        .map(|(name, sha256)| DataChecksum {
            name: name.clone(),
            sha256: sha256.clone(),
        })
        .collect();
    let config = run_file.config.to_toml()?;
    let mut rows = vec![
        ("Network", summary.model.clone()),
        ("Parameters", summary.parameters.to_string()),
        ("Data set", summary.data.clone()),
        ("Training images", data.train_images.to_string()),
        (
            "Validation images",
            format!("{} ({})", data.validation_images, data.validation_is),
        ),
        ("Steps", summary.steps.to_string()),
        ("Seed", run_file.config.seed.to_string()),
        ("onecycle", env!("CARGO_PKG_VERSION").to_owned()),
    ];
    if let Some(kept) = &summary.kept {
        rows.push(("Saved network", kept.to_string()));
    }
    for retry in &run_file.retries {
        rows.push((
            "Retried",
            format!(
                "from step {} with {} times the plan's learning rate, after the loss was not finite at step {} with lr = {}",
                retry.from, retry.lr_scale, retry.diverged_at, retry.lr
            ),
        ));
    }
    if let Some(choice) = found.and_then(|found| found.choice) {
        rows.push(("Range test", choice.reason));
    }
    let training_images = TrainingImages::read(&folder.figures())?;
    let images: Option<DataReport> = match folder.data() {
        path if path.exists() => {
            let text = files::read_text(&path)?;
            let parsed = serde_json::from_str(&text).map_err(|source| FileError::JsonLine {
                path,
                line: source.line(),
                source,
            })?;
            Some(parsed)
        }
        _ => None,
    };
    Report {
        title: &format!(
            "{} on {} with the policy {}",
            summary.model,
            summary.data,
            run_file.config.policy.preset.kind()
        ),
        command: "onecycle train --config run.toml",
        summary: &rows,
        config: &config,
        data: &checksums,
        images: images.as_ref(),
        test: Some((summary.test_accuracy, summary.test_loss)),
        assessment: assessment.as_ref().zip(reliability.as_ref()).map(
            |(assessment, reliability)| AssessmentSection {
                assessment,
                reliability,
                pictures: &pictures,
            },
        ),
        epochs,
        figures: &figures,
        training_images: training_images
            .as_ref()
            .map(|(images, picture)| (images, picture.as_slice())),
        diagnosis: &diagnosis.map(Diagnosis::rows).unwrap_or_default(),
        head: summary.head.map(|head| head.to_string()).as_deref(),
        rates: &rates,
    }
    .write(&folder.report())
}

fn best(epochs: &[EpochRecord]) -> f64 {
    epochs
        .iter()
        .map(|epoch| epoch.val_accuracy)
        .fold(f64::NAN, f64::max)
}
