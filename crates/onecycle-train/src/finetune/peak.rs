//! The peak of the run that trains all layers.

use onecycle::range_test::LossCurve;
use onecycle_plot::format::significant;

use crate::{
    RunError, TrainError,
    lr_search::found::{ChosenGroup, RangeTestResult},
};

/// Ratio of the largest peak to the rate at which the loss explodes. A range test makes only one update at each
/// rate, so it explodes late.
const BELOW_EXPLOSION: f64 = 1.0 / 3.0;
/// Largest peak. A network that has memorised its few images has no gradients, so its range test
/// explodes much too late: a fifth of that rate ruined a network (docs/log/2026-11-29-fine-tuning.md).
const LARGEST: f64 = 0.01;
/// An explosion also exceeds the initial loss by this factor.
const TIMES_INITIAL: f64 = 2.0;
/// Number of losses whose median is the initial one.
const FIRST: usize = 5;

/// The result of the range test of a run that trains all layers, on images of this number of classes,
/// with the rate that it suggests as the peak: a third of the rate at which the loss exceeds that of
/// guessing, but at most 0.01.
///
/// Rules that compare the rise with the descent before it do not work here. The last layer is trained
/// already, so the loss is low from the start and hardly falls.
///
/// # Errors
/// [`RunError::NoRate`] if the curve is empty.
pub fn suggest_peak(found: RangeTestResult, classes: usize) -> Result<RangeTestResult, TrainError> {
    let none = RunError::no_rate(found.verdict);
    let tests = found.groups.iter().flat_map(|group| &group.tests);
    let ends = tests.filter_map(|test| end_of_range(&test.curve, classes));
    // Of several seeds, the first that explodes.
    let Some((lr, explodes)) = ends.min_by(|a, b| a.0.total_cmp(&b.0)) else {
        return Err(none.into());
    };
    let peak = (BELOW_EXPLOSION * lr).min(LARGEST);
    let (lr, rate) = (significant(lr), significant(peak));
    let seen = match explodes {
        true => format!("the loss of the range test explodes at {lr}"),
        false => format!("the loss of the range test stays low up to its last rate, {lr}"),
    };
    let why = match peak < LARGEST {
        true => "a third of it",
        false => "the largest rate for all layers of a pretrained network",
    };
    let reason = format!("{seen}; the peak is {rate}, {why}");
    let mut found = found.with_choice(ChosenGroup { group: 0, reason });
    found.one_cycle_max = Some(peak);
    Ok(found)
}

/// The first rate with a loss above that of guessing and clearly above the initial one, and true;
/// otherwise the last rate, and false. `None` for an empty curve.
fn end_of_range(curve: &LossCurve, classes: usize) -> Option<(f64, bool)> {
    let mut first: Vec<f64> = curve.loss().iter().take(FIRST).copied().collect();
    first.sort_by(f64::total_cmp);
    let initial = first.get(first.len() / 2)?;
    let guessing = (classes as f64).ln();
    let limit = guessing.max(TIMES_INITIAL * initial);
    let mut points = curve.lr().iter().zip(curve.loss());
    // A loss that is not a number is an explosion too.
    let explosion = points.find(|(_, loss)| loss.is_nan() || **loss > limit);
    match explosion {
        Some((lr, _)) => Some((*lr, true)),
        None => Some((*curve.lr().last()?, false)),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A failed unwrap is a failed test.
mod tests {
    use super::*;

    fn end(losses: &[f64], classes: usize) -> Option<(f64, bool)> {
        let lr = (0..losses.len())
            .map(|i| 0.001 * 2f64.powi(i as i32))
            .collect();
        end_of_range(&LossCurve::new(lr, losses.to_vec()).unwrap(), classes)
    }

    #[test]
    fn a_loss_above_guessing_ends_the_range() {
        // ln 4 = 1.39; the dip and the bump before it do not matter.
        let losses = [0.05, 0.04, 0.03, 0.5, 0.006, 0.7, 27.0, 1.4];
        assert_eq!(end(&losses, 4), Some((0.064, true)));
        // ln 100 = 4.6.
        assert_eq!(end(&losses, 100), Some((0.064, true)));
        assert_eq!(end(&losses[..6], 4), Some((0.032, false)));
        assert_eq!(end(&[0.1, 0.1, f64::NAN], 4), Some((0.004, true)));
    }

    #[test]
    fn a_loss_that_starts_near_guessing_may_stay_there() {
        let losses = [1.3, 1.5, 1.4, 1.45, 1.5, 1.3, 2.5, 3.1];
        assert_eq!(end(&losses, 4), Some((0.128, true)));
    }
}
