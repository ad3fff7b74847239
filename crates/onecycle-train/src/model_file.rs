//! Writes `model.safetensors`: the weights and a [`ModelCard`] that describes them.

use std::{collections::HashMap, path::Path};

use onecycle_burn::state;
use onecycle_vision::models::Model;

pub use crate::model_card::{CARD, ModelCard, TrainedOn};
use crate::{Experiment, FileError, files, tensors};

/// Writes the model with its card.
///
/// # Errors
/// The file cannot be written.
pub(crate) fn write(path: &Path, experiment: &Experiment, model: &Model) -> Result<(), FileError> {
    let data = &experiment.data;
    let card = ModelCard {
        model: experiment.architecture.to_string(),
        data: data.name.clone(),
        classes: data.classes.clone(),
        shape: data.shape,
        statistics: data.statistics.clone(),
        resize: experiment.config.data.resize,
        background: experiment.config.data.background,
        trained_on: Some(TrainedOn {
            seed: experiment.config.seed,
            checksums: data.checksums.clone(),
        }),
    };
    let card = serde_json::to_string(&card).map_err(FileError::to_json("the model card"))?;
    // Only one key: the order of several would differ between runs.
    let metadata = HashMap::from([(CARD.to_owned(), card)]);
    let bytes = tensors::to_safetensors(state::weights(model), metadata)?;
    files::write_whole(path, &bytes)
}
