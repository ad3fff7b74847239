//! Predictions of a trained model: [`Classifier`] loads a model and classifies images.

use std::path::Path;

use burn::{
    module::Module,
    tensor::{Device, Tensor, TensorData},
};
use onecycle_burn::state;
use onecycle_vision::{folder, models::Model, random};
use serde::Serialize;

use crate::{
    FileError, RunError, TrainError,
    logits::softmax,
    model_file::{CARD, ModelCard},
    run_folder::RunFolder,
    tensors,
    tta::Tta,
};

/// A trained network with the normalisation and the class names it needs.
#[derive(Debug, Clone)]
pub struct Classifier {
    card: ModelCard,
    /// Normalised value of each pixel value, per channel, as in training.
    normalised: Vec<[f32; 256]>,
    model: Model,
    device: Device,
}

/// Predicted classes of one image.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Prediction {
    /// Most probable class.
    pub class: String,
    /// Its probability, 0 to 1.
    pub probability: f64,
    /// All classes with their probabilities, most probable first.
    pub all: Vec<(String, f64)>,
}

impl Classifier {
    /// Loads the model of a run, given the folder of the run, or a model file like
    /// [`load`](Self::load).
    ///
    /// # Errors
    /// [`RunError::NotFinished`] if the run has no model yet; those of [`load`](Self::load).
    pub fn open(path: &Path, device: &Device) -> Result<Self, TrainError> {
        if !path.is_dir() {
            return Classifier::load(path, device);
        }
        let model = path.join("model.safetensors");
        if RunFolder::look(path).is_ok() && !model.exists() {
            return Err(RunError::NotFinished {
                run: path.to_path_buf(),
            }
            .into());
        }
        Classifier::load(&model, device)
    }

    /// Loads a `model.safetensors` written by a run.
    ///
    /// # Errors
    /// [`FileError::NotAModel`] for any other file.
    pub fn load(path: &Path, device: &Device) -> Result<Self, TrainError> {
        let bytes = std::fs::read(path).map_err(FileError::io("read", path))?;
        let not_a_model = |why: String| FileError::NotAModel {
            path: path.to_path_buf(),
            why,
        };
        let (weights, metadata) = tensors::from_safetensors(&bytes).map_err(not_a_model)?;
        let card = metadata
            .get(CARD)
            .ok_or_else(|| not_a_model("it has no model card in its metadata".to_owned()))?;
        let card: ModelCard =
            serde_json::from_str(card).map_err(|error| not_a_model(error.to_string()))?;
        check(&card).map_err(not_a_model)?;
        let normalised = card
            .statistics
            .tables(card.shape)
            .map_err(|error| not_a_model(error.to_string()))?;
        let architecture = card.model.parse()?;
        let model = Model::new(
            architecture,
            card.shape,
            card.classes.len(),
            &mut random::stream(0, "initialisation", 0),
            device,
        )?;
        let model = state::load_weights(model, weights)
            .map_err(|error| not_a_model(error.to_string()))?
            .valid();
        Ok(Classifier {
            card,
            normalised,
            model,
            device: device.clone(),
        })
    }

    /// Description of the model, from its file.
    pub fn card(&self) -> &ModelCard {
        &self.card
    }

    /// The network, in evaluation mode.
    pub(crate) fn network(&self) -> &Model {
        &self.model
    }

    /// The device of the network.
    pub(crate) fn device(&self) -> &Device {
        &self.device
    }

    /// Classifies an image file, resized and cropped to the input shape of the network.
    ///
    /// # Errors
    /// The file does not exist or is not an image.
    pub fn predict_file(&self, path: &Path, tta: Tta) -> Result<Prediction, TrainError> {
        std::fs::File::open(path).map_err(FileError::io("read", path))?;
        let pixels = folder::read_image(path, self.card.shape)?;
        self.predict(&pixels, tta)
    }

    /// Classifies one image, bytes `[channels, height, width]` in the input shape of the network,
    /// normalised as in training.
    ///
    /// # Errors
    /// [`RunError::PredictionNotFinite`] if the network's outputs are not finite;
    /// [`RunError::Compute`] if the result cannot be read back.
    pub fn predict(&self, pixels: &[u8], tta: Tta) -> Result<Prediction, TrainError> {
        let shape = self.card.shape;
        let values: Vec<f32> = pixels
            .chunks_exact(shape.height * shape.width)
            .zip(&self.normalised)
            .flat_map(|(channel, table)| channel.iter().map(|pixel| table[usize::from(*pixel)]))
            .collect();
        let data = TensorData::new(values, [1, shape.channels, shape.height, shape.width]);
        let images = Tensor::<4>::from_data(data, &self.device);
        let logits = tta.logits(&self.model, images)?;
        if !logits.iter().all(|logit| logit.is_finite()) {
            return Err(RunError::PredictionNotFinite.into());
        }
        let probabilities = softmax(&logits);
        let mut all: Vec<(String, f64)> = self
            .card
            .classes
            .iter()
            .cloned()
            .zip(probabilities)
            .collect();
        all.sort_by(|a, b| b.1.total_cmp(&a.1));
        let (class, probability) = all.first().cloned().unwrap_or_default();
        Ok(Prediction {
            class,
            probability,
            all,
        })
    }
}

/// Largest number of channels, rows and columns of the input images.
const LARGEST_SIDE: usize = 1024;

/// Checks a card before a network is built from it.
fn check(card: &ModelCard) -> Result<(), String> {
    let shape = card.shape;
    for (name, side) in [
        ("channels", shape.channels),
        ("height", shape.height),
        ("width", shape.width),
    ] {
        if !(1..=LARGEST_SIDE).contains(&side) {
            return Err(format!("{name} = {side}, expected 1 to {LARGEST_SIDE}"));
        }
    }
    if card.classes.is_empty() {
        return Err("it has no classes, expected at least one".to_owned());
    }
    Ok(())
}
