//! Images and labels in memory: what every source becomes.

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

    /// Whether an image of this shape has no value at all.
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

/// A data set in memory: the training part, and one to measure on.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    /// Canonical name of a known set; the folder's name otherwise.
    pub name: String,
    /// Names of the classes; label `k` is `classes[k]`.
    pub classes: Vec<String>,
    /// Shape of every image.
    pub shape: ImageShape,
    /// Images to train on.
    pub train: Split,
    /// Images to measure on: the published test part, or the validation part of an image folder.
    pub test: Split,
    /// File or folder that it was read from.
    pub source: PathBuf,
    /// SHA-256, hexadecimal, of each file read, by file name. For an image folder it is one entry:
    /// that of all decoded pixels and labels.
    pub checksums: BTreeMap<String, String>,
    /// Remarks for the user, such as a cache that could not be written. Empty as a rule.
    pub notes: Vec<String>,
}

impl Dataset {
    /// Mean and standard deviation of the training part's channels, in units of 0 to 1.
    pub fn statistics(&self) -> Statistics {
        Statistics::of(&self.train)
    }

    /// Keeps only the first `count` training images.
    #[must_use]
    pub fn limit(mut self, count: usize) -> Self {
        if count < self.train.len() && self.test.shares_pixels_with(&self.train) {
            // What is left out would stay for its sake.
            self.test = self.test.detached();
        }
        self.train = self.train.take(count);
        self
    }

    /// Keeps only the first `count` images to measure on.
    #[must_use]
    pub fn limit_test(mut self, count: usize) -> Self {
        self.test = self.test.take(count);
        self
    }
}
