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

/// Learning rates of the range tests, first and last.
pub const RATES: (f64, f64) = (1e-4, 1.0);
/// Updates of the range test of the run that trains the last layer: 50 per decade. They cost almost
/// nothing on features, and with few of them the suggested rate is too high.
const STEPS_OF_LAST_LAYER: u64 = 200;
/// Updates of the range test of the run that trains all layers: few, because every one takes a large
/// network.
const STEPS_OF_ALL_LAYERS: u64 = 50;

/// Updates of the range test of a run with a `[finetune]` table.
pub fn range_test_steps(config: &Config) -> u64 {
    match config.freezes() {
        true => STEPS_OF_LAST_LAYER,
        false => STEPS_OF_ALL_LAYERS,
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
