//! `onecycle plan`: a policy over a run, without training.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args as ClapArgs, ValueEnum};
use onecycle_plot::terminal::Charset;
use onecycle_train::{
    Config, ConfigError, TrainError, experiment, files, image_sizes::ImageSizes,
    plan_view::PlanView,
};
use onecycle_vision::{catalog, source};

use crate::{
    args::ConfigOptions,
    output::{self, AnyError},
};

/// Arguments of `onecycle plan`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Plan {
    #[command(flatten)]
    pub(crate) configuration: ConfigOptions,
    /// Output format
    #[arg(long, value_enum, default_value_t = PlanFormat::Plot)]
    pub(crate) format: PlanFormat,
    /// Write a figure of learning rate and momentum to this file, which ends in .svg or .png; may
    /// be repeated
    #[arg(long, value_name = "FILE")]
    pub(crate) figure: Vec<PathBuf>,
    /// Number of training images [default: that of the known data set]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) images: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PlanFormat {
    /// A plot for the terminal and the table of phases
    Plot,
    /// The table of phases
    Table,
    /// One line per step
    Csv,
    /// Learning rate and momentum of every step
    Json,
}

/// Lines of the plot.
const HEIGHT: usize = 20;

/// Resolves the policy and prints the plan.
pub(crate) fn run(args: &Plan) -> Result<ExitCode, AnyError> {
    let formats: Vec<FigureFormat> = args
        .figure
        .iter()
        .map(|path| FigureFormat::of(path))
        .collect::<Result<_, _>>()?;
    let config = args.configuration.resolve()?;
    let images = args.images.or_else(|| images(&config));
    check_length(&config, images)?;
    let plan = experiment::plan(&config, images)?;
    let view = PlanView::new(&plan).with_image_sizes(ImageSizes::sides(&config, &plan)?);
    for (path, format) in args.figure.iter().zip(formats) {
        let figure = view.figure();
        let bytes = match format {
            FigureFormat::Svg => figure.svg()?.into_bytes(),
            FigureFormat::Png => figure.png()?,
        };
        files::write_whole(path, &bytes)?;
    }
    match args.format {
        PlanFormat::Plot => {
            output::text(&view.terminal(output::plot_width(), HEIGHT, Charset::Braille))?;
            output::text(&view.table())?;
        }
        PlanFormat::Table => output::text(&view.table())?,
        PlanFormat::Csv => output::text(&view.csv())?,
        PlanFormat::Json => output::text(&view.json()?)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Refuses a length in epochs of unknown data: `plan` does not read the data, so it cannot tell how
/// many steps an epoch has.
fn check_length(config: &Config, images: Option<usize>) -> Result<(), ConfigError> {
    let unknown = config.steps.is_none() && images.is_none();
    if unknown && config.policy.policy()?.length().is_none() {
        return Err(ConfigError::setting(
            "--images",
            "nothing",
            "the number of training images, because the data are not a known data set; or a length \
             in --steps",
        ));
    }
    Ok(())
}

#[derive(Clone, Copy)]
enum FigureFormat {
    Svg,
    Png,
}

impl FigureFormat {
    fn of(path: &Path) -> Result<Self, TrainError> {
        match path.extension().and_then(OsStr::to_str) {
            Some("svg") => Ok(FigureFormat::Svg),
            Some("png") => Ok(FigureFormat::Png),
            _ => Err(ConfigError::setting(
                "--figure",
                path.display(),
                "a file that ends in .svg or .png",
            )
            .into()),
        }
    }
}

/// Number of training images of a known data set, without reading it. Held-out images are a share
/// of each class, so the number is exact if all classes have the same number of images.
fn images(config: &Config) -> Option<usize> {
    let name = match (&config.data.name, &config.data.path) {
        (None, Some(_)) => return None,
        (name, _) => name.as_deref().unwrap_or(source::DEFAULT),
    };
    let set = catalog::find(name).ok()?;
    let all = match config.data.limit {
        0 => set.train,
        limit => set.train.min(limit),
    };
    let classes = set.classes.len().max(1);
    let held_out = (all as f64 / classes as f64 * config.data.validation).round() as usize;
    Some(all - classes * held_out)
}
