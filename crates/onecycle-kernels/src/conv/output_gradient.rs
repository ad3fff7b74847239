//! The gradient of a convolution's output: either given, or computed on demand from the gradient of
//! the batch norm that follows.

use std::ops::Range;

use crate::norm::InputGradient;
use crate::simd::Isa;

/// The gradient of the output, `[batch, output height, output width, out_channels]`.
pub(crate) enum OutputGradient<'a> {
    /// Stored in memory.
    Given(&'a [f32]),
    /// Computed range by range by the backward pass of a batch norm, so that it is never stored as
    /// a whole.
    Normalised(&'a InputGradient<'a>),
}

impl OutputGradient<'_> {
    /// Floats of scratch memory that [`OutputGradient::get`] needs for `len` elements.
    pub(crate) fn scratch(&self, len: usize) -> usize {
        match self {
            OutputGradient::Given(_) => 0,
            OutputGradient::Normalised(_) => len,
        }
    }

    /// The memory that [`OutputGradient::get`] reads for a range.
    pub(crate) fn sources(&self, range: Range<usize>) -> [&[f32]; 2] {
        match self {
            OutputGradient::Given(gradient) => [&gradient[range], &[]],
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
            OutputGradient::Normalised(gradient) => {
                let target = &mut scratch[..range.len()];
                gradient.compute(isa, range, target);
                target
            }
        }
    }
}
