//! The geometry that the forward pass and the gradient of the input have in common.
//!
//! Both compute target images from source images with the same loops. The forward pass is one dense
//! correlation. The gradient of the input is a transposed convolution, which splits into
//! `stride[0] * stride[1]` dense correlations, one per phase of the target pixels (see
//! [`Axis::backward`]).

use super::axis::Axis;
use super::padding::PaddedLayout;
use super::shape::Conv2d;
use crate::error::KernelError;
use crate::simd::Isa;

/// Geometry of a forward pass or of a gradient of the input.
///
/// "Source" and "output" are those of the computation: for the gradient of the input, the source is
/// the gradient of the convolution's output.
#[derive(Clone, Debug)]
pub(crate) struct Geometry {
    pub source: PaddedLayout,
    pub out_channels: usize,
    /// Rows and columns of an output image.
    pub output: [usize; 2],
    /// Vertical and horizontal axis of each phase.
    pub phases: Vec<[Axis; 2]>,
    /// Whether some outputs belong to no phase. They receive no contribution and are 0.
    pub has_zeros: bool,
    /// Rows and columns of the window.
    pub kernel: [usize; 2],
    /// Distances in the weights between output channels and between source channels.
    pub weight_strides: [usize; 2],
}

impl Geometry {
    /// Output from input.
    pub(crate) fn forward(shape: &Conv2d) -> Result<Geometry, KernelError> {
        let output = shape.output()?;
        let phases = vec![forward_axes(shape, output)];
        let window = shape.kernel[0] * shape.kernel[1];
        Ok(Geometry {
            source: padded_layout(&phases, [shape.height, shape.width], shape.in_channels),
            out_channels: shape.out_channels,
            output,
            phases,
            has_zeros: false,
            kernel: shape.kernel,
            weight_strides: [shape.in_channels * window, window],
        })
    }

    /// Gradient of the input from the gradient of the output.
    pub(crate) fn backward(shape: &Conv2d) -> Result<Geometry, KernelError> {
        let source = shape.output()?;
        let size = [shape.height, shape.width];
        // Strides may far exceed image and window, so phases without outputs are dropped here.
        let axes = |i: usize| -> Vec<Axis> {
            let (kernel, stride) = (shape.kernel[i], shape.stride[i]);
            (0..stride)
                .map(|phase| Axis::backward(size[i], kernel, stride, shape.padding[i][0], phase))
                .filter(|axis| axis.outputs > 0)
                .collect()
        };
        let (vertical, horizontal) = (axes(0), axes(1));
        let has_zeros = vertical
            .iter()
            .chain(&horizontal)
            .any(|axis| axis.taps == 0);
        let phases: Vec<[Axis; 2]> = vertical
            .iter()
            .flat_map(|v| horizontal.iter().map(|h| [*v, *h]))
            .filter(|[v, h]| v.taps > 0 && h.taps > 0)
            .collect();
        let window = shape.kernel[0] * shape.kernel[1];
        Ok(Geometry {
            source: padded_layout(&phases, source, shape.out_channels),
            out_channels: shape.in_channels,
            output: size,
            phases,
            has_zeros,
            kernel: shape.kernel,
            weight_strides: [window, shape.in_channels * window],
        })
    }

    /// Floats of an output image.
    pub(crate) fn output_image(&self) -> usize {
        self.output[0] * self.output[1] * self.out_channels
    }

    /// Floats of a source image without padding.
    pub(crate) fn source_image(&self) -> usize {
        self.source.height * self.source.width * self.source.channels
    }
}

/// Vertical and horizontal axis of the forward pass.
pub(crate) fn forward_axes(shape: &Conv2d, output: [usize; 2]) -> [Axis; 2] {
    [0, 1].map(|i| {
        Axis::forward(
            output[i],
            shape.kernel[i],
            shape.stride[i],
            shape.padding[i][0],
        )
    })
}

/// Layout of source images with the padding that all phases need.
fn padded_layout(phases: &[[Axis; 2]], source: [usize; 2], channels: usize) -> PaddedLayout {
    let padding = |i: usize| {
        phases
            .iter()
            .map(|phase| phase[i].padding(source[i]))
            .fold([0, 0], |a, b| [a[0].max(b[0]), a[1].max(b[1])])
    };
    PaddedLayout {
        height: source[0],
        width: source[1],
        channels,
        rows: padding(0),
        columns: padding(1),
    }
}

/// Output channels that a register tile computes together: one or two vectors.
pub(crate) fn channel_block(isa: Isa, channels: usize) -> usize {
    if channels <= isa.lanes() {
        isa.lanes()
    } else {
        2 * isa.lanes()
    }
}
