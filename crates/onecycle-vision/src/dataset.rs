//! Images and labels in memory: the result of reading any source.

mod split;
mod statistics;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

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
    /// The published test images, or the validation images of an image folder.
    pub test: Split,
    /// Whether the seed drew the test images from the training images, as for a folder without
    /// `val/`. Another seed, or any change of the folder, then makes other images the test images.
    pub test_is_drawn: bool,
    /// The file or folder from which it was read.
    pub source: PathBuf,
    /// SHA-256 (hexadecimal) of each file, by file name. For an image folder this is one entry,
    /// over all labels and decoded pixels.
    pub checksums: BTreeMap<String, String>,
    /// Remarks for the user, for example that a cache could not be written. Usually empty.
    pub notes: Vec<String>,
}

impl Dataset {
    /// Mean and standard deviation of each channel over the training images, in units of 0 to 1.
    pub fn statistics(&self) -> Statistics {
        Statistics::of(&self.train)
    }

    /// Keeps only the first `count` training images.
    #[must_use]
    pub fn limit(mut self, count: usize) -> Self {
        if count < self.train.len() && self.test.shares_pixels_with(&self.train) {
            // Otherwise the test images would keep the pixels of all dropped training images in
            // memory.
            self.test = self.test.detached();
        }
        self.train = self.train.take(count);
        self
    }

    /// Keeps only the first `count` test images.
    #[must_use]
    pub fn limit_test(mut self, count: usize) -> Self {
        self.test = self.test.take(count);
        self
    }
}
