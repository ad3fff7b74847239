//! Output, and gradient of the input: the same pass over rows of pixels.
//!
//! A row of pixels is a matrix whose neighbouring rows overlap: the window of output `x` begins `step * channels` floats
//! behind that of output `x - 1`, and a row of the window is contiguous. So a convolution is, for each row of the window, a
//! product of that matrix with `[window width * channels, out channels]` weights, and no pixel is copied but for the border.
//!
//! Where channels would leave half of a vector empty, neighbouring outputs of a row are taken side by side ([`Pass::abreast`]):
//! channels-last, two of them are one pixel of twice the channels.

use std::ops::Range;

use super::axis::Axis;
use super::shape::Conv2d;
use super::source::Padded;
use super::winograd::{self, Prepared};
use crate::channels::Pixels;
use crate::error::KernelError;
use crate::norm::{Moments, Statistics, add_moments};
use crate::parallel::{for_chunk_pairs, for_chunks};
use crate::product::{Adjacent, Loop, Start, Tile, Walk, most_rows, runs_of_pieces};
use crate::simd::{Kernel, Path, Simd};
use crate::workspace::Workspace;

/// Padded images that are worked on together should fit into the second-level cache beside a block of weights.
const GROUP_BYTES: usize = 256 << 10;

/// Everything that a pass needs to know of its shape.
#[derive(Clone, Debug)]
pub(crate) struct Pass {
    pub source: Padded,
    pub out_channels: usize,
    /// Rows and columns of an output image.
    pub output: [usize; 2],
    /// Phases, vertical and horizontal.
    pub axes: Vec<[Axis; 2]>,
    /// Whether there are outputs of no phase, which see nothing.
    pub zeros: bool,
    /// Rows and columns of the window.
    pub kernel: [usize; 2],
    /// Distance in the weights between output channels and between source channels.
    pub weight_strides: [usize; 2],
}

impl Pass {
    /// Output from input.
    pub(crate) fn forward(shape: &Conv2d) -> Result<Pass, KernelError> {
        let output = shape.output()?;
        let axis = |i: usize| {
            Axis::forward(
                output[i],
                shape.kernel[i],
                shape.stride[i],
                shape.padding[i],
            )
        };
        let size = [shape.height, shape.width];
        let window = shape.kernel[0] * shape.kernel[1];
        Ok(Pass::new(
            size,
            shape.in_channels,
            output,
            shape.out_channels,
            vec![[axis(0), axis(1)]],
            shape.kernel,
            [shape.in_channels * window, window],
        ))
    }

    /// Gradient of the input from the gradient of the output.
    pub(crate) fn backward(shape: &Conv2d) -> Result<Pass, KernelError> {
        let source = shape.output()?;
        let size = [shape.height, shape.width];
        // Strides may exceed image and window by far: only phases that have inputs and taps are kept.
        let phases = |i: usize| -> Vec<Axis> {
            let (kernel, stride) = (shape.kernel[i], shape.stride[i]);
            (0..stride)
                .map(|phase| Axis::backward(size[i], kernel, stride, shape.padding[i], phase))
                .filter(|axis| axis.outputs > 0)
                .collect()
        };
        let (vertical, horizontal) = (phases(0), phases(1));
        let zeros = vertical
            .iter()
            .chain(&horizontal)
            .any(|axis| axis.taps == 0);
        let axes = vertical
            .iter()
            .flat_map(|v| horizontal.iter().map(|h| [*v, *h]))
            .filter(|[v, h]| v.taps > 0 && h.taps > 0)
            .collect();
        let window = shape.kernel[0] * shape.kernel[1];
        let pass = Pass::new(
            source,
            shape.out_channels,
            size,
            shape.in_channels,
            axes,
            shape.kernel,
            [window, shape.in_channels * window],
        );
        Ok(Pass { zeros, ..pass })
    }

    fn new(
        source: [usize; 2],
        channels: usize,
        output: [usize; 2],
        out_channels: usize,
        axes: Vec<[Axis; 2]>,
        kernel: [usize; 2],
        weight_strides: [usize; 2],
    ) -> Pass {
        let padding = |i: usize| {
            axes.iter()
                .map(|phase| phase[i].padding(source[i]))
                .fold([0, 0], |a, b| [a[0].max(b[0]), a[1].max(b[1])])
        };
        Pass {
            source: Padded {
                height: source[0],
                width: source[1],
                channels,
                rows: padding(0),
                columns: padding(1),
            },
            out_channels,
            output,
            axes,
            zeros: false,
            kernel,
            weight_strides,
        }
    }

    /// Outputs of a row that are best computed side by side: as many as bring the most multiplications that count into a
    /// vector. `n` of them fill `n` times the lanes, but each takes the `(n - 1) * step` taps of its neighbours' windows
    /// along, with weights of 0.
    fn best_abreast(&self, path: Path) -> usize {
        let [[_, horizontal]] = &self.axes[..] else {
            return 1;
        };
        if horizontal.outputs != self.output[1] {
            return 1;
        }
        let possible = (1..=path.lanes() / self.out_channels)
            .rev() // Of equals, the fewest.
            .filter(|count| horizontal.outputs.is_multiple_of(*count));
        let share =
            |count: usize| (count * horizontal.taps) as f64 / horizontal.abreast(count).taps as f64;
        possible
            .max_by(|a, b| share(*a).total_cmp(&share(*b)))
            .unwrap_or(1)
    }

    /// The same pass with `count` neighbouring outputs of a row as one of `count` times the channels, whose window is as
    /// wide as theirs together. Channels-last, either is the same memory.
    fn abreast(&self, count: usize) -> Pass {
        Pass {
            out_channels: self.out_channels * count,
            output: [self.output[0], self.output[1] / count],
            axes: self
                .axes
                .iter()
                .map(|[v, h]| [*v, h.abreast(count)])
                .collect(),
            ..self.clone()
        }
    }

    /// Weights of phase, block of output channels, row of the window, column, source channel, output channel, for
    /// [`Pass::abreast`] of this pass and a `count`.
    fn pack_weights(&self, count: usize, block: usize, weights: &[f32], packed: &mut [f32]) {
        let channels = self.source.channels;
        let columns = self.out_channels * count;
        let mut rest = packed;
        for [vertical, horizontal] in &self.axes {
            let taps = horizontal.abreast(count).taps;
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
                            let places = row.chunks_mut(self.out_channels).take(count);
                            for (place, row) in places.enumerate() {
                                // The tap that this place's own window has here, if any.
                                let tap = s.checked_sub(place * horizontal.step);
                                let Some(tap) = tap.filter(|tap| *tap < horizontal.taps) else {
                                    continue;
                                };
                                let at =
                                    vertical.kernel(r) * self.kernel[1] + horizontal.kernel(tap);
                                let [out, source] = self.weight_strides;
                                for (o, value) in (first..self.out_channels).zip(row) {
                                    *value = weights[o * out + c * source + at];
                                }
                            }
                        }
                    }
                }
            });
        }
    }

    /// Runs over all images of `source`. `weights` is in the tensor's order, `bias` has a value for each output channel;
    /// `statistics` become those of the output.
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn run(
        &self,
        workspace: &Workspace,
        path: Path,
        source: &[f32],
        weights: &[f32],
        bias: Option<&[f32]>,
        relu: bool,
        output: &mut [f32],
        statistics: Option<&mut Statistics>,
    ) {
        let output_image = self.output[0] * self.output[1] * self.out_channels;
        let source_image = self.source.height * self.source.width * self.source.channels;
        if self.is_winograd(path) {
            let prepared = Prepared::new(self, workspace, path, weights, bias, relu);
            let group = prepared.group();
            self.in_groups(path, group, output, statistics, |index, output| {
                let images = output.len() / output_image;
                let rest = &source[index * group * source_image..];
                let (source, rest) = rest.split_at(images * source_image);
                let next = &rest[..rest.len().min(source.len())];
                prepared.run(source, output, [next, &[], &[]]);
            });
            return;
        }
        let count = self.best_abreast(path);
        let wide = self.abreast(count);
        let block = block_channels(path, wide.out_channels);
        let padded_channels = wide.out_channels.next_multiple_of(block);
        let taps: usize = wide.axes.iter().map(|[v, h]| v.taps * h.taps).sum();
        let mut packed = workspace.take(taps * self.source.channels * padded_channels);
        self.pack_weights(count, block, weights, &mut packed);
        let mut padded_bias = workspace.take(padded_channels);
        padded_bias.fill(0.0);
        if let Some(bias) = bias {
            for place in padded_bias.chunks_exact_mut(bias.len()).take(count) {
                place.copy_from_slice(bias);
            }
        }
        let group = (GROUP_BYTES / size_of::<f32>() / self.source.len()).max(1);
        self.in_groups(path, group, output, statistics, |index, output| {
            let images = output.len() / output_image;
            let source = &source[index * group * source_image..][..images * source_image];
            if self.zeros {
                output.fill(0.0);
            }
            path.run(Group {
                pass: &wide,
                block,
                weights: &packed,
                bias: &padded_bias,
                relu,
                source: &self.source.pad(workspace, source),
                images,
                output,
            });
        });
    }

    /// Whether the pass takes Winograd's algorithm.
    pub(crate) fn is_winograd(&self, path: Path) -> bool {
        winograd::applies(path, &self.axes, self.source.channels, self.out_channels)
    }

    /// Calls `work` for each group of images, and takes the statistics of its output, where they are wanted, while it is in
    /// cache.
    fn in_groups(
        &self,
        path: Path,
        group: usize,
        output: &mut [f32],
        statistics: Option<&mut Statistics>,
        work: impl Fn(usize, &mut [f32]) + Sync,
    ) {
        let channels = self.out_channels;
        let piece = group * self.output[0] * self.output[1] * channels;
        let Some(statistics) = statistics else {
            for_chunks(output, piece, work);
            return;
        };
        let pixels = Pixels {
            count: output.len() / channels,
            channels,
        };
        let mut moments = Moments::new(&pixels, piece);
        for_chunk_pairs(
            (output, &mut moments.partial),
            [piece, 2 * channels],
            |index, output, moments| {
                work(index, output);
                add_moments(path, channels, output, moments);
            },
        );
        *statistics = moments.total();
    }
}

/// Output channels that tiles compute together: one or two vectors.
pub(crate) fn block_channels(path: Path, channels: usize) -> usize {
    if channels <= path.lanes() {
        path.lanes()
    } else {
        2 * path.lanes()
    }
}

/// The row of the source where the window of row `y` of a phase's outputs begins.
fn first_row(vertical: &Axis, y: usize) -> isize {
    (y * vertical.step) as isize + vertical.first
}

/// Rows of the window of row `y` that lie in the source: those of the border add nothing.
fn seen_taps(vertical: &Axis, height: usize, y: usize) -> Range<usize> {
    let (row, taps) = (first_row(vertical, y), vertical.taps);
    let above = row.min(0).unsigned_abs().min(taps);
    let end = (height as isize - row).clamp(above as isize, taps as isize);
    above..end as usize
}

/// `down` rows of outputs from `y` on, of whose windows the same rows lie in the source.
struct Alike {
    y: usize,
    down: usize,
    seen: Range<usize>,
}

/// All rows of a phase's outputs: a few at each border, and those between.
fn alike_rows(vertical: &Axis, height: usize) -> impl Iterator<Item = Alike> {
    let seen = move |y| seen_taps(vertical, height, y);
    let mut y = 0;
    std::iter::from_fn(move || {
        let first = y;
        y = (first..vertical.outputs)
            .find(|y| seen(*y) != seen(first))
            .unwrap_or(vertical.outputs);
        (first < vertical.outputs).then(|| Alike {
            y: first,
            down: y - first,
            seen: seen(first),
        })
    })
}

/// Some images.
struct Group<'a> {
    pass: &'a Pass,
    block: usize,
    weights: &'a [f32],
    bias: &'a [f32],
    relu: bool,
    source: &'a [f32],
    images: usize,
    output: &'a mut [f32],
}

impl Kernel for Group<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Pass {
            source,
            out_channels,
            output: [_, width],
            ..
        } = *self.pass;
        let output_image = self.pass.output[0] * width * out_channels;
        let most = most_rows(S::REGISTERS, self.block / S::LANES);
        let mut weights = self.weights;
        for [vertical, horizontal] in &self.pass.axes {
            let terms = horizontal.taps * source.channels;
            let len = vertical.taps * terms * self.block;
            let (phase, rest) = weights.split_at(out_channels.div_ceil(self.block) * len);
            weights = rest;
            let alike: Vec<_> = alike_rows(vertical, source.height).collect();
            for (index, weights) in phase.chunks_exact(len).enumerate() {
                let channel = index * self.block;
                let bias = &self.bias[channel..][..self.block];
                for image in 0..self.images {
                    for &Alike { y, down, ref seen } in &alike {
                        let row = first_row(vertical, y);
                        let place_row = vertical.place_first + y * vertical.place_step;
                        for (x, rows, tiles) in runs_of_pieces(horizontal.outputs, most) {
                            let column = (x * horizontal.step) as isize + horizontal.first;
                            let place = horizontal.place_first + x * horizontal.place_step;
                            let top = row.saturating_add_unsigned(seen.start);
                            let from = image * source.len() + source.at(top, column);
                            let to = image * output_image
                                + (place_row * width + place) * out_channels
                                + channel;
                            let tile = Tile {
                                rows,
                                columns: self.block.min(out_channels - channel),
                                a: self.source[from..].as_ptr(),
                                adjacent: Adjacent::Terms([
                                    Walk {
                                        count: tiles,
                                        a: rows * horizontal.step * source.channels,
                                        result: rows * horizontal.place_step * out_channels,
                                    },
                                    Walk {
                                        count: down,
                                        a: vertical.step * source.pitch(),
                                        result: vertical.place_step * width * out_channels,
                                    },
                                ]),
                                stride: horizontal.step * source.channels,
                                b: weights[seen.start * terms * self.block..].as_ptr(),
                                b_step: self.block,
                                result: self.output[to..].as_mut_ptr(),
                                result_row: horizontal.place_step * out_channels,
                                terms,
                                middle: Loop {
                                    count: seen.len(),
                                    a: source.pitch(),
                                    b: terms * self.block,
                                },
                                outer: Loop::ONCE,
                                start: Start::Columns(bias.as_ptr()),
                                relu: self.relu,
                            };
                            debug_assert!(
                                from + (down - 1) * vertical.step * source.pitch()
                                    + seen.len().saturating_sub(1) * source.pitch()
                                    + (tiles * rows - 1) * tile.stride
                                    + terms
                                    <= self.source.len()
                            );
                            // SAFETY: the border reaches as far as the windows (`Axis::padding`), so all terms lie in
                            // the source; weights and bias are packed in whole blocks; the last pixel's channels lie
                            // in the output.
                            unsafe { tile.run::<S>() }
                        }
                    }
                }
            }
        }
    }
}
