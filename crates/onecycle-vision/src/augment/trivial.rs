//! TrivialAugment: one random operation of random strength.

use super::affine::{Affine, nearest};
use super::colour;
use crate::dataset::ImageShape;
use crate::random::{Rng, below};

/// Number of strengths per operation, as in the authors' code and torchvision.
const STRENGTHS: u32 = 31;

/// An operation of TrivialAugment's wide space with its strength.
///
/// | operation | strengths | effect |
/// |---|---|---|
/// | `Identity` | | nothing |
/// | `ShearX`, `ShearY` | 0 to 0.99, both signs | tangent of the angle |
/// | `TranslateX`, `TranslateY` | 0 to 32 pixels, both signs | moves the image |
/// | `Rotate` | 0 to 135 degrees, both signs | about the centre |
/// | `Brightness`, `Color`, `Contrast`, `Sharpness` | 1 - 0.99 to 1 + 0.99 | factors as in Pillow |
/// | `Posterize` | 8 to 2 bits | keeps the highest bits |
/// | `Solarize` | threshold 255 to 0 | inverts values from the threshold on |
/// | `AutoContrast`, `Equalize` | | stretches or flattens the histogram of each channel |
///
/// Empty parts are black, pixels are not interpolated. `Color` leaves grey images unchanged.
///
/// Müller and Hutter, "TrivialAugment: Tuning-free Yet State-of-the-Art Data Augmentation",
/// arXiv:2103.10158, table 1 (wide). Names, strengths and arithmetic are those of torchvision's
/// `TrivialAugmentWide` for tensors of bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Operation {
    /// No change.
    Identity,
    /// Moves rows sideways: tangent of the angle.
    ShearX(f64),
    /// Moves columns up or down: tangent of the angle.
    ShearY(f64),
    /// Moves the image right, in pixels.
    TranslateX(i32),
    /// Moves the image down, in pixels.
    TranslateY(i32),
    /// Rotates the image counterclockwise, in degrees.
    Rotate(f64),
    /// Factor of all values.
    Brightness(f64),
    /// Factor of the distances from the grey of each pixel.
    Color(f64),
    /// Factor of the distances from the mean grey of the image.
    Contrast(f64),
    /// Factor of the distances from the smoothed image.
    Sharpness(f64),
    /// Number of bits to keep.
    Posterize(u32),
    /// Lowest value that is inverted.
    Solarize(f32),
    /// Stretches the values to the full range.
    AutoContrast,
    /// Flattens the histogram.
    Equalize,
}

impl Operation {
    /// Draws an operation, a strength and a sign, each uniform and independent.
    pub(super) fn draw(rng: &mut impl Rng) -> Self {
        // All three are always drawn, so the operation does not change what is drawn next.
        let operation = below(rng, 14);
        let strength = below(rng, STRENGTHS);
        let negative = below(rng, 2) == 1;
        Self::of(operation, strength, negative)
    }

    /// Operation 0 to 13 with strength 0 to 30, in the order of torchvision.
    fn of(operation: u32, strength: u32, negative: bool) -> Self {
        let signed = |highest: f32| {
            let value = f64::from(linspace(0.0, highest, strength));
            if negative { -value } else { value }
        };
        match operation {
            0 => Self::Identity,
            1 => Self::ShearX(signed(0.99)),
            2 => Self::ShearY(signed(0.99)),
            3 => Self::TranslateX(signed(32.0) as i32),
            4 => Self::TranslateY(signed(32.0) as i32),
            5 => Self::Rotate(signed(135.0)),
            6 => Self::Brightness(1.0 + signed(0.99)),
            7 => Self::Color(1.0 + signed(0.99)),
            8 => Self::Contrast(1.0 + signed(0.99)),
            9 => Self::Sharpness(1.0 + signed(0.99)),
            10 => Self::Posterize(8 - (2 * strength + 5) / 10),
            11 => Self::Solarize(linspace(255.0, 0.0, strength)),
            12 => Self::AutoContrast,
            _ => Self::Equalize,
        }
    }

    /// Changes an image `[channel, row, column]` with 1 or 3 channels.
    pub(super) fn apply(self, image: &mut Vec<u8>, shape: ImageShape) {
        let moved = |image: &[u8], map| nearest(image, shape, map);
        match self {
            Self::Identity => {}
            Self::ShearX(factor) => *image = moved(image, Affine::shear_x(factor)),
            Self::ShearY(factor) => *image = moved(image, Affine::shear_y(factor)),
            Self::TranslateX(pixels) => *image = moved(image, Affine::translation(pixels, 0)),
            Self::TranslateY(pixels) => *image = moved(image, Affine::translation(0, pixels)),
            Self::Rotate(degrees) => *image = moved(image, Affine::rotation(degrees, shape)),
            Self::Brightness(factor) => colour::brightness(image, factor),
            Self::Color(factor) => colour::saturation(image, shape, factor),
            Self::Contrast(factor) => colour::contrast(image, shape, factor),
            Self::Sharpness(factor) => colour::sharpness(image, shape, factor),
            Self::Posterize(bits) => colour::posterize(image, bits),
            Self::Solarize(threshold) => colour::solarize(image, threshold),
            Self::AutoContrast => colour::auto_contrast(image, shape),
            Self::Equalize => colour::equalize(image, shape),
        }
    }
}

/// Value `index` of `torch.linspace(from, to, 31)`, in single precision and from both ends.
fn linspace(from: f32, to: f32, index: u32) -> f32 {
    let last = STRENGTHS - 1;
    let step = (to - from) / last as f32;
    match index < STRENGTHS / 2 {
        true => from + step * index as f32,
        false => to - step * (last - index) as f32,
    }
}
