//! Images with their border of zeros.

use std::ops::Deref;

use crate::workspace::{Buffer, Workspace};

/// How images of `[height, width, channels]` are laid out with a border.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Padded {
    pub height: usize,
    pub width: usize,
    pub channels: usize,
    /// Zeros above and below.
    pub rows: [usize; 2],
    /// Zeros to the left and right.
    pub columns: [usize; 2],
}

/// Images that a pass reads: the caller's own where no border is needed.
pub(crate) enum Source<'a> {
    Direct(&'a [f32]),
    Copied(Buffer<'a>),
}

impl Deref for Source<'_> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match self {
            Source::Direct(images) => images,
            Source::Copied(buffer) => buffer,
        }
    }
}

impl Padded {
    /// Floats from one row to the next.
    pub(crate) fn pitch(&self) -> usize {
        (self.width + self.columns[0] + self.columns[1]) * self.channels
    }

    /// Floats of an image.
    pub(crate) fn len(&self) -> usize {
        (self.height + self.rows[0] + self.rows[1]) * self.pitch()
    }

    /// Where the pixel at `row`, `column` stands; either may lie in the border.
    pub(crate) fn at(&self, row: isize, column: isize) -> usize {
        let row = self.rows[0].wrapping_add_signed(row);
        let column = self.columns[0].wrapping_add_signed(column);
        row * self.pitch() + column * self.channels
    }

    /// `images` with their border.
    pub(crate) fn pad<'a>(&self, workspace: &'a Workspace, images: &'a [f32]) -> Source<'a> {
        if self.rows == [0, 0] && self.columns == [0, 0] {
            return Source::Direct(images);
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
        Source::Copied(buffer)
    }
}
