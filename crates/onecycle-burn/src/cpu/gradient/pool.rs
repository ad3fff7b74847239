//! Pooling.

use burn::backend::{
    Flex,
    autodiff::{
        checkpoint::base::Checkpointer,
        grads::Gradients,
        ops::{Backward, Ops},
    },
};
use onecycle_kernels::{Pool2d, average_pool2d_backward, max_pool2d_backward};

use super::register;
use crate::cpu::{
    channels_last::ChannelsLast,
    flex::{fitting, path},
};

/// Pooling.
#[derive(Debug)]
pub(super) struct PoolBackward;

#[derive(Clone, Debug)]
pub(super) struct PoolState {
    pub(super) shape: Pool2d,
    /// `[batch, channels, height, width]` of the input.
    pub(super) dims: [usize; 4],
    /// Which pixel of its window each output took, for the maximum.
    pub(super) chosen: Option<Vec<u16>>,
}

impl Backward<Flex, 1> for PoolBackward {
    type State = PoolState;

    fn backward(self, ops: Ops<PoolState, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let state = ops.state;
        let gradient = ChannelsLast::read(grads.consume::<Flex>(&ops.node));
        let [node] = ops.parents.map(|node| node.map(|node| node.id));
        register(grads, node, || {
            let target = ChannelsLast::filled(state.dims, |target| match &state.chosen {
                Some(chosen) => {
                    max_pool2d_backward(path(), &state.shape, gradient.values(), chosen, target)
                }
                None => average_pool2d_backward(path(), &state.shape, gradient.values(), target),
            });
            fitting("pooling", target).into_tensor()
        });
        gradient.give_back();
    }
}
