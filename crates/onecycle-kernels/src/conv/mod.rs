//! Convolution: output, gradient of the input, gradient of the weights.
//!
//! Images are channels-last, so that a row of a window is contiguous and its product with the weights is a product of
//! matrices ([`pass`]); the border of zeros is the only thing that is copied ([`source`]). Strides of the transposed
//! convolution become phases ([`axis`]). Windows of 3 x 3 with stride 1 take a quarter of the multiplications
//! ([`winograd`]). All of it runs through one register tile ([`crate::product`]).

mod axis;
mod pass;
mod shape;
mod source;
mod weight_gradient;
mod winograd;

pub use shape::Conv2d;

use crate::error::{KernelError, check_len};
use crate::simd::Path;
use crate::workspace::Workspace;
use pass::Pass;

/// What follows a convolution in the same pass over memory.
#[derive(Clone, Copy, Debug, Default)]
pub struct Epilogue<'a> {
    /// Added to each output channel, `[out_channels]`.
    pub bias: Option<&'a [f32]>,
    /// Whether outputs below 0 become 0, after the bias.
    pub relu: bool,
}

/// `output = input * weights + bias`: `[batch, output height, output width, out_channels]`, see [`Conv2d`].
///
/// # Errors
/// The shape is impossible, or a slice does not fit it.
pub fn conv2d_forward(
    workspace: &Workspace,
    path: Path,
    shape: &Conv2d,
    input: &[f32],
    weights: &[f32],
    epilogue: Epilogue,
    output: &mut [f32],
) -> Result<(), KernelError> {
    check_len("output", output, shape.output_len()?)?;
    check_len("input", input, shape.input_len())?;
    check_len("weights", weights, shape.weight_len())?;
    if let Some(bias) = epilogue.bias {
        check_len("bias", bias, shape.out_channels)?;
    }
    let Epilogue { bias, relu } = epilogue;
    let pass = Pass::forward(shape)?;
    pass.run(
        workspace,
        path.checked(),
        input,
        weights,
        bias,
        relu,
        output,
    );
    Ok(())
}

/// Gradient of the input, `[batch, height, width, in_channels]`, from the gradient of the output.
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
    let pass = Pass::backward(shape)?;
    pass.run(
        workspace,
        path.checked(),
        output_gradient,
        weights,
        None,
        false,
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
    let run = if winograd::applies_to_weights(path, shape)? {
        winograd::run_weights
    } else {
        weight_gradient::run
    };
    run(
        workspace,
        path,
        shape,
        input,
        output_gradient,
        weight_gradient,
    )
}
