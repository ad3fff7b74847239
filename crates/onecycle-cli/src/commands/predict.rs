use std::process::ExitCode;

use crate::{
    args::{Format, WhichViews, at_least_one},
    output::{self, AnyError},
};
use onecycle_train::{
    device,
    device::Device,
    predict::{Classifier, Prediction},
};
use serde::Serialize;

use clap::Args as ClapArgs;
use std::path::PathBuf;

#[derive(Debug, ClapArgs)]
pub(crate) struct Predict {
    /// model.safetensors of a run, or the run's folder
    pub(crate) model: PathBuf,
    /// Image files, png or jpeg
    #[arg(required = true)]
    pub(crate) images: Vec<PathBuf>,
    /// text, or json for programs
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
    /// Classes to show of each image
    #[arg(long, default_value_t = 3, value_parser = at_least_one)]
    pub(crate) top: usize,
    #[command(flatten)]
    pub(crate) views: WhichViews,
}

/// One image's answer for programs.
#[derive(Serialize)]
struct Answer {
    image: String,
    #[serde(flatten)]
    prediction: Prediction,
}

pub(crate) fn run(args: &Predict) -> Result<ExitCode, AnyError> {
    let classifier = Classifier::open(&args.model, &device::open(Device::Cpu)?)?;
    let views = args.views.views();
    let mut answers = Vec::with_capacity(args.images.len());
    for image in &args.images {
        let mut prediction = classifier.predict_file(image, views)?;
        prediction.all.truncate(args.top);
        answers.push(Answer {
            image: image.display().to_string(),
            prediction,
        });
    }
    match args.format {
        Format::Json => output::json(&answers)?,
        Format::Text => {
            for Answer { image, prediction } in &answers {
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
