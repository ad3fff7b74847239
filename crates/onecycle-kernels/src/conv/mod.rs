//! Convolution: output, gradient of the input, gradient of the weights.
//!
//! All three are one direct computation on packed planes ([`plane`]): a line of pixels in vectors, times taps at fixed
//! distances. Registers hold a tile of output channels by pixels ([`tile`]); strides become phases ([`geometry`]), so
//! every window, stride and padding runs through the same tiles.

mod geometry;
mod pack;
mod pass;
mod plane;
mod shape;
mod tile;
mod weight_gradient;

pub use shape::Conv2d;

use crate::error::{KernelError, check_len};
use crate::simd::Path;
use crate::workspace::Workspace;
use geometry::Geometry;

/// `output = input * weights + bias`: `[batch, out_channels, output height, output width]`.
///
/// `bias` has one value per output channel.
///
/// # Errors
/// The shape is impossible, or a slice does not fit it.
pub fn conv2d_forward(
    workspace: &Workspace,
    path: Path,
    shape: &Conv2d,
    input: &[f32],
    weights: &[f32],
    bias: Option<&[f32]>,
    output: &mut [f32],
) -> Result<(), KernelError> {
    check_len("output", output, shape.output_len()?)?;
    check_len("input", input, shape.input_len())?;
    check_len("weights", weights, shape.weight_len())?;
    if let Some(bias) = bias {
        check_len("bias", bias, shape.out_channels)?;
    }
    let path = path.checked();
    let geometry = Geometry::forward(shape)?;
    pass::run(
        workspace,
        path,
        &geometry,
        choose_lanes(path, shape.batch, &geometry),
        input,
        weights,
        bias,
        output,
    );
    Ok(())
}

/// Gradient of the input, `[batch, in_channels, height, width]`, from the gradient of the output.
///
/// # Errors
/// The shape is impossible, or a slice does not fit it.
pub fn conv2d_backward_data(
    workspace: &Workspace,
    path: Path,
    shape: &Conv2d,
    output_gradient: &[f32],
    weights: &[f32],
    input_gradient: &mut [f32],
) -> Result<(), KernelError> {
    check_len("output_gradient", output_gradient, shape.output_len()?)?;
    check_len("weights", weights, shape.weight_len())?;
    check_len("input_gradient", input_gradient, shape.input_len())?;
    let path = path.checked();
    let geometry = Geometry::backward(shape)?;
    let lanes = choose_lanes(path, shape.batch, &geometry);
    pass::run(
        workspace,
        path,
        &geometry,
        lanes,
        output_gradient,
        weights,
        None,
        input_gradient,
    );
    Ok(())
}

/// Gradient of the weights, `[out_channels, in_channels, kernel height, kernel width]`, summed over the batch, from the
/// input and the gradient of the output.
///
/// # Errors
/// The shape is impossible, or a slice does not fit it.
pub fn conv2d_backward_weights(
    workspace: &Workspace,
    path: Path,
    shape: &Conv2d,
    input: &[f32],
    output_gradient: &[f32],
    weight_gradient: &mut [f32],
) -> Result<(), KernelError> {
    check_len("output_gradient", output_gradient, shape.output_len()?)?;
    check_len("input", input, shape.input_len())?;
    check_len("weight_gradient", weight_gradient, shape.weight_len())?;
    let path = path.checked();
    let geometry = Geometry::forward(shape)?;
    let lanes = choose_lanes(path, shape.batch, &geometry);
    weight_gradient::run(
        workspace,
        path,
        &geometry,
        lanes,
        input,
        output_gradient,
        weight_gradient,
    );
    Ok(())
}

/// One image or a vector of images at a time: short rows waste too much of a line, unless too few images are there to
/// fill the lanes.
fn choose_lanes(path: Path, batch: usize, geometry: &Geometry) -> usize {
    let most: usize = std::env::var("MOST").map_or(16, |s| s.parse().unwrap_or(16));
    if geometry.columns <= most && 2 * batch >= path.lanes() {
        path.lanes()
    } else {
        1
    }
}
