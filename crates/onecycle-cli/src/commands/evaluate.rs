use std::{io::IsTerminal, process::ExitCode};

use crate::{
    args::{Evaluate, Format, data_key},
    output::{self, AnyError},
};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use onecycle_train::{
    Config, ConfigError, TrainError,
    config::DataConfig,
    device,
    device::Device,
    evaluate::{self, ClassResult, Evaluation},
    predict::Classifier,
    run_folder::RunFolder,
};

pub(crate) fn run(args: &Evaluate) -> Result<ExitCode, AnyError> {
    device::set_threads(args.threads.count)?;
    let classifier = Classifier::open(&args.model, &device::open(Device::Cpu)?)?;
    let config = configuration(args)?;
    let bar = bar(args.show.quiet);
    let evaluation = evaluate::evaluate(
        &classifier,
        &config.data,
        config.seed,
        config.eval_batch_size,
        args.views.views(),
        |images, of| {
            bar.set_length(of);
            bar.set_position(images);
        },
    )?;
    bar.finish_and_clear();
    match args.show.format {
        Format::Json => output::json(&evaluation)?,
        Format::Text => output::text(&table(&evaluation))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The run's own configuration, or the default one, with the data that were asked for.
fn configuration(args: &Evaluate) -> Result<Config, TrainError> {
    let run = match RunFolder::look(&args.model) {
        Ok(folder) => Some(folder.read_run_file()?.config),
        // A model alone.
        Err(_) => None,
    };
    let Some(data) = &args.data else {
        return Ok(run.ok_or_else(|| ConfigError::Setting {
            key: "--data".to_owned(),
            value: "nothing".to_owned(),
            expected:
                "the images to evaluate on: a model file alone does not say where its own are"
                    .to_owned(),
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
            ..DataConfig::default()
        },
        ..config
    })
}

/// The result in a sentence, and a line a class.
fn table(evaluation: &Evaluation) -> String {
    let asked = match evaluation.flip {
        true => ", averaged over each image and its mirror image",
        false => "",
    };
    let mut text = format!(
        "{:.2} % of {} test images of {} are classified rightly{asked}; loss {:.4}\n\n",
        100.0 * evaluation.accuracy,
        evaluation.images,
        evaluation.data,
        evaluation.loss
    );
    let names = evaluation.classes.iter().map(|class| class.class.as_str());
    let width = names
        .chain(["class"])
        .map(|name| name.chars().count())
        .max();
    let width = width.unwrap_or(0);
    text += &format!(
        "{:width$}  images    right  most often taken for\n",
        "class"
    );
    for class in &evaluation.classes {
        let ClassResult {
            class,
            images,
            accuracy,
            taken_for,
        } = class;
        let right = accuracy.map_or("-".to_owned(), |share| format!("{:.1} %", 100.0 * share));
        let other = taken_for.as_ref().map_or(String::new(), |other| {
            format!(
                "{} ({:.1} %)",
                other.class,
                100.0 * other.images as f64 / *images as f64
            )
        });
        let line = format!("{class:width$}  {images:6}  {right:>7}  {other}");
        text += line.trim_end();
        text.push('\n');
    }
    text
}

fn bar(quiet: bool) -> ProgressBar {
    let target = match !quiet && std::io::stderr().is_terminal() {
        true => ProgressDrawTarget::stderr(),
        false => ProgressDrawTarget::hidden(),
    };
    let bar = ProgressBar::with_draw_target(Some(0), target);
    let template = "{elapsed_precise} {bar:28} {pos}/{len} images, {eta} left";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}
