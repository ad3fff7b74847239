//! Elementwise operations between layers: ReLU, ReLU6, GELU and the sum of two tensors.

use crate::activation::{ActivatedLoops, Activation, Function, activated};
use crate::error::{KernelError, check_len};
use crate::kernels::Kernels;
use crate::parallel::for_chunks;
use crate::simd::{Isa, PlainLoops, vectorised};

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

    /// Sets `gradient` to 0 where `output`, the result of a ReLU6 ([`Activation::Relu6`]), is not
    /// between 0 and 6, limits excluded.
    ///
    /// # Errors
    /// The slices have different lengths.
    pub fn relu6_backward(&self, output: &[f32], gradient: &mut [f32]) -> Result<(), KernelError> {
        check_len("output", output, gradient.len())?;
        for_chunks(gradient, CHUNK, |index, gradient| {
            let output = &output[index * CHUNK..];
            multiply_by_derivative(self.isa, Activation::Relu6, output, gradient);
        });
        Ok(())
    }

    /// Computes `output = x Φ(x)` for each `x` of `input`, see [`Activation::Gelu`]. The error is below
    /// 5e-7 times the larger of `|x|` and 1; NaN stays NaN.
    ///
    /// # Errors
    /// The slices have different lengths.
    pub fn gelu_forward(&self, input: &[f32], output: &mut [f32]) -> Result<(), KernelError> {
        check_len("output", output, input.len())?;
        for_chunks(output, CHUNK, |index, output| {
            let input = &input[index * CHUNK..];
            activated(self.isa, Activation::Gelu, Forward { input, output });
        });
        Ok(())
    }

    /// Multiplies `gradient` by the derivative of GELU at `input`, `Φ(x) + x φ(x)`. The error of the
    /// derivative is below 5e-7.
    ///
    /// # Errors
    /// The slices have different lengths.
    pub fn gelu_backward(&self, input: &[f32], gradient: &mut [f32]) -> Result<(), KernelError> {
        check_len("input", input, gradient.len())?;
        for_chunks(gradient, CHUNK, |index, gradient| {
            let input = &input[index * CHUNK..];
            multiply_by_derivative(self.isa, Activation::Gelu, input, gradient);
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

/// Replaces each value by its GELU.
pub(crate) fn gelu_in_place(isa: Isa, values: &mut [f32]) {
    struct InPlace<'a>(&'a mut [f32]);

    impl ActivatedLoops for InPlace<'_> {
        #[inline(always)]
        fn run<F: Function>(self, function: F) {
            for x in self.0 {
                *x = function.value(*x);
            }
        }
    }

    activated(isa, Activation::Gelu, InPlace(values));
}

/// Multiplies `gradient` by the derivative of the activation at `input`. An activation that clamps has the
/// same derivative at its output.
pub(crate) fn multiply_by_derivative(
    isa: Isa,
    activation: Activation,
    input: &[f32],
    gradient: &mut [f32],
) {
    activated(isa, activation, Backward { input, gradient });
}

/// A chunk of [`Kernels::gelu_forward`].
struct Forward<'a> {
    input: &'a [f32],
    output: &'a mut [f32],
}

impl ActivatedLoops for Forward<'_> {
    #[inline(always)]
    fn run<F: Function>(self, function: F) {
        for (y, x) in self.output.iter_mut().zip(self.input) {
            *y = function.value(*x);
        }
    }
}

/// [`multiply_by_derivative`].
struct Backward<'a> {
    input: &'a [f32],
    gradient: &'a mut [f32],
}

impl ActivatedLoops for Backward<'_> {
    #[inline(always)]
    fn run<F: Function>(self, function: F) {
        for (g, x) in self.gradient.iter_mut().zip(self.input) {
            *g = function.backward(*g, *x);
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
