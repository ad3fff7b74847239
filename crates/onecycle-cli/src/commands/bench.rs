//! `onecycle bench`: training speed of this machine.

use std::process::ExitCode;

use clap::Args as ClapArgs;
use onecycle_plot::format::duration;
use onecycle_train::{
    ConfigError, TrainError,
    bench::{self, BenchConfig, BenchResult},
    config::{Config, Layers},
    device,
};
use onecycle_vision::{ImageShape, models::Architecture};
use serde::Serialize;

use crate::{
    args::{Format, ThreadsOption, at_least_one},
    output::{self, AnyError},
};

/// Arguments of `onecycle bench`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Bench {
    /// Measure the steps of this recipe: its network, batch size, loss and optimizer
    #[arg(long, value_name = "NAME")]
    pub(crate) recipe: Option<String>,
    /// Network, as for `onecycle train` [default: resnet-small]
    #[arg(long, value_name = "NAME")]
    pub(crate) model: Option<String>,
    /// Images per update [default: 128]
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub(crate) batch: Option<usize>,
    /// Shape of an image [default: 3x32x32 for resnet8 to resnet110, resnet9 and
    /// airbench94; 3x224x224 for resnet18, 34, 50 and efficientnet-lite0; 1x28x28
    /// otherwise]
    #[arg(long, value_name = "CHANNELSxHEIGHTxWIDTH")]
    pub(crate) shape: Option<String>,
    /// Number of classes
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = at_least_one)]
    pub(crate) classes: usize,
    #[command(flatten)]
    pub(crate) threads: ThreadsOption,
    /// Where to compute: cpu, cuda or wgpu
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    pub(crate) device: String,
    /// Measure evaluations of a batch instead of updates: forward passes in evaluation mode
    #[arg(long)]
    pub(crate) evaluation: bool,
    /// Updates or evaluations to measure; times are medians over them
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = at_least_one)]
    pub(crate) steps: usize,
    /// Updates or evaluations before the measured ones
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub(crate) warm_up: usize,
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

/// Largest height, width and number of channels.
const LARGEST_SIDE: usize = 1024;
/// Largest number of values in a batch: 1 GiB of 32-bit numbers.
const MOST_VALUES: usize = 1 << 28;
/// Largest number of classes.
const MOST_CLASSES: usize = 100_000;
/// Largest number of threads.
const MOST_THREADS: usize = 1024;

/// Measures the speed and prints it with the time of an epoch.
pub(crate) fn run(args: &Bench) -> Result<ExitCode, AnyError> {
    let settings = match &args.recipe {
        Some(name) => Layers::new()?.recipe(name)?.resolve()?,
        None => Config::default(),
    };
    let model = args.model.as_ref().unwrap_or(&settings.model);
    let batch_size = args.batch.unwrap_or(settings.batch_size);
    let architecture: Architecture = model.parse()?;
    let shape = shape(args, architecture)?;
    let most = MOST_VALUES / (shape.channels * shape.height * shape.width);
    for (key, value, most) in [
        ("--batch", batch_size, most),
        ("--classes", args.classes, MOST_CLASSES),
        ("--threads", args.threads.count, MOST_THREADS),
    ] {
        if value > most {
            return Err(Box::new(ConfigError::setting(
                key.to_owned(),
                value,
                format!("at most {most}"),
            )));
        }
    }
    device::set_threads(args.threads.count)?;
    let config = BenchConfig {
        architecture,
        shape,
        classes: args.classes,
        batch_size,
        label_smoothing: settings.label_smoothing,
        optimizer: settings.optimizer,
        device: args.device.parse()?,
        evaluation: args.evaluation,
        warm_up: args.warm_up,
        steps: args.steps,
    };
    let result = bench::run(&config)?;
    if config.evaluation {
        match args.format {
            Format::Json => output::json(&result)?,
            Format::Text => output::text(&format!(
                "evaluation of {} at batch size {} with {} threads: {:.0} images/s; peak memory {:.0} MiB",
                result.model,
                result.batch_size,
                result.threads,
                result.images_per_second,
                mebibytes(&result),
            ))?,
        }
        return Ok(ExitCode::SUCCESS);
    }
    let forecast = forecast(&config, &result)?;
    match args.format {
        Format::Json => output::json(&WithForecast {
            result: &result,
            forecast: &forecast,
        })?,
        Format::Text => output::text(&format!(
            "{} at batch size {} with {} threads: {:.0} images/s\n\
             forward {:.1} ms, backward {:.1} ms, update {:.1} ms; peak memory {:.0} MiB\n\
             one epoch of {} images with evaluation: {}; `onecycle train` with defaults: {}",
            result.model,
            result.batch_size,
            result.threads,
            result.images_per_second,
            result.forward_ms,
            result.backward_ms.unwrap_or_default(),
            result.update_ms.unwrap_or_default(),
            mebibytes(&result),
            forecast.epoch_images,
            duration(forecast.epoch_seconds),
            duration(forecast.default_run_seconds),
        ))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Peak memory of a measurement.
fn mebibytes(result: &BenchResult) -> f64 {
    result.peak_memory_bytes as f64 / (1 << 20) as f64
}

/// Estimated time of an epoch and of a run at the measured speed.
#[derive(Serialize)]
struct Forecast {
    /// Training images of the known data sets with this image shape.
    epoch_images: usize,
    /// Seconds per epoch of these images, including the evaluation.
    epoch_seconds: f64,
    /// Seconds of `onecycle train` with default settings.
    default_run_seconds: f64,
}

/// The JSON output.
#[derive(Serialize)]
struct WithForecast<'a> {
    #[serde(flatten)]
    result: &'a BenchResult,
    #[serde(flatten)]
    forecast: &'a Forecast,
}

/// Test images of each known data set.
const TEST_IMAGES: usize = 10_000;

/// Estimates times. Also measures the default run's network, unless that is the measured one.
fn forecast(measured: &BenchConfig, result: &BenchResult) -> Result<Forecast, TrainError> {
    let train_images = |shape: ImageShape| match shape {
        ImageShape {
            channels: 1,
            height: 28,
            width: 28,
        } => 60_000,
        _ => 50_000,
    };
    let run = Config::default();
    let shape = ImageShape::new(1, 28, 28);
    let default_config = BenchConfig {
        architecture: run.model.parse()?,
        shape,
        classes: 10,
        batch_size: run.batch_size,
        label_smoothing: run.label_smoothing,
        optimizer: run.optimizer,
        ..measured.clone()
    };
    let default_result = if default_config == *measured {
        result.clone()
    } else {
        bench::run(&default_config)?
    };
    let epochs = run.epochs.unwrap_or(1.0);
    let epoch_images = train_images(measured.shape);
    Ok(Forecast {
        epoch_images,
        epoch_seconds: result.seconds(1.0, epoch_images, TEST_IMAGES),
        default_run_seconds: default_result.seconds(epochs, train_images(shape), TEST_IMAGES),
    })
}

/// The shape of `--shape`, or that of the network's usual data set.
fn shape(args: &Bench, architecture: Architecture) -> Result<ImageShape, TrainError> {
    let Some(text) = &args.shape else {
        return Ok(match architecture {
            Architecture::ResNet { .. } | Architecture::ResNet9 | Architecture::Airbench94 => {
                ImageShape::new(3, 32, 32)
            }
            Architecture::ResNet18
            | Architecture::ResNet34
            | Architecture::ResNet50
            | Architecture::EfficientNetLite0
            | Architecture::TfEfficientNetLite0 => ImageShape::new(3, 224, 224),
            _ => ImageShape::new(1, 28, 28),
        });
    };
    let sides: Result<Vec<usize>, _> = text.split('x').map(str::parse).collect();
    match sides.as_deref() {
        Ok(&[channels, height, width])
            if [channels, height, width]
                .iter()
                .all(|side| (1..=LARGEST_SIDE).contains(side)) =>
        {
            Ok(ImageShape::new(channels, height, width))
        }
        _ => Err(ConfigError::setting(
            "--shape",
            text.clone(),
            format!("three sizes such as 3x32x32, each from 1 to {LARGEST_SIDE}"),
        )
        .into()),
    }
}
