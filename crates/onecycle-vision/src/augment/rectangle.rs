//! A part of an image.

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
