use std::{path::PathBuf, process::ExitCode, time::Instant};

use crate::{
    args::{Format, Trials, at_least_one, pairs},
    output::{self, AnyError},
    stop::Stop,
};
use onecycle_studies::compare::Comparison;
use onecycle_train::device;

use super::study_progress::{self, StudyProgress};

use clap::Args as ClapArgs;

#[derive(Debug, ClapArgs)]
pub(crate) struct Compare {
    /// TOML files, a policy each, of the same network and data; variants are called after them
    #[arg(required = true, num_args = 2.., value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Runs of each file, with the seeds from that of the first file on
    #[arg(long, value_name = "N", allow_negative_numbers = true, default_value_t = 3, value_parser = at_least_one)]
    pub(crate) seeds: usize,
    /// Validation accuracies (0.9 is 90 %) whose steps and time to tell [default: the largest that all reach]
    #[arg(long, value_name = "A,..", value_delimiter = ',')]
    pub(crate) accuracies: Vec<f64>,
    /// Any key of the configuration, for all files; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) settings: Vec<String>,
    /// Folder of runs and result; the same command again goes on there [default: runs/compare-NAME-NAME..]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) trials: Trials,
}

pub(crate) fn run(args: &Compare, start: Instant) -> Result<ExitCode, AnyError> {
    let settings = pairs(&args.settings)?;
    let comparison = Comparison::read(&args.files, &settings, args.seeds, &args.accuracies)?;
    device::set_threads(args.trials.threads.count)?;
    let out = args.out.clone().unwrap_or_else(|| place(&comparison));
    let stop = Stop::listen(
        start,
        args.trials.max_time,
        study_progress::how_to_go_on((0, 0)),
    );
    let mut progress = StudyProgress::new(args.trials.show.quiet, stop.clone());
    let compared = comparison.run(&out, &mut progress)?;
    progress.finish();
    let Some(compared) = compared else {
        return Ok(progress.stopped());
    };
    match args.trials.show.format {
        Format::Json => output::json(&compared)?,
        Format::Text => {
            output::text(&compared.table())?;
            for sentence in compared.sentences() {
                output::text(&sentence)?;
            }
            output::text(&format!("page  {}", out.join("compare.html").display()))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The folder that the same command always comes back to.
fn place(comparison: &Comparison) -> PathBuf {
    let names: Vec<&str> = comparison
        .variants()
        .iter()
        .map(|(label, _)| label.as_str())
        .collect();
    PathBuf::from("runs").join(format!("compare-{}", names.join("-")))
}
