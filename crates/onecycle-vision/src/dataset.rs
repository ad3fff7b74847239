//! Images and labels in memory: what every source becomes.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::DataError;
use crate::random;
use crate::statistics::Statistics;

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

/// Images of one shape with their labels: the training, validation or test part of a set.
///
/// The images are 8-bit values `[image, channel, row, column]`, one after another without gaps.
#[derive(Clone, PartialEq, Eq)]
pub struct Split {
    shape: ImageShape,
    images: Vec<u8>,
    labels: Vec<u32>,
}

impl Split {
    /// Puts images and labels together.
    ///
    /// # Errors
    /// [`DataError::Setting`] if `images` is not as long as `labels` and `shape` say, or if there
    /// are more than 2³² − 1 images.
    pub fn new(shape: ImageShape, images: Vec<u8>, labels: Vec<u32>) -> Result<Self, DataError> {
        if shape.is_empty() || images.len() != labels.len() * shape.len() {
            return Err(DataError::Setting {
                key: "images",
                value: format!("{} bytes", images.len()),
                expected: format!("{} labels times the image size {shape}", labels.len()),
            });
        }
        if u32::try_from(labels.len()).is_err() {
            return Err(DataError::Setting {
                key: "labels",
                value: format!("{} of them", labels.len()),
                expected: format!("at most {}", u32::MAX),
            });
        }
        Ok(Self {
            shape,
            images,
            labels,
        })
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Shape of every image.
    pub fn shape(&self) -> ImageShape {
        self.shape
    }

    /// All values, `[image, channel, row, column]`.
    pub fn images(&self) -> &[u8] {
        &self.images
    }

    /// All labels, from 0.
    pub fn labels(&self) -> &[u32] {
        &self.labels
    }

    /// Values of image `index`, `[channel, row, column]`.
    ///
    /// # Panics
    /// If `index` is not below [`len`](Self::len).
    pub fn image(&self, index: usize) -> &[u8] {
        let size = self.shape.len();
        &self.images[index * size..(index + 1) * size]
    }

    /// Label of image `index`.
    ///
    /// # Panics
    /// If `index` is not below [`len`](Self::len).
    pub fn label(&self, index: usize) -> u32 {
        self.labels[index]
    }

    /// The first `count` images, or all where there are fewer.
    #[must_use]
    pub fn take(mut self, count: usize) -> Self {
        if count < self.len() {
            self.labels.truncate(count);
            self.images.truncate(count * self.shape.len());
            self.labels.shrink_to_fit();
            self.images.shrink_to_fit();
        }
        self
    }

    /// The images of these indices, in this order.
    ///
    /// # Panics
    /// If an index is not below [`len`](Self::len).
    pub fn select(&self, indices: &[u32]) -> Self {
        let mut images = Vec::with_capacity(indices.len() * self.shape.len());
        for &index in indices {
            images.extend_from_slice(self.image(index as usize));
        }
        let labels = indices
            .iter()
            .map(|&index| self.label(index as usize))
            .collect();
        Self {
            shape: self.shape,
            images,
            labels,
        }
    }

    /// How many images each of the classes has, by label.
    ///
    /// Labels of `classes` and above are not counted; a loaded [`Dataset`] has none.
    pub fn class_counts(&self, classes: usize) -> Vec<usize> {
        let mut counts = vec![0; classes];
        for &label in &self.labels {
            if let Some(count) = counts.get_mut(label as usize) {
                *count += 1;
            }
        }
        counts
    }

    /// Divides into (training, validation): `validation` images chosen at random by `seed`, the
    /// rest for training, both in their original order.
    ///
    /// # Errors
    /// [`DataError::Setting`] if `validation` leaves no image for training.
    pub fn hold_out(&self, validation: usize, seed: u64) -> Result<(Self, Self), DataError> {
        if validation >= self.len() {
            return Err(DataError::Setting {
                key: "validation",
                value: format!("{validation} images"),
                expected: format!("less than the {} training images", self.len()),
            });
        }
        let mut rng = random::stream(seed, "validation", 0);
        let mut order = random::permutation(&mut rng, self.len() as u32);
        order[..validation].sort_unstable();
        order[validation..].sort_unstable();
        Ok((
            self.select(&order[validation..]),
            self.select(&order[..validation]),
        ))
    }

    /// Divides into (training, validation) class by class: of each class the share `fraction`,
    /// rounded, chosen at random by `seed`. Each class with two images or more gets at least one
    /// into either part; a class of one image stays in training.
    ///
    /// # Errors
    /// [`DataError::Setting`] if `fraction` is not in `(0, 1)`, or no class has two images.
    pub fn hold_out_stratified(&self, fraction: f64, seed: u64) -> Result<(Self, Self), DataError> {
        if !(fraction > 0.0 && fraction < 1.0) {
            return Err(DataError::Setting {
                key: "validation",
                value: fraction.to_string(),
                expected: "a share above 0 and below 1".to_owned(),
            });
        }
        let mut members: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for (index, &label) in self.labels.iter().enumerate() {
            members.entry(label).or_default().push(index as u32);
        }
        let (mut train, mut validation) = (Vec::new(), Vec::new());
        for (label, mut indices) in members {
            // A stream for each class: adding a class leaves the others' parts as they were.
            random::shuffle(
                &mut random::stream(seed, "validation", 1 + u64::from(label)),
                &mut indices,
            );
            let held = match indices.len() {
                1 => 0,
                n => ((n as f64 * fraction).round() as usize).clamp(1, n - 1),
            };
            validation.extend_from_slice(&indices[..held]);
            train.extend_from_slice(&indices[held..]);
        }
        if validation.is_empty() {
            return Err(DataError::Setting {
                key: "validation",
                value: fraction.to_string(),
                expected: "a class with at least two images to take validation images from"
                    .to_owned(),
            });
        }
        train.sort_unstable();
        validation.sort_unstable();
        Ok((self.select(&train), self.select(&validation)))
    }
}

impl fmt::Debug for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Split")
            .field("shape", &self.shape)
            .field("len", &self.len())
            .finish()
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

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A failed unwrap is a failed test.
mod tests {
    use super::*;

    fn split(labels: &[u32]) -> Split {
        let shape = ImageShape::new(1, 1, 2);
        let images = (0..labels.len() as u8).flat_map(|i| [i, 100 + i]).collect();
        Split::new(shape, images, labels.to_vec()).unwrap()
    }

    #[test]
    fn images_and_labels_must_fit() {
        let shape = ImageShape::new(3, 2, 2);
        assert!(Split::new(shape, vec![0; 24], vec![0; 2]).is_ok());
        assert!(Split::new(shape, vec![0; 23], vec![0; 2]).is_err());
        assert!(Split::new(ImageShape::new(3, 0, 2), vec![], vec![0; 2]).is_err());
    }

    #[test]
    fn take_keeps_the_first() {
        let all = split(&[0, 1, 2, 3]);
        let two = all.clone().take(2);
        assert_eq!(
            (two.labels(), two.images()),
            (&[0, 1][..], &[0, 100, 1, 101][..])
        );
        assert_eq!(all.clone().take(9), all);
    }

    #[test]
    fn hold_out_is_a_partition_and_depends_on_the_seed() {
        let all = split(&(0..100).collect::<Vec<_>>());
        let (train, validation) = all.hold_out(20, 1).unwrap();
        assert_eq!((train.len(), validation.len()), (80, 20));
        let mut together = [train.labels(), validation.labels()].concat();
        assert!(train.labels().is_sorted() && validation.labels().is_sorted());
        together.sort_unstable();
        assert_eq!(together, all.labels());
        assert_eq!(
            train.image(0)[0] as u32,
            train.label(0),
            "images stay with their labels"
        );
        assert_eq!(all.hold_out(20, 1).unwrap().1, validation);
        assert_ne!(all.hold_out(20, 2).unwrap().1, validation);
        assert!(all.hold_out(100, 1).is_err());
        assert_eq!(all.hold_out(0, 1).unwrap().0, all);
    }

    #[test]
    fn stratified_hold_out_takes_its_share_of_each_class() {
        let labels: Vec<u32> = [0; 40]
            .into_iter()
            .chain([1; 10])
            .chain([2; 2])
            .chain([3])
            .collect();
        let (train, validation) = split(&labels).hold_out_stratified(0.2, 5).unwrap();
        assert_eq!(validation.class_counts(4), [8, 2, 1, 0]);
        assert_eq!(train.class_counts(4), [32, 8, 1, 1]);
        for bad in [0.0, 1.0, -0.1, f64::NAN] {
            assert!(split(&labels).hold_out_stratified(bad, 5).is_err(), "{bad}");
        }
        assert!(
            split(&[0, 1]).hold_out_stratified(0.5, 5).is_err(),
            "no class has two images"
        );
    }
}
