//! Backward pass of convolutions and linear layers.

use burn::backend::{
    Flex,
    autodiff::{
        checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
        grads::Gradients,
        ops::{Backward, NodeGuard, Ops},
    },
    flex::{FlexTensor, Layout},
};
use onecycle_kernels::{ActivatedGradient, Conv2d, Conv2dGradients, IncomingGradient, Mask};

use super::{Tracked, record};
use crate::cpu::{
    Activation, Window,
    channels_last::ChannelsLast,
    flex,
    kernels::{KERNELS, elements, expect_valid, vector},
};

/// A convolution or linear layer. The third parent, if any, is the bias.
#[derive(Debug)]
struct ConvBackward;

#[derive(Clone, Debug)]
struct ConvState {
    shape: Conv2d,
    x: ChannelsLast,
    weight: FlexTensor,
    activation: ActivationState,
}

/// What the backward pass of the activation needs.
#[derive(Clone, Debug)]
enum ActivationState {
    Identity,
    /// The output.
    Clamped(Clamped),
    /// The convolution is computed again.
    Gelu {
        bias: Option<FlexTensor>,
    },
}

/// The output of an activation that clamps.
#[derive(Clone, Debug)]
enum Clamped {
    Relu(ChannelsLast),
    Relu6(ChannelsLast),
}

impl<const N: usize> Backward<Flex, N> for ConvBackward {
    type State = ConvState;

    fn backward(self, ops: Ops<ConvState, N>, grads: &mut Gradients, _: &mut Checkpointer) {
        let ConvState {
            shape,
            x,
            weight,
            activation,
        } = ops.state;
        let linear = weight.layout().shape().num_dims() == 2;
        let gradient = grads.consume::<Flex>(&ops.node);
        let mut gradient = if linear {
            flex::matrix(gradient)
        } else {
            ChannelsLast::read(gradient)
        };
        let mut parents = ops.parents.into_iter().map(|node| node.map(|node| node.id));
        let [x_node, weight_node, bias_node] = [(); 3].map(|()| parents.next().flatten());
        let weights = elements(&weight);
        // GELU's backward pass also sums up the gradient of the bias.
        let mut bias_sums = None;
        let output = match activation {
            ActivationState::Identity => None,
            ActivationState::Clamped(output) => Some(output),
            ActivationState::Gelu { bias } => {
                let bias = bias.as_ref().map(elements);
                let sums = KERNELS.conv2d_gelu_backward(
                    &shape,
                    x.values(),
                    &weights,
                    bias.as_deref(),
                    gradient.values_mut(),
                );
                bias_sums = Some(expect_valid("conv2d", sums));
                None
            }
        };
        let sums_bias = bias_node.is_some() && bias_sums.is_none();
        let mut of_bias = sums_bias.then(|| vec![0.0; shape.out_channels]);
        let mut of_weights = weight_node.map(|_| vec![0.0; shape.weight_len()]);
        let mut backward = |input: Option<&mut [f32]>| {
            let targets = Conv2dGradients {
                weights: of_weights.as_deref_mut(),
                input,
            };
            let mask = match &output {
                None => Mask::One,
                Some(Clamped::Relu(y)) => Mask::OfReluOutput(y.values()),
                Some(Clamped::Relu6(y)) => Mask::OfRelu6Output(y.values()),
            };
            // A gradient that another branch has too must stay as it is.
            let values = match gradient.is_unique() {
                true => IncomingGradient::Spent(gradient.values_mut()),
                false => IncomingGradient::Kept(gradient.values()),
            };
            let gradient = ActivatedGradient { values, mask };
            let bias = of_bias.as_deref_mut();
            KERNELS.conv2d_backward_activated(&shape, x.values(), &weights, gradient, targets, bias)
        };
        let of_x = match x_node {
            None => {
                expect_valid("conv2d", backward(None));
                None
            }
            Some(_) => {
                let target = ChannelsLast::filled(x.dims, |target| backward(Some(target)));
                Some(expect_valid("conv2d", target))
            }
        };
        if let Some((node, target)) = x_node.zip(of_x) {
            let target = match linear {
                true => flex::into_matrix(target),
                false => target.into_tensor(),
            };
            grads.register::<Flex>(node, target);
        }
        if let Some((node, target)) = weight_node.zip(of_weights) {
            let layout = Layout::contiguous(weight.layout().shape().clone());
            grads.register::<Flex>(node, vector(target).with_layout(layout));
        }
        if let Some((node, sums)) = bias_node.zip(bias_sums.or(of_bias)) {
            grads.register::<Flex>(node, vector(sums));
        }
        drop(weights);
        if let Some(Clamped::Relu(y) | Clamped::Relu6(y)) = output {
            y.give_back();
        }
        x.give_back();
        gradient.give_back();
    }
}

/// Computes a convolution or linear layer, and records its backward pass.
pub(super) fn conv<C: CheckpointStrategy>(
    (x, x_node): (ChannelsLast, NodeGuard),
    weight: Tracked,
    bias: Option<Tracked>,
    window: Window,
    activation: Activation,
) -> Tracked {
    let (weight, weight_node) = weight.into_parts();
    let (bias, bias_node) = bias.map(Tracked::into_parts).unzip();
    let forward = || {
        let shape = flex::conv_shape(&x, &weight, window);
        let y = flex::conv(&x, &weight, bias.as_ref(), &shape, activation);
        let linear = weight.layout().shape().num_dims() == 2;
        let state = ConvState {
            shape,
            x,
            weight,
            activation: match activation {
                Activation::Identity => ActivationState::Identity,
                Activation::Relu => ActivationState::Clamped(Clamped::Relu(y.clone())),
                Activation::Relu6 => ActivationState::Clamped(Clamped::Relu6(y.clone())),
                Activation::Gelu => ActivationState::Gelu { bias },
            },
        };
        let y = if linear {
            flex::into_matrix(y)
        } else {
            y.into_tensor()
        };
        (y, state)
    };
    match bias_node {
        None => record::<C, _, _, 2>(ConvBackward, [x_node, weight_node], forward),
        Some(bias_node) => {
            record::<C, _, _, 3>(ConvBackward, [x_node, weight_node, bias_node], forward)
        }
    }
}
