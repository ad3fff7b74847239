//! From a range test to what to train with.
//!
//! `onecycle fit` makes a range test over a few weight decays and takes the weight decay from it; makes a few short cycles
//! around the rate that it names and takes the peak from them, by images held out from training; and trains one cycle on
//! all images. Smith, "A disciplined approach to neural network hyper-parameters" (2018, arXiv:1803.09820), section 5, steps
//! 1 to 3; the short cycles are ours, [`mod@search`] says why.

use onecycle::range_test::Verdict;
use onecycle_plot::format::significant;

use super::{
    found::{ChosenGroup, RangeTestResult},
    journal::Journal,
    range_test, search,
    settings::SweptParameter,
};
use crate::{Config, RunError, TrainError, experiment::plan, observer::Observer};

/// A weight decay other than the configured one must allow a rate more than so many times as large: single seeds of the same
/// test differ by as much as this,
const FASTER: f64 = 2.5;
/// or let the loss fall deeper by this share of the descent. A few hundred updates tell little about regularisation: what
/// they cannot tell apart, the configuration decides.
const DEEPER: f64 = 0.05;
/// at a rate that is not smaller by more than this.
const SLOWER: f64 = 1.25;
/// Share of the training images that the short cycles are judged by. The run that follows trains on all of them.
const HELD_OUT: f64 = 0.2;
/// The configured weight decay is tested with this many times less and more.
const FACTOR: f64 = 5.0;

/// Updates that a run has at least, where nobody said how long it is: in fewer, one cycle has hardly begun.
const UPDATES: u64 = 1000;
/// Epochs to which such a run may be lengthened. What hundreds of passes over few images learn is those images.
const MOST_EPOCHS: f64 = 100.0;

/// Lengthens a run of the default length that has few updates on so many training images, and says so. For a configuration
/// whose length nobody gave.
///
/// # Errors
/// A batch size of 0.
pub fn lengthen(config: &mut Config, images: usize) -> Result<Option<String>, TrainError> {
    let Some(epochs) = config.epochs else {
        return Ok(None);
    };
    let updates = plan(config, Some(images))?.steps();
    if updates >= UPDATES {
        return Ok(None);
    }
    let enough = (epochs * UPDATES as f64 / updates.max(1) as f64).ceil();
    let longer = enough.min(MOST_EPOCHS);
    config.epochs = Some(longer);
    Ok(Some(format!(
        "{longer} epochs, as {epochs} would be {updates} updates of the {images} images; --epochs sets another length"
    )))
}

/// The weight decays to test for a configuration: its own first, then less and more; its own alone where that is 0.
pub fn weight_decays(config: &Config) -> Vec<f64> {
    let own = config.optimizer.config.weight_decay();
    if own == 0.0 {
        return vec![own];
    }
    vec![own, own / FACTOR, own * FACTOR]
}

/// Chooses among the weight decays of a range test: the first, which is the configured one, unless another allows a clearly
/// larger learning rate or a clearly deeper loss. Also the first where no curve names a rate.
///
/// # Errors
/// [`RunError::NoRate`] where the curves are too short or have no finite losses.
pub fn choose(found: RangeTestResult) -> Result<RangeTestResult, TrainError> {
    let sound: Vec<(usize, f64, (f64, f64))> = found
        .groups
        .iter()
        .enumerate()
        .filter_map(|(i, group)| Some((i, search::named(group)?, group.descent()?)))
        .collect();
    let Some(first) = sound.first().copied() else {
        return unsure(found);
    };
    let mut best = first;
    let mut why = "no other tested allows a clearly larger rate or a clearly lower loss";
    for other in &sound[1..] {
        let (_, lr, (lowest, depth)) = *other;
        let (_, best_lr, (best_lowest, best_depth)) = best;
        let deeper = best_lowest - lowest > DEEPER * best_depth;
        let shallower = lowest - best_lowest > DEEPER * depth;
        if lr > FASTER * best_lr && !shallower {
            (best, why) = (
                *other,
                "it allows a clearly larger rate than the others tested",
            );
        } else if deeper && lr > best_lr / SLOWER {
            (best, why) = (
                *other,
                "with it the loss falls clearly lower than with the others tested",
            );
        }
    }
    let (group, lr, _) = best;
    let rate = format!(
        "the range test alone names {}, half of the rate from which its loss rises",
        significant(lr)
    );
    let reason = match (found.parameter, found.groups[group].value) {
        (Some(SweptParameter::WeightDecay), Some(value)) if found.groups.len() > 1 => {
            format!("weight decay = {}: {why}; {rate}", significant(value))
        }
        _ => rate,
    };
    Ok(found.chosen(ChosenGroup { group, reason }))
}

/// The choice where no curve names a rate: the configured weight decay, and the short cycles decide on all else.
fn unsure(found: RangeTestResult) -> Result<RangeTestResult, TrainError> {
    let Some(group) = found.groups.first() else {
        return Err(RunError::no_rate(Verdict::TooShort).into());
    };
    let reason = format!(
        "the range test names no rate ({}); the short cycles begin at {}, where its loss is lowest",
        group.verdict(),
        significant(search::start(group)?)
    );
    Ok(found.chosen(ChosenGroup { group: 0, reason }))
}

/// Looks for the peak by short cycles, from the rate that the chosen curves name, under their weight decay. Images are held
/// out to judge by where the configuration holds none out itself.
///
/// `None` where the observer ended it.
///
/// # Errors
/// [`RunError::NoRate`] where the cycles learn nothing; no choice; those of [`search::search`].
pub fn search(
    config: &Config,
    found: RangeTestResult,
    seeds: &[u64],
    journal: &mut Journal,
    observer: &mut dyn Observer,
) -> Result<Option<RangeTestResult>, TrainError> {
    let Some(group) = found.chosen_group() else {
        return Err(RunError::no_rate(found.verdict).into());
    };
    let start = search::start(group)?;
    let experiments =
        range_test::prepare(&with_weight_decay(config, &found), seeds, Some(HELD_OUT))?;
    let Some(run) = experiments.first().map(|one| one.plan.steps()) else {
        return Err(RunError::no_rate(Verdict::TooShort).into());
    };
    let Some(searched) =
        search::search(&experiments, start, search::steps(run), journal, observer)?
    else {
        return Ok(None);
    };
    let Some(lr_max) = searched.answer.lr else {
        return Err(RunError::no_rate(searched.answer.verdict).into());
    };
    let reason = format!(
        "lr_max = {}: the middle of the peaks with the lowest held-out loss, of short cycles with {} updates each",
        significant(lr_max),
        searched.steps
    );
    Ok(Some(found.searched(searched, &reason)))
}

/// The configuration with what was chosen in place of its own `policy.lr_max` and weight decay.
///
/// # Errors
/// A policy other than `one_cycle`; what was chosen does not fit the configuration's other settings; no choice.
pub fn configured(config: &Config, found: &RangeTestResult) -> Result<Config, TrainError> {
    let mut config = with_weight_decay(config, found);
    let one_cycle = config.one_cycle_mut()?;
    let lr_max = found
        .one_cycle_max
        .ok_or_else(|| RunError::no_rate(found.verdict))?;
    // Four digits: more than a range test can tell, and a number that a person can read.
    one_cycle.lr_max = format!("{lr_max:.3e}").parse().unwrap_or(lr_max);
    config.check()?;
    Ok(config)
}

/// The configuration with the weight decay of the chosen group, where that is what the groups differ in.
fn with_weight_decay(config: &Config, found: &RangeTestResult) -> Config {
    let mut config = config.clone();
    let value = found.chosen_group().and_then(|group| group.value);
    if let (Some(SweptParameter::WeightDecay), Some(value)) = (found.parameter, value) {
        config.policy.weight_decay = None;
        let optimizer = config.optimizer.config.clone();
        config.optimizer.config = optimizer.with_weight_decay(value);
    }
    config
}

/// Checks that a configuration's policy is one that a range test can be the start of.
///
/// # Errors
/// A policy other than `one_cycle`.
pub fn check(config: &Config) -> Result<(), TrainError> {
    config.clone().one_cycle_mut()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_run_is_lengthened_and_a_long_one_is_not() -> Result<(), TrainError> {
        let of = |images, config: Config| -> Result<Option<f64>, TrainError> {
            let mut longer = config.clone();
            let note = lengthen(&mut longer, images)?;
            assert_eq!(note.is_some(), longer != config);
            Ok(longer.epochs)
        };
        let default = Config::default();
        assert_eq!(of(60_000, default.clone())?, Some(5.0));
        // 25 updates an epoch.
        assert_eq!(of(3200, default.clone())?, Some(40.0));
        assert_eq!(of(50, default.clone())?, Some(MOST_EPOCHS));
        let steps = Config {
            epochs: None,
            steps: Some(10),
            ..default
        };
        assert_eq!(of(3200, steps)?, None);
        Ok(())
    }
}
