use std::{ffi::OsStr, path::Path, process::ExitCode};

use crate::{
    args::Configuration,
    output::{self, AnyError},
};
use onecycle_plot::terminal::Charset;
use onecycle_train::{Config, ConfigError, TrainError, experiment, files, plan_view::PlanView};

use onecycle_vision::{catalog, source};

use clap::{Args as ClapArgs, ValueEnum};
use std::path::PathBuf;

#[derive(Debug, ClapArgs)]
pub(crate) struct Plan {
    #[command(flatten)]
    pub(crate) configuration: Configuration,
    /// How to show it
    #[arg(long, value_enum, default_value_t = PlanFormat::Plot)]
    pub(crate) format: PlanFormat,
    /// Write a figure of learning rate and momentum, by its ending .svg or .png; may be repeated
    #[arg(long, value_name = "FILE")]
    pub(crate) figure: Vec<PathBuf>,
    /// Images in the training set, where they are not those of a known data set
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) images: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PlanFormat {
    /// A plot for the terminal, and the table of phases
    Plot,
    /// The table of phases
    Table,
    /// A line a step
    Csv,
    /// All series
    Json,
}

/// Columns of the plot where the terminal does not say how many it has.
const WIDTH: usize = 80;
/// Lines of the plot.
const HEIGHT: usize = 20;

pub(crate) fn run(args: &Plan) -> Result<ExitCode, AnyError> {
    let formats: Vec<FigureFormat> = args
        .figure
        .iter()
        .map(|path| FigureFormat::of(path))
        .collect::<Result<_, _>>()?;
    let config = args.configuration.resolve()?;
    let images = args.images.or_else(|| images(&config));
    let plan = experiment::plan(&config, images)?;
    let view = PlanView::new(&plan);
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
            output::text(&view.terminal(width(), HEIGHT, Charset::Braille))?;
            output::text(&view.table())?;
        }
        PlanFormat::Table => output::text(&view.table())?,
        PlanFormat::Csv => output::text(&view.csv())?,
        PlanFormat::Json => output::text(&view.json()?)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Columns of a plot: the terminal's, but no more than can be read well.
pub(super) fn width() -> usize {
    let width = terminal_size::terminal_size().map_or(WIDTH, |(width, _)| width.0.into());
    width.min(120)
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

/// Training images of a known data set, known without reading it. What is held out is taken from each class alike:
/// the number is exact where all classes have as many images.
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
