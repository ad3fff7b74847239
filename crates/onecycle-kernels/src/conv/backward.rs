//! All gradients of a convolution at once, from the gradient of the activation or of the batch norm that
//! follows it.
//!
//! The gradient of the convolution's own output lies between the two. Where possible, it is computed chunk
//! by chunk, used while it is in cache, and never stored as a whole.

use super::Epilogue;
use super::direct::DirectConv;
use super::geometry::Geometry;
use super::output_gradient::{Mask, OutputGradient};
use super::shape::Conv2d;
use super::weight_gradient::{self, Plan};
use super::winograd::{self, WinogradConv};
use crate::channels::{Pixels, add_sums};
use crate::error::{KernelError, check_len};
use crate::kernels::Kernels;
use crate::norm::{IncomingGradient, InputGradient};
use crate::parallel::{for_chunk_pairs, for_chunks};

/// Where [`Kernels::conv2d_backward_normalised`] and [`Kernels::conv2d_backward_activated`] write their
/// results.
#[derive(Debug)]
pub struct Conv2dGradients<'a> {
    /// Gradient of the weights, `[out_channels, in_channels / groups, kernel height, kernel width]`; `None`
    /// skips it.
    pub weights: Option<&'a mut [f32]>,
    /// Gradient of the input, `[batch, height, width, in_channels]`; `None` skips it.
    pub input: Option<&'a mut [f32]>,
}

impl Conv2dGradients<'_> {
    fn check(&self, shape: &Conv2d) -> Result<(), KernelError> {
        if let Some(weights) = &self.weights {
            check_len("weight_gradient", weights, shape.weight_len())?;
        }
        match &self.input {
            None => Ok(()),
            Some(input) => check_len("input_gradient", input, shape.input_len()),
        }
    }
}

/// The gradient of the output of an activation that follows a convolution.
#[derive(Debug)]
pub struct ActivatedGradient<'a> {
    /// `[batch, output height, output width, out_channels]`. A [`Spent`](IncomingGradient::Spent) gradient
    /// has unspecified values after the call.
    pub values: IncomingGradient<'a>,
    /// The derivative of the activation.
    pub mask: Mask<'a>,
}

/// # All gradients of a convolution
///
/// If the convolution is a plain matrix product (a window of one pixel, stride 1, no padding, images of
/// more than one pixel) with at most 600 KiB of weights, the gradient of the output is read only once for
/// all results. Otherwise both functions do what separate calls do.
impl Kernels {
    /// Computes the gradients of a convolution without bias that is followed by batch norm, from
    /// the gradient of the batch norm's output.
    ///
    /// If Winograd's algorithm applies to both gradients, or for a plain matrix product, the gradient of
    /// the convolution's own output is never stored as a whole. Otherwise it overwrites the incoming
    /// gradient if that is [`Spent`](IncomingGradient::Spent), or goes into scratch memory.
    ///
    /// # Errors
    /// The shape is impossible, or the length of a slice differs from it.
    pub fn conv2d_backward_normalised(
        &self,
        shape: &Conv2d,
        input: &[f32],
        weights: &[f32],
        mut output_gradient: InputGradient,
        mut targets: Conv2dGradients,
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
        targets.check(shape)?;
        if targets.weights.is_none() && targets.input.is_none() {
            return Ok(());
        }
        if let Some(target) = targets.weights.take() {
            let gradient = OutputGradient::Normalised(&output_gradient);
            let geometry = Geometry::backward(shape)?;
            if !shape.is_depthwise()
                && winograd::applies_to_weights(self.isa, shape)?
                && winograd::applies_to_data(self.isa, &geometry)
            {
                let conv = WinogradConv::new(self, &geometry, weights, Epilogue::default());
                let targets = winograd::Gradients {
                    weights: target,
                    data: targets.input.map(|target| (&conv, target)),
                };
                return winograd::run_weights(self, shape, input, &gradient, targets);
            }
            if let Some(plan) = self.one_pass_plan(shape)? {
                let targets = (target, None, targets.input);
                return self.one_pass(&plan, [input, weights], &gradient, targets);
            }
            targets.weights = Some(target);
        }
        let mut scratch = None;
        let gradient = match output_gradient.overwrite(self) {
            Some(gradient) => gradient,
            None => {
                let scratch = scratch.insert(self.workspace.take(len));
                output_gradient.write(self, scratch)?;
                scratch
            }
        };
        self.weights_and_data(shape, [input, weights], gradient, targets)
    }

    /// Computes the gradients of a convolution that is followed by an activation, from the gradient of
    /// the activation's output. `input` is that of the convolution, `[batch, height, width, in_channels]`;
    /// `bias` receives the gradient of the bias, `[out_channels]`.
    ///
    /// # Errors
    /// The shape is impossible, or the length of a slice differs from it.
    pub fn conv2d_backward_activated(
        &self,
        shape: &Conv2d,
        input: &[f32],
        weights: &[f32],
        gradient: ActivatedGradient,
        mut targets: Conv2dGradients,
        bias: Option<&mut [f32]>,
    ) -> Result<(), KernelError> {
        let ActivatedGradient { values, mask } = gradient;
        let len = shape.output_len()?;
        check_len("gradient", values.values(), len)?;
        mask.check(len)?;
        check_len("input", input, shape.input_len())?;
        check_len("weights", weights, shape.weight_len())?;
        targets.check(shape)?;
        if let Some(bias) = &bias {
            check_len("bias", bias, shape.out_channels)?;
        }
        if let Some(target) = targets.weights.take() {
            if let Some(plan) = self.one_pass_plan(shape)? {
                let gradient = OutputGradient::Activated(values.values(), mask);
                let targets = (target, bias, targets.input);
                return self.one_pass(&plan, [input, weights], &gradient, targets);
            }
            targets.weights = Some(target);
        }
        let channels = shape.out_channels;
        let mut scratch;
        let gradient: &[f32] = match (values, mask) {
            (IncomingGradient::Spent(gradient), _) => {
                self.mask_and_sum(channels, mask, gradient, bias);
                gradient
            }
            (IncomingGradient::Kept(gradient), Mask::One) => {
                if let Some(bias) = bias {
                    let count = len / channels;
                    let sums = self.channel_sums(&Pixels { count, channels }, gradient)?;
                    bias.copy_from_slice(&sums);
                }
                gradient
            }
            (IncomingGradient::Kept(gradient), _) => {
                scratch = self.workspace.take(len);
                scratch.copy_from_slice(gradient);
                self.mask_and_sum(channels, mask, &mut scratch, bias);
                &scratch
            }
        };
        self.weights_and_data(shape, [input, weights], gradient, targets)
    }

    /// Multiplies a gradient by the derivative of the activation and, if asked for, sums it up for each
    /// channel, in one pass.
    fn mask_and_sum(
        &self,
        channels: usize,
        mask: Mask,
        gradient: &mut [f32],
        bias: Option<&mut [f32]>,
    ) {
        let pixels = Pixels {
            count: gradient.len() / channels,
            channels,
        };
        let chunk = pixels.chunk();
        let at = |index: usize, len: usize| index * chunk..index * chunk + len;
        let Some(bias) = bias else {
            for_chunks(gradient, chunk, |index, gradient| {
                mask.apply(self.isa, at(index, gradient.len()), gradient);
            });
            return;
        };
        let mut partial = pixels.partial_sums();
        for_chunk_pairs(
            (gradient, &mut partial),
            [chunk, 2 * channels],
            |index, gradient, sums| {
                mask.apply(self.isa, at(index, gradient.len()), gradient);
                add_sums(self.isa, &pixels, gradient, sums);
            },
        );
        let [sums, _] = pixels.total(&partial);
        for (target, sum) in bias.iter_mut().zip(sums) {
            *target = sum as f32;
        }
    }

    /// The gradients that are wanted, one after the other.
    fn weights_and_data(
        &self,
        shape: &Conv2d,
        [input, weights]: [&[f32]; 2],
        gradient: &[f32],
        targets: Conv2dGradients,
    ) -> Result<(), KernelError> {
        if let Some(target) = targets.weights {
            self.conv2d_backward_weights(shape, input, gradient, target)?;
        }
        match targets.input {
            None => Ok(()),
            Some(target) => self.conv2d_backward_data(shape, gradient, weights, target),
        }
    }

    /// The plan for [`one_pass`](Self::one_pass), if it applies.
    fn one_pass_plan(&self, shape: &Conv2d) -> Result<Option<Plan>, KernelError> {
        if shape.is_depthwise() {
            return Ok(None);
        }
        let plan = Plan::new(shape, self.isa)?;
        Ok(plan.is_one_pass().then_some(plan))
    }

    /// The gradients of weights, bias and input of a plain matrix product. Each row of the output gradient
    /// is read, or computed, once, and used while it is in cache.
    fn one_pass(
        &self,
        plan: &Plan,
        [input, weights]: [&[f32]; 2],
        gradient: &OutputGradient,
        (of_weights, of_bias, of_input): (&mut [f32], Option<&mut [f32]>, Option<&mut [f32]>),
    ) -> Result<(), KernelError> {
        let geometry = Geometry::backward(plan.shape())?;
        let conv = of_input
            .is_some()
            .then(|| DirectConv::new(self, &geometry, weights, Epilogue::default()));
        let gradients = weight_gradient::Gradients {
            weights: of_weights,
            bias: of_bias,
            data: conv.as_ref().zip(of_input),
        };
        weight_gradient::run(self, plan, input, gradient, gradients)
    }
}
