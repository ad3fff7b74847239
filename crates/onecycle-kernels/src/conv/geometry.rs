//! A convolution and its transpose as the same computation: lines of pixels times taps at fixed distances.

use super::plane::{Axis, PlaneMap, shared_columns};
use super::shape::Conv2d;
use crate::error::KernelError;
use crate::simd::MAX_LANES;

/// A weight and the distance of the pixel that it multiplies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tap {
    /// Places from the output's place to the source's, source channel included.
    pub offset: usize,
    /// Index of the weight, for output channel 0.
    pub weight: usize,
}

/// Everything that a pass over one image needs to know.
///
/// The output is a set of phases, each `rows x columns` places with the same pitch as the packed source; the value at
/// place `q` of a phase is the sum over its taps of weight times `source[q + offset]`.
#[derive(Clone, Debug)]
pub(crate) struct Geometry {
    /// How the source is packed, a channel after the other.
    pub source: PlaneMap,
    pub source_channels: usize,
    /// How output places become pixels; a phase is `line` places long, rounded up to whole vectors.
    pub output: PlaneMap,
    pub output_channels: usize,
    /// Taps of each output phase.
    pub phases: Vec<Vec<Tap>>,
    /// Distance between the weights of neighbouring output channels.
    pub weight_stride: usize,
    pub rows: usize,
    pub columns: usize,
    pub pitch: usize,
    /// Places of an output phase: `(rows - 1) * pitch + columns`.
    pub line: usize,
}

impl Geometry {
    /// Output from input.
    pub(crate) fn forward(shape: &Conv2d) -> Result<Geometry, KernelError> {
        let [rows, columns] = shape.output()?;
        let [kh, kw] = shape.kernel;
        let [sh, sw] = shape.stride;
        let axes = |count: usize, kernel: usize, stride: usize, padding: usize| -> Vec<Axis> {
            let count = count + (kernel - 1) / stride;
            (0..stride.min(kernel))
                .map(|phase| Axis {
                    step: stride,
                    start: phase as isize - padding as isize,
                    count,
                })
                .collect()
        };
        let row_axes = axes(rows, kh, sh, shape.padding[0]);
        let column_axes = axes(columns, kw, sw, shape.padding[1]);
        let (source_rows, source_columns) = (row_axes[0].count, column_axes[0].count);
        // Rows never overlap where it matters: the pitch stays at least `columns`.
        let pitch = source_columns
            - shared_columns(&column_axes, shape.width).min(source_columns - columns);
        let phase_len = (source_rows - 1) * pitch + source_columns;
        let source = PlaneMap::new(
            [shape.height, shape.width],
            &row_axes,
            &column_axes,
            pitch,
            phase_len,
        );
        let line = (rows - 1) * pitch + columns;
        let line_len = line.next_multiple_of(MAX_LANES);
        let plain = |count| {
            [Axis {
                step: 1,
                start: 0,
                count,
            }]
        };
        let output = PlaneMap::new(
            [rows, columns],
            &plain(rows),
            &plain(columns),
            pitch,
            line_len,
        );
        let mut taps = Vec::with_capacity(shape.taps());
        for channel in 0..shape.in_channels {
            for r in 0..kh {
                for c in 0..kw {
                    let phase = (r % sh) * column_axes.len() + c % sw;
                    let offset =
                        channel * source.places + phase * phase_len + (r / sh) * pitch + c / sw;
                    taps.push(Tap {
                        offset,
                        weight: taps.len(),
                    });
                }
            }
        }
        Ok(Geometry {
            source,
            source_channels: shape.in_channels,
            output,
            output_channels: shape.out_channels,
            phases: vec![taps],
            weight_stride: shape.taps(),
            rows,
            columns,
            pitch,
            line,
        })
    }

    /// Gradient of the input from the gradient of the output: each of the `stride x stride` phases of the input's pixels
    /// sees its own part of the window, so no zeros are inserted.
    pub(crate) fn backward(shape: &Conv2d) -> Result<Geometry, KernelError> {
        let [height, width] = shape.output()?;
        let [kh, kw] = shape.kernel;
        let [sh, sw] = shape.stride;
        // Input pixel y = u * stride + phase - padding takes output u - m for the window row phase + m * stride.
        let span = |size: usize, stride: usize, padding: usize| {
            (padding / stride, (size - 1 + padding) / stride)
        };
        let (top, bottom) = span(shape.height, sh, shape.padding[0]);
        let (left, right) = span(shape.width, sw, shape.padding[1]);
        let (rows, columns) = (bottom - top + 1, right - left + 1);
        let (reach_h, reach_w) = ((kh - 1) / sh, (kw - 1) / sw);
        let row_axis = [Axis {
            step: 1,
            start: top as isize - reach_h as isize,
            count: rows + reach_h,
        }];
        let column_axis = [Axis {
            step: 1,
            start: left as isize - reach_w as isize,
            count: columns + reach_w,
        }];
        let pitch = columns + reach_w - shared_columns(&column_axis, width).min(reach_w);
        let places = (rows + reach_h - 1) * pitch + columns + reach_w;
        let source = PlaneMap::new([height, width], &row_axis, &column_axis, pitch, places);
        let line = (rows - 1) * pitch + columns;
        let line_len = line.next_multiple_of(MAX_LANES);
        let phase_axes = |first: usize, stride: usize, padding: usize, count: usize| -> Vec<Axis> {
            (0..stride)
                .map(|phase| Axis {
                    step: stride,
                    start: (first * stride + phase) as isize - padding as isize,
                    count,
                })
                .collect()
        };
        let output = PlaneMap::new(
            [shape.height, shape.width],
            &phase_axes(top, sh, shape.padding[0], rows),
            &phase_axes(left, sw, shape.padding[1], columns),
            pitch,
            line_len,
        );
        let window = kh * kw;
        let mut phases = Vec::with_capacity(sh * sw);
        for a in 0..sh {
            for b in 0..sw {
                let mut taps = Vec::new();
                for channel in 0..shape.out_channels {
                    for r in (a..kh).step_by(sh) {
                        for c in (b..kw).step_by(sw) {
                            let offset =
                                channel * source.places + (reach_h - r / sh) * pitch + reach_w
                                    - c / sw;
                            taps.push(Tap {
                                offset,
                                weight: channel * shape.taps() + r * kw + c,
                            });
                        }
                    }
                }
                phases.push(taps);
            }
        }
        Ok(Geometry {
            source,
            source_channels: shape.out_channels,
            output,
            output_channels: shape.in_channels,
            phases,
            weight_stride: window,
            rows,
            columns,
            pitch,
            line,
        })
    }
}
