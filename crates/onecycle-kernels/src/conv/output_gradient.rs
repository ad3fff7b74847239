//! The gradient of a convolution's output: either given, or computed on demand from the gradient of
//! the activation or of the batch norm that follows.

use std::ops::Range;

use crate::activation::{ActivatedLoops, Activation, Function, activated};
use crate::elementwise::multiply_by_derivative;
use crate::error::{KernelError, check_len};
use crate::norm::InputGradient;
use crate::simd::Isa;

/// The derivative of an activation that clamps, found from the activation's output.
#[derive(Clone, Copy, Debug)]
pub enum Mask<'a> {
    /// 1: there is no activation.
    One,
    /// Of a ReLU: 1 where this output is positive, else 0. The output has the length of the gradient.
    OfReluOutput(&'a [f32]),
    /// Of a ReLU6: 1 where this output is between 0 and 6, limits excluded, else 0.
    OfRelu6Output(&'a [f32]),
}

impl<'a> Mask<'a> {
    /// The activation and its output; `None` if there is no activation.
    fn parts(self) -> Option<(Activation, &'a [f32])> {
        match self {
            Mask::One => None,
            Mask::OfReluOutput(output) => Some((Activation::Relu, output)),
            Mask::OfRelu6Output(output) => Some((Activation::Relu6, output)),
        }
    }

    pub(super) fn check(self, len: usize) -> Result<(), KernelError> {
        self.parts()
            .map_or(Ok(()), |(_, output)| check_len("output", output, len))
    }

    /// Multiplies a range of the gradient by the derivative in place.
    pub(super) fn apply(self, isa: Isa, range: Range<usize>, gradient: &mut [f32]) {
        if let Some((activation, output)) = self.parts() {
            let output = &output[range];
            multiply_by_derivative(isa, activation, output, gradient);
        }
    }
}

/// The derivative of an activation, from its output, times a gradient, written to separate memory.
struct Separate<'a> {
    output: &'a [f32],
    gradient: &'a [f32],
    target: &'a mut [f32],
}

impl ActivatedLoops for Separate<'_> {
    #[inline(always)]
    fn run<F: Function>(self, function: F) {
        for ((target, g), y) in self.target.iter_mut().zip(self.gradient).zip(self.output) {
            *target = function.backward(*g, *y);
        }
    }
}

/// The gradient of the output, `[batch, output height, output width, out_channels]`.
pub(crate) enum OutputGradient<'a> {
    /// Stored in memory.
    Given(&'a [f32]),
    /// The gradient of an activation's output, to be multiplied by the derivative range by range.
    Activated(&'a [f32], Mask<'a>),
    /// Computed range by range by the backward pass of a batch norm, so that it is never stored as
    /// a whole.
    Normalised(&'a InputGradient<'a>),
}

impl OutputGradient<'_> {
    /// Floats of scratch memory that [`OutputGradient::get`] needs for `len` elements.
    pub(crate) fn scratch(&self, len: usize) -> usize {
        match self {
            OutputGradient::Given(_) | OutputGradient::Activated(_, Mask::One) => 0,
            OutputGradient::Activated(..) | OutputGradient::Normalised(_) => len,
        }
    }

    /// The memory that [`OutputGradient::get`] reads for a range.
    pub(crate) fn sources(&self, range: Range<usize>) -> [&[f32]; 2] {
        match self {
            OutputGradient::Given(gradient) => [&gradient[range], &[]],
            OutputGradient::Activated(gradient, mask) => {
                let output = mask
                    .parts()
                    .map_or(&[][..], |(_, output)| &output[range.clone()]);
                [&gradient[range], output]
            }
            OutputGradient::Normalised(gradient) => gradient.sources(range),
        }
    }

    /// The elements of a range, which must start at a pixel.
    pub(crate) fn get<'b>(
        &'b self,
        isa: Isa,
        range: Range<usize>,
        scratch: &'b mut [f32],
    ) -> &'b [f32] {
        match self {
            OutputGradient::Given(gradient) => &gradient[range],
            OutputGradient::Activated(gradient, mask) => {
                let gradient = &gradient[range.clone()];
                let Some((activation, output)) = mask.parts() else {
                    return gradient;
                };
                let target = &mut scratch[..gradient.len()];
                let output = &output[range];
                activated(
                    isa,
                    activation,
                    Separate {
                        output,
                        gradient,
                        target,
                    },
                );
                target
            }
            OutputGradient::Normalised(gradient) => {
                let target = &mut scratch[..range.len()];
                gradient.compute(isa, range, target);
                target
            }
        }
    }
}
