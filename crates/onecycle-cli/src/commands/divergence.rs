//! Advice for a run whose loss is not finite.

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
    let advice = stable_rates(&RunFolder::at(run));
    format!("{error}. {advice}").into()
}

/// Advice on stable learning rates: the result of the run's range test, or how to run one.
fn stable_rates(folder: &RunFolder) -> String {
    // There is no range test, or it cannot be read.
    let Ok(found) = RangeTestResult::read(&folder.range_test()) else {
        let run = folder.run_file();
        return format!(
            "`onecycle find --config {}` shows which learning rates are stable",
            run.display()
        );
    };
    let Some(lr) = found.one_cycle_max else {
        let verdict = found.verdict;
        return format!(
            "Its range test suggests no learning rate ({verdict}: {})",
            verdict.advice()
        );
    };
    let range = found.range.filter(|(low, high)| low < high);
    let range = range.map_or_else(String::new, |(low, high)| {
        format!(
            ", {} to {} over the seeds",
            significant(low),
            significant(high)
        )
    });
    format!(
        "Its range test suggests lr_max = {} for one cycle{range}",
        significant(lr)
    )
}
