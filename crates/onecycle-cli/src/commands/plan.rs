use std::{ffi::OsStr, fs, process::ExitCode};

use onecycle_lab::{
    Config, LabError, experiment,
    plan_view::{Charset, PlanView},
};
use onecycle_vision::catalog;

use crate::{
    args::{Plan, PlanFormat},
    output::{self, AnyError},
};

/// Columns of the plot where the terminal does not say how many it has.
const WIDTH: usize = 80;
/// Lines of the plot.
const HEIGHT: usize = 20;

pub(crate) fn run(args: &Plan) -> Result<ExitCode, AnyError> {
    let config = args.configuration.resolve()?;
    let images = args.images.or_else(|| images(&config));
    let plan = experiment::plan(&config, images)?;
    let view = PlanView::new(&plan);
    for path in &args.figure {
        let figure = view.figure();
        let bytes = match path.extension().and_then(OsStr::to_str) {
            Some("svg") => figure.svg()?.into_bytes(),
            Some("png") => figure.png()?,
            _ => {
                return Err(Box::new(LabError::Setting {
                    key: "--figure".to_owned(),
                    value: path.display().to_string(),
                    expected: "a file that ends in .svg or .png".to_owned(),
                }));
            }
        };
        fs::write(path, bytes)
            .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    }
    match args.format {
        PlanFormat::Plot => {
            let width = terminal_size::terminal_size().map_or(WIDTH, |(width, _)| width.0.into());
            output::text(&view.terminal(width.min(120), HEIGHT, Charset::Braille))?;
            output::text(&view.table())?;
        }
        PlanFormat::Table => output::text(&view.table())?,
        PlanFormat::Csv => output::text(&view.csv())?,
        PlanFormat::Json => output::text(&view.json()?)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Training images of a known data set, known without reading it.
fn images(config: &Config) -> Option<usize> {
    let set = catalog::find(config.data.name.as_deref()?).ok()?;
    let all = match config.data.limit {
        0 => set.train,
        limit => set.train.min(limit),
    };
    Some(all - (all as f64 * config.data.validation).round() as usize)
}
