//! Convolution: output, gradient of the input, gradient of the weights.
//!
//! Images are channels-last, so that a row of a window is contiguous and its product with the weights is a product of
//! matrices ([`pass`]); the border of zeros is the only thing that is copied ([`source`]). Strides of the transposed
//! convolution become phases ([`axis`]). Windows of 3 x 3 with stride 1 take a quarter of the multiplications
//! ([`winograd`]). All of it runs through one register tile ([`crate::product`]).

mod axis;
mod gradient;
mod pass;
mod shape;
mod source;
mod weight_gradient;
mod winograd;

pub use shape::Conv2d;

use crate::error::{KernelError, check_len};
use crate::norm::{InputGradient, Statistics};
use crate::simd::Path;
use crate::workspace::Workspace;
use gradient::OutputGradient;
use pass::Pass;
use winograd::Prepared;

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
        None,
    );
    Ok(())
}

/// [`conv2d_forward`] without bias and ReLU, and the statistics of its output, taken while it is in cache: what
/// [`batch_norm_statistics`](crate::batch_norm_statistics) would find.
///
/// # Errors
/// The shape is impossible, or a slice does not fit it.
pub fn conv2d_forward_statistics(
    workspace: &Workspace,
    path: Path,
    shape: &Conv2d,
    input: &[f32],
    weights: &[f32],
    output: &mut [f32],
) -> Result<Statistics, KernelError> {
    check_len("output", output, shape.output_len()?)?;
    check_len("input", input, shape.input_len())?;
    check_len("weights", weights, shape.weight_len())?;
    let pass = Pass::forward(shape)?;
    let path = path.checked();
    let mut statistics = Statistics {
        mean: Vec::new(),
        variance: Vec::new(),
    };
    let wanted = Some(&mut statistics);
    pass.run(workspace, path, input, weights, None, false, output, wanted);
    Ok(statistics)
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
        None,
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
    if winograd::applies_to_weights(path, shape)? {
        let gradient = OutputGradient::Given(output_gradient);
        return winograd::run_weights(
            workspace,
            path,
            shape,
            input,
            &gradient,
            weight_gradient,
            None,
        );
    }
    if winograd::applies_to_weights_by_points(path, shape)? {
        return winograd::run_weights_by_points(
            workspace,
            path,
            shape,
            input,
            output_gradient,
            weight_gradient,
        );
    }
    weight_gradient::run(
        workspace,
        path,
        shape,
        input,
        output_gradient,
        weight_gradient,
    )
}

/// Gradients of the weights and, where asked for, of the input, from the gradient of the output of the batch norm that
/// follows the convolution without a bias. Where Winograd's algorithm applies to both, the gradient of the convolution's own
/// output is computed piece by piece and never stands in memory as a whole; else it is written over the gradient that it
/// comes from if that is [of no further use](crate::IncomingGradient::Spent), or into memory of the workspace.
///
/// # Errors
/// The shape is impossible, or a slice does not fit it.
#[allow(clippy::too_many_arguments)]
pub fn conv2d_backward_normalised(
    workspace: &Workspace,
    path: Path,
    shape: &Conv2d,
    input: &[f32],
    weights: &[f32],
    mut output_gradient: InputGradient,
    weight_gradient: &mut [f32],
    input_gradient: Option<&mut [f32]>,
) -> Result<(), KernelError> {
    let len = shape.output_len()?;
    if output_gradient.elements() != len {
        return Err(KernelError::Length {
            name: "output_gradient",
            expected: len,
            actual: output_gradient.elements(),
        });
    }
    check_len("input", input, shape.input_len())?;
    check_len("weights", weights, shape.weight_len())?;
    check_len("weight_gradient", weight_gradient, shape.weight_len())?;
    if let Some(input_gradient) = &input_gradient {
        check_len("input_gradient", input_gradient, shape.input_len())?;
    }
    let path = path.checked();
    let pass = Pass::backward(shape)?;
    if winograd::applies_to_weights(path, shape)? && pass.is_winograd(path) {
        let prepared = Prepared::new(&pass, workspace, path, weights, None, false);
        let gradient = OutputGradient::Normalised(&output_gradient);
        let data = input_gradient.map(|target| (&prepared, target));
        return winograd::run_weights(
            workspace,
            path,
            shape,
            input,
            &gradient,
            weight_gradient,
            data,
        );
    }
    let mut beside = None;
    let gradient = match output_gradient.overwrite(path) {
        Some(gradient) => gradient,
        None => {
            let beside = beside.insert(workspace.take(len));
            output_gradient.write(path, beside)?;
            beside
        }
    };
    conv2d_backward_weights(workspace, path, shape, input, gradient, weight_gradient)?;
    match input_gradient {
        None => Ok(()),
        Some(target) => conv2d_backward_data(workspace, path, shape, gradient, weights, target),
    }
}
