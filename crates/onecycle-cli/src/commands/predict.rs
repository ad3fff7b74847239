//! `onecycle predict`: classes of image files.

use std::{
    io::{self, BufRead},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args as ClapArgs, ValueEnum};
use onecycle_plot::format::csv_field;
use onecycle_train::{
    ConfigError, TrainError,
    device::{self, Device},
    predict::{Classifier, Prediction},
};
use onecycle_vision::folder;
use serde::Serialize;

use super::evaluate::run_configuration;
use crate::{
    args::{ThreadsOption, TtaOptions, at_least_one},
    output::{self, AnyError},
};

/// Arguments of `onecycle predict`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Predict {
    /// Folder of a run, or a model.safetensors
    pub(crate) model: PathBuf,
    /// Image files, folders of any depth, patterns such as 'new/*.jpg', or `-` for a list on
    /// standard input, one file per line
    #[arg(required = true)]
    pub(crate) images: Vec<PathBuf>,
    /// Output format
    #[arg(long, value_enum, default_value_t = PredictFormat::Text)]
    pub(crate) format: PredictFormat,
    /// Number of most probable classes to show per image
    #[arg(long, value_name = "K", default_value_t = 3, value_parser = at_least_one)]
    pub(crate) top: usize,
    #[command(flatten)]
    pub(crate) threads: ThreadsOption,
    #[command(flatten)]
    pub(crate) tta: TtaOptions,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PredictFormat {
    /// One line per image: classes with their probabilities
    Text,
    /// One line per image: file, then class and probability of each of the K classes
    Csv,
    /// One JSON object per line and image
    Jsonl,
    /// One JSON list
    Json,
}

/// Images classified together.
const BATCH: usize = 64;

/// Prediction for one image in the JSON output.
#[derive(Serialize)]
struct ImagePrediction {
    image: String,
    #[serde(flatten)]
    prediction: Prediction,
}

/// Classifies the images and prints the most probable classes. Files that cannot be read are
/// reported, and the others are classified.
pub(crate) fn run(args: &Predict) -> Result<ExitCode, AnyError> {
    device::set_threads(args.threads.count)?;
    let classifier = Classifier::open(&args.model, &device::open(Device::Cpu)?)?;
    let tta = args.tta.tta(run_configuration(&args.model)?.as_ref())?;
    let files = files(&args.images)?;
    let top = args.top.min(classifier.card().classes.len());
    if args.format == PredictFormat::Csv {
        output::text(&header(top))?;
    }
    let (mut all, mut failures) = (Vec::new(), 0);
    for batch in files.chunks(BATCH) {
        let predictions = classifier.predict_files(batch, tta)?;
        for (file, prediction) in batch.iter().zip(predictions) {
            let image = file.display().to_string();
            match prediction {
                Err(error) => {
                    failures += 1;
                    output::note(&output::one_line(&format!("onecycle: {error}")));
                }
                Ok(mut prediction) => {
                    prediction.all.truncate(top);
                    let line = ImagePrediction { image, prediction };
                    match args.format {
                        PredictFormat::Text => output::text(&text(&line))?,
                        PredictFormat::Csv => output::text(&csv(&line))?,
                        PredictFormat::Jsonl => output::text(&serde_json::to_string(&line)?)?,
                        PredictFormat::Json => all.push(line),
                    }
                }
            }
        }
    }
    if args.format == PredictFormat::Json {
        output::json(&all)?;
    }
    Ok(match failures {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

/// The image files that the arguments name, in their order.
fn files(arguments: &[PathBuf]) -> Result<Vec<PathBuf>, AnyError> {
    let mut files = Vec::new();
    for argument in arguments {
        if argument.as_os_str() == "-" {
            for line in io::stdin().lock().lines() {
                let line = line?;
                if !line.trim().is_empty() {
                    files.push(PathBuf::from(line.trim_end_matches('\r')));
                }
            }
        } else if argument.is_dir() {
            let found = folder::image_files(argument).map_err(TrainError::from)?;
            if found.is_empty() {
                return Err(nothing(argument, "a folder with images"));
            }
            files.extend(found);
        } else if argument.exists() {
            files.push(argument.clone());
        } else {
            files.extend(matches(argument)?);
        }
    }
    match files.is_empty() {
        true => Err(nothing(Path::new("-"), "at least one image file")),
        false => Ok(files),
    }
}

/// The files that match a pattern; the path itself if it is not a pattern.
fn matches(pattern: &Path) -> Result<Vec<PathBuf>, AnyError> {
    let text = pattern.to_string_lossy();
    if !text.contains(['*', '?', '[']) {
        return Ok(vec![pattern.to_path_buf()]);
    }
    let mut files = Vec::new();
    for path in glob::glob(&text)? {
        let path = path?;
        match path.is_dir() {
            true => files.extend(folder::image_files(&path).map_err(TrainError::from)?),
            false => files.push(path),
        }
    }
    match files.is_empty() {
        true => Err(nothing(pattern, "a pattern that matches files")),
        false => Ok(files),
    }
}

fn nothing(argument: &Path, expected: &str) -> AnyError {
    ConfigError::setting("IMAGES", argument.display(), expected).into()
}

fn header(top: usize) -> String {
    let columns = (1..=top).map(|rank| format!(",class_{rank},probability_{rank}"));
    "file".to_owned() + &columns.collect::<String>()
}

fn csv(line: &ImagePrediction) -> String {
    let mut text = csv_field(&line.image).into_owned();
    for (class, probability) in &line.prediction.all {
        text += &format!(",{},{probability:.6}", csv_field(class));
    }
    text
}

fn text(line: &ImagePrediction) -> String {
    let classes: Vec<String> = line
        .prediction
        .all
        .iter()
        .map(|(class, probability)| format!("{class} {:.1} %", 100.0 * probability))
        .collect();
    format!("{}: {}", output::one_line(&line.image), classes.join(", "))
}
