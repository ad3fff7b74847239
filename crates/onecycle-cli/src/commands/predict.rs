//! `onecycle predict`: classes of image files.

use std::{path::PathBuf, process::ExitCode};

use clap::Args as ClapArgs;
use onecycle_train::{
    device::{self, Device},
    predict::{Classifier, Prediction},
};
use serde::Serialize;

use crate::{
    args::{Format, TtaOptions, at_least_one},
    output::{self, AnyError},
};

/// Arguments of `onecycle predict`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Predict {
    /// Folder of a run, or a model.safetensors
    pub(crate) model: PathBuf,
    /// Image files, PNG or JPEG
    #[arg(required = true)]
    pub(crate) images: Vec<PathBuf>,
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
    /// Number of most probable classes to show per image
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = at_least_one)]
    pub(crate) top: usize,
    #[command(flatten)]
    pub(crate) tta: TtaOptions,
}

/// Prediction for one image in the JSON output.
#[derive(Serialize)]
struct ImagePrediction {
    image: String,
    #[serde(flatten)]
    prediction: Prediction,
}

/// Classifies the images and prints the most probable classes.
pub(crate) fn run(args: &Predict) -> Result<ExitCode, AnyError> {
    let classifier = Classifier::open(&args.model, &device::open(Device::Cpu)?)?;
    let tta = args.tta.tta();
    let mut predictions = Vec::with_capacity(args.images.len());
    for image in &args.images {
        let mut prediction = classifier.predict_file(image, tta)?;
        prediction.all.truncate(args.top);
        predictions.push(ImagePrediction {
            image: image.display().to_string(),
            prediction,
        });
    }
    match args.format {
        Format::Json => output::json(&predictions)?,
        Format::Text => {
            for ImagePrediction { image, prediction } in &predictions {
                let classes: Vec<String> = prediction
                    .all
                    .iter()
                    .map(|(class, probability)| format!("{class} {:.1} %", 100.0 * probability))
                    .collect();
                output::text(&format!("{image}: {}", classes.join(", ")))?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
