//! Curriculum learning: which images the first epochs draw from.

use crate::error::DataError;
use crate::random::{self, ChaCha8Rng};

/// Easy images first: the early epochs draw only from the easiest images, and each epoch adds
/// harder ones (Bengio et al., "Curriculum Learning", 2009).
///
/// Epoch `e` draws from the easiest fraction `start + (1 - start) e / epochs` of the images; from
/// epoch `epochs` on it draws from all of them. Every epoch has as many images as the split, so
/// while the pool is smaller, its images repeat in another order. Within an epoch, an image gets
/// the same augmentation each time.
#[derive(Clone, Debug, PartialEq)]
pub struct Curriculum {
    /// Indices of all images in their split, the easiest first.
    pub easiest_first: Vec<u32>,
    /// Fraction of the images that epoch 0 draws from, above 0 and at most 1.
    pub start: f64,
    /// Number of epochs until all images are used, at least 0.
    pub epochs: f64,
}

impl Curriculum {
    /// Size of the pool: how many of the easiest images this epoch draws from.
    pub fn pool(&self, epoch: u64) -> usize {
        let images = self.easiest_first.len();
        let done = epoch as f64 / self.epochs;
        if done.is_nan() || done >= 1.0 {
            return images;
        }
        let share = self.start + (1.0 - self.start) * done;
        ((share * images as f64).ceil() as usize).clamp(1, images)
    }

    /// Checks the numbers, and that each of `images` images is listed once.
    pub(super) fn validate(&self, images: usize) -> Result<(), DataError> {
        let refuse = |key, value: String, expected: &str| {
            Err(DataError::Setting {
                key,
                value,
                expected: expected.to_owned(),
            })
        };
        let mut listed = self.easiest_first.clone();
        listed.sort_unstable();
        if !listed.iter().copied().eq(0..images as u32) {
            let found = format!("{} indices", listed.len());
            return refuse("curriculum", found, "every image once");
        }
        let &Self { start, epochs, .. } = self;
        if !(start > 0.0 && start <= 1.0) {
            let expected = "above 0 and at most 1";
            return refuse("data.curriculum.start", start.to_string(), expected);
        }
        if !(epochs.is_finite() && epochs >= 0.0) {
            let expected = "a number of at least 0";
            return refuse("data.curriculum.epochs", epochs.to_string(), expected);
        }
        Ok(())
    }

    /// Indices of an epoch's images: permutations of its pool, one after another.
    pub(super) fn order(&self, epoch: u64, random: &mut ChaCha8Rng) -> Vec<u32> {
        let images = self.easiest_first.len();
        let pool = &self.easiest_first[..self.pool(epoch)];
        let mut order = Vec::with_capacity(images + pool.len());
        while order.len() < images {
            let drawn = random::permutation(random, pool.len() as u32);
            order.extend(drawn.into_iter().map(|index| pool[index as usize]));
        }
        order.truncate(images);
        order
    }
}
