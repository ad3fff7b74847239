//! The gradient of a convolution's output: given, or still to be computed from that of the batch norm which follows.

use std::ops::Range;

use crate::norm::InputGradient;
use crate::simd::Path;

/// The gradient of the output.
pub(crate) enum OutputGradient<'a> {
    /// As it is.
    Given(&'a [f32]),
    /// What a batch norm's backward pass gives, piece by piece, so that it never stands in memory as a whole.
    Normalised(&'a InputGradient<'a>),
}

impl OutputGradient<'_> {
    /// Floats of scratch that `len` elements need.
    pub(crate) fn scratch(&self, len: usize) -> usize {
        match self {
            OutputGradient::Given(_) => 0,
            OutputGradient::Normalised(_) => len,
        }
    }

    /// What [`OutputGradient::get`] reads for a range.
    pub(crate) fn sources(&self, range: Range<usize>) -> [&[f32]; 2] {
        match self {
            OutputGradient::Given(gradient) => [&gradient[range], &[]],
            OutputGradient::Normalised(gradient) => gradient.sources(range),
        }
    }

    /// The elements of a range, which begins at a pixel.
    pub(crate) fn get<'b>(
        &'b self,
        path: Path,
        range: Range<usize>,
        scratch: &'b mut [f32],
    ) -> &'b [f32] {
        match self {
            OutputGradient::Given(gradient) => &gradient[range],
            OutputGradient::Normalised(gradient) => {
                let target = &mut scratch[..range.len()];
                gradient.compute(path, range, target);
                target
            }
        }
    }
}
