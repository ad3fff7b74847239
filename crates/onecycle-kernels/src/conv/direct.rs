//! Direct convolution as matrix products that read the image in place.
//!
//! A row of pixels is a matrix with overlapping rows: the window of output `x` starts `step *
//! channels` floats after that of output `x - 1`, and a row of the window is contiguous. So the
//! convolution is, for each row of the window, the product of that matrix with a `[window width *
//! channels, out channels]` matrix of weights. Only zero padding is copied.
//!
//! If the output channels fill at most half of a vector, neighbouring outputs of a row are merged
//! into one output with a multiple of the channels ([`merged`]). Channels-last, both have the same
//! memory layout, and the merged window is as wide as the single windows together.

use std::ops::Range;

use super::Epilogue;
use super::axis::Axis;
use super::geometry::{Geometry, channel_block};
use crate::gemm::{AOrder, DepthLoop, Init, Repeat, Tile, max_rows, split_into_runs};
use crate::kernels::Kernels;
use crate::parallel::for_chunks;
use crate::simd::{Isa, Simd, WithSimd};
use crate::workspace::Buffer;

/// Padded images of a group should fit into the second-level cache beside a block of weights.
const GROUP_BYTES: usize = 256 << 10;

/// A convolution with packed weights.
pub(crate) struct DirectConv<'a> {
    kernels: &'a Kernels,
    geometry: &'a Geometry,
    /// `geometry` with neighbouring outputs merged.
    merged: Geometry,
    block: usize,
    weights: Buffer<'a>,
    bias: Buffer<'a>,
    /// Smallest and largest output. An activation that does not clamp is left to the caller.
    limits: Option<[f32; 2]>,
}

impl<'a> DirectConv<'a> {
    /// Packs `weights`, which are in the order of the tensor.
    pub(crate) fn new(
        kernels: &'a Kernels,
        geometry: &'a Geometry,
        weights: &[f32],
        epilogue: Epilogue,
    ) -> Self {
        let count = best_merge(kernels.isa, geometry);
        let merged = merged(geometry, count);
        let block = channel_block(kernels.isa, merged.out_channels);
        let padded_channels = merged.out_channels.next_multiple_of(block);
        let taps: usize = merged.phases.iter().map(|[v, h]| v.taps * h.taps).sum();
        let mut packed = kernels
            .workspace
            .take(taps * geometry.source.channels * padded_channels);
        pack_weights(geometry, [count, block], weights, &mut packed);
        let mut padded_bias = kernels.workspace.take(padded_channels);
        padded_bias.fill(0.0);
        if let Some(bias) = epilogue.bias {
            for place in padded_bias.chunks_exact_mut(bias.len()).take(count) {
                place.copy_from_slice(bias);
            }
        }
        DirectConv {
            kernels,
            geometry,
            merged,
            block,
            weights: packed,
            bias: padded_bias,
            limits: epilogue.activation.limits(),
        }
    }

    /// Images to compute together.
    pub(crate) fn group(&self) -> usize {
        // The rows of a plain matrix product are cut so that their outputs fit as well.
        let is_row = self.geometry.kernel == [1, 1] && self.geometry.source.height == 1;
        let outputs = if is_row {
            self.geometry.output_image()
        } else {
            0
        };
        (GROUP_BYTES / size_of::<f32>() / (self.geometry.source.len() + outputs)).max(1)
    }

    /// Computes the output images of the given source images.
    pub(crate) fn run(&self, source: &[f32], output: &mut [f32]) {
        let images = output.len() / self.geometry.output_image();
        if self.geometry.has_zeros {
            output.fill(0.0);
        }
        self.kernels.isa.run(Group {
            conv: self,
            source: &self.geometry.source.pad(&self.kernels.workspace, source),
            images,
            output,
        });
    }
}

/// Number of neighbouring outputs to merge so that the largest share of a vector's multiplications
/// is useful. `n` merged outputs fill `n` times the lanes, but each also multiplies the
/// `(n - 1) * step` taps of its neighbours' windows, with weights of 0.
fn best_merge(isa: Isa, geometry: &Geometry) -> usize {
    let [[_, horizontal]] = &geometry.phases[..] else {
        return 1;
    };
    if horizontal.outputs != geometry.output[1] {
        return 1;
    }
    let possible = (1..=isa.lanes() / geometry.out_channels)
        .rev() // On ties, `max_by` then prefers the smallest count.
        .filter(|count| horizontal.outputs.is_multiple_of(*count));
    let useful =
        |count: usize| (count * horizontal.taps) as f64 / horizontal.merged(count).taps as f64;
    possible
        .max_by(|a, b| useful(*a).total_cmp(&useful(*b)))
        .unwrap_or(1)
}

/// The same convolution with `count` neighbouring outputs of a row as one output of `count` times
/// the channels.
fn merged(geometry: &Geometry, count: usize) -> Geometry {
    Geometry {
        out_channels: geometry.out_channels * count,
        output: [geometry.output[0], geometry.output[1] / count],
        phases: geometry
            .phases
            .iter()
            .map(|[v, h]| [*v, h.merged(count)])
            .collect(),
        ..geometry.clone()
    }
}

/// Packs the weights as `[phase][block of output channels][window row][window column][source
/// channel][output channel]`, for `count` merged outputs.
fn pack_weights(
    geometry: &Geometry,
    [count, block]: [usize; 2],
    weights: &[f32],
    packed: &mut [f32],
) {
    let channels = geometry.source.channels;
    let columns = geometry.out_channels * count;
    let mut rest = packed;
    for [vertical, horizontal] in &geometry.phases {
        let taps = horizontal.merged(count).taps;
        let len = vertical.taps * taps * channels * block;
        let (phase, after) = rest.split_at_mut(columns.div_ceil(block) * len);
        rest = after;
        for_chunks(phase, len, |index, target| {
            let first = index * block;
            let mut rows = target.chunks_exact_mut(block);
            for r in 0..vertical.taps {
                for s in 0..taps {
                    for c in 0..channels {
                        let Some(row) = rows.next() else { return };
                        row.fill(0.0);
                        let places = row.chunks_mut(geometry.out_channels).take(count);
                        for (place, row) in places.enumerate() {
                            // The tap of this output's own window at this position, if any.
                            let tap = s.checked_sub(place * horizontal.step);
                            let Some(tap) = tap.filter(|tap| *tap < horizontal.taps) else {
                                continue;
                            };
                            let at =
                                vertical.kernel(r) * geometry.kernel[1] + horizontal.kernel(tap);
                            let [out, source] = geometry.weight_strides;
                            for (o, value) in (first..geometry.out_channels).zip(row) {
                                *value = weights[o * out + c * source + at];
                            }
                        }
                    }
                }
            }
        });
    }
}

/// `count` consecutive output rows from `y` on with the same [inner taps](Axis::inner_taps).
struct RowRun {
    y: usize,
    count: usize,
    taps: Range<usize>,
}

/// All output rows of a phase, in runs: a few rows at each border, and those between.
fn row_runs(vertical: &Axis, height: usize) -> impl Iterator<Item = RowRun> {
    let taps = move |y| vertical.inner_taps(height, y);
    let mut y = 0;
    std::iter::from_fn(move || {
        let first = y;
        y = (first..vertical.outputs)
            .find(|y| taps(*y) != taps(first))
            .unwrap_or(vertical.outputs);
        (first < vertical.outputs).then(|| RowRun {
            y: first,
            count: y - first,
            taps: taps(first),
        })
    })
}

/// A group of images.
struct Group<'a> {
    conv: &'a DirectConv<'a>,
    /// With padding.
    source: &'a [f32],
    images: usize,
    output: &'a mut [f32],
}

impl WithSimd for Group<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let block = self.conv.block;
        let geometry = &self.conv.merged;
        let Geometry {
            source,
            out_channels,
            output: [_, width],
            ..
        } = *geometry;
        let output_image = geometry.output_image();
        let max_rows = max_rows(S::REGISTERS, block / S::LANES);
        let mut weights = &self.conv.weights[..];
        for [vertical, horizontal] in &geometry.phases {
            let depth = horizontal.taps * source.channels;
            let len = vertical.taps * depth * block;
            let (phase, rest) = weights.split_at(out_channels.div_ceil(block) * len);
            weights = rest;
            let runs: Vec<_> = row_runs(vertical, source.height).collect();
            for (index, weights) in phase.chunks_exact(len).enumerate() {
                let channel = index * block;
                let bias = &self.conv.bias[channel..][..block];
                for image in 0..self.images {
                    for &RowRun { y, count, ref taps } in &runs {
                        let row = vertical.start(y);
                        let place_row = vertical.place_first + y * vertical.place_step;
                        for (x, rows, tiles) in split_into_runs(horizontal.outputs, max_rows) {
                            let column = (x * horizontal.step) as isize + horizontal.first;
                            let place = horizontal.place_first + x * horizontal.place_step;
                            let top = row.saturating_add_unsigned(taps.start);
                            let from = image * source.len() + source.at(top, column);
                            let to = image * output_image
                                + (place_row * width + place) * out_channels
                                + channel;
                            let tile = Tile {
                                rows,
                                columns: block.min(out_channels - channel),
                                a: self.source[from..].as_ptr(),
                                a_order: AOrder::RowMajor([
                                    Repeat {
                                        count: tiles,
                                        a: rows * horizontal.step * source.channels,
                                        c: rows * horizontal.place_step * out_channels,
                                    },
                                    Repeat {
                                        count,
                                        a: vertical.step * source.pitch(),
                                        c: vertical.place_step * width * out_channels,
                                    },
                                ]),
                                a_stride: horizontal.step * source.channels,
                                b: weights[taps.start * depth * block..].as_ptr(),
                                b_stride: block,
                                c: self.output[to..].as_mut_ptr(),
                                c_stride: horizontal.place_step * out_channels,
                                depth,
                                middle: DepthLoop {
                                    count: taps.len(),
                                    a: source.pitch(),
                                    b: depth * block,
                                },
                                outer: DepthLoop::ONCE,
                                init: Init::Bias(bias.as_ptr()),
                                limits: self.conv.limits,
                            };
                            debug_assert!(
                                from + (count - 1) * vertical.step * source.pitch()
                                    + taps.len().saturating_sub(1) * source.pitch()
                                    + (tiles * rows - 1) * tile.a_stride
                                    + depth
                                    <= self.source.len()
                            );
                            // SAFETY: the padding reaches as far as the windows (`Axis::padding`),
                            // so all operands lie in the source; weights and bias are packed in
                            // whole blocks; the last pixel's channels lie in the output.
                            unsafe { tile.run::<S>() }
                        }
                    }
                }
            }
        }
    }
}
