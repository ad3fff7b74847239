//! What is left between the layers.

use crate::error::{KernelError, check_len};
use crate::parallel::for_chunks;
use crate::simd::{Loops, Path, vectorised};

/// Floats that are worked on together.
const PIECE: usize = 1 << 14;

/// `output = max(input, 0)`; NaN stays NaN.
///
/// # Errors
/// Slices of different lengths.
pub fn relu_forward(path: Path, input: &[f32], output: &mut [f32]) -> Result<(), KernelError> {
    check_len("output", output, input.len())?;
    for_chunks(output, PIECE, |index, output| {
        let input = &input[index * PIECE..];
        vectorised(path, Relu { input, output });
    });
    Ok(())
}

/// Sets `gradient` to 0 wherever `output` is 0 or below.
///
/// # Errors
/// Slices of different lengths.
pub fn relu_backward(path: Path, output: &[f32], gradient: &mut [f32]) -> Result<(), KernelError> {
    check_len("output", output, gradient.len())?;
    for_chunks(gradient, PIECE, |index, gradient| {
        let output = &output[index * PIECE..];
        vectorised(path, Mask { output, gradient });
    });
    Ok(())
}

/// `target += other`.
///
/// # Errors
/// Slices of different lengths.
pub fn add(path: Path, target: &mut [f32], other: &[f32]) -> Result<(), KernelError> {
    check_len("other", other, target.len())?;
    for_chunks(target, PIECE, |index, target| {
        let other = &other[index * PIECE..];
        vectorised(path, Add { other, target });
    });
    Ok(())
}

/// A piece of [`relu_forward`].
struct Relu<'a> {
    input: &'a [f32],
    output: &'a mut [f32],
}

impl Loops for Relu<'_> {
    #[inline(always)]
    fn run(self) {
        for (y, x) in self.output.iter_mut().zip(self.input) {
            *y = if 0.0 > *x { 0.0 } else { *x };
        }
    }
}

/// A piece of [`relu_backward`].
struct Mask<'a> {
    output: &'a [f32],
    gradient: &'a mut [f32],
}

impl Loops for Mask<'_> {
    #[inline(always)]
    fn run(self) {
        for (g, y) in self.gradient.iter_mut().zip(self.output) {
            *g = if *y <= 0.0 { 0.0 } else { *g };
        }
    }
}

/// A piece of [`add`].
struct Add<'a> {
    other: &'a [f32],
    target: &'a mut [f32],
}

impl Loops for Add<'_> {
    #[inline(always)]
    fn run(self) {
        for (x, y) in self.target.iter_mut().zip(self.other) {
            *x += y;
        }
    }
}
