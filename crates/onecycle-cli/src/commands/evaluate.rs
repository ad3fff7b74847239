//! `onecycle evaluate`: accuracy of a trained model on labelled images.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::Args as ClapArgs;
use onecycle_plot::table::align;
use onecycle_train::{
    Config, ConfigError, TrainError,
    config::DataConfig,
    device::{self, Device},
    evaluate::{self, ClassResult, Evaluation, Options, Part},
    predict::Classifier,
    run_folder::RunFolder,
    tta::Tta,
};

use crate::{
    args::{Format, OutputOptions, ThreadsOption, TtaOptions, data_key},
    bar::{Bar, Mode},
    output::{self, AnyError},
};

/// Arguments of `onecycle evaluate`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Evaluate {
    /// Folder of a run, or a model.safetensors
    pub(crate) model: PathBuf,
    /// Evaluate on the test images of this data set (name of a known one, or path of an image
    /// folder or of a data set's files) [default: the run's own]
    #[arg(long, value_name = "NAME|PATH")]
    pub(crate) data: Option<String>,
    /// CSV file with the label of each image of --data, if folders are not the classes
    #[arg(long, value_name = "FILE", requires = "data")]
    pub(crate) labels: Option<PathBuf>,
    /// Leave out images that cannot be read
    #[arg(long)]
    pub(crate) skip_bad: bool,
    /// Print the confusion matrix: images by true and predicted class
    #[arg(long)]
    pub(crate) confusion: bool,
    /// Write confusion.csv, classes.csv, reliability.csv, worst.csv (the images with the highest
    /// loss, with pictures) and assessment.json into this folder
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) tta: TtaOptions,
    #[command(flatten)]
    pub(crate) threads: ThreadsOption,
    #[command(flatten)]
    pub(crate) show: OutputOptions,
}

/// Evaluates the model and prints the result.
pub(crate) fn run(args: &Evaluate) -> Result<ExitCode, AnyError> {
    device::set_threads(args.threads.count)?;
    let classifier = Classifier::open(&args.model, &device::open(Device::Cpu)?)?;
    let run = run_configuration(&args.model)?;
    let tta = args.tta.tta(run.as_ref())?;
    let config = configuration(args, run)?;
    let template = "{elapsed_precise} {bar:28} {pos}/{len} images, {eta} left";
    let bar = Bar::new(template, Mode::of(args.show.quiet), Duration::MAX);
    let evaluation = evaluate::evaluate(
        &classifier,
        Options {
            data: &config.data,
            batch_size: config.eval_batch_size,
            tta,
            out: args.out.as_deref(),
        },
        |images, of| {
            bar.set(images, of, String::new());
        },
    )?;
    bar.finish();
    for note in &evaluation.notes {
        output::note(note);
    }
    match args.show.format {
        Format::Json => output::json(&evaluation)?,
        Format::Text => {
            output::text(&table(&evaluation))?;
            if args.confusion {
                output::text(&confusion(&evaluation))?;
            }
        }
    }
    if let (Some(out), false) = (&args.out, args.show.quiet) {
        output::note(&format!("assessment written to {}", out.display()));
    }
    Ok(ExitCode::SUCCESS)
}

/// The configuration of the run that a model belongs to; `None` for a model file without a run.
pub(crate) fn run_configuration(model: &Path) -> Result<Option<Config>, TrainError> {
    RunFolder::look(model)
        .ok()
        .map(|folder| Ok(folder.read_run_file()?.config))
        .transpose()
}

/// The run's configuration with the data of `--data`. For a model without a run, the default one.
fn configuration(args: &Evaluate, run: Option<Config>) -> Result<Config, TrainError> {
    let Some(data) = &args.data else {
        return Ok(run.ok_or_else(|| {
            ConfigError::setting(
                "--data",
                "nothing",
                "the images to evaluate on, because a model file without a run names none",
            )
        })?);
    };
    let config = run.unwrap_or_default();
    let (name, path) = match data_key(data) {
        "data.name" => (Some(data.clone()), None),
        _ => (None, Some(data.into())),
    };
    Ok(Config {
        data: DataConfig {
            name,
            path,
            labels: args.labels.clone(),
            skip_bad: args.skip_bad,
            ..DataConfig::default()
        },
        ..config
    })
}

/// The result as a sentence, and one line per class.
fn table(evaluation: &Evaluation) -> String {
    let averaged = match evaluation.tta {
        Tta::Image => String::new(),
        Tta::Mirror => ", averaging the predictions for each image and its mirror image".to_owned(),
        tta => format!(
            ", averaging the predictions for {} views of each image",
            tta.views()
        ),
    };
    let mut text = format!(
        "{:.2} % of {} {}images of {} are classified correctly{averaged}; loss {:.4}\n",
        100.0 * evaluation.accuracy,
        evaluation.images,
        match evaluation.part {
            Part::Test => "test ",
            Part::All => "",
        },
        evaluation.data,
        evaluation.loss
    );
    if evaluation.assessment.scores.is_imbalanced() {
        text += &format!(
            "balanced accuracy {:.2} %, macro F1 {:.3}: the largest class has {:.1} times the images of the smallest\n",
            100.0 * evaluation.balanced_accuracy,
            evaluation.macro_f1,
            evaluation.assessment.scores.imbalance,
        );
    }
    text.push('\n');
    let names = evaluation.classes.iter().map(|class| class.class.as_str());
    let width = names
        .chain(["class"])
        .map(|name| name.chars().count())
        .max();
    let width = width.unwrap_or(0);
    let percent =
        |share: Option<f64>| share.map_or("-".to_owned(), |s| format!("{:.1} %", 100.0 * s));
    text += &format!(
        "{:width$}  images  correct  precision       F1  most often confused with\n",
        "class"
    );
    for class in &evaluation.classes {
        let ClassResult {
            class,
            images,
            accuracy,
            precision,
            f1,
            taken_for,
        } = class;
        let other = taken_for.as_ref().map_or(String::new(), |other| {
            format!(
                "{} ({:.1} %)",
                other.class,
                100.0 * other.images as f64 / *images as f64
            )
        });
        let line = format!(
            "{class:width$}  {images:6}  {:>7}  {:>9}  {:>7}  {other}",
            percent(*accuracy),
            percent(*precision),
            percent(*f1)
        );
        text += line.trim_end();
        text.push('\n');
    }
    text
}

/// The confusion matrix: one line per true class, one column per predicted class.
fn confusion(evaluation: &Evaluation) -> String {
    let mut rows = vec![vec!["true \\ predicted".to_owned()]];
    rows[0].extend(evaluation.classes.iter().map(|class| class.class.clone()));
    for (class, counts) in evaluation.classes.iter().zip(&evaluation.confusion) {
        let mut row = vec![class.class.clone()];
        row.extend(counts.iter().map(u64::to_string));
        rows.push(row);
    }
    format!("\n{}", align(&rows))
}
