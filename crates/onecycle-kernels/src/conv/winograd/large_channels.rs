//! Gradient of the weights for many channels: sums that do not fit into the cache together.
//!
//! With many channels, the sums of all 36 points exceed the second-level cache, so each point is
//! accumulated on its own over a whole slice of the batch. For each slice, the tiles are
//! transformed (divided among threads by images), then multiplied (divided by points). There is one
//! set of sums, and the division never changes the order of additions.

use super::weight_gradient::{
    Operands, Tiling, accumulate_point, has_tiles, sums_fit, transform_back, transform_images,
};
use super::{POINTS, PointStrides, SKEW};
use crate::conv::Conv2d;
use crate::error::KernelError;
use crate::gemm::DepthLoop;
use crate::kernels::Kernels;
use crate::parallel::for_chunks;
use crate::simd::{Isa, LINE, Simd, WithSimd};
use crate::workspace::Workspace;

/// Tiles per piece, which one thread transforms at a time.
const PIECE_TILES: usize = 16;
/// Transformed tiles of a slice. Of these, both operands of one point should stay in the
/// second-level cache.
const SLICE_BYTES: usize = 8 << 20;
/// Minimum tiles of a batch; below it, loading and storing all sums costs more than it saves.
const MIN_TILES: usize = 96;

/// Whether this algorithm applies to the shape.
pub(crate) fn applies(isa: Isa, shape: &Conv2d) -> Result<bool, KernelError> {
    let [down, across] = super::tiles(shape.output()?);
    Ok(has_tiles(isa, shape)? && !sums_fit(shape) && shape.batch * down * across >= MIN_TILES)
}

/// Computes the gradient in the order of the weights.
pub(crate) fn run(
    kernels: &Kernels,
    shape: &Conv2d,
    input: &[f32],
    output_gradient: &[f32],
    weight_gradient: &mut [f32],
) -> Result<(), KernelError> {
    let tiling = Tiling::new(shape, kernels.isa)?;
    let [down, across] = tiling.source.tiles;
    let images = PIECE_TILES.div_ceil(down * across).min(shape.batch);
    let layout = Layout {
        tiles: images * down * across,
        channels: [tiling.source.channels, tiling.gradient.channels],
    };
    let pieces =
        (SLICE_BYTES / size_of::<f32>() / layout.len()).clamp(1, shape.batch.div_ceil(images));
    let lens = [tiling.source.len(), tiling.gradient.len()];
    let mut points = kernels.workspace.take(pieces * layout.len());
    let mut sums = kernels.workspace.take(tiling.sums_len());
    for first in (0..shape.batch).step_by(pieces * images) {
        let end = shape.batch.min(first + pieces * images);
        let slice = &mut points[..(end - first).div_ceil(images) * layout.len()];
        for_chunks(slice, layout.len(), |index, points| {
            let from = first + index * images;
            let to = end.min(from + images);
            if to - from < images {
                // Tiles without an image count as zeros.
                points.fill(0.0);
            }
            kernels.isa.run(Transform {
                tiling: &tiling,
                workspace: &kernels.workspace,
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
                kernels.isa.run(AccumulatePoint {
                    tiling: &tiling,
                    layout,
                    slice,
                    point,
                    is_first: first == 0,
                    sums,
                });
            },
        );
    }
    transform_back(kernels, shape, &tiling, &sums, weight_gradient);
    Ok(())
}

/// Memory layout of a piece: all points of the input, then all points of the gradient.
#[derive(Clone, Copy)]
struct Layout {
    tiles: usize,
    /// Of the input and of the gradient.
    channels: [usize; 2],
}

impl Layout {
    /// Distances in the points of the input and of the gradient. An odd number of cache lines lies
    /// between tiles: the products read a line of each tile, and at even distances those would compete
    /// for a fraction of the first-level cache.
    fn strides(&self) -> [PointStrides; 2] {
        self.channels.map(|channels| {
            let even = channels.is_multiple_of(2 * LINE);
            let tile = if even { channels + LINE } else { channels };
            PointStrides {
                point: self.tiles * tile + SKEW,
                tile,
            }
        })
    }

    /// Floats of input and gradient together.
    fn len(&self) -> usize {
        let [inputs, gradients] = self.strides();
        POINTS * (inputs.point + gradients.point)
    }
}

/// Transforms a piece.
struct Transform<'a> {
    tiling: &'a Tiling,
    workspace: &'a Workspace,
    layout: Layout,
    images: [&'a [f32]; 2],
    points: &'a mut [f32],
}

impl WithSimd for Transform<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let strides = self.layout.strides();
        let (inputs, gradients) = self.points.split_at_mut(POINTS * strides[0].point);
        // SAFETY: the caller has the instructions; there is room for `layout.tiles` tiles, and the
        // images have at most that many.
        unsafe {
            transform_images::<S>(
                self.tiling,
                self.workspace,
                self.images,
                [inputs, gradients],
                strides,
            );
        }
    }
}

/// Adds a slice's product at one point.
struct AccumulatePoint<'a> {
    tiling: &'a Tiling,
    layout: Layout,
    slice: &'a [f32],
    point: usize,
    /// Whether the sums are still uninitialised.
    is_first: bool,
    sums: &'a mut [f32],
}

impl WithSimd for AccumulatePoint<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let (len, [inputs, gradients]) = (self.layout.len(), self.layout.strides());
        let operands = Operands {
            inputs: &self.slice[self.point * inputs.point..],
            gradients: &self.slice[POINTS * inputs.point + self.point * gradients.point..],
            tiles: self.layout.tiles,
            tile_strides: [inputs.tile, gradients.tile],
            pieces: DepthLoop {
                count: self.slice.len() / len,
                a: len,
                b: len,
            },
        };
        // SAFETY: the caller has the instructions; every piece of the slice has `tiles` tiles of
        // both operands, `len` apart.
        unsafe { accumulate_point::<S>(self.tiling, &operands, self.is_first, self.sums) }
    }
}
