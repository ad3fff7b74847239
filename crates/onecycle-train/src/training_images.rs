//! Some training images as the network sees them, for the report.

use std::path::Path;

use onecycle_vision::{Batch, ImageShape, Statistics, picture};
use serde::{Deserialize, Serialize};

use crate::{Experiment, TrainError, files, trainer::Cursor};

/// Number of images.
const IMAGES: usize = 24;
/// Images per row of the picture.
const COLUMNS: usize = 6;
/// Names of the files in `figures/`.
const PICTURE: &str = "training-images.png";
const DATA: &str = "training-images.json";

/// The first images of a training, augmented: `figures/training-images.json`. The picture beside it,
/// a PNG, has them in rows of [`columns`](Self::columns), without gaps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainingImages {
    /// Images per row.
    pub columns: usize,
    /// Height of an image in pixels.
    pub height: usize,
    /// Width of an image in pixels.
    pub width: usize,
    /// The images in the order of the first batch.
    pub images: Vec<Example>,
}

/// One of the images.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Example {
    /// Index in the training images.
    pub index: u32,
    /// Name of the class.
    pub class: String,
    /// The class of the image that it is mixed with by mixup or CutMix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mixed_with: Option<String>,
    /// Share of the image itself if it is mixed, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
}

impl TrainingImages {
    /// The first images of the first epoch, and their picture. `None` for images that are neither
    /// grey nor in colour.
    ///
    /// The random streams are functions of the seed, so this does not change the training.
    ///
    /// # Errors
    /// The images cannot be read.
    pub fn of(experiment: &Experiment) -> Result<Option<(Self, Vec<u8>)>, TrainError> {
        let data = &experiment.data;
        if ![1, 3].contains(&data.shape.channels) {
            return Ok(None);
        }
        let mut training = experiment.training_data()?;
        training.loader = training.loader.without_features().prefetch(false);
        let first = training.batches(Cursor::default(), &experiment.plan).next();
        let Some(batch) = first.transpose()? else {
            return Ok(None);
        };
        let count = batch.len.min(IMAGES);
        let pixels: Vec<Vec<u8>> = batch
            .images
            .chunks_exact(batch.shape.len())
            .take(count)
            .map(|image| pixels(image, batch.shape, &data.statistics))
            .collect();
        let pixels: Vec<&[u8]> = pixels.iter().map(Vec::as_slice).collect();
        let picture = picture::grid(&pixels, batch.shape, COLUMNS)?;
        let examples = TrainingImages {
            columns: COLUMNS.min(count),
            height: batch.shape.height,
            width: batch.shape.width,
            images: examples(&batch, count, &data.classes),
        };
        Ok(Some((examples, picture)))
    }

    /// Writes the picture and its description into the folder of figures.
    pub(crate) fn write(&self, picture: &[u8], figures: &Path) -> Result<(), TrainError> {
        files::create_folder(figures)?;
        files::write_whole(&figures.join(PICTURE), picture)?;
        files::write_json(
            &figures.join(DATA),
            "the description of the training images",
            self,
        )?;
        Ok(())
    }

    /// Reads picture and description from the folder of figures; `None` if there are none, as in
    /// runs of older versions.
    pub(crate) fn read(figures: &Path) -> Result<Option<(Self, Vec<u8>)>, TrainError> {
        let (data, picture) = (figures.join(DATA), figures.join(PICTURE));
        if !data.exists() || !picture.exists() {
            return Ok(None);
        }
        let bytes = std::fs::read(&picture).map_err(crate::FileError::io("read", &picture))?;
        Ok(Some((files::read_json(&data)?, bytes)))
    }
}

/// Undoes the normalisation.
fn pixels(image: &[f32], shape: ImageShape, statistics: &Statistics) -> Vec<u8> {
    let channels = statistics.mean.iter().zip(&statistics.std);
    image
        .chunks_exact(shape.plane())
        .zip(channels)
        .flat_map(|(plane, (mean, std))| {
            // A constant channel is not divided by its deviation.
            let std = if *std > 0.0 { *std } else { 1.0 };
            plane
                .iter()
                .map(move |value| ((value * std + mean) * 255.0).round() as u8)
        })
        .collect()
}

fn examples(batch: &Batch, count: usize, classes: &[String]) -> Vec<Example> {
    let class = |label: i64| {
        let name = usize::try_from(label)
            .ok()
            .and_then(|label| classes.get(label));
        name.cloned().unwrap_or_else(|| label.to_string())
    };
    (0..count)
        .map(|image| Example {
            index: batch.indices[image],
            class: class(batch.labels[image]),
            mixed_with: batch.mixed.as_ref().map(|mixed| class(mixed.labels[image])),
            share: batch.mixed.as_ref().map(|mixed| mixed.share),
        })
        .collect()
}
