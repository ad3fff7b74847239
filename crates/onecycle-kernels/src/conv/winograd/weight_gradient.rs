//! Gradient of the weights with `F(3x3, 4x4)`: products of transformed tiles, summed over all tiles
//! of all images and transformed back once at the end.
//!
//! ```text
//! dw = Aᵀ [ sum over tiles of (Bᵀ d B) ⊙ (G g Gᵀ) ] A
//!      d: 6 x 6 inputs                g: 4 x 4 gradients of outputs
//! ```
#![allow(clippy::needless_range_loop)] // Loops over indices keep arrays in registers.

use super::prefetch::Prefetcher;
use super::{INPUTS, POINTS, PointStrides, Points, TiledImage, WinogradConv, tiles, transform};
use crate::conv::geometry::{channel_block, forward_axes};
use crate::conv::output_gradient::OutputGradient;
use crate::conv::shape::Conv2d;
use crate::conv::weight_gradient::{add_groups, unpack};
use crate::error::KernelError;
use crate::gemm::{AOrder, DepthLoop, Init, Tile, max_rows, split_evenly};
use crate::kernels::Kernels;
use crate::parallel::{for_chunk_pairs, for_chunks};
use crate::simd::{Isa, Simd, WithSimd};
use crate::workspace::Workspace;

/// The sums of all points must stay in the second-level cache. Larger ones are computed [point by
/// point](super::large_channels), or by the direct algorithm if the batch is small.
const MAX_SUMS_BYTES: usize = 640 << 10;
/// Transformed inputs and gradients that are multiplied at a time.
const BATCH_BYTES: usize = 384 << 10;
/// Minimum tiles per product; below it, loading and storing the sums costs more than it saves.
const MIN_TILES: usize = 64;
/// Most partial sums that the batch is divided into. It is a constant, so that the result does not
/// depend on the number of threads.
const MAX_GROUPS: usize = 8;

/// Whether this algorithm applies to the shape.
pub(crate) fn applies(isa: Isa, shape: &Conv2d) -> Result<bool, KernelError> {
    Ok(has_tiles(isa, shape)? && sums_fit(shape))
}

/// Whether window, channels and image size suit Winograd tiles.
pub(super) fn has_tiles(isa: Isa, shape: &Conv2d) -> Result<bool, KernelError> {
    let axes = forward_axes(shape, shape.output()?);
    Ok(super::applies(
        isa,
        axes,
        [shape.in_channels, shape.out_channels],
    ))
}

/// Whether the sums of all points fit into the cache together.
pub(super) fn sums_fit(shape: &Conv2d) -> bool {
    POINTS * shape.in_channels * shape.out_channels * size_of::<f32>() <= MAX_SUMS_BYTES
}

/// Division of input and gradient into tiles.
pub(super) struct Tiling {
    pub source: TiledImage,
    pub gradient: TiledImage,
    /// Output channels per register tile.
    pub block: usize,
    /// Images that are transformed and multiplied at a time.
    pub images: usize,
}

impl Tiling {
    pub(super) fn new(shape: &Conv2d, isa: Isa) -> Result<Tiling, KernelError> {
        let [rows, columns] = shape.output()?;
        let tiles = tiles([rows, columns]);
        let count = tiles[0] * tiles[1];
        let bytes = POINTS * count * (shape.in_channels + shape.out_channels) * size_of::<f32>();
        Ok(Tiling {
            source: TiledImage {
                height: shape.height,
                width: shape.width,
                channels: shape.in_channels,
                before: shape.padding.map(|[before, _]| before),
                tiles,
            },
            gradient: TiledImage {
                height: rows,
                width: columns,
                channels: shape.out_channels,
                before: [0, 0],
                tiles,
            },
            block: channel_block(isa, shape.out_channels),
            images: (BATCH_BYTES / bytes).max(MIN_TILES.div_ceil(count)),
        })
    }

    /// Floats of the sums, `[point][source channel][output channel]`.
    pub(super) fn sums_len(&self) -> usize {
        POINTS * self.source.channels * self.gradient.channels
    }
}

/// Results of [`run`].
pub(crate) struct Gradients<'a> {
    /// In the order of the weights.
    pub weights: &'a mut [f32],
    /// Also compute the gradient of the input with this convolution, from the same chunks of the
    /// output gradient while they are in cache.
    pub data: Option<(&'a WinogradConv<'a>, &'a mut [f32])>,
}

/// Computes the gradient of the weights and, if asked for, of the input.
pub(crate) fn run(
    kernels: &Kernels,
    shape: &Conv2d,
    input: &[f32],
    output_gradient: &OutputGradient,
    targets: Gradients,
) -> Result<(), KernelError> {
    let (isa, workspace) = (kernels.isa, &kernels.workspace);
    let tiling = Tiling::new(shape, isa)?;
    let group = shape.batch.div_ceil(MAX_GROUPS.min(shape.batch));
    let groups = shape.batch.div_ceil(group);
    let input_image = input.len() / shape.batch;
    let output_image = shape.output_len()? / shape.batch;
    let len = tiling.sums_len();
    let mut partial = workspace.take(groups * len);
    type Data<'a> = Option<(&'a WinogradConv<'a>, &'a mut [f32])>;
    let add_group = |index: usize, sums: &mut [f32], mut data: Data| {
        let (first, end) = (index * group, shape.batch.min((index + 1) * group));
        let mut scratch = workspace.take(output_gradient.scratch(tiling.images * output_image));
        for from in (first..end).step_by(tiling.images) {
            let next = end.min(from + tiling.images);
            let after = end.min(next + tiling.images);
            let elements = |from, next| from * output_image..next * output_image;
            let gradient = output_gradient.get(isa, elements(from, next), &mut scratch);
            let next_gradient = output_gradient.sources(elements(next, after));
            let next_input = &input[next * input_image..after * input_image];
            // The last computation of this iteration prefetches the next iteration's gradient.
            let nothing: [&[f32]; 2] = [&[], &[]];
            let (early, late) = match data {
                None => (next_gradient, nothing),
                Some(_) => (nothing, next_gradient),
            };
            isa.run(Images {
                tiling: &tiling,
                workspace,
                input: &input[from * input_image..next * input_image],
                gradient,
                images: next - from,
                prefetch: [next_input, early[0], early[1]],
                is_first: from == first,
                sums,
            });
            if let Some((conv, target)) = &mut data {
                let target =
                    &mut target[(from - first) * input_image..(next - first) * input_image];
                conv.run(gradient, target, [late[0], late[1], &[]]);
            }
        }
    };
    match targets.data {
        None => for_chunks(&mut partial, len, |index, sums| {
            add_group(index, sums, None)
        }),
        Some((conv, target)) => for_chunk_pairs(
            (&mut partial, target),
            [len, group * input_image],
            |index, sums, target| add_group(index, sums, Some((conv, target))),
        ),
    }
    let (total, others) = partial.split_at_mut(len);
    add_groups(total, others);
    transform_back(kernels, shape, &tiling, total, targets.weights);
    Ok(())
}

/// Transforms the sums of all points back to the gradient, in the order of the weights.
pub(super) fn transform_back(
    kernels: &Kernels,
    shape: &Conv2d,
    tiling: &Tiling,
    sums: &[f32],
    weight_gradient: &mut [f32],
) {
    let mut taps = kernels.workspace.take(weight_gradient.len());
    kernels.isa.run(TransformBack {
        tiling,
        sums,
        taps: &mut taps,
    });
    unpack(shape, shape.out_channels, &taps, weight_gradient);
}

/// Images that are transformed and multiplied at a time.
struct Images<'a> {
    tiling: &'a Tiling,
    workspace: &'a Workspace,
    input: &'a [f32],
    gradient: &'a [f32],
    images: usize,
    /// Memory to prefetch.
    prefetch: [&'a [f32]; 3],
    /// Whether the sums are still uninitialised.
    is_first: bool,
    sums: &'a mut [f32],
}

impl WithSimd for Images<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Tiling {
            source, gradient, ..
        } = *self.tiling;
        let [down, across] = source.tiles;
        let (channels, out_channels) = (source.channels, gradient.channels);
        let count = self.images * down * across;
        let mut inputs = Points::new(self.workspace, count, channels);
        let mut gradients = Points::new(self.workspace, count, out_channels);
        let strides = [inputs.strides(channels), gradients.strides(out_channels)];
        // SAFETY: the caller has the instructions; each point has `count` times its channels.
        unsafe {
            transform_images::<S>(
                self.tiling,
                self.workspace,
                [self.input, self.gradient],
                [&mut inputs.values, &mut gradients.values],
                strides,
            );
        }
        let mut prefetcher = Prefetcher::new(self.prefetch, &[], POINTS);
        for (point, sums) in self
            .sums
            .chunks_exact_mut(channels * out_channels)
            .enumerate()
        {
            prefetcher.advance();
            let operands = Operands {
                inputs: &inputs.values[point * inputs.stride..][..count * channels],
                gradients: &gradients.values[point * gradients.stride..][..count * out_channels],
                tiles: count,
                tile_strides: [channels, out_channels],
                pieces: DepthLoop::ONCE,
            };
            // SAFETY: the caller has the instructions; both operands have `count` tiles.
            unsafe { accumulate_point::<S>(self.tiling, &operands, self.is_first, sums) }
        }
    }
}

/// Transforms inputs and gradients of some images to `[point][tile][channel]`, with the given
/// strides.
///
/// # Safety
/// As [`Simd`]; each point has room for all tiles of the images; channels are whole vectors
/// (`applies`).
#[inline(always)]
pub(super) unsafe fn transform_images<S: Simd>(
    tiling: &Tiling,
    workspace: &Workspace,
    [inputs, gradients]: [&[f32]; 2],
    [input_points, gradient_points]: [&mut [f32]; 2],
    [input_strides, gradient_strides]: [PointStrides; 2],
) {
    let Tiling {
        source, gradient, ..
    } = *tiling;
    let [down, across] = source.tiles;
    let (channels, out_channels) = (source.channels, gradient.channels);
    // Scratch positions that lie outside of the images stay zero.
    let [mut input_scratch, mut gradient_scratch] = [channels, out_channels].map(|channels| {
        let mut scratch = workspace.take(INPUTS * transform::scratch_row(across, channels));
        scratch.fill(0.0);
        scratch
    });
    let mut zeros = workspace.take(source.row_len().max(gradient.row_len()));
    zeros.fill(0.0);
    let images = inputs
        .chunks_exact(source.len())
        .zip(gradients.chunks_exact(gradient.len()));
    for (index, (input, output)) in images.enumerate() {
        for y in 0..down {
            let row = (index * down + y) * across;
            let input = source.tile_row(input, y, &zeros[..source.row_len()]);
            let output = gradient.tile_row(output, y, &zeros[..gradient.row_len()]);
            // SAFETY: the caller's guarantees.
            unsafe {
                transform::input_row::<S>(
                    &input,
                    &mut input_scratch,
                    input_points[row * input_strides.tile..].as_mut_ptr(),
                    input_strides,
                );
                transform::gradient_row::<S>(
                    &output,
                    &mut gradient_scratch,
                    gradient_points[row * gradient_strides.tile..].as_mut_ptr(),
                    gradient_strides,
                );
            }
        }
    }
}

/// Operands of the product at one point.
pub(super) struct Operands<'a> {
    /// `[tiles, source channels]` in each piece.
    pub inputs: &'a [f32],
    /// `[tiles, output channels]` in each piece.
    pub gradients: &'a [f32],
    /// Tiles per piece.
    pub tiles: usize,
    /// Distance between tiles in both.
    pub tile_strides: [usize; 2],
    /// Number of pieces, and their distances.
    pub pieces: DepthLoop,
}

/// Adds the product at one point to its sums, `[source channel][output channel]`. If `is_first`,
/// the sums are uninitialised and are overwritten.
///
/// # Safety
/// As [`Simd`]; both slices contain all tiles of all pieces; channels are whole vectors.
#[inline(always)]
pub(super) unsafe fn accumulate_point<S: Simd>(
    tiling: &Tiling,
    operands: &Operands,
    is_first: bool,
    sums: &mut [f32],
) {
    let (channels, out_channels) = (tiling.source.channels, tiling.gradient.channels);
    assert_eq!(sums.len(), channels * out_channels);
    let max_rows = max_rows(S::REGISTERS, tiling.block / S::LANES);
    // The inner loop reads the gradients of a block again and again, which stay in the first-level
    // cache.
    for k in (0..out_channels).step_by(tiling.block) {
        for (c, rows) in split_evenly(channels, max_rows) {
            let tile = Tile {
                rows,
                columns: tiling.block.min(out_channels - k),
                a: operands.inputs[c..].as_ptr(),
                a_order: AOrder::ColumnMajor,
                a_stride: operands.tile_strides[0],
                b: operands.gradients[k..].as_ptr(),
                b_stride: operands.tile_strides[1],
                c: sums[c * out_channels + k..].as_mut_ptr(),
                c_stride: out_channels,
                depth: operands.tiles,
                middle: operands.pieces,
                outer: DepthLoop::ONCE,
                init: if is_first {
                    Init::Zero
                } else {
                    Init::Accumulate
                },
                limits: None,
            };
            // SAFETY: the caller's guarantees; at least `rows` rows of sums are left.
            unsafe { tile.run::<S>() }
        }
    }
}

/// Transforms points to taps, `[tap][source channel][output channel]`.
struct TransformBack<'a> {
    tiling: &'a Tiling,
    sums: &'a [f32],
    taps: &'a mut [f32],
}

impl WithSimd for TransformBack<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let len = self.tiling.source.channels * self.tiling.gradient.channels;
        let (sums, taps) = (self.sums.as_ptr(), self.taps.as_mut_ptr());
        debug_assert!(self.sums.len() == POINTS * len && self.taps.len() == 9 * len);
        for q in (0..len).step_by(S::LANES) {
            // SAFETY: `len` is a multiple of the lanes, because the output channels are.
            unsafe {
                let mut columns = [[S::splat(0.0); 3]; INPUTS];
                for j in 0..INPUTS {
                    let column = transform::load6::<S>(sums.add(j * len + q), INPUTS * len);
                    columns[j] = transform::weight_gradient::<S>(column);
                }
                for r in 0..3 {
                    let row = transform::weight_gradient::<S>(transform::row_of(&columns, r));
                    for (s, value) in row.into_iter().enumerate() {
                        S::store(taps.add((r * 3 + s) * len + q), value);
                    }
                }
            }
        }
    }
}
