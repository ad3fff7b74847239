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
use onecycle_kernels::Conv2d;

use super::{Tracked, record, register};
use crate::cpu::{
    Activation, Window,
    channels_last::ChannelsLast,
    flex::{self, pixels},
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
    Relu {
        output: ChannelsLast,
    },
    Relu6 {
        output: ChannelsLast,
    },
    /// The convolution is computed again.
    Gelu {
        bias: Option<FlexTensor>,
    },
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
        // GELU's backward pass has already summed up the gradient of the bias.
        let sums = match activation {
            ActivationState::Identity => None,
            ActivationState::Relu { output } => {
                let masked = KERNELS.relu_backward(output.values(), gradient.values_mut());
                expect_valid("conv2d", masked);
                output.give_back();
                None
            }
            ActivationState::Relu6 { output } => {
                let masked = KERNELS.relu6_backward(output.values(), gradient.values_mut());
                expect_valid("conv2d", masked);
                output.give_back();
                None
            }
            ActivationState::Gelu { bias } => {
                let (weight, bias) = (elements(&weight), bias.as_ref().map(elements));
                let sums = KERNELS.conv2d_gelu_backward(
                    &shape,
                    x.values(),
                    &weight,
                    bias.as_deref(),
                    gradient.values_mut(),
                );
                Some(expect_valid("conv2d", sums))
            }
        };
        let mut parents = ops.parents.into_iter().map(|node| node.map(|node| node.id));
        let [x_node, weight_node, bias_node] = [(); 3].map(|()| parents.next().flatten());
        register(grads, bias_node, || {
            vector(sums.unwrap_or_else(|| {
                let sums = KERNELS.channel_sums(&pixels(&gradient), gradient.values());
                expect_valid("conv2d", sums)
            }))
        });
        register(grads, weight_node, || {
            let mut target = vec![0.0; shape.weight_len()];
            let computed =
                KERNELS.conv2d_backward_weights(&shape, x.values(), gradient.values(), &mut target);
            expect_valid("conv2d", computed);
            let layout = Layout::contiguous(weight.layout().shape().clone());
            vector(target).with_layout(layout)
        });
        register(grads, x_node, || {
            let weight = elements(&weight);
            let target = ChannelsLast::filled(x.dims, |target| {
                KERNELS.conv2d_backward_data(&shape, gradient.values(), &weight, target)
            });
            let target = expect_valid("conv2d", target);
            if linear {
                flex::into_matrix(target)
            } else {
                target.into_tensor()
            }
        });
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
                Activation::Relu => ActivationState::Relu { output: y.clone() },
                Activation::Relu6 => ActivationState::Relu6 { output: y.clone() },
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
