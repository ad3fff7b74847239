//! `model.safetensors`: the weights and a [`ModelCard`] that describes them.

use std::{collections::HashMap, path::Path};

use burn::module::Module;
use onecycle_burn::state;
use onecycle_vision::{ImageShape, Statistics, models::Model};
use serde::{Deserialize, Serialize};

use crate::{Experiment, FileError, files, tensors};

/// Description of a model, stored as JSON under `onecycle` in the metadata of its file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelCard {
    /// Name of the network, one of [`Architecture`](onecycle_vision::models::Architecture).
    pub model: String,
    /// Name of the data set it was trained on.
    pub data: String,
    /// Class names in the order of the logits.
    pub classes: Vec<String>,
    /// Shape of the input images.
    pub shape: ImageShape,
    /// Normalisation of the images, per channel: `(pixel / 255 - mean) / std`.
    pub statistics: Statistics,
}

/// Metadata key of the model card.
pub const CARD: &str = "onecycle";

/// Number of trained parameters. Running statistics have no gradient and do not count.
pub(crate) fn count_parameters(model: &impl Module) -> usize {
    state::weights(model)
        .iter()
        .filter(|(name, _)| !name.contains("running_"))
        .map(|(_, data)| data.num_elements())
        .sum()
}

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
    };
    let card = serde_json::to_string(&card).map_err(FileError::to_json("the model card"))?;
    // Only one key: the order of several would differ between runs.
    let metadata = HashMap::from([(CARD.to_owned(), card)]);
    let bytes = tensors::to_safetensors(state::weights(model), metadata)?;
    files::write_whole(path, &bytes)
}
