//! Advice on a run whose loss is not finite.

use onecycle_plot::format::significant;
use onecycle_train::{
    RunError, TrainError, lr_search::found::RangeTestResult, run_folder::RunFolder,
};

use crate::output::AnyError;

/// Adds advice on stable learning rates to the error of a diverged run.
pub(super) fn advise(error: TrainError) -> AnyError {
    let TrainError::Run(RunError::Diverged { run, .. }) = &error else {
        return error.into();
    };
    let advice = known(&RunFolder::at(run));
    format!("{error}; {advice}").into()
}

/// Advice on stable learning rates: the result of the run's range test, or how to run one.
fn known(folder: &RunFolder) -> String {
    // Without one, or where it cannot be read, there is another way to know.
    let Ok(found) = RangeTestResult::read(&folder.range_test()) else {
        let run = folder.run_file();
        return format!(
            "`onecycle find --config {}` shows which rates are stable",
            run.display()
        );
    };
    let Some(lr) = found.one_cycle_max else {
        let verdict = found.verdict;
        return format!(
            "its range test named no rate ({verdict}: {})",
            verdict.advice()
        );
    };
    let interval = found.interval.filter(|(low, high)| low < high);
    let interval = interval.map_or_else(String::new, |(low, high)| {
        format!(
            ", {} to {} over its seeds",
            significant(low),
            significant(high)
        )
    });
    format!(
        "its range test named {} as the largest that is stable in one cycle{interval}",
        significant(lr)
    )
}
