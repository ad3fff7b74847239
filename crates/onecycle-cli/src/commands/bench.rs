use std::process::ExitCode;

use onecycle_lab::{
    LabError,
    bench::{self, BenchConfig},
    config, device,
};
use onecycle_vision::{ImageShape, models::Architecture};

use crate::{
    args::{Bench, Format},
    output::{self, AnyError},
};

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
        ("--threads", args.threads, MOST_THREADS),
    ] {
        if value > most {
            return Err(Box::new(LabError::Setting {
                key: key.to_owned(),
                value: value.to_string(),
                expected: format!("at most {most}"),
            }));
        }
    }
    device::set_threads(args.threads)?;
    let result = bench::run(&BenchConfig {
        architecture,
        shape,
        classes: args.classes,
        batch_size: args.batch,
        device: config::Device::parse(&args.device)?,
        warm_up: args.warm_up,
        steps: args.steps,
    })?;
    match args.format {
        Format::Json => output::json(&result)?,
        Format::Text => output::text(&format!(
            "{} at batch size {} with {} threads: {:.0} images/s\n\
             forward {:.1} ms, backward {:.1} ms, update {:.1} ms; peak memory {:.0} MiB",
            result.model,
            result.batch_size,
            result.threads,
            result.images_per_second,
            result.forward_ms,
            result.backward_ms,
            result.update_ms,
            result.peak_memory_bytes as f64 / (1 << 20) as f64
        ))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The shape that was asked for, or the one of the network's usual data set.
fn shape(args: &Bench, architecture: Architecture) -> Result<ImageShape, LabError> {
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
        _ => Err(LabError::Setting {
            key: "--shape".to_owned(),
            value: text.clone(),
            expected: format!("three sizes such as 3x32x32, each 1 to {LARGEST_SIDE}"),
        }),
    }
}
