//! `onecycle weights`: pretrained weights.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Subcommand;
use onecycle_vision::weights::{self, KnownWeights};
use serde::Serialize;

use super::data::with_bar;
use crate::{
    args::Format,
    output::{self, AnyError},
};

/// Subcommands of `onecycle weights`.
#[derive(Debug, Subcommand)]
pub(crate) enum Weights {
    /// List the known weights and where each file is
    List {
        /// Output format
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// Download known weights; a download that was interrupted continues
    Get {
        /// Name of the weights, as in `onecycle weights list`
        name: String,
        /// Folder for the file [default: weights in the user's cache folder]
        #[arg(long, value_name = "DIR")]
        to: Option<PathBuf>,
        /// Download from the folder at this address [default: ONECYCLE_WEIGHTS_URL, or the published
        /// address]
        #[arg(long, value_name = "URL")]
        from: Option<String>,
    },
}

/// Runs a subcommand of `onecycle weights`.
pub(crate) fn run(args: &Weights) -> Result<ExitCode, AnyError> {
    match args {
        Weights::List { format } => list(*format),
        Weights::Get { name, to, from } => get(name, to.as_deref(), from.as_deref()),
    }
}

/// Known weights in the JSON output.
#[derive(Serialize)]
struct Known {
    name: &'static str,
    network: &'static str,
    source: &'static str,
    url: &'static str,
    file: &'static str,
    bytes: u64,
    sha256: &'static str,
    licence: &'static str,
    mean: [f32; 3],
    std: [f32; 3],
    image_size: usize,
    crop: f64,
    top1: f64,
    path: Option<String>,
}

impl Known {
    fn of(known: &KnownWeights) -> Self {
        Known {
            name: known.name,
            network: known.network,
            source: known.source,
            url: known.url,
            file: known.file,
            bytes: known.size,
            sha256: known.sha256,
            licence: known.licence,
            mean: known.mean,
            std: known.std,
            image_size: known.image_size,
            crop: known.crop,
            top1: known.top1,
            path: weights::installed(known).map(|path| path.display().to_string()),
        }
    }
}

fn list(format: Format) -> Result<ExitCode, AnyError> {
    let all: Vec<Known> = weights::all().iter().map(Known::of).collect();
    if format == Format::Json {
        output::json(&all)?;
        return Ok(ExitCode::SUCCESS);
    }
    output::text(&format!(
        "{:<20} {:>9} {:>6}  {:<11} where",
        "name", "size", "top-1", "licence"
    ))?;
    for known in &all {
        let place = match &known.path {
            Some(path) => path.clone(),
            None => format!("not found; run `onecycle weights get {}`", known.name),
        };
        output::text(&format!(
            "{:<20} {:>6.1} MB {:>4.1} %  {:<11} {place}",
            known.name,
            known.bytes as f64 / 1e6,
            100.0 * known.top1,
            known.licence
        ))?;
    }
    output::text(
        "top-1: published accuracy on ImageNet, 224 x 224 pixels. --format json has sources and checksums.",
    )?;
    output::text("Other weights: --init FILE with a safetensors file of timm or torchvision")?;
    Ok(ExitCode::SUCCESS)
}

fn get(name: &str, to: Option<&Path>, from: Option<&str>) -> Result<ExitCode, AnyError> {
    let path = with_bar(|progress| weights::get(name, to, from, progress))?;
    output::text(&format!("{name} is in {}", path.display()))?;
    Ok(ExitCode::SUCCESS)
}
