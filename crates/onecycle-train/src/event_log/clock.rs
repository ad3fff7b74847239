//! Times of events that come from records.

use std::{fs, path::Path};

use super::{now, seconds_of};
use crate::{record::EpochRecord, run_folder::RunFolder};

/// Times of the steps of a run in seconds since 1970: its begin plus the seconds of training until
/// the step, which pass evenly within an epoch.
///
/// The records of steps have no times, so that a repeated run writes the same bytes.
pub(super) struct RecordedTimes {
    begin: f64,
    /// Updates until the end of each epoch, and seconds of training in it.
    epochs: Vec<(u64, f64)>,
}

impl RecordedTimes {
    pub(super) fn new(folder: &RunFolder, epochs: &[EpochRecord]) -> Self {
        RecordedTimes {
            // Written once, at the start of the run. Older versions did not write it.
            begin: modified(&folder.data())
                .or_else(|| modified(&folder.run_file()))
                .unwrap_or_else(now),
            epochs: epochs
                .iter()
                .map(|epoch| (epoch.steps, epoch.seconds))
                .collect(),
        }
    }

    /// Begin of the run.
    pub(super) fn begin(&self) -> f64 {
        self.begin
    }

    /// Time after an update. After the last recorded epoch, updates take as long as in that epoch.
    pub(super) fn of_step(&self, step: u64) -> f64 {
        let (mut first, mut time, mut pace) = (0, self.begin, 0.0);
        for (end, seconds) in &self.epochs {
            pace = seconds / end.saturating_sub(first).max(1) as f64;
            if step < *end {
                break;
            }
            (first, time) = (*end, time + seconds);
        }
        time + pace * (step + 1).saturating_sub(first) as f64
    }
}

/// Time at which a file was last changed, in seconds since 1970; `None` if there is no such file.
pub(super) fn modified(path: &Path) -> Option<f64> {
    let modified = fs::metadata(path).and_then(|data| data.modified());
    modified.ok().map(seconds_of)
}

#[cfg(test)]
mod tests {
    use super::RecordedTimes;

    #[test]
    fn steps_pass_evenly_within_an_epoch() {
        let times = RecordedTimes {
            begin: 100.0,
            epochs: vec![(4, 8.0), (6, 1.0)],
        };
        let at = [0, 3, 4, 5, 6, 7].map(|step| times.of_step(step));
        assert_eq!(at, [102.0, 108.0, 108.5, 109.0, 109.5, 110.0]);
    }

    #[test]
    fn without_an_epoch_all_steps_are_at_the_begin() {
        let times = RecordedTimes {
            begin: 100.0,
            epochs: Vec::new(),
        };
        assert_eq!([0, 50].map(|step| times.of_step(step)), [100.0, 100.0]);
    }
}
