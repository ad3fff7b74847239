//! Backward pass of pooling.

use burn::backend::{
    Flex,
    autodiff::{
        checkpoint::base::Checkpointer,
        grads::Gradients,
        ops::{Backward, Ops},
    },
};
use onecycle_kernels::Pool2d;

use super::register;
use crate::cpu::{
    buffer_pool,
    channels_last::ChannelsLast,
    kernels::{KERNELS, expect_valid},
};

/// Max or average pooling.
#[derive(Debug)]
pub(super) struct PoolBackward;

#[derive(Clone, Debug)]
pub(super) struct PoolState {
    pub(super) shape: Pool2d,
    /// `[batch, channels, height, width]` of the input.
    pub(super) dims: [usize; 4],
    /// For max pooling: the position of each maximum in its window.
    pub(super) argmax: Option<Vec<u16>>,
}

impl Backward<Flex, 1> for PoolBackward {
    type State = PoolState;

    fn backward(self, ops: Ops<PoolState, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let PoolState {
            shape,
            dims,
            argmax,
        } = ops.state;
        let gradient = ChannelsLast::read(grads.consume::<Flex>(&ops.node));
        let [node] = ops.parents.map(|node| node.map(|node| node.id));
        register(grads, node, || {
            let target = ChannelsLast::filled(dims, |target| match &argmax {
                Some(argmax) => {
                    KERNELS.max_pool2d_backward(&shape, gradient.values(), argmax, target)
                }
                None => KERNELS.average_pool2d_backward(&shape, gradient.values(), target),
            });
            expect_valid("pooling", target).into_tensor()
        });
        gradient.give_back();
        if let Some(argmax) = argmax {
            buffer_pool::give_back_positions(argmax);
        }
    }
}
