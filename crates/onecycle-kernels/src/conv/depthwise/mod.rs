//! Depthwise convolution: each channel has a window of its own (Sifre 2014; Howard et al. 2017,
//! "MobileNets").
//!
//! ```text
//! y[n, i, j, c]  = b[c] + sum over r, s of x[n, i t - p + r, j t - p + s, c] w[c, r, s]
//! dw[c, r, s]    = sum over n, i, j of dy[n, i, j, c] x[n, i t - p + r, j t - p + s, c]
//! ```
//!
//! There is no matrix product: a vector holds neighbouring channels of one pixel, and a register tile
//! holds neighbouring pixels of a row. Tiles that reach into the padding read from a pixel of zeros
//! instead (Dukhan 2019, "The indirect convolution algorithm", arXiv:1907.02129), so the image is not
//! copied. Windows of 3 and 5 pixels with strides 1 and 2 are compiled for each shape; others take
//! plain loops, as do channels that do not fill a vector.

mod data;
mod tile;
mod weight_gradient;

pub(super) use data::{gelu_backward, run, run_with_statistics};
pub(super) use weight_gradient::run as run_weights;

use super::axis::Axis;
use super::shape::Conv2d;
use crate::error::KernelError;

/// Pixels of a row that a register tile computes together.
const TILE: usize = 8;
/// The largest window that is compiled.
const MAX_TAPS: usize = 5;
/// The largest stride that is compiled.
const MAX_STEP: usize = 2;
/// Most columns of the source that a tile reads.
const MAX_COLUMNS: usize = (TILE - 1) * MAX_STEP + MAX_TAPS;

/// Geometry of a forward pass or of a gradient of the input. "Source" and "output" are those of the
/// computation.
#[derive(Clone, Debug)]
pub(super) struct Geometry {
    channels: usize,
    /// Rows and columns of a source image.
    source: [usize; 2],
    /// Rows and columns of an output image.
    output: [usize; 2],
    /// Vertical and horizontal phases. Every output row and every column belongs to one.
    axes: [Vec<Axis>; 2],
    kernel: [usize; 2],
}

impl Geometry {
    /// Output from input.
    pub(super) fn forward(shape: &Conv2d) -> Result<Geometry, KernelError> {
        let output = shape.output()?;
        let axes = super::geometry::forward_axes(shape, output);
        Ok(Geometry {
            channels: shape.in_channels,
            source: [shape.height, shape.width],
            output,
            axes: axes.map(|axis| vec![axis]),
            kernel: shape.kernel,
        })
    }

    /// Gradient of the input from the gradient of the output.
    pub(super) fn backward(shape: &Conv2d) -> Result<Geometry, KernelError> {
        let output = [shape.height, shape.width];
        let axes = [0, 1].map(|i| {
            let (kernel, stride) = (shape.kernel[i], shape.stride[i]);
            (0..stride)
                .map(|phase| Axis::backward(output[i], kernel, stride, shape.padding[i][0], phase))
                .filter(|axis| axis.outputs > 0)
                .collect()
        });
        Ok(Geometry {
            channels: shape.in_channels,
            source: shape.output()?,
            output,
            axes,
            kernel: shape.kernel,
        })
    }

    /// Floats of an output row.
    fn row(&self) -> usize {
        self.output[1] * self.channels
    }

    /// The vertical phase of output row `y`, and its number in the phase.
    fn vertical(&self, y: usize) -> (&Axis, usize) {
        let mut found = self.axes[0].iter().filter_map(|axis| {
            let offset = y.checked_sub(axis.place_first)?;
            let belongs = offset.is_multiple_of(axis.place_step);
            belongs.then_some((axis, offset / axis.place_step))
        });
        found.next().expect("every row belongs to a phase")
    }
}

/// Copies weights `[channels, rows, columns]` to `[rows, columns, channels]`.
fn pack(weights: &[f32], channels: usize, packed: &mut [f32]) {
    let taps = weights.len() / channels;
    for (tap, row) in packed.chunks_exact_mut(channels).take(taps).enumerate() {
        for (c, value) in row.iter_mut().enumerate() {
            *value = weights[c * taps + tap];
        }
    }
}
