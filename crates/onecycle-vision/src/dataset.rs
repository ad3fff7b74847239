//! Images and labels in memory: the result of reading any source.

mod split;
mod statistics;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::DataError;
use crate::folder::Contents;

pub use split::Split;
pub use statistics::Statistics;

/// Channels, height and width of an image, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ImageShape {
    /// 1 for greyscale, 3 for red, green and blue.
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl ImageShape {
    /// A shape from its three sizes.
    pub const fn new(channels: usize, height: usize, width: usize) -> Self {
        Self {
            channels,
            height,
            width,
        }
    }

    /// Values of one image: channels × height × width.
    pub const fn len(self) -> usize {
        self.channels * self.height * self.width
    }

    /// Whether one of the three sizes is 0.
    pub const fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Pixels of one channel: height × width.
    pub const fn plane(self) -> usize {
        self.height * self.width
    }
}

impl fmt::Display for ImageShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}x{}", self.channels, self.height, self.width)
    }
}

/// Height and width of images, in pixels. Written as one number if they are equal, otherwise as
/// `[height, width]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "SizeForm", into = "SizeForm")]
pub struct ImageSize {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl ImageSize {
    /// A square.
    pub const fn square(side: usize) -> Self {
        Self {
            height: side,
            width: side,
        }
    }
}

impl From<usize> for ImageSize {
    fn from(side: usize) -> Self {
        Self::square(side)
    }
}

impl fmt::Display for ImageSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.height == self.width {
            true => write!(f, "{}", self.height),
            false => write!(f, "[{}, {}]", self.height, self.width),
        }
    }
}

/// Written form of an [`ImageSize`].
#[derive(Serialize, Deserialize)]
#[serde(untagged, expecting = "a number of pixels, or [height, width]")]
enum SizeForm {
    Square(usize),
    Sides([usize; 2]),
}

impl From<SizeForm> for ImageSize {
    fn from(form: SizeForm) -> Self {
        match form {
            SizeForm::Square(side) => Self::square(side),
            SizeForm::Sides([height, width]) => Self { height, width },
        }
    }
}

impl From<ImageSize> for SizeForm {
    fn from(size: ImageSize) -> Self {
        match size.height == size.width {
            true => Self::Square(size.height),
            false => Self::Sides([size.height, size.width]),
        }
    }
}

/// Where the test images of a data set are from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TestOrigin {
    /// They are the test images of the data set.
    Test,
    /// They are the validation images of a folder that has no others.
    Validation,
    /// The seed drew them from the training images, as for a folder without `val/` and `test/`.
    /// Another seed, or any change of the folder, draws others.
    Drawn,
}

/// A data set in memory: training images, and test or validation images.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    /// Canonical name of a known set, otherwise the name of the folder.
    pub name: String,
    /// Names of the classes; label `k` is `classes[k]`.
    pub classes: Vec<String>,
    /// Shape of every image.
    pub shape: ImageShape,
    /// Training images.
    pub train: Split,
    /// Images to measure on after each epoch, if there are others than the test images.
    pub validation: Option<Split>,
    /// The test images; for an image folder without any, its validation images.
    pub test: Split,
    /// Where the test images are from.
    pub test_origin: TestOrigin,
    /// The file or folder from which it was read; empty for images that were in memory.
    pub source: PathBuf,
    /// SHA-256 (hexadecimal) of each file, by file name. For an image folder this is one entry,
    /// over all labels and decoded pixels; for images in memory one for each of `train` and `test`.
    pub checksums: BTreeMap<String, String>,
    /// What was found in a folder of images; `None` for a known set.
    pub contents: Option<Contents>,
    /// Remarks for the user, for example that a cache could not be written. Usually empty.
    pub notes: Vec<String>,
}

impl Dataset {
    /// A data set of images in memory.
    ///
    /// ```
    /// use onecycle_vision::{Augment, Dataset, ImageShape, Split};
    ///
    /// let shape = ImageShape::new(1, 8, 8);
    /// let split = |count: u32| -> Result<Split, onecycle_vision::DataError> {
    ///     let labels: Vec<u32> = (0..count).map(|i| i % 2).collect();
    ///     // Black and white squares.
    ///     let pixels = labels.iter().flat_map(|&label| [255 * label as u8; 64]).collect();
    ///     Split::new(shape, pixels, labels)
    /// };
    /// let data = Dataset::new("squares", ["black", "white"], split(100)?, split(20)?)?;
    /// let (train, test) = data.loaders(Augment::default(), 1)?;
    /// assert_eq!((train.len(), test.len()), (100, 20));
    /// # Ok::<(), onecycle_vision::DataError>(())
    /// ```
    ///
    /// # Errors
    /// [`DataError::Setting`] if a part is empty, if the shapes of the parts differ, if a class has
    /// no name or two classes have the same, or if a label has no class.
    pub fn new(
        name: impl Into<String>,
        classes: impl IntoIterator<Item = impl Into<String>>,
        train: Split,
        test: Split,
    ) -> Result<Self, DataError> {
        let classes: Vec<String> = classes.into_iter().map(Into::into).collect();
        let refuse = |key, value: String, expected: String| {
            Err(DataError::Setting {
                key,
                value,
                expected,
            })
        };
        let wrong = |i: &usize| classes[*i].is_empty() || classes[..*i].contains(&classes[*i]);
        if let Some(i) = (0..classes.len()).find(wrong) {
            let value = match classes[i].as_str() {
                "" => "an empty name".to_owned(),
                name => format!("{name:?} twice"),
            };
            let expected = "a different name for each class".to_owned();
            return refuse("classes", value, expected);
        }
        if train.shape() != test.shape() {
            let expected = format!("{}, as the training images", train.shape());
            return refuse("test", format!("images of {}", test.shape()), expected);
        }
        for (key, split) in [("train", &train), ("test", &test)] {
            let Some(largest) = split.labels().iter().copied().max() else {
                return refuse(key, "0 images".to_owned(), "at least one image".to_owned());
            };
            if largest as usize >= classes.len() {
                let expected = format!("labels below {}, the number of classes", classes.len());
                return refuse(key, format!("images with the label {largest}"), expected);
            }
        }
        let checksums = [("train", &train), ("test", &test)]
            .map(|(part, split)| (part.to_owned(), split.checksum()));
        Ok(Self {
            name: name.into(),
            classes,
            shape: train.shape(),
            train,
            validation: None,
            test,
            test_origin: TestOrigin::Test,
            source: PathBuf::new(),
            checksums: checksums.into(),
            contents: None,
            notes: Vec::new(),
        })
    }

    /// Mean and standard deviation of each channel over the training images, in units of 0 to 1.
    pub fn statistics(&self) -> Statistics {
        Statistics::of(&self.train)
    }

    /// Keeps only `count` training images; see [`Split::sample`].
    #[must_use]
    pub fn limit(mut self, count: usize, seed: u64) -> Self {
        if count < self.train.len() && self.test.shares_pixels_with(&self.train) {
            // Otherwise the other images would keep the pixels of all dropped training images in
            // memory.
            self.test = self.test.detached();
            self.validation = self.validation.map(|validation| validation.detached());
        }
        self.train = self.train.sample(count, seed);
        self
    }

    /// Keeps only `count` validation images and `count` test images; see [`Split::sample`].
    #[must_use]
    pub fn limit_test(mut self, count: usize, seed: u64) -> Self {
        self.test = self.test.sample(count, seed);
        self.validation = self.validation.map(|images| images.sample(count, seed));
        self
    }
}
