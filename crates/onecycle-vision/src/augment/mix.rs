//! Mixup and CutMix: each image of a batch is mixed with another one of it.

use super::{Augment, Rectangle};
use crate::dataset::ImageShape;
use crate::random::{Rng, below, beta, permutation};

/// How the images of a batch are mixed.
///
/// Image `i` is mixed with image `partners[i]` of the batch. The loss is `share` times that for its
/// own label plus `1 - share` times that for the label of its partner.
#[derive(Clone, Debug, PartialEq)]
pub struct Mix {
    /// The other image of each image: a random permutation of the batch.
    pub partners: Vec<u32>,
    /// Share of the image itself, 0 to 1.
    pub share: f64,
    /// CutMix: the part that is replaced by the same part of the other image. `None` for mixup: the
    /// weighted mean of both.
    pub patch: Option<Rectangle>,
}

impl Mix {
    /// Draws how a batch of `len` images is mixed; `None` if the settings mix no images. With mixup
    /// and CutMix, each of them has probability 1/2, as in torchvision's training references.
    pub(super) fn draw(
        augment: &Augment,
        rng: &mut impl Rng,
        len: usize,
        shape: ImageShape,
    ) -> Option<Self> {
        let cut = match (augment.mixup > 0.0, augment.cutmix > 0.0) {
            (false, false) => return None,
            (true, false) => false,
            (false, true) => true,
            (true, true) => below(rng, 2) == 1,
        };
        let partners = permutation(rng, len as u32);
        Some(match cut {
            false => Self::mixup(partners, beta(rng, augment.mixup)),
            true => {
                let share = beta(rng, augment.cutmix);
                let row = below(rng, shape.height as u32) as usize;
                let column = below(rng, shape.width as u32) as usize;
                Self::cutmix(partners, share, (row, column), shape)
            }
        })
    }

    /// Zhang et al., "mixup: Beyond Empirical Risk Minimization", arXiv:1710.09412, section 2.
    fn mixup(partners: Vec<u32>, share: f64) -> Self {
        Self {
            partners,
            share,
            patch: None,
        }
    }

    /// Yun et al., "CutMix", arXiv:1905.04899, section 3.1 and appendix A: the patch has the shape of
    /// the image and the area `1 - share` before it is clipped at the edges; the weight of the
    /// labels is the area that is left.
    fn cutmix(
        partners: Vec<u32>,
        share: f64,
        (row, column): (usize, usize),
        shape: ImageShape,
    ) -> Self {
        let half = 0.5 * (1.0 - share).sqrt();
        let span = |centre: usize, side: usize| {
            let half = (half * side as f64) as usize;
            (centre.saturating_sub(half), (centre + half).min(side))
        };
        let (top, bottom) = span(row, shape.height);
        let (left, right) = span(column, shape.width);
        let patch = Rectangle {
            top,
            left,
            bottom,
            right,
        };
        Self {
            partners,
            share: 1.0 - patch.area() as f64 / shape.plane() as f64,
            patch: Some(patch),
        }
    }

    /// Mixes the images `[image, channel, row, column]`. `copy` is memory to reuse.
    pub(crate) fn apply(&self, images: &mut [f32], shape: ImageShape, copy: &mut Vec<f32>) {
        copy.clear();
        copy.extend_from_slice(images);
        let partner = |index: &u32| &copy[*index as usize * shape.len()..][..shape.len()];
        let pairs = images
            .chunks_exact_mut(shape.len())
            .zip(self.partners.iter().map(partner));
        let (own, other) = (self.share as f32, (1.0 - self.share) as f32);
        for (image, partner) in pairs {
            match self.patch {
                None => {
                    for (value, &with) in image.iter_mut().zip(partner) {
                        *value = own * *value + other * with;
                    }
                }
                Some(patch) => {
                    let rows = image
                        .chunks_exact_mut(shape.width)
                        .zip(partner.chunks_exact(shape.width));
                    // The rows of all channels follow each other.
                    for (row, (line, with)) in rows.enumerate() {
                        if (patch.top..patch.bottom).contains(&(row % shape.height)) {
                            line[patch.left..patch.right]
                                .copy_from_slice(&with[patch.left..patch.right]);
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::stream;

    const SHAPE: ImageShape = ImageShape::new(2, 2, 3);

    /// Image `i` has the values `100 i`, `100 i + 1`, ...
    fn images(count: usize) -> Vec<f32> {
        (0..count * SHAPE.len())
            .map(|i| (100 * (i / SHAPE.len()) + i % SHAPE.len()) as f32)
            .collect()
    }

    #[test]
    fn mixup_is_the_weighted_mean() {
        let mut mixed = images(3);
        Mix::mixup(vec![1, 2, 0], 0.75).apply(&mut mixed, SHAPE, &mut Vec::new());
        let expected: Vec<f32> = [25.0, 125.0, 150.0]
            .iter()
            .flat_map(|&start| (0..SHAPE.len()).map(move |i| start + i as f32))
            .collect();
        assert_eq!(mixed, expected);
    }

    #[test]
    fn cutmix_replaces_the_patch_in_every_channel() {
        let mix = Mix {
            patch: Some(Rectangle {
                top: 1,
                left: 1,
                bottom: 2,
                right: 3,
            }),
            ..Mix::mixup(vec![1, 0], 2.0 / 3.0)
        };
        let mut mixed = images(2);
        mix.apply(&mut mixed, SHAPE, &mut Vec::new());
        let first = [0, 1, 2, 3, 104, 105, 6, 7, 8, 9, 110, 111].map(|x| x as f32);
        let second = [100, 101, 102, 103, 4, 5, 106, 107, 108, 109, 10, 11].map(|x| x as f32);
        assert_eq!(mixed, [first, second].concat());
    }

    /// `RandomCutMix` of torchvision's references with the same lambda and centre:
    /// ```python
    /// r = 0.5 * math.sqrt(1.0 - lam); h = int(r * 32); w = int(r * 20)
    /// x1, x2 = max(c - w, 0), min(c + w, 20); y1, y2 = max(r_y - h, 0), min(r_y + h, 32)
    /// ```
    #[test]
    fn the_patch_is_that_of_torchvision() {
        let shape = ImageShape::new(3, 32, 20);
        let mix = Mix::cutmix(vec![0], 0.75, (30, 10), shape);
        // r = 0.25: 8 rows and 5 columns to each side.
        let patch = Rectangle {
            top: 22,
            left: 5,
            bottom: 32,
            right: 15,
        };
        assert_eq!(mix.patch, Some(patch));
        assert_eq!(mix.share, 1.0 - 100.0 / 640.0);
        let whole = Mix::cutmix(vec![0], 1.0, (30, 10), shape);
        assert_eq!(whole.share, 1.0);
        let none = Mix::cutmix(vec![0], 0.0, (16, 10), shape);
        assert_eq!(none.share, 0.0);
    }

    #[test]
    fn both_kinds_come_equally_often_and_partners_are_a_permutation() {
        let augment = Augment {
            mixup: 0.2,
            cutmix: 1.0,
            ..Augment::default()
        };
        let mut rng = stream(1, "test", 0);
        let mut cut = 0_u32;
        for _ in 0..4000 {
            let Some(mix) = Mix::draw(&augment, &mut rng, 5, SHAPE) else {
                panic!("nothing drawn");
            };
            cut += u32::from(mix.patch.is_some());
            let mut partners = mix.partners.clone();
            partners.sort_unstable();
            assert_eq!(partners, [0, 1, 2, 3, 4]);
            assert!((0.0..=1.0).contains(&mix.share));
        }
        assert!(cut.abs_diff(2000) < 190, "{cut}");
        assert_eq!(Mix::draw(&Augment::default(), &mut rng, 5, SHAPE), None);
    }
}
