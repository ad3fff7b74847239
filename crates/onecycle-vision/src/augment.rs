//! Random augmentation of training images: pad and crop, mirror, cutout, random erasing.
//!
//! The random choices for an image are drawn first, as a [`Transform`]. It is applied while the
//! image is normalised, in one pass from bytes to floats.

mod draws;
mod flip;
mod transform;

use serde::{Deserialize, Serialize};

use crate::dataset::ImageShape;
use crate::error::DataError;
use crate::random::{Rng, below, between, unit};

pub use draws::EpochDraws;
pub use flip::Flip;
pub use transform::{Rectangle, Transform};

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
///
/// Pad, crop and mirror: He et al., "Deep Residual Learning", 2015, section 4.2 (pad 4 for CIFAR).
/// Cutout: DeVries and Taylor, arXiv:1708.04552, section 3: the centre is anywhere, so the square
/// may reach beyond the image. Random erasing: Zhong et al., arXiv:1708.04896, section 3, with
/// their areas (0.02 to 0.4) and aspects (0.3 to 1/0.3) as defaults; the fill is the mean.
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
    }

    /// Checks the settings for images of this shape.
    ///
    /// # Errors
    /// [`DataError::Setting`] with the key and its range.
    pub fn validate(&self, shape: ImageShape) -> Result<(), DataError> {
        let side = shape.height.min(shape.width);
        let refuse = |key, value: String, expected: String| {
            Err(DataError::Setting {
                key,
                value,
                expected,
            })
        };
        let highest_pad = match self.border {
            Border::Zero => side,
            Border::Reflect => side.saturating_sub(1),
        };
        if self.pad > highest_pad {
            return refuse(
                "augment.pad",
                self.pad.to_string(),
                format!("0 to {highest_pad} for images of {shape} with this border"),
            );
        }
        if self.cutout > side {
            return refuse(
                "augment.cutout",
                self.cutout.to_string(),
                format!("0 to {side} for images of {shape}"),
            );
        }
        if !(0.0..=1.0).contains(&self.erase_probability) {
            return refuse(
                "augment.erase_probability",
                self.erase_probability.to_string(),
                "0 to 1".to_owned(),
            );
        }
        let [low, high] = self.erase_area;
        if !(low > 0.0 && low <= high && high < 1.0) {
            return refuse(
                "augment.erase_area",
                format!("[{low}, {high}]"),
                "two shares, 0 < low <= high < 1".to_owned(),
            );
        }
        let [low, high] = self.erase_aspect;
        if !(low > 0.0 && low <= high && high.is_finite()) {
            return refuse(
                "augment.erase_aspect",
                format!("[{low}, {high}]"),
                "two ratios, 0 < low <= high".to_owned(),
            );
        }
        Ok(())
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
