//! What was found in a folder of images: classes, sizes, formats, and what was not used.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A part of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartName {
    /// Images to train on.
    Train,
    /// Images to measure on after each epoch.
    Validation,
    /// Images to measure on once, at the end.
    Test,
}

/// A file that is not used.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Skipped {
    /// Path relative to the folder of images, with slashes.
    pub file: String,
    /// Why it is not used.
    pub reason: String,
}

/// What was found in a folder of images.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Contents {
    /// Number of images of each file format, by its name, such as `JPEG`.
    pub formats: BTreeMap<String, usize>,
    /// Smallest, median and largest width of the files in pixels; `None` without images.
    pub widths: Option<[u32; 3]>,
    /// Smallest, median and largest height of the files in pixels.
    pub heights: Option<[u32; 3]>,
    /// Files that are not used.
    pub skipped: Vec<Skipped>,
    /// Files with the same bytes as an earlier file: the copy and the earlier one, relative to the
    /// folder.
    pub duplicates: Vec<[String; 2]>,
    /// Mean share of an image's area that cropping removes, 0 to 1; 0 if images are not cropped.
    pub cropped: f64,
}

/// Smallest, median and largest of some lengths.
pub(super) fn three(lengths: impl Iterator<Item = u32>) -> Option<[u32; 3]> {
    let mut lengths: Vec<u32> = lengths.collect();
    lengths.sort_unstable();
    Some([
        *lengths.first()?,
        *lengths.get(lengths.len() / 2)?,
        *lengths.last()?,
    ])
}
