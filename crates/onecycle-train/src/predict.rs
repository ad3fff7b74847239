//! Predictions of a trained model: [`Classifier`] loads a model and classifies images.

use std::path::{Path, PathBuf};

use burn::{
    module::Module,
    tensor::{Device, Tensor, TensorData},
};
use onecycle_burn::state;
use onecycle_vision::{folder, models::Model, random, weights};
use rayon::prelude::*;
use serde::Serialize;

use crate::{
    FileError, RunError, TrainError,
    logits::softmax,
    model_file::ModelCard,
    run_folder::RunFolder,
    tta::Tta,
    weights_file::{self, WeightsFile},
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
    /// [`load`](Self::load), or the name of published weights that were downloaded.
    ///
    /// # Errors
    /// [`RunError::NotFinished`] if the run has no model yet;
    /// [`DataError::WeightsNotFound`](onecycle_vision::DataError::WeightsNotFound) for published weights that were not downloaded; those of
    /// [`load`](Self::load).
    pub fn open(path: &Path, device: &Device) -> Result<Self, TrainError> {
        if !path.exists()
            && let Some(name) = path.to_str()
            && weights::find(name).is_ok()
        {
            return Classifier::load(&weights::resolve(name)?.path, device);
        }
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

    /// Loads a `model.safetensors` written by a run, or published weights that are
    /// [known](onecycle_vision::weights).
    ///
    /// # Errors
    /// [`FileError::NotAModel`] for any other file.
    pub fn load(path: &Path, device: &Device) -> Result<Self, TrainError> {
        let bytes = std::fs::read(path).map_err(FileError::io("read", path))?;
        let not_a_model = |why: String| FileError::NotAModel {
            path: path.to_path_buf(),
            why,
        };
        weights_file::check_format(path)?;
        let file = WeightsFile::of(path, &bytes).map_err(not_a_model)?;
        let card = file
            .card
            .clone()
            .ok_or_else(|| not_a_model("it has no model card in its metadata".to_owned()))?;
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
        let weights = file.named_for(&state::shapes(&model));
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
        let pixels = self.read(path)?;
        self.predict(&pixels, tta)
    }

    /// Classifies image files like [`predict_file`](Self::predict_file), decoded in parallel. Each
    /// file has a result of its own: a prediction, or the reason why it has none.
    ///
    /// # Errors
    /// [`RunError::Compute`] if the results cannot be read back.
    pub fn predict_files(
        &self,
        paths: &[PathBuf],
        tta: Tta,
    ) -> Result<Vec<Result<Prediction, TrainError>>, TrainError> {
        let pixels: Vec<Result<Vec<u8>, TrainError>> =
            paths.par_iter().map(|path| self.read(path)).collect();
        let readable: Vec<&[u8]> = pixels.iter().flatten().map(Vec::as_slice).collect();
        let mut predictions = self.predict_batch(&readable, tta)?.into_iter();
        Ok(pixels
            .into_iter()
            .map(|pixels| {
                let prediction = pixels.map(|_| predictions.next())?;
                prediction.unwrap_or_else(|| Err(RunError::PredictionNotFinite.into()))
            })
            .collect())
    }

    /// Reads an image file in the input shape of the network.
    fn read(&self, path: &Path) -> Result<Vec<u8>, TrainError> {
        std::fs::File::open(path).map_err(FileError::io("read", path))?;
        let ModelCard {
            shape,
            resize,
            background,
            ..
        } = self.card;
        Ok(folder::read_image(path, shape, resize, background)?)
    }

    /// Classifies one image, bytes `[channels, height, width]` in the input shape of the network,
    /// normalised as in training.
    ///
    /// # Errors
    /// [`RunError::PredictionNotFinite`] if the network's outputs are not finite;
    /// [`RunError::Compute`] if the result cannot be read back.
    pub fn predict(&self, pixels: &[u8], tta: Tta) -> Result<Prediction, TrainError> {
        let prediction = self.predict_batch(&[pixels], tta)?.pop();
        prediction.unwrap_or_else(|| Err(RunError::PredictionNotFinite.into()))
    }

    /// Classifies several images together.
    fn predict_batch(
        &self,
        images: &[&[u8]],
        tta: Tta,
    ) -> Result<Vec<Result<Prediction, TrainError>>, TrainError> {
        if images.is_empty() {
            return Ok(Vec::new());
        }
        let shape = self.card.shape;
        let values: Vec<f32> = images
            .iter()
            .flat_map(|image| image.chunks_exact(shape.plane()).zip(&self.normalised))
            .flat_map(|(channel, table)| channel.iter().map(|pixel| table[usize::from(*pixel)]))
            .collect();
        let sizes = [images.len(), shape.channels, shape.height, shape.width];
        let data = TensorData::new(values, sizes);
        let logits = tta.logits(&self.model, Tensor::<4>::from_data(data, &self.device))?;
        let rows = logits.chunks_exact(self.card.classes.len());
        Ok(rows.map(|logits| self.prediction(logits)).collect())
    }

    /// The prediction of one image from its logits.
    fn prediction(&self, logits: &[f32]) -> Result<Prediction, TrainError> {
        if !logits.iter().all(|logit| logit.is_finite()) {
            return Err(RunError::PredictionNotFinite.into());
        }
        let classes = self.card.classes.iter().cloned();
        let mut all: Vec<(String, f64)> = classes.zip(softmax(logits)).collect();
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
