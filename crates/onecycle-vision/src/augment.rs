//! Random augmentation of training images: pad and crop, mirror, cutout, random erasing.
//!
//! The random choices for an image are drawn first, as a [`Transform`]. It is applied while the
//! image is normalised, in one pass from bytes to floats.

use serde::{Deserialize, Serialize};

use crate::dataset::ImageShape;
use crate::error::DataError;
use crate::random::{Rng, below, between, unit};

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
/// | `flip` | | mirrors left to right with probability 1/2 |
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
    /// Whether images are mirrored left to right, each with probability 1/2.
    pub flip: bool,
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
            flip: false,
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
            flip: true,
            ..Self::default()
        }
    }

    /// Whether these settings leave every image unchanged.
    pub fn is_none(&self) -> bool {
        (self.pad == 0 || !self.crop)
            && !self.flip
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
        if self.flip {
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

/// A part of an image: rows `top` to `bottom`, columns `left` to `right`, the ends not included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rectangle {
    /// First row.
    pub top: usize,
    /// First column.
    pub left: usize,
    /// Row after the last.
    pub bottom: usize,
    /// Column after the last.
    pub right: usize,
}

impl Rectangle {
    /// The square of this side around a pixel, clipped at the edges of the image.
    fn centred(row: usize, column: usize, side: usize, shape: ImageShape) -> Self {
        let span = |centre: usize, limit: usize| {
            let end = (centre + side - side / 2).min(limit);
            (centre.saturating_sub(side / 2), end)
        };
        let (top, bottom) = span(row, shape.height);
        let (left, right) = span(column, shape.width);
        Self {
            top,
            left,
            bottom,
            right,
        }
    }

    /// Number of pixels.
    pub fn area(self) -> usize {
        (self.bottom - self.top) * (self.right - self.left)
    }
}

/// The augmentation of one image; the default leaves it unchanged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Transform {
    /// Rows by which the window moves down over the image, from -pad to pad.
    pub down: isize,
    /// Columns by which the window moves to the right, from -pad to pad.
    pub right: isize,
    /// Contents of the window beyond the image.
    pub border: Border,
    /// Whether the window is mirrored left to right.
    pub flip: bool,
    /// Square that is set to the mean after the steps above.
    pub cutout: Option<Rectangle>,
    /// Rectangle that is set to the mean.
    pub erased: Option<Rectangle>,
}

impl Transform {
    /// Writes the transformed, normalised image.
    ///
    /// `image` and `out` are `[channel, row, column]` of `shape`. `tables` has one table per
    /// channel with the normalised value of each pixel value ([`Statistics::tables`]). The mean has
    /// the normalised value 0.
    ///
    /// # Panics
    /// If a length does not fit `shape`, or if the window moves by a full side of the image or more
    /// with [`Border::Reflect`].
    ///
    /// [`Statistics::tables`]: crate::Statistics::tables
    pub fn apply(&self, image: &[u8], shape: ImageShape, tables: &[[f32; 256]], out: &mut [f32]) {
        assert_eq!(
            (image.len(), out.len(), tables.len()),
            (shape.len(), shape.len(), shape.channels)
        );
        let plane = shape.plane();
        for (channel, table) in tables.iter().enumerate() {
            let image = &image[channel * plane..(channel + 1) * plane];
            let out = &mut out[channel * plane..(channel + 1) * plane];
            if self.down == 0 && self.right == 0 && !self.flip {
                normalise(image, table, out);
            } else {
                self.move_plane(image, shape, table, out);
            }
            for hole in [self.cutout, self.erased].into_iter().flatten() {
                for row in hole.top..hole.bottom {
                    out[row * shape.width..][hole.left..hole.right].fill(0.0);
                }
            }
        }
    }

    fn move_plane(&self, image: &[u8], shape: ImageShape, table: &[f32; 256], out: &mut [f32]) {
        let width = shape.width;
        // Columns of the window that lie within the image.
        let from = (-self.right).clamp(0, width as isize) as usize;
        let to = (width as isize - self.right).clamp(0, width as isize) as usize;
        for (row, out) in out.chunks_exact_mut(width).enumerate() {
            let Some(source) = self.source(row as isize + self.down, shape.height) else {
                out.fill(table[0]);
                continue;
            };
            let image = &image[source * width..(source + 1) * width];
            if from < to {
                let first = (from as isize + self.right) as usize;
                normalise(&image[first..first + to - from], table, &mut out[from..to]);
            }
            for column in (0..from).chain(to.max(from)..width) {
                let source = self.source(column as isize + self.right, width);
                out[column] = table[source.map_or(0, |source| usize::from(image[source]))];
            }
            if self.flip {
                out.reverse();
            }
        }
    }

    /// The row or column of the image shown at `index`; `None` for black.
    fn source(&self, index: isize, limit: usize) -> Option<usize> {
        let last = limit as isize - 1;
        if (0..=last).contains(&index) {
            return Some(index as usize);
        }
        match self.border {
            Border::Zero => None,
            Border::Reflect if index < 0 => Some((-index) as usize),
            Border::Reflect => Some((2 * last - index) as usize),
        }
    }
}

fn normalise(values: &[u8], table: &[f32; 256], out: &mut [f32]) {
    for (out, &value) in out.iter_mut().zip(values) {
        *out = table[usize::from(value)];
    }
}
