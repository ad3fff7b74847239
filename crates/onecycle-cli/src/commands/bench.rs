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

pub(crate) fn run(args: &Bench) -> Result<ExitCode, AnyError> {
    let architecture: Architecture = args.model.parse()?;
    for (key, value) in [
        ("--batch", args.batch),
        ("--classes", args.classes),
        ("--steps", args.steps),
    ] {
        if value == 0 {
            return Err(Box::new(LabError::Setting {
                key: key.to_owned(),
                value: "0".to_owned(),
                expected: "at least 1".to_owned(),
            }));
        }
    }
    device::set_threads(args.threads)?;
    let result = bench::run(&BenchConfig {
        architecture,
        shape: shape(args, architecture)?,
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
    let sides: Vec<usize> = text
        .split('x')
        .filter_map(|side| side.parse().ok())
        .collect();
    match sides.as_slice() {
        [channels, height, width] if sides.iter().all(|side| *side > 0) => {
            Ok(ImageShape::new(*channels, *height, *width))
        }
        _ => Err(LabError::Setting {
            key: "--shape".to_owned(),
            value: text.clone(),
            expected: "three sizes such as 3x32x32".to_owned(),
        }),
    }
}
