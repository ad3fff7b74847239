//! Files of weights: those of a run, or of another library. [`WeightsFile`] reads both.

use std::{collections::BTreeSet, path::Path};

use onecycle_burn::state::TensorMap;
use onecycle_vision::{
    DataError, ImageSize, Resize, Statistics,
    files::sha256,
    weights::{self, KnownWeights, Naming},
};

use crate::{
    model_card::{CARD, ModelCard, model_in},
    tensors,
};

/// Height and width of the images that most networks for ImageNet are trained on, in pixels.
const IMAGENET_SIDE: usize = 224;
/// Colour behind transparent pixels, if a file does not say it.
const WHITE: [u8; 3] = [255; 3];

/// The tensors of a safetensors file, and what is known about them.
#[derive(Debug)]
pub(crate) struct WeightsFile {
    /// SHA-256 of the file.
    pub(crate) sha256: String,
    /// The tensors with the names in the file.
    weights: TensorMap,
    /// The description that a run writes into its model, or that of published weights.
    pub(crate) card: Option<ModelCard>,
    /// Whether the file is of another library and of a network that is usually trained on ImageNet.
    is_of_imagenet: bool,
}

impl WeightsFile {
    /// Reads a file with these bytes. `path` is only used to look for known weights.
    ///
    /// # Errors
    /// What is wrong with the file, in words.
    pub(crate) fn of(path: &Path, bytes: &[u8]) -> Result<Self, String> {
        // PyTorch counts the batches of batch norm in integers; our running statistics need no count.
        let counter = |name: &str| name.ends_with("num_batches_tracked");
        let (weights, metadata) = tensors::from_safetensors_without(bytes, counter)?;
        let known = weights::identify(path).map_err(|error| error.to_string())?;
        let card = match metadata.get(CARD) {
            Some(card) => Some(serde_json::from_str(card).map_err(|error| error.to_string())?),
            None => known.map(card_of),
        };
        let network = Naming::network(weights.keys().map(String::as_str));
        Ok(WeightsFile {
            sha256: sha256(bytes),
            weights,
            is_of_imagenet: card.is_none() && network.is_some(),
            card,
        })
    }

    /// The tensors with the names of a network of these `shapes`.
    pub(crate) fn named_for(&self, shapes: &[(String, Vec<usize>)]) -> TensorMap {
        let network: BTreeSet<String> = shapes.iter().map(|(name, _)| name.clone()).collect();
        let naming = Naming::of(self.weights.keys().map(String::as_str), &network);
        let renamed = |(name, data): (&String, &_)| (naming.rename(name), Clone::clone(data));
        self.weights.iter().map(renamed).collect()
    }

    /// The normalisation under which the weights were trained, if the file says it, or is of a network
    /// that is usually trained on ImageNet.
    pub(crate) fn statistics(&self) -> Option<Statistics> {
        match &self.card {
            Some(card) => Some(card.statistics.clone()),
            None => self.is_of_imagenet.then(weights::imagenet_statistics),
        }
    }

    /// Whether [`statistics`](Self::statistics) are a convention and not from the file.
    pub(crate) fn assumes_imagenet(&self) -> bool {
        self.is_of_imagenet
    }
}

/// Name of the network that a file or a run's model is of, if the file says it or its names are those
/// of a network with published weights.
pub(crate) fn network_in(path: &Path) -> Option<String> {
    if let Some(card) = ModelCard::read(path) {
        return Some(card.model);
    }
    let path = model_in(path);
    if let Ok(Some(known)) = weights::identify(&path) {
        return Some(known.network.to_owned());
    }
    let bytes = std::fs::read(path).ok()?;
    let names = tensors::names(&bytes)?;
    Naming::network(names.iter().map(String::as_str)).map(str::to_owned)
}

/// The images that weights were trained on.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TrainedImages {
    /// Height and width in pixels.
    pub(crate) size: ImageSize,
    /// How images of other sizes become images of this one.
    pub(crate) resize: Resize,
    /// Colour behind transparent pixels and around padded images.
    pub(crate) background: [u8; 3],
}

/// The images that the weights in a file or a run were trained on, if the file says it; those of
/// ImageNet if its names are those of a network with published weights.
pub(crate) fn images_of(path: &Path) -> Option<TrainedImages> {
    let known = || weights::identify(&model_in(path)).ok().flatten();
    let card = ModelCard::read(path).or_else(|| known().map(card_of));
    let Some(card) = card else {
        return network_in(path).map(|_| TrainedImages {
            size: ImageSize::square(IMAGENET_SIDE),
            resize: Resize::default(),
            background: WHITE,
        });
    };
    Some(TrainedImages {
        size: ImageSize {
            height: card.shape.height,
            width: card.shape.width,
        },
        resize: card.resize,
        background: card.background,
    })
}

/// Refuses a file that PyTorch wrote.
///
/// # Errors
/// [`DataError::PickledWeights`] with the lines of Python that convert it.
pub(crate) fn check_format(path: &Path) -> Result<(), DataError> {
    weights::check_format(path)
}

/// The description of published weights.
fn card_of(known: &KnownWeights) -> ModelCard {
    ModelCard {
        model: known.network.to_owned(),
        data: "ImageNet".to_owned(),
        classes: weights::imagenet_classes(),
        shape: onecycle_vision::ImageShape::new(3, known.image_size, known.image_size),
        statistics: known.statistics(),
        resize: Resize::default(),
        background: WHITE,
        trained_on: None,
    }
}
