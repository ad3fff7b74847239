//! From a range test to the configuration of a run, as `onecycle fit` does.
//!
//! `onecycle fit` makes range tests with a few weight decays and [chooses](choose) one. It
//! [searches](search()) for the peak around the suggested rate by short cycles, judged on images
//! held out from training. Then it trains one cycle on all images, with [these
//! settings](configured). These are steps 1 to 3 of Smith, "A disciplined approach to neural
//! network hyper-parameters" (2018, arXiv:1803.09820), section 5. The short cycles are ours;
//! [`mod@search`] explains them.

use onecycle::range_test::Verdict;
use onecycle_plot::format::significant;
use onecycle_vision::{Flip, ImageShape};

use super::{
    context::Context,
    found::{ChosenGroup, RangeTestResult},
    range_test, search,
    settings::SweptParameter,
};
use crate::{Config, RunError, TrainError, experiment::plan, tta::Tta};

/// Another weight decay replaces the configured one if it allows a learning rate more than this
/// many times as large. Single seeds of the same test differ by as much as this.
const MIN_RATE_GAIN: f64 = 2.5;
/// It also replaces the configured one if its loss decreases further by this share of the total
/// decrease, at a rate that is not much smaller ([`MAX_RATE_LOSS`]). A few hundred updates say
/// little about regularisation, so without a clear difference the configured one is kept.
const MIN_LOSS_GAIN: f64 = 0.05;
/// Largest factor by which the learning rate may be smaller if the loss is lower.
const MAX_RATE_LOSS: f64 = 1.25;
/// Share of the training images to judge the short cycles by. The run that follows trains on all
/// images.
const HELD_OUT: f64 = 0.2;
/// Smallest and largest number of seeds of the short cycles if few images are held out.
const SEEDS_FEW: [usize; 2] = [3, 10];
/// Held-out images over all seeds, as far as [`SEEDS_FEW`] allows: the loss of two images is noise.
const HELD_OUT_FEW: usize = 40;
/// The configured weight decay is also tested divided and multiplied by this factor.
const WEIGHT_DECAY_FACTOR: f64 = 5.0;
/// Runs with fewer updates keep the configured weight decay: range tests of a hundred updates say
/// little about regularisation, and two more of them are a noticeable part of such a run.
const MIN_UPDATES_WEIGHT_DECAYS: u64 = 4000;

/// Largest side of a small photo in pixels, for [`average_views`].
const SMALL: usize = 64;

/// Smallest number of updates of a run without a configured length: in fewer, one cycle is too
/// short.
const MIN_UPDATES: u64 = 1000;
/// Largest number of epochs to which such a run is lengthened. Hundreds of passes over few images
/// only memorise them.
const MAX_EPOCHS: f64 = 100.0;

/// Lengthens a run without a configured length if it has too few updates on `images` training
/// images. Returns a note about it.
///
/// # Errors
/// The plan of the configuration cannot be resolved.
pub fn lengthen(config: &mut Config, images: usize) -> Result<Option<String>, TrainError> {
    let Some(epochs) = config.epochs else {
        return Ok(None);
    };
    let updates = plan(config, Some(images))?.steps();
    if updates >= MIN_UPDATES {
        return Ok(None);
    }
    let enough = (epochs * MIN_UPDATES as f64 / updates.max(1) as f64).ceil();
    let longer = enough.min(MAX_EPOCHS);
    config.epochs = Some(longer);
    Ok(Some(format!(
        "{longer} epochs, because {epochs} would be only {updates} updates on {images} images; --epochs sets another \
         length"
    )))
}

/// Tests a run without configured views of a test image on the average over six, if its images are small
/// photos that are mirrored in training. On CIFAR-10, that is 1.5 points more accurate than the image
/// alone. Returns a note about it.
pub fn average_views(config: &mut Config, shape: ImageShape) -> Option<String> {
    let small_photos = shape.channels == 3 && shape.height.max(shape.width) <= SMALL;
    if !small_photos || config.augment.flip == Flip::Off || config.tta != Tta::Image {
        return None;
    }
    config.tta = Tta::MirrorAndShift;
    let (name, views) = (config.tta.name(), config.tta.views());
    Some(format!(
        "small photos: the run ends with a test on {views} views of each image (evaluate and predict: --tta {name}); \
         --set tta=image tests the image alone"
    ))
}

/// The weight decays to test before a run of `run` updates: the configured one first, then a smaller
/// and a larger one. Only the configured one if it is 0 or the run has fewer than 4000 updates.
pub fn weight_decays(config: &Config, run: u64) -> Vec<f64> {
    let own = config.optimizer.config.weight_decay();
    if own == 0.0 || run < MIN_UPDATES_WEIGHT_DECAYS {
        return vec![own];
    }
    vec![own, own / WEIGHT_DECAY_FACTOR, own * WEIGHT_DECAY_FACTOR]
}

/// Chooses among the weight decays of a range test. The first one, which is the configured one, is
/// kept unless another allows a clearly larger learning rate or a clearly lower loss, or if no
/// curve suggests a rate.
///
/// # Errors
/// [`RunError::NoRate`] if the curves are too short or have no finite losses.
pub fn choose(found: RangeTestResult) -> Result<RangeTestResult, TrainError> {
    let candidates: Vec<(usize, f64, (f64, f64))> = found
        .groups
        .iter()
        .enumerate()
        .filter_map(|(i, group)| Some((i, search::suggested(group)?, group.descent()?)))
        .collect();
    let Some(first) = candidates.first().copied() else {
        return without_rate(found);
    };
    let mut best = first;
    let mut why = "no other tested allows a clearly larger rate or a clearly lower loss";
    for other in &candidates[1..] {
        let (_, lr, (lowest, depth)) = *other;
        let (_, best_lr, (best_lowest, best_depth)) = best;
        let deeper = best_lowest - lowest > MIN_LOSS_GAIN * best_depth;
        let shallower = lowest - best_lowest > MIN_LOSS_GAIN * depth;
        if lr > MIN_RATE_GAIN * best_lr && !shallower {
            (best, why) = (
                *other,
                "it allows a clearly larger rate than the others tested",
            );
        } else if deeper && lr > best_lr / MAX_RATE_LOSS {
            (best, why) = (
                *other,
                "its loss falls clearly lower than with the others tested",
            );
        }
    }
    let (group, lr, _) = best;
    let rate = match found.groups[group].verdict() {
        Verdict::NeverDiverged => format!(
            "the loss of the range test does not rise up to its last rate, {}",
            significant(lr)
        ),
        _ => format!(
            "the range test alone suggests {}, half of the rate at which its loss rises",
            significant(lr)
        ),
    };
    let reason = match (found.parameter, found.groups[group].value) {
        (Some(SweptParameter::WeightDecay), Some(value)) if found.groups.len() > 1 => {
            format!("weight decay = {}: {why}; {rate}", significant(value))
        }
        _ => rate,
    };
    Ok(found.with_choice(ChosenGroup { group, reason }))
}

/// The result of a range test with the rate that it suggests as the peak, without short cycles: for
/// the last layer of a pretrained network, whose peak matters less.
///
/// # Errors
/// [`RunError::NoRate`] if the curves are too short or have no finite losses.
pub fn suggest(found: RangeTestResult) -> Result<RangeTestResult, TrainError> {
    let mut found = choose(found)?;
    let Some(group) = found.chosen_group() else {
        return Err(RunError::no_rate(found.verdict).into());
    };
    let lr = search::start(group)?;
    if search::suggested(group).is_none() {
        let reason = format!(
            "the range test suggests no rate ({}), so {} is taken, where its loss is lowest",
            group.verdict(),
            significant(lr)
        );
        found = found.with_choice(ChosenGroup { group: 0, reason });
    }
    found.one_cycle_max = Some(lr);
    Ok(found)
}

/// The choice if no curve suggests a rate: the configured weight decay. The short cycles decide the
/// rest.
fn without_rate(found: RangeTestResult) -> Result<RangeTestResult, TrainError> {
    let Some(group) = found.groups.first() else {
        return Err(RunError::no_rate(Verdict::TooShort).into());
    };
    let reason = format!(
        "the range test suggests no rate ({}); the short cycles start at {}, where its loss is lowest",
        group.verdict(),
        significant(search::start(group)?)
    );
    Ok(found.with_choice(ChosenGroup { group: 0, reason }))
}

/// Searches for the peak by short cycles, beginning at the rate of the chosen curves and with their
/// weight decay. If the configuration holds out no images, some are held out to judge by.
///
/// Returns `None` if the observer stopped the search.
///
/// # Errors
/// [`RunError::NoRate`] if the cycles learn nothing or there is no choice; those of
/// [`search::search`].
pub fn search(
    config: &Config,
    found: RangeTestResult,
    seeds: &[u64],
    context: &mut Context<'_>,
) -> Result<Option<RangeTestResult>, TrainError> {
    let Some(group) = found.chosen_group() else {
        return Err(RunError::no_rate(found.verdict).into());
    };
    let start = search::start(group)?;
    let config = with_weight_decay(config, &found);
    let mut experiments = range_test::prepare(&config, seeds, Some(HELD_OUT))?;
    let held_out = experiments
        .first()
        .map_or(0, |one| one.data.validation.len());
    if let ([seed], true) = (seeds, held_out < search::FEW_IMAGES) {
        // Other images are held out with each seed.
        let [fewest, most] = SEEDS_FEW;
        let count = HELD_OUT_FEW.div_ceil(held_out.max(1)).clamp(fewest, most);
        let seeds: Vec<u64> = (0..count as u64)
            .map(|other| seed.wrapping_add(other))
            .collect();
        experiments = range_test::prepare(&config, &seeds, Some(HELD_OUT))?;
    }
    let Some(run) = experiments.first().map(|one| one.plan.steps()) else {
        return Err(RunError::no_rate(Verdict::TooShort).into());
    };
    let Some(searched) = search::search(&experiments, start, search::steps(run), context)? else {
        return Ok(None);
    };
    let Some(lr_max) = searched.answer.lr else {
        return Err(RunError::no_rate(searched.answer.verdict).into());
    };
    let reason = format!(
        "lr_max = {}: the middle of the peaks with the lowest held-out loss, from short cycles of {} updates each",
        significant(lr_max),
        searched.steps
    );
    Ok(Some(found.with_search(searched, &reason)))
}

/// The configuration with the chosen `policy.lr_max` and weight decay.
///
/// # Errors
/// The policy is not `one_cycle`; there is no choice, or it does not fit the other settings.
pub fn configured(config: &Config, found: &RangeTestResult) -> Result<Config, TrainError> {
    let mut config = with_weight_decay(config, found);
    let one_cycle = config.one_cycle_mut()?;
    let lr_max = found
        .one_cycle_max
        .ok_or_else(|| RunError::no_rate(found.verdict))?;
    // Four digits are more precise than a range test, and readable.
    one_cycle.lr_max = format!("{lr_max:.3e}").parse().unwrap_or(lr_max);
    config.check()?;
    Ok(config)
}

/// The configuration with the weight decay of the chosen group, if the groups differ in weight
/// decay.
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

/// Checks that the policy of a configuration can follow a range test.
///
/// # Errors
/// The policy is not `one_cycle`.
pub fn check(config: &Config) -> Result<(), TrainError> {
    config.clone().one_cycle_mut()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_long_runs_choose_between_weight_decays() {
        let config = Config::default();
        let own = config.optimizer.config.weight_decay();
        assert_eq!(weight_decays(&config, 3999), [own]);
        assert_eq!(weight_decays(&config, 4000), [own, own / 5.0, own * 5.0]);
    }

    #[test]
    fn small_mirrored_photos_are_tested_on_six_views() {
        let tta = |shape, change: fn(&mut Config)| {
            let mut config = Config::default();
            change(&mut config);
            let before = config.tta;
            let note = average_views(&mut config, shape);
            assert_eq!(note.is_some(), config.tta != before);
            config.tta
        };
        let cifar = ImageShape::new(3, 32, 32);
        assert_eq!(tta(cifar, |_| ()), Tta::MirrorAndShift);
        assert_eq!(tta(ImageShape::new(1, 28, 28), |_| ()), Tta::Image);
        assert_eq!(tta(ImageShape::new(3, 64, 65), |_| ()), Tta::Image);
        assert_eq!(
            tta(cifar, |config| config.augment.flip = Flip::Off),
            Tta::Image
        );
        assert_eq!(tta(cifar, |config| config.tta = Tta::Mirror), Tta::Mirror);
    }

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
        // 25 updates per epoch.
        assert_eq!(of(3200, default.clone())?, Some(40.0));
        assert_eq!(of(50, default.clone())?, Some(MAX_EPOCHS));
        let steps = Config {
            epochs: None,
            steps: Some(10),
            ..default
        };
        assert_eq!(of(3200, steps)?, None);
        Ok(())
    }
}
