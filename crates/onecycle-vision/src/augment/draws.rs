//! The random choices of one epoch, as a function of seed, epoch and image.

use super::{Augment, Flip, Mix, Transform};
use crate::dataset::ImageShape;
use crate::random::{self, ChaCha8Rng, below};

/// Draws the transforms of an epoch.
///
/// The transform of an image depends on the seed, the epoch and the index of the image, not on the
/// images before it. The mixture of a batch depends on the seed, the epoch, and the number of images
/// in earlier batches.
#[derive(Clone, Debug)]
pub struct EpochDraws {
    augment: Augment,
    epoch: u64,
    /// Stream of this epoch, of which each image has its own part.
    images: ChaCha8Rng,
    /// Stream of the first epoch's sides, which is the same in every epoch.
    sides: ChaCha8Rng,
    /// Stream of this epoch, of which each batch has its own part.
    batches: ChaCha8Rng,
}

impl EpochDraws {
    /// The choices of `epoch`, counted from 0, in a run with this `seed`.
    pub fn new(augment: &Augment, seed: u64, epoch: u64) -> Self {
        Self {
            augment: augment.clone(),
            epoch,
            images: random::stream(seed, "augment", epoch),
            sides: random::stream(seed, "flip", 0),
            batches: random::stream(seed, "mix", epoch),
        }
    }

    /// The transform of the image with this index in its split.
    pub fn transform(&self, image: u32, shape: ImageShape) -> Transform {
        let image = u64::from(image);
        let mut transform = self.augment.draw(&mut part(&self.images, image), shape);
        if self.augment.flip == Flip::Alternating {
            let first = below(&mut part(&self.sides, image), 2) == 1;
            transform.flip = first ^ (self.epoch % 2 == 1);
        }
        transform
    }

    /// How a batch of `len` images of this shape is mixed, after `before` images of the epoch;
    /// `None` if the settings mix no images.
    pub fn mix(&self, before: usize, len: usize, shape: ImageShape) -> Option<Mix> {
        let mut random = part(&self.batches, before as u64);
        Mix::draw(&self.augment, &mut random, len, shape)
    }
}

/// The part of a stream that belongs to one image or batch.
fn part(stream: &ChaCha8Rng, index: u64) -> ChaCha8Rng {
    let mut part = stream.clone();
    part.set_stream(index);
    part
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: ImageShape = ImageShape::new(3, 8, 8);

    fn sides(seed: u64, epoch: u64) -> Vec<bool> {
        let augment = Augment {
            pad: 2,
            flip: Flip::Alternating,
            ..Augment::default()
        };
        let draws = EpochDraws::new(&augment, seed, epoch);
        (0..4000)
            .map(|image| draws.transform(image, SHAPE).flip)
            .collect()
    }

    #[test]
    fn sides_alternate_after_a_random_first_epoch() {
        let first = sides(1, 0);
        let mirrored = first.iter().filter(|mirrored| **mirrored).count();
        // Six standard deviations of a binomial count: 6 sqrt(1000) = 190.
        assert!(mirrored.abs_diff(2000) < 190, "{mirrored}");
        assert_ne!(first, sides(2, 0));
        let other: Vec<bool> = first.iter().map(|mirrored| !mirrored).collect();
        for epoch in 1..5 {
            let expected = if epoch % 2 == 0 { &first } else { &other };
            assert_eq!(&sides(1, epoch), expected, "epoch {epoch}");
        }
    }

    /// The crops are those of a run that mirrors at random or not at all.
    #[test]
    fn sides_come_from_a_stream_of_their_own() {
        let with = |flip| {
            let augment = Augment {
                pad: 2,
                flip,
                ..Augment::default()
            };
            let draws = EpochDraws::new(&augment, 3, 1);
            (0..100)
                .map(|image| draws.transform(image, SHAPE))
                .map(|transform| (transform.down, transform.right))
                .collect::<Vec<_>>()
        };
        assert_eq!(with(Flip::Alternating), with(Flip::Off));
        assert_eq!(with(Flip::Alternating), with(Flip::Random));
    }
}
