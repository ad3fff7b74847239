//! One direction (vertical or horizontal) of a convolution, or of one phase of its transpose.

use std::ops::Range;

/// Along one direction, output `i` is a sum over taps:
///
/// ```text
/// output[place_first + i place_step] = sum over t < taps of
///     source[i step + first + t] kernel[kernel_first + t kernel_step]
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Axis {
    pub outputs: usize,
    pub step: usize,
    pub first: isize,
    pub taps: usize,
    pub kernel_first: usize,
    pub kernel_step: isize,
    pub place_first: usize,
    pub place_step: usize,
}

impl Axis {
    /// The axis of the forward pass. `padding` is that in front of the source; what lies behind it
    /// shows in the number of outputs.
    pub(crate) fn forward(outputs: usize, kernel: usize, stride: usize, padding: usize) -> Axis {
        Axis {
            outputs,
            step: stride,
            first: -(padding as isize),
            taps: kernel,
            kernel_first: 0,
            kernel_step: 1,
            place_first: 0,
            place_step: 1,
        }
    }

    /// The axis of one phase of the gradient of the input.
    ///
    /// Input `y` receives the gradient of output `o` times tap `y + padding - o * stride`. All
    /// inputs with the same `phase = (y + padding) mod stride` use the same taps, so each phase is
    /// a dense correlation and no zeros have to be inserted between the outputs. `padding` is that in
    /// front of the inputs.
    pub(crate) fn backward(
        size: usize,
        kernel: usize,
        stride: usize,
        padding: usize,
        phase: usize,
    ) -> Axis {
        let place_first = (phase + stride - padding % stride) % stride;
        let taps = kernel.saturating_sub(phase).div_ceil(stride);
        let last_tap = taps.saturating_sub(1);
        // The output that contributes to the phase's first input through its first tap.
        let output = (place_first + padding - phase) / stride;
        Axis {
            outputs: size.saturating_sub(place_first).div_ceil(stride),
            step: 1,
            first: output as isize - last_tap as isize,
            taps,
            kernel_first: phase + last_tap * stride,
            kernel_step: -(stride as isize),
            place_first,
            place_step: stride,
        }
    }

    /// `count` neighbouring outputs as one, whose window covers all of theirs. `kernel` is
    /// meaningless for the result.
    pub(crate) fn merged(&self, count: usize) -> Axis {
        Axis {
            outputs: self.outputs / count,
            step: self.step * count,
            taps: self.taps + (count - 1) * self.step,
            ..*self
        }
    }

    /// The source position at which the window of output `i` starts.
    pub(crate) fn start(&self, i: usize) -> isize {
        (i * self.step) as isize + self.first
    }

    /// The taps of output `i` that lie inside of a source of `size`. The others only see padding and
    /// contribute nothing.
    pub(crate) fn inner_taps(&self, size: usize, i: usize) -> Range<usize> {
        let start = self.start(i);
        let before = start.min(0).unsigned_abs().min(self.taps);
        let end = (size as isize - start).clamp(before as isize, self.taps as isize);
        before..end as usize
    }

    /// Index in the kernel of tap `t`.
    pub(crate) fn kernel(&self, t: usize) -> usize {
        self.kernel_first
            .wrapping_add_signed(t as isize * self.kernel_step)
    }

    /// Zeros needed before and after a source of `size`.
    pub(crate) fn padding(&self, size: usize) -> [usize; 2] {
        if self.outputs == 0 || self.taps == 0 {
            return [0, 0];
        }
        let last = ((self.outputs - 1) * self.step + self.taps - 1) as isize + self.first;
        [
            (-self.first).max(0) as usize,
            (last + 1 - size as isize).max(0) as usize,
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All phases together connect the same inputs, outputs and taps as the forward axis.
    #[test]
    fn backward_is_the_transpose() {
        for (size, kernel, stride, padding, behind) in (1..9)
            .flat_map(|size| (1..6).map(move |kernel| (size, kernel)))
            .flat_map(|(size, kernel)| (1..4).map(move |stride| (size, kernel, stride)))
            .flat_map(|(size, kernel, stride)| (0..4).map(move |p| (size, kernel, stride, p)))
            .flat_map(|(size, kernel, stride, p)| {
                (0..4).map(move |behind| (size, kernel, stride, p, behind))
            })
            .filter(|(size, kernel, _, padding, behind)| *kernel <= size + padding + behind)
        {
            let outputs = (size + padding + behind - kernel) / stride + 1;
            let forward = Axis::forward(outputs, kernel, stride, padding);
            let mut pairs: Vec<(usize, usize, usize)> = Vec::new();
            for o in 0..outputs {
                for t in 0..kernel {
                    let y = (o * stride + t) as isize + forward.first;
                    if (0..size as isize).contains(&y) {
                        pairs.push((y as usize, o, forward.kernel(t)));
                    }
                }
            }
            let mut transposed = Vec::new();
            for phase in 0..stride {
                let axis = Axis::backward(size, kernel, stride, padding, phase);
                let [before, after] = axis.padding(outputs);
                for i in 0..axis.outputs {
                    for t in 0..axis.taps {
                        let o = (i * axis.step + t) as isize + axis.first;
                        assert!(
                            o >= -(before as isize) && o < (outputs + after) as isize,
                            "{axis:?}"
                        );
                        if (0..outputs as isize).contains(&o) {
                            let y = axis.place_first + i * axis.place_step;
                            transposed.push((y, o as usize, axis.kernel(t)));
                        }
                    }
                }
            }
            pairs.sort_unstable();
            transposed.sort_unstable();
            assert_eq!(
                pairs, transposed,
                "size {size}, kernel {kernel}, stride {stride}, padding {padding} and {behind}"
            );
        }
    }
}
