//! Random augmentation of training images: crops, mirror, rotation, colours, TrivialAugment, holes,
//! and mixtures of two images.
//!
//! The random choices for an image are drawn first, as a [`Transform`]. It is applied while the
//! image is normalised; crops, mirror and holes in one pass from bytes to floats. The choices for a
//! batch are a [`Mix`]. [`EpochDraws`] has both as a function of seed, epoch, image and batch.

mod affine;
mod check;
mod colour;
mod draws;
mod flip;
mod jitter;
mod mix;
mod rectangle;
pub(crate) mod resample;
mod resized_crop;
mod transform;
mod trivial;

use serde::{Deserialize, Serialize};

use crate::dataset::ImageShape;
use crate::random::{Rng, below, between, unit};
use jitter::JitterRanges;

pub use affine::Fill;
pub use draws::EpochDraws;
pub use flip::Flip;
pub use jitter::{Adjustment, Jitter};
pub use mix::Mix;
pub use rectangle::Rectangle;
pub use transform::Transform;
pub use trivial::Operation;

/// Contents of the padding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Border {
    /// Black: the pixel value 0, before normalisation, as torchvision's `RandomCrop` pads.
    #[default]
    Zero,
    /// The image mirrored at its edge, which is not repeated: rows 2 1 | 0 1 2 (PyTorch's
    /// `reflect`).
    Reflect,
}

/// Settings of the augmentation; [`Augment::default`] changes nothing.
///
/// | key | range | what it does |
/// |---|---|---|
/// | `pad` | 0 to the image's side; below it with `reflect` | pixels added on each of the four sides |
/// | `border` | `zero`, `reflect` | contents of these pixels |
/// | `crop` | | whether a window of the old size is cut out at random; otherwise from the centre |
/// | `flip` | `false`, `true`, `"alternating"` | mirrors left to right: [`Flip`] |
/// | `cutout` | 0 to the image's side | side of a square that is set to the mean; 0 turns it off |
/// | `erase_probability` | 0 to 1 | probability that a random rectangle is set to the mean |
/// | `erase_area` | 0 < low ≤ high < 1 | the rectangle's fraction of the image |
/// | `erase_aspect` | 0 < low ≤ high | the rectangle's height over its width |
/// | `resized_crop_area` | 0 < low ≤ high ≤ 1 | enlarges a random part with this fraction of the image to the whole |
/// | `resized_crop_aspect` | 0 < low ≤ high | the part's width over its height |
/// | `rotate` | 0 to 180 | rotates by up to this many degrees to either side |
/// | `rotate_fill` | `mean`, `edge` | contents of the empty corners: [`Fill`] |
/// | `brightness`, `contrast`, `saturation` | at least 0 | factors from `max(0, 1 - r)` to `1 + r` |
/// | `hue` | 0 to 0.5 | turns of the colour circle from `-r` to `r` |
/// | `trivial_augment` | | one random [`Operation`] of random strength |
/// | `mixup` | at least 0 | mixes images with shares of Beta(`mixup`, `mixup`): [`Mix`]; 0 turns it off |
/// | `cutmix` | at least 0 | the same, but patches one image into the other; with both, one of them per batch |
///
/// The steps are applied in this order: resized crop, pad and crop, mirror, rotation, colours in
/// random order, TrivialAugment, normalisation, holes, mixture.
///
/// Pad, crop and mirror: He et al., "Deep Residual Learning", 2015, section 4.2 (pad 4 for CIFAR).
/// Cutout: DeVries and Taylor, arXiv:1708.04552, section 3: the centre is anywhere, so the square
/// may reach beyond the image. Random erasing: Zhong et al., arXiv:1708.04896, section 3, with
/// their areas (0.02 to 0.4) and aspects (0.3 to 1/0.3) as defaults; the fill is the mean. Resized
/// crop: Szegedy et al., arXiv:1409.4842, section 6, and torchvision's `RandomResizedCrop`, with its
/// aspects (3/4 to 4/3) as default. Rotation and colours: torchvision's `RandomRotation` and
/// `ColorJitter`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Augment {
    /// Pixels added on each side before the crop.
    pub pad: usize,
    /// Contents of the added pixels.
    pub border: Border,
    /// Whether the crop is at a random position. Has no effect without padding.
    pub crop: bool,
    /// Which images are mirrored left to right.
    pub flip: Flip,
    /// Side of the square that is set to the mean, in pixels; 0 turns it off.
    pub cutout: usize,
    /// Probability that a rectangle is set to the mean.
    pub erase_probability: f64,
    /// Smallest and largest fraction of the image that the rectangle covers.
    pub erase_area: [f64; 2],
    /// Smallest and largest height over width of the rectangle.
    pub erase_aspect: [f64; 2],
    // The keys below are written only if they are set, as before they existed.
    /// Smallest and largest fraction of the image that a resized crop covers; `None` turns it off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resized_crop_area: Option<[f64; 2]>,
    /// Smallest and largest width over height of the part that a resized crop covers.
    #[serde(skip_serializing_if = "is_default_aspect")]
    pub resized_crop_aspect: [f64; 2],
    /// Largest angle of the rotation in degrees; 0 turns it off.
    #[serde(skip_serializing_if = "is_zero")]
    pub rotate: f64,
    /// Contents of the corners that a rotation leaves empty.
    #[serde(skip_serializing_if = "is_mean")]
    pub rotate_fill: Fill,
    /// Largest relative change of brightness; 0 turns it off.
    #[serde(skip_serializing_if = "is_zero")]
    pub brightness: f64,
    /// Largest relative change of contrast; 0 turns it off.
    #[serde(skip_serializing_if = "is_zero")]
    pub contrast: f64,
    /// Largest relative change of saturation; 0 turns it off.
    #[serde(skip_serializing_if = "is_zero")]
    pub saturation: f64,
    /// Largest turn of the hue, in parts of the colour circle; 0 turns it off.
    #[serde(skip_serializing_if = "is_zero")]
    pub hue: f64,
    /// Whether one random operation changes each image.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub trivial_augment: bool,
    /// Parameter of the beta distribution of mixup's shares; 0 turns it off.
    #[serde(skip_serializing_if = "is_zero")]
    pub mixup: f64,
    /// Parameter of the beta distribution of CutMix's shares; 0 turns it off.
    #[serde(skip_serializing_if = "is_zero")]
    pub cutmix: f64,
}

const RESIZED_CROP_ASPECT: [f64; 2] = [3.0 / 4.0, 4.0 / 3.0];

fn is_default_aspect(aspect: &[f64; 2]) -> bool {
    *aspect == RESIZED_CROP_ASPECT
}

fn is_zero(value: &f64) -> bool {
    *value == 0.0
}

fn is_mean(fill: &Fill) -> bool {
    *fill == Fill::Mean
}

impl Default for Augment {
    fn default() -> Self {
        Self {
            pad: 0,
            border: Border::Zero,
            crop: true,
            flip: Flip::Off,
            cutout: 0,
            erase_probability: 0.0,
            erase_area: [0.02, 0.4],
            erase_aspect: [0.3, 1.0 / 0.3],
            resized_crop_area: None,
            resized_crop_aspect: RESIZED_CROP_ASPECT,
            rotate: 0.0,
            rotate_fill: Fill::default(),
            brightness: 0.0,
            contrast: 0.0,
            saturation: 0.0,
            hue: 0.0,
            trivial_augment: false,
            mixup: 0.0,
            cutmix: 0.0,
        }
    }
}

impl Augment {
    /// The usual augmentation: pad by `pad` pixels, crop at random, mirror. For CIFAR `pad` is 4.
    pub fn crop_and_flip(pad: usize, border: Border) -> Self {
        Self {
            pad,
            border,
            flip: Flip::Random,
            ..Self::default()
        }
    }

    /// Whether these settings leave every image unchanged.
    pub fn is_none(&self) -> bool {
        (self.pad == 0 || !self.crop)
            && self.flip == Flip::Off
            && self.cutout == 0
            && self.erase_probability == 0.0
            && self.resized_crop_area.is_none()
            && self.rotate == 0.0
            && self.jitter().is_none()
            && !self.trivial_augment
            && !self.mixes()
    }

    /// Whether images are mixed with each other, so that each has two labels.
    pub fn mixes(&self) -> bool {
        self.mixup > 0.0 || self.cutmix > 0.0
    }

    fn jitter(&self) -> JitterRanges {
        JitterRanges {
            brightness: self.brightness,
            contrast: self.contrast,
            saturation: self.saturation,
            hue: self.hue,
        }
    }

    /// Draws the transform of one image.
    ///
    /// With [`Flip::Alternating`] the image is not mirrored, because that depends on the epoch:
    /// [`EpochDraws`] decides it.
    pub fn draw(&self, rng: &mut impl Rng, shape: ImageShape) -> Transform {
        let mut transform = Transform {
            border: self.border,
            ..Transform::default()
        };
        if self.pad > 0 && self.crop {
            let mut offset = || below(rng, 2 * self.pad as u32 + 1) as isize - self.pad as isize;
            transform.down = offset();
            transform.right = offset();
        }
        if self.flip == Flip::Random {
            transform.flip = below(rng, 2) == 1;
        }
        if self.cutout > 0 {
            let row = below(rng, shape.height as u32) as usize;
            let column = below(rng, shape.width as u32) as usize;
            transform.cutout = Some(Rectangle::centred(row, column, self.cutout, shape));
        }
        if self.erase_probability > 0.0 && unit(rng) < self.erase_probability {
            transform.erased = self.draw_rectangle(rng, shape);
        }
        // Drawn last, so that these settings do not change the draws above.
        if let Some(area) = self.resized_crop_area {
            let part = resized_crop::draw(rng, shape, area, self.resized_crop_aspect);
            transform.resized = Some(part);
        }
        if self.rotate > 0.0 {
            transform.rotation = between(rng, -self.rotate, self.rotate);
            transform.rotation_fill = self.rotate_fill;
        }
        if !self.jitter().is_none() {
            transform.jitter = Some(self.jitter().draw(rng));
        }
        if self.trivial_augment {
            transform.operation = Some(Operation::draw(rng));
        }
        transform
    }

    /// Algorithm 1 of Zhong et al.; `None` if no rectangle fitted in `ATTEMPTS` draws.
    fn draw_rectangle(&self, rng: &mut impl Rng, shape: ImageShape) -> Option<Rectangle> {
        for _ in 0..ATTEMPTS {
            let area = between(rng, self.erase_area[0], self.erase_area[1]) * shape.plane() as f64;
            let aspect = between(rng, self.erase_aspect[0], self.erase_aspect[1]);
            let height = (area * aspect).sqrt().round() as usize;
            let width = (area / aspect).sqrt().round() as usize;
            if (1..=shape.height).contains(&height) && (1..=shape.width).contains(&width) {
                let top = below(rng, (shape.height - height) as u32 + 1) as usize;
                let left = below(rng, (shape.width - width) as u32 + 1) as usize;
                return Some(Rectangle {
                    top,
                    left,
                    bottom: top + height,
                    right: left + width,
                });
            }
        }
        None
    }
}

/// Maximum number of draws for a rectangle that fits, as in the authors' code.
const ATTEMPTS: usize = 100;
