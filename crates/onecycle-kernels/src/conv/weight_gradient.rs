//! Gradient of the weights: for each row of the window a product of the window's pixels and the output's gradient,
//! summed over all pixels of all images.

use super::axis::Axis;
use super::pass::block_channels;
use super::shape::Conv2d;
use super::source::Padded;
use crate::error::KernelError;
use crate::parallel::for_chunks;
use crate::product::{Adjacent, Loop, Start, Tile, most_rows, pieces};
use crate::simd::{Kernel, MAX_LANES, Path, Simd};
use crate::workspace::Workspace;

/// A piece of the gradient that one thread works on should stay in its second-level cache.
const PART_BYTES: usize = 600 << 10;
/// Rows of input and gradient that all tiles go over before the next rows should stay in the first-level cache.
const ROWS_BYTES: usize = 24 << 10;
/// Fewer pixels than these are not worth it to load and store a tile's sums.
const FEWEST_PIXELS: usize = 64;
/// Into how many partial sums the batch is divided at most: fixed, so that the result does not depend on the threads.
const GROUPS: usize = 16;
/// Above this size of a gradient half as many, since they must be added up.
const FEW_GROUPS_BYTES: usize = 64 << 10;

/// Everything about the shape.
struct Sums {
    source: Padded,
    axes: [Axis; 2],
    out_channels: usize,
    block: usize,
    /// Blocks of output channels in a part.
    part_blocks: usize,
    /// Parts that the output channels are divided into.
    parts: usize,
    /// Images in a group.
    group: usize,
    /// Rows of the output, and images, that the tiles go over at once.
    rows: usize,
    images: usize,
}

impl Sums {
    fn new(shape: &Conv2d, path: Path) -> Result<Sums, KernelError> {
        let output = shape.output()?;
        let axes = [0, 1].map(|i| {
            Axis::forward(
                output[i],
                shape.kernel[i],
                shape.stride[i],
                shape.padding[i],
            )
        });
        let source = Padded {
            height: shape.height,
            width: shape.width,
            channels: shape.in_channels,
            rows: axes[0].padding(shape.height),
            columns: axes[1].padding(shape.width),
        };
        let block = block_channels(path, shape.out_channels);
        let blocks = shape.out_channels.div_ceil(block);
        let block_bytes = shape.taps() * block * size_of::<f32>();
        let part_blocks = (PART_BYTES / block_bytes).clamp(1, blocks);
        let parts = blocks.div_ceil(part_blocks);
        let most_groups = if blocks * block_bytes > FEW_GROUPS_BYTES {
            GROUPS / 2
        } else {
            GROUPS
        };
        let groups = (most_groups / parts).clamp(1, shape.batch);
        let row_bytes =
            (shape.stride[0] * source.pitch() + output[1] * shape.out_channels) * size_of::<f32>();
        let rows = (ROWS_BYTES / row_bytes)
            .max(FEWEST_PIXELS.div_ceil(output[1]))
            .min(output[0]);
        let images = if rows == output[0] {
            FEWEST_PIXELS.div_ceil(rows * output[1])
        } else {
            1
        };
        Ok(Sums {
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

    /// Floats of a block's sums: window rows, window columns, source channels, block.
    fn block_len(&self) -> usize {
        self.axes[0].taps * self.terms() * self.block
    }

    /// Floats of a row of the window.
    fn terms(&self) -> usize {
        self.axes[1].taps * self.source.channels
    }
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
    let sums = Sums::new(shape, path)?;
    let groups = shape.batch.div_ceil(sums.group);
    let part_len = sums.part_blocks * sums.block_len();
    let group_len = sums.parts * part_len;
    let mut partial = workspace.take(groups * group_len);
    let input_image = input.len() / shape.batch;
    let output_image = output_gradient.len() / shape.batch;
    for_chunks(&mut partial, part_len, |index, partial| {
        let (group, part) = (index / sums.parts, index % sums.parts);
        let first = group * sums.group;
        let count = sums.group.min(shape.batch - first);
        path.run(Part {
            sums: &sums,
            workspace,
            input: &input[first * input_image..][..count * input_image],
            output_gradient: &output_gradient[first * output_image..][..count * output_image],
            images: count,
            first_block: part * sums.part_blocks,
            partial,
        });
    });
    let (total, others) = partial.split_at_mut(group_len);
    add_groups(total, others);
    unpack(shape, sums.block, total, weight_gradient);
    Ok(())
}

/// Adds the groups to the first, in their order.
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

/// To the order of the weights from `[block of output channels][tap][source channel][output channel]`.
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

/// Some images and some output channels.
struct Part<'a> {
    sums: &'a Sums,
    workspace: &'a Workspace,
    input: &'a [f32],
    output_gradient: &'a [f32],
    images: usize,
    first_block: usize,
    partial: &'a mut [f32],
}

impl Kernel for Part<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let sums = self.sums;
        let at_once = sums.images;
        let input_image = self.input.len() / self.images;
        let output_image = self.output_gradient.len() / self.images;
        for first in (0..self.images).step_by(at_once) {
            let count = at_once.min(self.images - first);
            let input = &self.input[first * input_image..][..count * input_image];
            let gradient = &self.output_gradient[first * output_image..][..count * output_image];
            let padded = sums.source.pad(self.workspace, input);
            // Whole vectors are read, which may reach beyond the last pixel's channels.
            let copy = (!sums.out_channels.is_multiple_of(S::LANES)).then(|| {
                let mut copy = self.workspace.take(gradient.len() + MAX_LANES);
                copy[..gradient.len()].copy_from_slice(gradient);
                copy[gradient.len()..].fill(0.0);
                copy
            });
            let images = Images {
                sums,
                padded: &padded,
                gradient: copy.as_deref().unwrap_or(gradient),
                count,
                fresh: first == 0,
                first_block: self.first_block,
            };
            for row in (0..sums.axes[0].outputs).step_by(sums.rows) {
                // SAFETY: the caller's guarantees.
                unsafe { images.add_rows::<S>(row, self.partial) }
            }
        }
    }
}

/// Images that the tiles go over at once.
struct Images<'a> {
    sums: &'a Sums,
    padded: &'a [f32],
    /// Readable for whole vectors at each pixel.
    gradient: &'a [f32],
    count: usize,
    /// Whether nothing was added yet.
    fresh: bool,
    first_block: usize,
}

impl Images<'_> {
    /// Adds the products of `sums.rows` rows of the output from `first_row` on.
    ///
    /// # Safety
    /// The machine has the instructions of `S`.
    #[inline(always)]
    unsafe fn add_rows<S: Simd>(&self, first_row: usize, partial: &mut [f32]) {
        let sums = self.sums;
        let [vertical, horizontal] = sums.axes;
        let (source, width, channels) = (sums.source, horizontal.outputs, sums.out_channels);
        let rows = sums.rows.min(vertical.outputs - first_row);
        let start = if self.fresh && first_row == 0 {
            Start::Zero
        } else {
            Start::Result
        };
        let most = most_rows(S::REGISTERS, sums.block / S::LANES);
        for r in 0..vertical.taps {
            let row = (first_row * vertical.step + r) as isize + vertical.first;
            let corner = source.at(row, horizontal.first);
            for (t, count) in pieces(sums.terms(), most) {
                for (index, partial) in partial.chunks_exact_mut(sums.block_len()).enumerate() {
                    let channel = (self.first_block + index) * sums.block;
                    if channel >= channels {
                        break;
                    }
                    let to = (r * sums.terms() + t) * sums.block;
                    let tile = Tile {
                        rows: count,
                        columns: sums.block.min(channels - channel),
                        a: self.padded[corner + t..].as_ptr(),
                        adjacent: Adjacent::Rows,
                        stride: horizontal.step * source.channels,
                        b: self.gradient[first_row * width * channels + channel..].as_ptr(),
                        b_step: channels,
                        result: partial[to..].as_mut_ptr(),
                        result_row: sums.block,
                        terms: width,
                        middle: Loop {
                            count: rows,
                            a: vertical.step * source.pitch(),
                            b: width * channels,
                        },
                        outer: Loop {
                            count: self.count,
                            a: source.len(),
                            b: vertical.outputs * width * channels,
                        },
                        start,
                        relu: false,
                    };
                    debug_assert!(
                        corner
                            + t
                            + (self.count - 1) * tile.outer.a
                            + (rows - 1) * tile.middle.a
                            + (width - 1) * tile.stride
                            + count
                            <= self.padded.len()
                    );
                    // SAFETY: the border reaches as far as the windows, so all terms lie in the source; the gradient is
                    // readable for whole vectors; the sums have room for whole blocks.
                    unsafe { tile.run::<S>() }
                }
            }
        }
    }
}
