//! The random choices for one image, and the pass from bytes to normalised floats.

use std::borrow::Cow;

use super::affine::{self, Affine};
use super::{Border, Fill, Jitter, Operation, Rectangle, resized_crop};
use crate::dataset::ImageShape;

/// The augmentation of one image; the default leaves it unchanged.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Transform {
    /// Part that is enlarged to the whole image, before the steps below.
    pub resized: Option<Rectangle>,
    /// Rows by which the window moves down over the image, from -pad to pad.
    pub down: isize,
    /// Columns by which the window moves to the right, from -pad to pad.
    pub right: isize,
    /// Contents of the window beyond the image.
    pub border: Border,
    /// Whether the window is mirrored left to right.
    pub flip: bool,
    /// Angle of the rotation in degrees, counterclockwise.
    pub rotation: f64,
    /// Contents of the corners that the rotation leaves empty.
    pub rotation_fill: Fill,
    /// Changes of colour.
    pub jitter: Option<Jitter>,
    /// TrivialAugment's operation.
    pub operation: Option<Operation>,
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
        let image = match self.resized {
            None => Cow::Borrowed(image),
            Some(part) => Cow::Owned(resized_crop::apply(image, shape, part)),
        };
        if self.changes_pixels() {
            let mut pixels = vec![0; shape.len()];
            self.move_image(&image, shape, |_| &IDENTITY, &mut pixels);
            self.change_pixels(&mut pixels, shape, tables);
            let planes = pixels.chunks_exact(shape.plane()).zip(tables);
            for ((plane, table), out) in planes.zip(out.chunks_exact_mut(shape.plane())) {
                translate(plane, table, out);
            }
        } else {
            self.move_image(&image, shape, |channel| &tables[channel], out);
        }
        for out in out.chunks_exact_mut(shape.plane()) {
            for hole in [self.cutout, self.erased].into_iter().flatten() {
                for row in hole.top..hole.bottom {
                    out[row * shape.width..][hole.left..hole.right].fill(0.0);
                }
            }
        }
    }

    /// Whether there are steps between the mirror and the normalisation.
    fn changes_pixels(&self) -> bool {
        self.rotation != 0.0 || self.jitter.is_some() || self.operation.is_some()
    }

    fn change_pixels(&self, pixels: &mut Vec<u8>, shape: ImageShape, tables: &[[f32; 256]]) {
        if self.rotation != 0.0 {
            let map = Affine::rotation(self.rotation, shape);
            let mean: Option<Vec<u8>> = match self.rotation_fill {
                Fill::Mean => Some(tables.iter().map(mean_byte).collect()),
                Fill::Edge => None,
            };
            *pixels = affine::bilinear(pixels, shape, map, mean.as_deref());
        }
        if let Some(jitter) = self.jitter {
            jitter.apply(pixels, shape);
        }
        if let Some(operation) = self.operation {
            operation.apply(pixels, shape);
        }
    }

    /// Crops and mirrors, and translates each pixel value by the table of its channel.
    fn move_image<'a, T: Copy + 'a>(
        &self,
        image: &[u8],
        shape: ImageShape,
        table: impl Fn(usize) -> &'a [T; 256],
        out: &mut [T],
    ) {
        let planes = image.chunks_exact(shape.plane());
        let planes = planes.zip(out.chunks_exact_mut(shape.plane()));
        for (channel, (image, out)) in planes.enumerate() {
            if self.down == 0 && self.right == 0 && !self.flip {
                translate(image, table(channel), out);
            } else {
                self.move_plane(image, shape, table(channel), out);
            }
        }
    }

    fn move_plane<T: Copy>(
        &self,
        image: &[u8],
        shape: ImageShape,
        table: &[T; 256],
        out: &mut [T],
    ) {
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
                translate(&image[first..first + to - from], table, &mut out[from..to]);
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

fn translate<T: Copy>(values: &[u8], table: &[T; 256], out: &mut [T]) {
    for (out, &value) in out.iter_mut().zip(values) {
        *out = table[usize::from(value)];
    }
}

/// Leaves pixel values as they are.
static IDENTITY: [u8; 256] = {
    let mut table = [0; 256];
    let mut value = 0;
    while value < 256 {
        table[value] = value as u8;
        value += 1;
    }
    table
};

/// The pixel value nearest to the mean, whose normalised value is 0.
fn mean_byte(table: &[f32; 256]) -> u8 {
    let above = table.partition_point(|&value| value < 0.0).clamp(1, 255);
    match -table[above - 1] < table[above] {
        true => (above - 1) as u8,
        false => above as u8,
    }
}
