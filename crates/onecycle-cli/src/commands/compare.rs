use std::{path::PathBuf, process::ExitCode, time::Instant};

use crate::{
    args::{Compare, Format, pairs},
    output::{self, AnyError},
    stop::Stop,
};
use onecycle_studies::compare::Comparison;
use onecycle_train::device;

use super::trials::{self, Watch};

pub(crate) fn run(args: &Compare, start: Instant) -> Result<ExitCode, AnyError> {
    let settings = pairs(&args.settings)?;
    let comparison = Comparison::read(&args.files, &settings, args.seeds, &args.accuracies)?;
    device::set_threads(args.trials.threads.count)?;
    let out = args.out.clone().unwrap_or_else(|| place(&comparison));
    let stop = Stop::listen(start, args.trials.max_time, trials::how_to_go_on((0, 0)));
    let mut watch = Watch::new(args.trials.show.quiet, stop.clone());
    let compared = comparison.run(&out, &mut watch)?;
    watch.finish();
    let Some(compared) = compared else {
        return Ok(watch.stopped());
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
