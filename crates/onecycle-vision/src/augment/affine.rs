//! Rotation, shear and translation: each pixel of the result is read at another place.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

use super::resample::to_byte;
use crate::dataset::ImageShape;

/// Contents of the corners that a rotation leaves empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fill {
    /// The mean over the training images, per channel.
    #[default]
    Mean,
    /// The nearest pixel at the edge of the image.
    Edge,
}

/// Maps a pixel of the result to the place where it is read: `(x, y)` to
/// `(xx x + xy y + x0, yx x + yy y + y0)`, with the centre of the first pixel at (0, 0), columns to
/// the right and rows down.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Affine {
    xx: f64,
    xy: f64,
    x0: f64,
    yx: f64,
    yy: f64,
    y0: f64,
}

impl Affine {
    const IDENTITY: Self = Self {
        xx: 1.0,
        xy: 0.0,
        x0: 0.0,
        yx: 0.0,
        yy: 1.0,
        y0: 0.0,
    };

    /// Rotates the image by `degrees` counterclockwise about its centre.
    pub(super) fn rotation(degrees: f64, shape: ImageShape) -> Self {
        let angle = degrees * PI / 180.0;
        let (sin, cos) = (libm::sin(angle), libm::cos(angle));
        let (x, y) = (
            (shape.width as f64 - 1.0) / 2.0,
            (shape.height as f64 - 1.0) / 2.0,
        );
        Self {
            xx: cos,
            xy: -sin,
            x0: x - cos * x + sin * y,
            yx: sin,
            yy: cos,
            y0: y - sin * x - cos * y,
        }
    }

    /// Moves each row to the left by `factor` times its distance from the top edge.
    pub(super) fn shear_x(factor: f64) -> Self {
        Self {
            xy: factor,
            x0: 0.5 * factor,
            ..Self::IDENTITY
        }
    }

    /// Moves each column up by `factor` times its distance from the left edge.
    pub(super) fn shear_y(factor: f64) -> Self {
        Self {
            yx: factor,
            y0: 0.5 * factor,
            ..Self::IDENTITY
        }
    }

    /// Moves the image right and down.
    pub(super) fn translation(right: i32, down: i32) -> Self {
        Self {
            x0: -f64::from(right),
            y0: -f64::from(down),
            ..Self::IDENTITY
        }
    }

    fn source(&self, column: usize, row: usize) -> (f64, f64) {
        let (x, y) = (column as f64, row as f64);
        (
            self.xx * x + self.xy * y + self.x0,
            self.yx * x + self.yy * y + self.y0,
        )
    }
}

/// Reads the nearest pixel, and black beyond the image.
pub(super) fn nearest(image: &[u8], shape: ImageShape, map: Affine) -> Vec<u8> {
    let mut out = vec![0; shape.len()];
    let plane = shape.plane();
    for row in 0..shape.height {
        for column in 0..shape.width {
            let (x, y) = map.source(column, row);
            let (x, y) = (floor(x + 0.5), floor(y + 0.5));
            if !(0..shape.width as isize).contains(&x) || !(0..shape.height as isize).contains(&y) {
                continue;
            }
            let from = y as usize * shape.width + x as usize;
            let to = row * shape.width + column;
            for channel in 0..shape.channels {
                out[channel * plane + to] = image[channel * plane + from];
            }
        }
    }
    out
}

/// Interpolates between the four nearest pixels. Beyond the image are the values `beyond`, one per
/// channel, or the nearest pixel of the edge if there are none.
pub(super) fn bilinear(
    image: &[u8],
    shape: ImageShape,
    map: Affine,
    beyond: Option<&[u8]>,
) -> Vec<u8> {
    let mut out = vec![0; shape.len()];
    let plane = shape.plane();
    let (last_x, last_y) = (shape.width as isize - 1, shape.height as isize - 1);
    for row in 0..shape.height {
        for column in 0..shape.width {
            let (x, y) = map.source(column, row);
            let (left, top) = (floor(x), floor(y));
            let (right, down) = ((x - left as f64) as f32, (y - top as f64) as f32);
            let to = row * shape.width + column;
            if left >= 0 && top >= 0 && left < last_x && top < last_y {
                let first = top as usize * shape.width + left as usize;
                for channel in 0..shape.channels {
                    let pixels = &image[channel * plane + first..][..shape.width + 2];
                    let corners = [0, 1, shape.width, shape.width + 1];
                    let corners = corners.map(|index| f32::from(pixels[index]));
                    out[channel * plane + to] = interpolated(corners, right, down);
                }
                continue;
            }
            // The index of a pixel, or of the nearest one, and whether it is within the image.
            let corner = |x: isize, y: isize| {
                let (cx, cy) = (x.clamp(0, last_x), y.clamp(0, last_y));
                let within = beyond.is_none() || (cx, cy) == (x, y);
                (cy as usize * shape.width + cx as usize, within)
            };
            let corners = [
                corner(left, top),
                corner(left + 1, top),
                corner(left, top + 1),
                corner(left + 1, top + 1),
            ];
            for channel in 0..shape.channels {
                let pixels = &image[channel * plane..(channel + 1) * plane];
                let fill = beyond.map_or(0, |beyond| beyond[channel]);
                let value = |(index, within): (usize, bool)| {
                    f32::from(if within { pixels[index] } else { fill })
                };
                out[channel * plane + to] = interpolated(corners.map(value), right, down);
            }
        }
    }
    out
}

/// The value between four pixels, at these distances from the first one.
fn interpolated([a, b, c, d]: [f32; 4], right: f32, down: f32) -> u8 {
    let (upper, lower) = (a + (b - a) * right, c + (d - c) * right);
    to_byte(upper + (lower - upper) * down)
}

/// The largest whole number that is not above `x`, which may be off by 2^-32. Without SSE 4.1 this
/// is faster than `f64::floor`.
fn floor(x: f64) -> isize {
    /// Larger than any distance from an image.
    const SHIFT: f64 = (1_u64 << 20) as f64;
    (x + SHIFT) as isize - SHIFT as isize
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: ImageShape = ImageShape::new(1, 3, 3);
    const IMAGE: [u8; 9] = [1, 2, 3, 4, 5, 6, 7, 8, 9];

    #[test]
    fn quarter_turns_are_exact() {
        let turned = [3, 6, 9, 2, 5, 8, 1, 4, 7];
        let map = Affine::rotation(90.0, SHAPE);
        assert_eq!(nearest(&IMAGE, SHAPE, map), turned);
        assert_eq!(bilinear(&IMAGE, SHAPE, map, None), turned);
        let half = Affine::rotation(180.0, SHAPE);
        assert_eq!(nearest(&IMAGE, SHAPE, half), [9, 8, 7, 6, 5, 4, 3, 2, 1]);
        // An image that is not square is turned about its centre, too.
        let wide = ImageShape::new(1, 1, 3);
        let half = Affine::rotation(180.0, wide);
        assert_eq!(bilinear(&[1, 2, 3], wide, half, None), [3, 2, 1]);
        let quarter = Affine::rotation(90.0, wide);
        assert_eq!(bilinear(&[1, 2, 3], wide, quarter, Some(&[9])), [9, 2, 9]);
        assert_eq!(nearest(&[1, 2, 3], wide, quarter), [0, 2, 0]);
    }

    #[test]
    fn translations_and_shears_move_rows_and_columns() {
        let moved = nearest(&IMAGE, SHAPE, Affine::translation(1, 0));
        assert_eq!(moved, [0, 1, 2, 0, 4, 5, 0, 7, 8]);
        let moved = nearest(&IMAGE, SHAPE, Affine::translation(0, -2));
        assert_eq!(moved, [7, 8, 9, 0, 0, 0, 0, 0, 0]);
        // By 0.59 times 0.5, 1.5 and 2.5: 0.3, 0.89 and 1.48 pixels, rounded to 0, 1 and 1.
        let sheared = nearest(&IMAGE, SHAPE, Affine::shear_x(0.59));
        assert_eq!(sheared, [1, 2, 3, 5, 6, 0, 8, 9, 0]);
        let sheared = nearest(&IMAGE, SHAPE, Affine::shear_y(0.59));
        assert_eq!(sheared, [1, 5, 6, 4, 8, 9, 7, 0, 0]);
    }

    #[test]
    fn half_a_pixel_is_the_mean_of_two() {
        let shape = ImageShape::new(1, 1, 3);
        let map = Affine {
            x0: 0.5,
            ..Affine::IDENTITY
        };
        assert_eq!(bilinear(&[10, 20, 40], shape, map, None), [15, 30, 40]);
        assert_eq!(
            bilinear(&[10, 20, 40], shape, map, Some(&[100])),
            [15, 30, 70]
        );
    }

    #[test]
    fn floor_is_that_of_the_standard_library() {
        for x in [-3.5_f64, -3.0, -0.1, 0.0, 0.9, 7.0, 7.5, -2000.25, 3e5] {
            assert_eq!(floor(x), x.floor() as isize, "{x}");
        }
    }
}
