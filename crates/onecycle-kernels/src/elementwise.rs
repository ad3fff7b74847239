//! What is left between the layers.

use crate::error::{KernelError, check_len};
use crate::parallel::for_chunks;
use crate::simd::{Path, vectorised};

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
        vectorised(path, || {
            for (y, x) in output.iter_mut().zip(input) {
                *y = if 0.0 > *x { 0.0 } else { *x };
            }
        });
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
        vectorised(path, || {
            for (g, y) in gradient.iter_mut().zip(output) {
                *g = if *y <= 0.0 { 0.0 } else { *g };
            }
        });
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
        vectorised(path, || {
            for (x, y) in target.iter_mut().zip(other) {
                *x += y;
            }
        });
    });
    Ok(())
}
