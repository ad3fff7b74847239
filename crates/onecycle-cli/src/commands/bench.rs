use std::process::ExitCode;

use crate::{
    args::{Format, Threads, at_least_one},
    output::{self, AnyError},
};
use onecycle_plot::format::duration;
use onecycle_train::{
    ConfigError, TrainError,
    bench::{self, BenchConfig, BenchResult},
    config::Config,
    device,
};
use onecycle_vision::{ImageShape, models::Architecture};
use serde::Serialize;

use clap::Args as ClapArgs;

#[derive(Debug, ClapArgs)]
pub(crate) struct Bench {
    /// Network
    #[arg(long, default_value = "resnet-small")]
    pub(crate) model: String,
    /// Images a step
    #[arg(long, default_value_t = 128, value_parser = at_least_one)]
    pub(crate) batch: usize,
    /// Shape of an image, CHANNELSxHEIGHTxWIDTH; 1x28x28 for resnet-small, lenet5, convnet and mlp, else 3x32x32
    #[arg(long)]
    pub(crate) shape: Option<String>,
    /// Classes
    #[arg(long, default_value_t = 10, value_parser = at_least_one)]
    pub(crate) classes: usize,
    #[command(flatten)]
    pub(crate) threads: Threads,
    /// cpu, cuda or wgpu
    #[arg(long, default_value = "cpu")]
    pub(crate) device: String,
    /// Steps that are measured
    #[arg(long, default_value_t = 10, value_parser = at_least_one)]
    pub(crate) steps: usize,
    /// Steps before these
    #[arg(long, default_value_t = 3)]
    pub(crate) warm_up: usize,
    /// text, or json for programs
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

/// Largest height, width and number of channels.
const LARGEST_SIDE: usize = 1024;
/// Values of the largest batch: a gibibyte as 32-bit numbers.
const MOST_VALUES: usize = 1 << 28;
/// Classes of the largest data set of images.
const MOST_CLASSES: usize = 100_000;
/// Threads that any system starts.
const MOST_THREADS: usize = 1024;

pub(crate) fn run(args: &Bench) -> Result<ExitCode, AnyError> {
    let architecture: Architecture = args.model.parse()?;
    let shape = shape(args, architecture)?;
    let most = MOST_VALUES / (shape.channels * shape.height * shape.width);
    for (key, value, most) in [
        ("--batch", args.batch, most),
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
        batch_size: args.batch,
        device: args.device.parse()?,
        warm_up: args.warm_up,
        steps: args.steps,
    };
    let result = bench::run(&config)?;
    let forecast = forecast(&config, &result)?;
    match args.format {
        Format::Json => output::json(&WithForecast {
            result: &result,
            forecast: &forecast,
        })?,
        Format::Text => output::text(&format!(
            "{} at batch size {} with {} threads: {:.0} images/s\n\
             forward {:.1} ms, backward {:.1} ms, update {:.1} ms; peak memory {:.0} MiB\n\
             an epoch of {} images and its evaluation: {}; `onecycle train` without arguments: {}",
            result.model,
            result.batch_size,
            result.threads,
            result.images_per_second,
            result.forward_ms,
            result.backward_ms,
            result.update_ms,
            result.peak_memory_bytes as f64 / (1 << 20) as f64,
            forecast.epoch_images,
            duration(forecast.epoch_seconds),
            duration(forecast.default_run_seconds),
        ))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// What the measured speed means for a person's time.
#[derive(Serialize)]
struct Forecast {
    /// Training images of the usual data set of this shape.
    epoch_images: usize,
    /// Seconds of an epoch of them, evaluation included.
    epoch_seconds: f64,
    /// Seconds of `onecycle train` without arguments.
    default_run_seconds: f64,
}

#[derive(Serialize)]
struct WithForecast<'a> {
    #[serde(flatten)]
    result: &'a BenchResult,
    #[serde(flatten)]
    forecast: &'a Forecast,
}

/// Test images of Fashion-MNIST, MNIST and CIFAR alike.
const TEST_IMAGES: usize = 10_000;

/// Measures the default run's network too, unless it was the one.
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

/// The shape that was asked for, or the one of the network's usual data set.
fn shape(args: &Bench, architecture: Architecture) -> Result<ImageShape, TrainError> {
    let Some(text) = &args.shape else {
        return Ok(match architecture {
            Architecture::ResNet { .. } | Architecture::ResNet9 => ImageShape::new(3, 32, 32),
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
            format!("three sizes such as 3x32x32, each 1 to {LARGEST_SIDE}"),
        )
        .into()),
    }
}
