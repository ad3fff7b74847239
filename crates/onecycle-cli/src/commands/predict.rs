use std::process::ExitCode;

use crate::{
    args::{Format, Predict},
    output::{self, AnyError},
};
use onecycle_train::{
    device,
    device::Device,
    predict::{Classifier, Prediction},
};
use serde::Serialize;

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
