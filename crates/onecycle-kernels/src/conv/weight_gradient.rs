//! Gradient of the weights by matrix products that read input and gradient in place.
//!
//! ```text
//! dw[(r, s, c)][o] = sum over images and output pixels of x[window (r, s), c] dy[pixel, o]
//! ```
//!
//! For each window row `r` this is the product of a `[window width * channels, pixels]` matrix with
//! the `[pixels, out channels]` gradient of the output. The depth of the product is the number of
//! pixels, so the register tiles are accumulated over rows and images. Work is divided into groups
//! of images (partial sums, added at the end) and parts of the output channels. The division
//! depends on the shape alone, so that the result does not depend on the number of threads.

use super::axis::Axis;
use super::geometry::{channel_block, forward_axes};
use super::padding::PaddedLayout;
use super::shape::Conv2d;
use crate::error::KernelError;
use crate::gemm::{AOrder, DepthLoop, Init, Tile, max_rows, split_evenly};
use crate::kernels::Kernels;
use crate::parallel::for_chunks;
use crate::simd::{Isa, MAX_LANES, Simd, WithSimd};
use crate::workspace::Workspace;

/// The part of the gradient that one thread accumulates should stay in its second-level cache.
const PART_BYTES: usize = 600 << 10;
/// Rows of input and gradient that all tiles read before the next rows should stay in the
/// first-level cache.
const ROWS_BYTES: usize = 24 << 10;
/// Minimum pixels per register tile; below it, loading and storing the sums costs more than it
/// saves.
const MIN_PIXELS: usize = 64;
/// Most partial sums that the batch is divided into.
const MAX_GROUPS: usize = 16;
/// Gradients above this size use half as many groups, because partial sums must be added up.
const FEW_GROUPS_BYTES: usize = 64 << 10;

/// Division of the work for a shape.
struct Plan {
    source: PaddedLayout,
    axes: [Axis; 2],
    out_channels: usize,
    /// Output channels per register tile.
    block: usize,
    /// Blocks of output channels per part.
    part_blocks: usize,
    /// Parts of the output channels.
    parts: usize,
    /// Images per group.
    group: usize,
    /// Output rows and images that the tiles read at a time.
    rows: usize,
    images: usize,
}

impl Plan {
    fn new(shape: &Conv2d, isa: Isa) -> Result<Plan, KernelError> {
        let output = shape.output()?;
        let axes = forward_axes(shape, output);
        let source = PaddedLayout {
            height: shape.height,
            width: shape.width,
            channels: shape.in_channels,
            rows: axes[0].padding(shape.height),
            columns: axes[1].padding(shape.width),
        };
        let block = channel_block(isa, shape.out_channels);
        let blocks = shape.out_channels.div_ceil(block);
        let block_bytes = shape.taps() * block * size_of::<f32>();
        let part_blocks = (PART_BYTES / block_bytes).clamp(1, blocks);
        let parts = blocks.div_ceil(part_blocks);
        let max_groups = if blocks * block_bytes > FEW_GROUPS_BYTES {
            MAX_GROUPS / 2
        } else {
            MAX_GROUPS
        };
        let groups = (max_groups / parts).clamp(1, shape.batch);
        let row_bytes =
            (shape.stride[0] * source.pitch() + output[1] * shape.out_channels) * size_of::<f32>();
        let rows = (ROWS_BYTES / row_bytes)
            .max(MIN_PIXELS.div_ceil(output[1]))
            .min(output[0]);
        let images = if rows == output[0] {
            MIN_PIXELS.div_ceil(rows * output[1])
        } else {
            1
        };
        Ok(Plan {
            source,
            axes,
            out_channels: shape.out_channels,
            block,
            part_blocks,
            parts,
            group: shape.batch.div_ceil(groups),
            rows,
            images,
        })
    }

    /// Floats of a block's sums, `[window row][window column][source channel][block]`.
    fn block_len(&self) -> usize {
        self.axes[0].taps * self.row_len() * self.block
    }

    /// Floats of a window row.
    fn row_len(&self) -> usize {
        self.axes[1].taps * self.source.channels
    }
}

/// Computes the gradient in the order of the weights.
pub(crate) fn run(
    kernels: &Kernels,
    shape: &Conv2d,
    input: &[f32],
    output_gradient: &[f32],
    weight_gradient: &mut [f32],
) -> Result<(), KernelError> {
    let plan = Plan::new(shape, kernels.isa)?;
    let groups = shape.batch.div_ceil(plan.group);
    let part_len = plan.part_blocks * plan.block_len();
    let group_len = plan.parts * part_len;
    let mut partial = kernels.workspace.take(groups * group_len);
    let input_image = input.len() / shape.batch;
    let output_image = output_gradient.len() / shape.batch;
    for_chunks(&mut partial, part_len, |index, partial| {
        let (group, part) = (index / plan.parts, index % plan.parts);
        let first = group * plan.group;
        let count = plan.group.min(shape.batch - first);
        kernels.isa.run(Part {
            plan: &plan,
            workspace: &kernels.workspace,
            input: &input[first * input_image..][..count * input_image],
            output_gradient: &output_gradient[first * output_image..][..count * output_image],
            images: count,
            first_block: part * plan.part_blocks,
            partial,
        });
    });
    let (total, others) = partial.split_at_mut(group_len);
    add_groups(total, others);
    unpack(shape, plan.block, total, weight_gradient);
    Ok(())
}

/// Adds the partial sums of all other groups to those of the first, in a fixed order.
pub(crate) fn add_groups(total: &mut [f32], others: &[f32]) {
    const CHUNK: usize = 4096;
    let len = total.len();
    for_chunks(total, CHUNK, |index, total| {
        for other in others.chunks_exact(len) {
            let other = &other[index * CHUNK..][..total.len()];
            for (sum, value) in total.iter_mut().zip(other) {
                *sum += value;
            }
        }
    });
}

/// Reorders `[block of output channels][tap][source channel][output channel]` to the order of the
/// weights.
pub(crate) fn unpack(shape: &Conv2d, block: usize, total: &[f32], weight_gradient: &mut [f32]) {
    let window = shape.kernel[0] * shape.kernel[1];
    let (channels, taps) = (shape.in_channels, shape.taps());
    for_chunks(weight_gradient, taps, |o, gradient| {
        let sums = &total[o / block * taps * block..][..taps * block];
        let lane = o % block;
        for (c, plane) in gradient.chunks_exact_mut(window).enumerate() {
            for (tap, value) in plane.iter_mut().enumerate() {
                *value = sums[(tap * channels + c) * block + lane];
            }
        }
    });
}

/// The contribution of a group of images to a part of the output channels.
struct Part<'a> {
    plan: &'a Plan,
    workspace: &'a Workspace,
    input: &'a [f32],
    output_gradient: &'a [f32],
    images: usize,
    first_block: usize,
    partial: &'a mut [f32],
}

impl WithSimd for Part<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let plan = self.plan;
        let at_once = plan.images;
        let input_image = self.input.len() / self.images;
        let output_image = self.output_gradient.len() / self.images;
        for first in (0..self.images).step_by(at_once) {
            let count = at_once.min(self.images - first);
            let input = &self.input[first * input_image..][..count * input_image];
            let gradient = &self.output_gradient[first * output_image..][..count * output_image];
            let padded = plan.source.pad(self.workspace, input);
            // Tiles read whole vectors, which may reach beyond the last pixel's channels.
            let copy = (!plan.out_channels.is_multiple_of(S::LANES)).then(|| {
                let mut copy = self.workspace.take(gradient.len() + MAX_LANES);
                copy[..gradient.len()].copy_from_slice(gradient);
                copy[gradient.len()..].fill(0.0);
                copy
            });
            let images = Images {
                plan,
                padded: &padded,
                gradient: copy.as_deref().unwrap_or(gradient),
                count,
                is_first: first == 0,
                first_block: self.first_block,
            };
            for row in (0..plan.axes[0].outputs).step_by(plan.rows) {
                // SAFETY: the caller's guarantees.
                unsafe { images.add_rows::<S>(row, self.partial) }
            }
        }
    }
}

/// Images that the tiles read at a time.
struct Images<'a> {
    plan: &'a Plan,
    padded: &'a [f32],
    /// Readable for whole vectors at each pixel.
    gradient: &'a [f32],
    count: usize,
    /// Whether the sums are still uninitialised.
    is_first: bool,
    first_block: usize,
}

impl Images<'_> {
    /// Adds the products of `plan.rows` output rows from `first_row` on.
    ///
    /// # Safety
    /// The machine has the instructions of `S`.
    #[inline(always)]
    unsafe fn add_rows<S: Simd>(&self, first_row: usize, partial: &mut [f32]) {
        let plan = self.plan;
        let [vertical, horizontal] = plan.axes;
        let (source, width, channels) = (plan.source, horizontal.outputs, plan.out_channels);
        let rows = plan.rows.min(vertical.outputs - first_row);
        let init = if self.is_first && first_row == 0 {
            Init::Zero
        } else {
            Init::Accumulate
        };
        let max_rows = max_rows(S::REGISTERS, plan.block / S::LANES);
        for r in 0..vertical.taps {
            let row = (first_row * vertical.step + r) as isize + vertical.first;
            let corner = source.at(row, horizontal.first);
            for (t, count) in split_evenly(plan.row_len(), max_rows) {
                for (index, partial) in partial.chunks_exact_mut(plan.block_len()).enumerate() {
                    let channel = (self.first_block + index) * plan.block;
                    if channel >= channels {
                        break;
                    }
                    let to = (r * plan.row_len() + t) * plan.block;
                    let tile = Tile {
                        rows: count,
                        columns: plan.block.min(channels - channel),
                        a: self.padded[corner + t..].as_ptr(),
                        a_order: AOrder::ColumnMajor,
                        a_stride: horizontal.step * source.channels,
                        b: self.gradient[first_row * width * channels + channel..].as_ptr(),
                        b_stride: channels,
                        c: partial[to..].as_mut_ptr(),
                        c_stride: plan.block,
                        depth: width,
                        middle: DepthLoop {
                            count: rows,
                            a: vertical.step * source.pitch(),
                            b: width * channels,
                        },
                        outer: DepthLoop {
                            count: self.count,
                            a: source.len(),
                            b: vertical.outputs * width * channels,
                        },
                        init,
                        limits: None,
                    };
                    debug_assert!(
                        corner
                            + t
                            + (self.count - 1) * tile.outer.a
                            + (rows - 1) * tile.middle.a
                            + (width - 1) * tile.a_stride
                            + count
                            <= self.padded.len()
                    );
                    // SAFETY: the padding reaches as far as the windows, so all operands lie in the
                    // source; the gradient is readable for whole vectors; the sums have room for
                    // whole blocks.
                    unsafe { tile.run::<S>() }
                }
            }
        }
    }
}
