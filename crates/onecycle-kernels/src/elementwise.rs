//! Elementwise operations between layers: ReLU and the sum of two tensors.

use crate::error::{KernelError, check_len};
use crate::kernels::Kernels;
use crate::parallel::for_chunks;
use crate::simd::{PlainLoops, vectorised};

/// Floats per chunk of work.
const CHUNK: usize = 1 << 14;

/// # Elementwise operations
impl Kernels {
    /// Computes `output = max(input, 0)`; NaN stays NaN.
    ///
    /// # Errors
    /// The slices have different lengths.
    pub fn relu_forward(&self, input: &[f32], output: &mut [f32]) -> Result<(), KernelError> {
        check_len("output", output, input.len())?;
        for_chunks(output, CHUNK, |index, output| {
            let input = &input[index * CHUNK..];
            vectorised(self.isa, Relu { input, output });
        });
        Ok(())
    }

    /// Sets `gradient` to 0 where `output`, the result of the ReLU, is not positive.
    ///
    /// # Errors
    /// The slices have different lengths.
    pub fn relu_backward(&self, output: &[f32], gradient: &mut [f32]) -> Result<(), KernelError> {
        check_len("output", output, gradient.len())?;
        for_chunks(gradient, CHUNK, |index, gradient| {
            let output = &output[index * CHUNK..];
            vectorised(self.isa, Mask { output, gradient });
        });
        Ok(())
    }

    /// Computes `target += other`.
    ///
    /// # Errors
    /// The slices have different lengths.
    pub fn add(&self, target: &mut [f32], other: &[f32]) -> Result<(), KernelError> {
        check_len("other", other, target.len())?;
        for_chunks(target, CHUNK, |index, target| {
            let other = &other[index * CHUNK..];
            vectorised(self.isa, Add { other, target });
        });
        Ok(())
    }
}

/// A chunk of [`Kernels::relu_forward`].
struct Relu<'a> {
    input: &'a [f32],
    output: &'a mut [f32],
}

impl PlainLoops for Relu<'_> {
    #[inline(always)]
    fn run(self) {
        for (y, x) in self.output.iter_mut().zip(self.input) {
            *y = if 0.0 > *x { 0.0 } else { *x };
        }
    }
}

/// A chunk of [`Kernels::relu_backward`].
struct Mask<'a> {
    output: &'a [f32],
    gradient: &'a mut [f32],
}

impl PlainLoops for Mask<'_> {
    #[inline(always)]
    fn run(self) {
        for (g, y) in self.gradient.iter_mut().zip(self.output) {
            *g = if *y <= 0.0 { 0.0 } else { *g };
        }
    }
}

/// A chunk of [`Kernels::add`].
struct Add<'a> {
    other: &'a [f32],
    target: &'a mut [f32],
}

impl PlainLoops for Add<'_> {
    #[inline(always)]
    fn run(self) {
        for (x, y) in self.target.iter_mut().zip(self.other) {
            *x += y;
        }
    }
}
