//! The two runs of `onecycle fit --pretrained`: first the last layer, then all layers.

use std::path::Path;

use crate::{Config, ConfigError, RunError, TrainError, experiment::plan, run_folder::RunFile};

/// The configuration of the run that trains the last layer on features.
///
/// # Errors
/// None for a configuration with a `[finetune]` table.
pub fn head(config: &Config) -> Result<Config, ConfigError> {
    let mut head = config.clone();
    if let Some(finetune) = &mut head.finetune {
        finetune.freeze = true;
        (head.epochs, head.steps) = (Some(finetune.head_epochs), None);
        let optimizer = head.optimizer.config.clone();
        head.optimizer.config = optimizer.with_weight_decay(finetune.head_weight_decay);
        head.policy.weight_decay = None;
    }
    // Features are those of whole images with one label.
    (head.augment.mixup, head.augment.cutmix) = (0.0, 0.0);
    head.policy.image_size = None;
    head.diagnose.every = 0;
    head.check()?;
    Ok(head)
}

/// The configuration of the run that trains all layers, beginning with the network of the finished
/// run in `head`.
///
/// # Errors
/// None for a configuration with a `[finetune]` table.
pub fn body(config: &Config, head: &Path) -> Result<Config, ConfigError> {
    let mut body = config.clone();
    if let Some(finetune) = &mut body.finetune {
        finetune.freeze = false;
    }
    body.init = Some(head.to_path_buf());
    body.check()?;
    Ok(body)
}

/// Learning rates of the range test of the run that trains the last layer, first and last.
const RATES_OF_LAST_LAYER: (f64, f64) = (1e-4, 1.0);
/// Learning rates of the range test of the run that trains all layers. A loss that explodes above three
/// times the largest peak would not change the peak.
const RATES_OF_ALL_LAYERS: (f64, f64) = (1e-4, 0.05);
/// Updates of the range test of the run that trains the last layer: 50 per decade. They cost almost
/// nothing on features, and with few of them the suggested rate is too high.
const STEPS_OF_LAST_LAYER: u64 = 200;
/// Updates of the range test of the run that trains all layers: few, because each runs the whole
/// network.
const STEPS_OF_ALL_LAYERS: u64 = 30;

/// First and last learning rate, and number of updates, of the range test of a run with a `[finetune]`
/// table.
pub fn range_test_rates(config: &Config) -> ((f64, f64), u64) {
    match config.freezes() {
        true => (RATES_OF_LAST_LAYER, STEPS_OF_LAST_LAYER),
        false => (RATES_OF_ALL_LAYERS, STEPS_OF_ALL_LAYERS),
    }
}

/// Smallest number of updates of the run that trains all layers, unless its length is configured.
const MIN_UPDATES: u64 = 100;
/// Largest number of epochs to which it is lengthened.
const MAX_EPOCHS: f64 = 20.0;

/// Lengthens a run that trains all layers if it has too few updates on `images` training images.
/// Returns a note about it.
///
/// # Errors
/// The plan of the configuration cannot be resolved.
pub fn lengthen(config: &mut Config, images: usize) -> Result<Option<String>, TrainError> {
    let Some(epochs) = config.epochs.filter(|_| !config.freezes()) else {
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
        "{longer} epochs of all layers, because {epochs} would be only {updates} updates on {images} images; --epochs \
         sets another length"
    )))
}

/// Longest time that evaluations take, as a share of the training, unless `eval_every` says otherwise.
const EVALUATION_SHARE: f64 = 0.2;
/// Time of an image in an evaluation over its time in training: a forward pass without the backward
/// pass.
const EVALUATION_COST: f64 = 1.0 / 3.0;

/// Sets `eval_every` so that evaluating `validation` images takes little time beside training on
/// `images`, unless it is configured or the run keeps its best network.
pub fn set_evaluations(config: &mut Config, images: usize, validation: usize) {
    let share = EVALUATION_COST * validation as f64 / images.max(1) as f64;
    let every = (share / EVALUATION_SHARE).ceil().max(1.0) as u64;
    if every > 1 && config.eval_every.is_none() && config.keep.is_last() {
        config.eval_every = Some(every);
    }
}

/// Checks that the run in `folder`, which recorded `recorded`, was made with the configuration
/// `config`, except for the learning rate, which the range test found.
///
/// # Errors
/// [`RunError::OtherSettings`] with the differences.
pub fn check_same(folder: &Path, recorded: &RunFile, config: &Config) -> Result<(), TrainError> {
    let mut is = config.clone().with_absolute_path()?;
    let mut was = recorded.config.clone();
    is.one_cycle_mut()?.lr_max = was.one_cycle_mut()?.lr_max;
    let differences = was.differences(&is)?;
    if differences.is_empty() {
        return Ok(());
    }
    Err(RunError::OtherSettings {
        run: folder.to_path_buf(),
        differences,
    }
    .into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Keep;

    #[test]
    fn many_validation_images_are_evaluated_less_often() {
        let of = |configured, images, validation| {
            let mut config = Config {
                eval_every: configured,
                ..Config::default()
            };
            set_evaluations(&mut config, images, validation);
            config.eval_every()
        };
        assert_eq!(of(None, 3200, 800), 1);
        assert_eq!(of(None, 160, 40), 1);
        // 800 / 3 is 1.33 times the time of 200 images, so 0.19 of seven epochs.
        assert_eq!(of(None, 200, 800), 7);
        assert_eq!(of(Some(2), 200, 800), 2);
        assert_eq!(of(None, 0, 0), 1);
        let mut best = Config {
            keep: Keep::Best,
            ..Config::default()
        };
        set_evaluations(&mut best, 200, 800);
        assert_eq!(best.eval_every(), 1);
    }
}
