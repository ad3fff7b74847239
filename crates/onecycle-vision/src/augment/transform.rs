//! The random choices for one image, and the pass from bytes to normalised floats.

use super::Border;
use crate::dataset::ImageShape;

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
    pub(super) fn centred(row: usize, column: usize, side: usize, shape: ImageShape) -> Self {
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
