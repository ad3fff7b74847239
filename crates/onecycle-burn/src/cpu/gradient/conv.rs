//! Convolutions and linear layers.

use burn::backend::{
    Flex,
    autodiff::{
        checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
        grads::Gradients,
        ops::{Backward, NodeGuard, Ops},
    },
    flex::{FlexTensor, Layout},
};
use onecycle_kernels::{
    Conv2d, channel_sums, conv2d_backward_data, conv2d_backward_weights, relu_backward,
};

use super::{Tracked, record, register};
use crate::cpu::{
    Window,
    channels_last::ChannelsLast,
    flex::{self, WORKSPACE, elements, fitting, path, pixels, vector},
};

/// Convolutions and linear layers; the third parent, where there is one, is the bias.
#[derive(Debug)]
struct ConvBackward;

#[derive(Clone, Debug)]
struct ConvState {
    shape: Conv2d,
    x: ChannelsLast,
    weight: FlexTensor,
    /// Where a ReLU follows.
    y: Option<ChannelsLast>,
}

impl<const N: usize> Backward<Flex, N> for ConvBackward {
    type State = ConvState;

    fn backward(self, ops: Ops<ConvState, N>, grads: &mut Gradients, _: &mut Checkpointer) {
        let ConvState {
            shape,
            x,
            weight,
            y,
        } = ops.state;
        let linear = weight.layout().shape().num_dims() == 2;
        let gradient = grads.consume::<Flex>(&ops.node);
        let mut gradient = if linear {
            flex::matrix(gradient)
        } else {
            ChannelsLast::read(gradient)
        };
        if let Some(y) = y {
            fitting(
                "conv2d",
                relu_backward(path(), y.values(), gradient.values_mut()),
            );
            y.give_back();
        }
        let mut parents = ops.parents.into_iter().map(|node| node.map(|node| node.id));
        let [x_node, weight_node, bias_node] = [(); 3].map(|()| parents.next().flatten());
        register(grads, bias_node, || {
            vector(fitting(
                "conv2d",
                channel_sums(path(), &pixels(&gradient), gradient.values()),
            ))
        });
        register(grads, weight_node, || {
            let mut target = vec![0.0; shape.weight_len()];
            fitting(
                "conv2d",
                conv2d_backward_weights(
                    &WORKSPACE,
                    path(),
                    &shape,
                    x.values(),
                    gradient.values(),
                    &mut target,
                ),
            );
            let layout = Layout::contiguous(weight.layout().shape().clone());
            vector(target).with_layout(layout)
        });
        register(grads, x_node, || {
            let weight = elements(&weight);
            let target = ChannelsLast::filled(x.dims, |target| {
                conv2d_backward_data(
                    &WORKSPACE,
                    path(),
                    &shape,
                    gradient.values(),
                    &weight,
                    target,
                )
            });
            let target = fitting("conv2d", target);
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

/// A convolution or linear layer.
pub(super) fn conv<C: CheckpointStrategy>(
    x: ChannelsLast,
    x_node: NodeGuard,
    weight: Tracked,
    bias: Option<Tracked>,
    window: Window,
    relu: bool,
) -> Tracked {
    let (weight, weight_node) = weight.into_parts();
    let (bias, bias_node) = bias.map(Tracked::into_parts).unzip();
    let forward = || {
        let shape = flex::conv_shape(&x, &weight, window);
        let y = flex::conv(&x, &weight, bias.as_ref(), &shape, relu);
        let linear = weight.layout().shape().num_dims() == 2;
        let state = ConvState {
            shape,
            x,
            weight,
            y: relu.then(|| y.clone()),
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
