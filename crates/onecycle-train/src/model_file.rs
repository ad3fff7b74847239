//! `model.safetensors`: the weights, and a card that says what they are.

use std::{collections::HashMap, path::Path};

use onecycle_burn::state;
use onecycle_vision::{ImageShape, Statistics, models::Model};
use serde::{Deserialize, Serialize};

use crate::{Experiment, FileError, files, tensors};

/// What a model file says of itself, as JSON under `onecycle` in its metadata.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelCard {
    /// Name of the network in the zoo.
    pub model: String,
    /// Name of the data set it was trained on.
    pub data: String,
    /// Class names in the order of the logits.
    pub classes: Vec<String>,
    /// Shape of the images it takes.
    pub shape: ImageShape,
    /// By which images are normalised: `(pixel / 255 - mean) / std` a channel.
    pub statistics: Statistics,
}

/// Key of the model card in the metadata.
pub const CARD: &str = "onecycle";

/// Parameters that are trained: running statistics have no gradient and do not count.
pub(crate) fn count_parameters(model: &Model) -> usize {
    state::weights(model)
        .iter()
        .filter(|(name, _)| !name.contains("running_"))
        .map(|(_, data)| data.num_elements())
        .sum()
}

/// Writes the model with its card.
///
/// # Errors
/// A file that cannot be written.
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
    // One key only: the order of several would differ from run to run.
    let metadata = HashMap::from([(CARD.to_owned(), card)]);
    let bytes = tensors::to_safetensors(state::weights(model), metadata)?;
    files::write_whole(path, &bytes)
}
