//! Images with zero padding, copied only if there is any.

use std::ops::Deref;

use crate::workspace::{Buffer, Workspace};

/// Memory layout of images `[height, width, channels]` with zero padding.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PaddedLayout {
    pub height: usize,
    pub width: usize,
    pub channels: usize,
    /// Zeros above and below.
    pub rows: [usize; 2],
    /// Zeros to the left and right.
    pub columns: [usize; 2],
}

/// Padded images: the caller's own memory if no padding is needed, otherwise a copy.
pub(crate) enum PaddedImages<'a> {
    Borrowed(&'a [f32]),
    Copied(Buffer<'a>),
}

impl Deref for PaddedImages<'_> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match self {
            PaddedImages::Borrowed(images) => images,
            PaddedImages::Copied(buffer) => buffer,
        }
    }
}

impl PaddedLayout {
    /// Floats from one row to the next.
    pub(crate) fn pitch(&self) -> usize {
        (self.width + self.columns[0] + self.columns[1]) * self.channels
    }

    /// Floats of a padded image.
    pub(crate) fn len(&self) -> usize {
        (self.height + self.rows[0] + self.rows[1]) * self.pitch()
    }

    /// Offset of the pixel at `row`, `column`, either of which may lie in the padding.
    pub(crate) fn at(&self, row: isize, column: isize) -> usize {
        let row = self.rows[0].wrapping_add_signed(row);
        let column = self.columns[0].wrapping_add_signed(column);
        row * self.pitch() + column * self.channels
    }

    /// `images` with padding.
    pub(crate) fn pad<'a>(&self, workspace: &'a Workspace, images: &'a [f32]) -> PaddedImages<'a> {
        if self.rows == [0, 0] && self.columns == [0, 0] {
            return PaddedImages::Borrowed(images);
        }
        let image = self.height * self.width * self.channels;
        let mut buffer = workspace.take(images.len() / image * self.len());
        let (pitch, row) = (self.pitch(), self.width * self.channels);
        let (above, below) = (self.rows[0] * pitch, self.rows[1] * pitch);
        let left = self.columns[0] * self.channels;
        for (target, source) in buffer
            .chunks_exact_mut(self.len())
            .zip(images.chunks_exact(image))
        {
            let (top, rest) = target.split_at_mut(above);
            let (middle, bottom) = rest.split_at_mut(rest.len() - below);
            top.fill(0.0);
            bottom.fill(0.0);
            for (target, source) in middle.chunks_exact_mut(pitch).zip(source.chunks_exact(row)) {
                target[..left].fill(0.0);
                target[left..left + row].copy_from_slice(source);
                target[left + row..].fill(0.0);
            }
        }
        PaddedImages::Copied(buffer)
    }
}
