//! One part of a data set: images in memory with their labels.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::ImageShape;
use crate::error::DataError;
use crate::files;
use crate::random;

/// Images of one shape with their labels: the training, validation or test part of a set.
///
/// An image is 8-bit values `[channel, row, column]`. Clones and parts of a split share its pixels,
/// which are in memory once until the last of them is dropped.
#[derive(Clone)]
pub struct Split {
    shape: ImageShape,
    /// All images without gaps, including those of the split from which this one was taken.
    pixels: Arc<Vec<u8>>,
    /// Positions of this split's images in `pixels`, in order; `None` means all of them.
    places: Option<Vec<u32>>,
    labels: Vec<u32>,
    /// File names of the images in `pixels`, if they are known.
    names: Option<Arc<Vec<String>>>,
}

impl Split {
    /// A split of images `[image, channel, row, column]` and their labels.
    ///
    /// # Errors
    /// [`DataError::Setting`] if the length of `images` does not fit `labels` and `shape`, or if
    /// there are more than 2³² − 1 images.
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
            pixels: Arc::new(images),
            places: None,
            labels,
            names: None,
        })
    }

    /// The same images with the names of their files, one per image in the order of the images.
    ///
    /// # Errors
    /// [`DataError::Setting`] if there are not as many names as images.
    pub fn with_names(self, names: Vec<String>) -> Result<Self, DataError> {
        if names.len() != self.len() {
            return Err(DataError::Setting {
                key: "names",
                value: format!("{} of them", names.len()),
                expected: format!("one for each of the {} images", self.len()),
            });
        }
        // Names are stored like pixels, by place.
        let split = match self.places {
            None => self,
            Some(_) => self.detached(),
        };
        Ok(Self {
            names: Some(Arc::new(names)),
            ..split
        })
    }

    /// Name of the file of image `index`, relative to the folder of images; `None` if the images
    /// are not from files of their own.
    ///
    /// # Panics
    /// If `index` is not below [`len`](Self::len).
    pub fn name(&self, index: usize) -> Option<&str> {
        let names = self.names.as_ref()?;
        Some(&names[self.place(index)])
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

    /// Iterates over the images, each `[channel, row, column]`.
    pub fn images(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        (0..self.len()).map(|index| self.image(index))
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
        let place = self.place(index);
        &self.pixels[place * size..(place + 1) * size]
    }

    /// Position of image `index` in `pixels` and `names`.
    fn place(&self, index: usize) -> usize {
        match &self.places {
            None => index,
            Some(places) => places[index] as usize,
        }
    }

    /// Label of image `index`.
    ///
    /// # Panics
    /// If `index` is not below [`len`](Self::len).
    pub fn label(&self, index: usize) -> u32 {
        self.labels[index]
    }

    /// A random sample of `count` images, or all if there are fewer, in their order. `seed` chooses
    /// them from each class in proportion to its size, and at least one of each class if `count`
    /// allows it. The pixels are copied, so that those of the other images can be freed.
    #[must_use]
    pub fn sample(self, count: usize, seed: u64) -> Self {
        if count >= self.len() {
            return self;
        }
        let mut members: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for (index, &label) in self.labels.iter().enumerate() {
            members.entry(label).or_default().push(index as u32);
        }
        let sizes: Vec<usize> = members.values().map(Vec::len).collect();
        let mut chosen = Vec::with_capacity(count);
        for ((label, mut indices), share) in members.into_iter().zip(shares(&sizes, count)) {
            let mut rng = random::stream(seed, "sample", u64::from(label));
            random::shuffle(&mut rng, &mut indices);
            chosen.extend_from_slice(&indices[..share]);
        }
        chosen.sort_unstable();
        self.select(&chosen).detached()
    }

    /// The first `count` images, or all if there are fewer. The pixels are copied, so that those of
    /// the other images can be freed.
    #[must_use]
    pub fn take(self, count: usize) -> Self {
        match count < self.len() {
            true => self.split_at(count).0.detached(),
            false => self,
        }
    }

    /// The same images with their own copy of the pixels.
    pub(super) fn detached(&self) -> Self {
        let mut pixels = Vec::with_capacity(self.len() * self.shape.len());
        for image in self.images() {
            pixels.extend_from_slice(image);
        }
        let names = self.names.as_ref().map(|_| {
            let name = |index| self.name(index).unwrap_or_default().to_owned();
            Arc::new((0..self.len()).map(name).collect())
        });
        Self {
            shape: self.shape,
            pixels: Arc::new(pixels),
            places: None,
            labels: self.labels.clone(),
            names,
        }
    }

    /// SHA-256 of labels and pixels, in hexadecimal.
    pub(super) fn checksum(&self) -> String {
        let mut sums = files::Sha256Writer::default();
        for label in &self.labels {
            sums.update(&label.to_le_bytes());
        }
        self.images().for_each(|image| sums.update(image));
        sums.finish()
    }

    /// Whether both refer to the same pixels in memory.
    pub(super) fn shares_pixels_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.pixels, &other.pixels)
    }

    /// The images with these indices, in this order. No pixel is copied.
    ///
    /// # Panics
    /// If an index is not below [`len`](Self::len).
    #[must_use]
    pub fn select(&self, indices: &[u32]) -> Self {
        let place = |&index: &u32| match &self.places {
            None => index,
            Some(places) => places[index as usize],
        };
        let label = |&index: &u32| self.label(index as usize);
        Self {
            shape: self.shape,
            pixels: Arc::clone(&self.pixels),
            places: Some(indices.iter().map(place).collect()),
            labels: indices.iter().map(label).collect(),
            names: self.names.clone(),
        }
    }

    /// Divides into the first `count` images and the others. No pixel is copied.
    ///
    /// # Panics
    /// If there are fewer than `count`.
    #[must_use]
    pub fn split_at(&self, count: usize) -> (Self, Self) {
        let indices: Vec<u32> = (0..self.len() as u32).collect();
        let (first, others) = indices.split_at(count);
        (self.select(first), self.select(others))
    }

    /// Number of images per class, by label.
    ///
    /// Labels from `classes` on are not counted; a loaded [`Dataset`](super::Dataset) has no such
    /// label.
    pub fn class_counts(&self, classes: usize) -> Vec<usize> {
        let mut counts = vec![0; classes];
        for &label in &self.labels {
            if let Some(count) = counts.get_mut(label as usize) {
                *count += 1;
            }
        }
        counts
    }

    /// Divides into (training, validation). `seed` chooses `validation` images at random. Both
    /// parts keep the original order, and no pixel is copied.
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

    /// Divides into (training, validation) class by class. `seed` chooses the rounded `fraction` of
    /// each class at random. A class of two or more images has at least one image in each part; a
    /// single image stays in the training part. No pixel is copied.
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
            // One stream per class: adding a class does not change how the others are divided.
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

/// Divides `count`, below the sum of `sizes`, in proportion to them, rounded so that the shares add
/// up to `count`. No share is 0 if `count` is at least the number of sizes.
fn shares(sizes: &[usize], count: usize) -> Vec<usize> {
    let total: usize = sizes.iter().sum();
    let least = usize::from(count >= sizes.len());
    let exact = |size: usize| size as u128 * count as u128;
    let floor = |size: usize| (exact(size) / total as u128) as usize;
    let mut shares: Vec<usize> = sizes.iter().map(|size| floor(*size).max(least)).collect();
    // The largest remainders are rounded up.
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_by_key(|&index| std::cmp::Reverse(exact(sizes[index]) % total as u128));
    let mut given: usize = shares.iter().sum();
    for &index in order.iter().cycle() {
        if given >= count {
            break;
        }
        if shares[index] < sizes[index] {
            shares[index] += 1;
            given += 1;
        }
    }
    // The smallest classes took more than their share: the largest give it back.
    while given > count {
        let largest = (0..sizes.len()).max_by_key(|&index| shares[index]);
        shares[largest.unwrap_or(0)] -= 1;
        given -= 1;
    }
    shares
}

impl fmt::Debug for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Split")
            .field("shape", &self.shape)
            .field("len", &self.len())
            .finish()
    }
}

/// Compares images, labels and order, not their names and their position in memory.
impl PartialEq for Split {
    fn eq(&self, other: &Self) -> bool {
        let same = self.shape == other.shape && self.labels == other.labels;
        same && self.images().eq(other.images())
    }
}

impl Eq for Split {}

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
    fn a_sample_has_every_class_in_proportion() {
        let labels: Vec<u32> = (0..100)
            .map(|i| u32::from(i >= 60) + u32::from(i >= 98))
            .collect();
        let all = split(&labels);
        let half = all.clone().sample(50, 1);
        assert_eq!(half.class_counts(3), [30, 19, 1]);
        assert_ne!(half, all.clone().sample(50, 2));
        assert_eq!(half, all.clone().sample(50, 1));
        for count in 0..=100 {
            let counts = all.clone().sample(count, 1).class_counts(3);
            assert_eq!(counts.iter().sum::<usize>(), count);
            assert_eq!(
                counts.iter().all(|count| *count > 0),
                count >= 3,
                "{counts:?}"
            );
        }
        assert_eq!(all.clone().sample(100, 1), all);
    }

    #[test]
    fn take_keeps_the_first() {
        let all = split(&[0, 1, 2, 3]);
        let two = all.clone().take(2);
        assert_eq!(two.labels(), [0, 1]);
        assert!(two.images().eq([[0, 100], [1, 101]]));
        assert_eq!(all.clone().take(9), all);
        assert_eq!(all.select(&[3, 1, 0]).take(2), all.select(&[3, 1]));
    }

    #[test]
    fn names_stay_with_their_images() {
        let names = |count: u8| (0..count).map(|i| format!("{i}.png")).collect::<Vec<_>>();
        let all = split(&[0, 0, 1, 1]).with_names(names(4)).unwrap();
        let of = |part: &Split| -> Vec<String> {
            let names = (0..part.len()).map(|i| part.name(i).unwrap().to_owned());
            names.collect()
        };
        // `split` stores an image's number in its first pixel.
        let by_pixels = |part: &Split| -> Vec<String> {
            part.images()
                .map(|image| format!("{}.png", image[0]))
                .collect()
        };
        let part = all.select(&[3, 0, 2]);
        assert_eq!(of(&part), ["3.png", "0.png", "2.png"]);
        for part in [
            part.clone(),
            part.detached(),
            part.clone().take(2),
            all.sample(2, 1),
        ] {
            assert_eq!(of(&part), by_pixels(&part));
        }
        let renamed = part.with_names(names(3)).unwrap();
        assert_eq!(of(&renamed), names(3));
        assert_eq!(renamed.image(0), [3, 103]);
        assert_eq!(split(&[0]).name(0), None);
        assert!(split(&[0]).with_names(names(2)).is_err());
    }

    #[test]
    fn parts_share_their_pixels_and_the_first_ones_do_not() {
        let all = split(&[0, 0, 1, 1, 2, 2]);
        let shares = |part: &Split| part.shares_pixels_with(&all);
        let (train, held) = all.hold_out_stratified(0.5, 1).unwrap();
        let (first, others) = train.split_at(1);
        assert!(
            [&train, &held, &first, &others, &all.clone()]
                .into_iter()
                .all(shares)
        );
        assert!(!shares(&all.clone().take(3)));
        // A part of a part has the images that it should.
        assert_eq!(first, train.clone().take(1));
        assert_eq!(others.image(1), train.image(2));
        assert!(others.image(1) != others.image(0));
        assert_eq!(others.labels(), &train.labels()[1..]);
        assert_ne!(
            first,
            held.clone().take(1),
            "other pixels with the same label"
        );
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
