use std::path::PathBuf;

use onecycle_vision::{FolderOptions, ImageSize, Resize, Source, folder::LabelFile};
use serde::{Deserialize, Serialize};

use super::require;
use crate::ConfigError;

/// Largest height and width of the images of a folder, in pixels.
const LARGEST_SIDE: usize = 1024;

/// The images that a run trains and measures on.
///
/// | key | default | range | meaning |
/// |---|---|---|---|
/// | `name` | `fashion-mnist` | | a known data set; excludes `path` |
/// | `path` | | | a folder or an archive of images; excludes `name` |
/// | `limit` | 0 | ≥ 0 | use only this many training images, a random sample; 0 for all |
/// | `test_limit` | 0 | ≥ 0 | use only this many test images, a random sample; 0 for all |
/// | `validation` | 0 | 0 to < 1 | share of the training images to hold out and measure on instead of the test set |
/// | `image_size` | 64 | 1 to 1024 | height and width in pixels to which the images of a folder are resized, or `[height, width]` |
/// | `resize` | `crop` | `crop`, `squish`, `pad` | how an image becomes that size: [`Resize`] |
/// | `background` | `[255, 255, 255]` | 0 to 255 | colour behind transparent pixels and around padded images |
/// | `skip_bad` | false | | leave out images that cannot be read |
/// | `labels` | none | | CSV file with a label for each image: [`LabelFile`] |
/// | `[data.curriculum]` | none | | easy images first: [`CurriculumConfig`] |
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataConfig {
    /// Name of a known data set. Excludes `path`.
    // Without the default's name: a table with only a path has no name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Folder or archive of images. Excludes `name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// Use only this many training images, 0 for all: a random sample with images of every class.
    /// The choice depends on the seed.
    pub limit: usize,
    /// Use only this many test images, 0 for all; chosen like `limit`.
    pub test_limit: usize,
    /// Share of the training images of each class to hold out and measure on instead of the test
    /// set, at least 0 and below 1. The choice depends on the seed.
    pub validation: f64,
    /// Height and width in pixels to which the images of a folder are resized.
    pub image_size: ImageSize,
    /// How an image becomes that size.
    pub resize: Resize,
    /// Colour behind transparent pixels and around padded images: red, green, blue.
    pub background: [u8; 3],
    /// Leave out images of a folder that cannot be read.
    pub skip_bad: bool,
    /// CSV file with a label for each image of a folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<PathBuf>,
    /// Easy images first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub curriculum: Option<CurriculumConfig>,
}

/// Curriculum learning: easy images first (Bengio et al., "Curriculum Learning" (2009), section 4),
/// with a linear pace.
///
/// An image is as hard as its loss after a short training of the same network. This training is
/// repeated whenever the run starts or resumes; it depends on the seed alone.
///
/// | key | default | range | meaning |
/// |---|---|---|---|
/// | `start` | 0.25 | > 0 to 1 | share of the images, the easiest ones, that the first epoch draws from |
/// | `epochs` | required | ≥ 0 | epochs until all images are used |
/// | `scoring_epochs` | 1 | ≥ 1 | epochs of the short training that scores the images |
/// | `scoring_lr` | 0.05 | > 0 | learning rate of the short training |
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CurriculumConfig {
    /// Share of the images, the easiest ones, that the first epoch draws from; above 0 and at most
    /// 1.
    #[serde(default = "default_start")]
    pub start: f64,
    /// Epochs until all images are used, at least 0.
    pub epochs: f64,
    /// Epochs of the short training that scores the images, at least 1.
    #[serde(default = "default_scoring_epochs")]
    pub scoring_epochs: u64,
    /// Learning rate of the short training, above 0. It is plain SGD with momentum 0.9.
    #[serde(default = "default_scoring_lr")]
    pub scoring_lr: f64,
}

impl DataConfig {
    /// The data set, with the random choices of `seed`.
    pub fn source(&self, seed: u64) -> Source {
        Source {
            name: self.name.clone(),
            path: self.path.clone(),
            folder: FolderOptions {
                size: self.image_size,
                resize: self.resize,
                background: self.background,
                skip_bad: self.skip_bad,
                labels: self.labels.clone().map(|path| LabelFile { path }),
                seed,
                ..FolderOptions::default()
            },
        }
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        require(
            (0.0..1.0).contains(&self.validation),
            "data.validation",
            &self.validation,
            "at least 0 and below 1",
        )?;
        require(
            [self.image_size.height, self.image_size.width]
                .iter()
                .all(|side| (1..=LARGEST_SIDE).contains(side)),
            "data.image_size",
            &self.image_size,
            "1 to 1024 pixels",
        )?;
        if let Some(labels) = &self.labels {
            require(
                self.path.is_some(),
                "data.labels",
                &labels.display(),
                "a folder of images, `data.path`, together with labels",
            )?;
        }
        if let Some(curriculum) = &self.curriculum {
            curriculum.check()?;
        }
        let Some(path) = &self.path else {
            return Ok(());
        };
        if let Some(name) = &self.name {
            let expected = "either `data.name` or `data.path`, not both";
            return Err(ConfigError::setting("data.name", name, expected));
        }
        require(
            !path.as_os_str().is_empty(),
            "data.path",
            &"\"\"",
            "the path of a folder or an archive",
        )
    }
}

impl DataConfig {
    /// A known data set, such as `fashion-mnist`.
    pub fn named(name: impl Into<String>) -> Self {
        DataConfig {
            name: Some(name.into()),
            ..DataConfig::default()
        }
    }

    /// A folder or an archive of images.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        DataConfig {
            name: None,
            path: Some(path.into()),
            ..DataConfig::default()
        }
    }

    /// Uses only `train` training and `test` test images; 0 for all.
    #[must_use]
    pub fn limited(self, train: usize, test: usize) -> Self {
        DataConfig {
            limit: train,
            test_limit: test,
            ..self
        }
    }
}

impl CurriculumConfig {
    fn check(&self) -> Result<(), ConfigError> {
        require(
            self.start > 0.0 && self.start <= 1.0,
            "data.curriculum.start",
            &self.start,
            "above 0 and at most 1",
        )?;
        require(
            self.epochs.is_finite() && self.epochs >= 0.0,
            "data.curriculum.epochs",
            &self.epochs,
            "a number of at least 0",
        )?;
        require(
            self.scoring_epochs > 0,
            "data.curriculum.scoring_epochs",
            &self.scoring_epochs,
            "at least 1",
        )?;
        require(
            self.scoring_lr.is_finite() && self.scoring_lr > 0.0,
            "data.curriculum.scoring_lr",
            &self.scoring_lr,
            "a number above 0",
        )
    }
}

fn default_start() -> f64 {
    0.25
}

fn default_scoring_epochs() -> u64 {
    1
}

fn default_scoring_lr() -> f64 {
    0.05
}

impl Default for DataConfig {
    fn default() -> Self {
        DataConfig {
            name: Some("fashion-mnist".to_owned()),
            path: None,
            limit: 0,
            test_limit: 0,
            validation: 0.0,
            image_size: FolderOptions::default().size,
            resize: Resize::default(),
            background: FolderOptions::default().background,
            skip_bad: false,
            labels: None,
            curriculum: None,
        }
    }
}
