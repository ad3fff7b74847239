//! `model.safetensors`: the weights and a [`ModelCard`] that describes them.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};

use burn::{
    module::{Module, ModuleVisitor, Param},
    tensor::Tensor,
};
use onecycle_burn::state;
use onecycle_vision::{ImageShape, Resize, Statistics, models::Model};
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
    /// How images of other sizes become images of this shape.
    #[serde(default)]
    pub resize: Resize,
    /// Colour behind transparent pixels and around padded images: red, green, blue.
    #[serde(default = "white")]
    pub background: [u8; 3],
    /// The images of the run that trained it; `None` in a file that does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trained_on: Option<TrainedOn>,
}

/// The images of a run, so that a later evaluation can tell its test images from those that the
/// network was trained on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainedOn {
    /// Seed of the run, which draws the test images of a folder without `val/`.
    pub seed: u64,
    /// SHA-256 of each file.
    pub checksums: BTreeMap<String, String>,
}

fn white() -> [u8; 3] {
    [255; 3]
}

/// Metadata key of the model card.
pub const CARD: &str = "onecycle";

/// Number of trained parameters of a network on a device with autodiff. Running statistics and
/// fixed weights have no gradient and do not count.
pub(crate) fn count_parameters(model: &impl Module) -> usize {
    let mut counter = Counter(0);
    model.visit(&mut counter);
    counter.0
}

/// Counts the values of parameters with a gradient.
struct Counter(usize);

impl ModuleVisitor for Counter {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if param.is_require_grad() {
            self.0 += param.lazy_shape().num_elements();
        }
    }
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
