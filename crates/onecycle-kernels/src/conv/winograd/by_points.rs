//! Gradient of the weights of many channels: the points' sums do not fit into the cache together, so each is finished by
//! itself, over all images that are there.
//!
//! A slice of the batch is transformed, shared out by images; then its products are added, shared out by points. Who does what
//! changes no sum, and there is one set of them.

use super::weight_gradient::{
    Factors, Sizes, add_point, has_tiles, sums_fit, transform_back, transform_images,
};
use super::{POINTS, SKEW};
use crate::conv::Conv2d;
use crate::error::KernelError;
use crate::parallel::for_chunks;
use crate::product::Loop;
use crate::simd::{Kernel, Path, Simd};
use crate::workspace::Workspace;

/// Tiles that are transformed together.
const PIECE_TILES: usize = 16;
/// Points of a slice: those of both sides at one point should stay in the second-level cache.
const SLICE_BYTES: usize = 8 << 20;
/// Fewer tiles than these are not worth it to load and store all points' sums.
const FEWEST_TILES: usize = 96;

/// Whether this is the way for the shape.
pub(crate) fn applies(path: Path, shape: &Conv2d) -> Result<bool, KernelError> {
    let [down, across] = super::tiles(shape.output()?);
    Ok(has_tiles(path, shape)? && !sums_fit(shape) && shape.batch * down * across >= FEWEST_TILES)
}

/// Computes the gradient, in the order of the weights.
pub(crate) fn run(
    workspace: &Workspace,
    path: Path,
    shape: &Conv2d,
    input: &[f32],
    output_gradient: &[f32],
    weight_gradient: &mut [f32],
) -> Result<(), KernelError> {
    let sizes = Sizes::new(shape, path)?;
    let [down, across] = sizes.source.tiles;
    let images = PIECE_TILES.div_ceil(down * across).min(shape.batch);
    let layout = Layout {
        tiles: images * down * across,
        channels: [sizes.source.channels, sizes.gradient.channels],
    };
    let pieces =
        (SLICE_BYTES / size_of::<f32>() / layout.len()).clamp(1, shape.batch.div_ceil(images));
    let lens = [sizes.source.len(), sizes.gradient.len()];
    let mut points = workspace.take(pieces * layout.len());
    let mut sums = workspace.take(sizes.sums_len());
    for first in (0..shape.batch).step_by(pieces * images) {
        let end = shape.batch.min(first + pieces * images);
        let slice = &mut points[..(end - first).div_ceil(images) * layout.len()];
        for_chunks(slice, layout.len(), |index, points| {
            let from = first + index * images;
            let to = end.min(from + images);
            if to - from < images {
                // Tiles that no image fills count as zeros.
                points.fill(0.0);
            }
            path.run(Transform {
                sizes: &sizes,
                workspace,
                layout,
                images: [
                    &input[from * lens[0]..to * lens[0]],
                    &output_gradient[from * lens[1]..to * lens[1]],
                ],
                points,
            });
        });
        let slice = &*slice;
        for_chunks(
            &mut sums,
            layout.channels[0] * layout.channels[1],
            |point, sums| {
                path.run(AddPoint {
                    sizes: &sizes,
                    layout,
                    slice,
                    point,
                    fresh: first == 0,
                    sums,
                });
            },
        );
    }
    transform_back(workspace, path, shape, &sizes, &sums, weight_gradient);
    Ok(())
}

/// How the points of a piece stand in memory: all of one side, then all of the other.
#[derive(Clone, Copy)]
struct Layout {
    tiles: usize,
    /// Of the input and of the gradient.
    channels: [usize; 2],
}

impl Layout {
    /// Floats from one point of a side to the next.
    fn strides(&self) -> [usize; 2] {
        self.channels.map(|channels| self.tiles * channels + SKEW)
    }

    /// Floats of both sides.
    fn len(&self) -> usize {
        let [inputs, gradients] = self.strides();
        POINTS * (inputs + gradients)
    }
}

/// Transforms a piece.
struct Transform<'a> {
    sizes: &'a Sizes,
    workspace: &'a Workspace,
    layout: Layout,
    images: [&'a [f32]; 2],
    points: &'a mut [f32],
}

impl Kernel for Transform<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let strides = self.layout.strides();
        let (inputs, gradients) = self.points.split_at_mut(POINTS * strides[0]);
        // SAFETY: the caller has the instructions; there is room for `layout.tiles` tiles, of which the images fill as many or
        // fewer.
        unsafe {
            transform_images::<S>(
                self.sizes,
                self.workspace,
                self.images,
                [inputs, gradients],
                strides,
            );
        }
    }
}

/// Adds a slice's product at one point.
struct AddPoint<'a> {
    sizes: &'a Sizes,
    layout: Layout,
    slice: &'a [f32],
    point: usize,
    fresh: bool,
    sums: &'a mut [f32],
}

impl Kernel for AddPoint<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let (len, strides) = (self.layout.len(), self.layout.strides());
        let factors = Factors {
            inputs: &self.slice[self.point * strides[0]..],
            gradients: &self.slice[POINTS * strides[0] + self.point * strides[1]..],
            tiles: self.layout.tiles,
            pieces: Loop {
                count: self.slice.len() / len,
                a: len,
                b: len,
            },
        };
        // SAFETY: the caller has the instructions; every piece of the slice has `tiles` tiles on both sides, `len` apart.
        unsafe { add_point::<S>(self.sizes, &factors, self.fresh, self.sums) }
    }
}
