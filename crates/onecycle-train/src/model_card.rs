//! Description of a model file: [`ModelCard`].

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
};

use onecycle_vision::{ImageShape, Resize, Statistics};
use serde::{Deserialize, Serialize};

use crate::tensors;

/// Metadata key of the model card.
pub const CARD: &str = "onecycle";

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

impl ModelCard {
    /// The card in the metadata of a model file; `None` if it has none that can be read.
    pub(crate) fn of(metadata: &HashMap<String, String>) -> Option<Self> {
        serde_json::from_str(metadata.get(CARD)?).ok()
    }

    /// The card of a model file or of a run's model; `None` if it has none that can be read.
    pub(crate) fn read(path: &Path) -> Option<Self> {
        let bytes = std::fs::read(model_in(path)).ok()?;
        ModelCard::of(&tensors::metadata(&bytes)?)
    }
}

/// The model file of a run's folder, or the file itself.
pub(crate) fn model_in(path: &Path) -> PathBuf {
    match path.is_dir() {
        true => path.join("model.safetensors"),
        false => path.to_path_buf(),
    }
}
