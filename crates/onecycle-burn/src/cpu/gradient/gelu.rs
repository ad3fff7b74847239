//! Backward pass of GELU alone.

use burn::backend::{
    Flex,
    autodiff::{
        checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
        grads::Gradients,
        ops::{Backward, Ops},
    },
    flex::FlexTensor,
};

use super::{Tracked, record, register};
use crate::cpu::{buffer_pool, elementwise};

/// GELU. The state is its input.
#[derive(Debug)]
struct GeluBackward;

impl Backward<Flex, 1> for GeluBackward {
    type State = FlexTensor;

    fn backward(self, ops: Ops<FlexTensor, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let x = ops.state;
        let gradient = elementwise::in_memory_order(grads.consume::<Flex>(&ops.node));
        let [node] = ops.parents.map(|node| node.map(|node| node.id));
        register(grads, node, || elementwise::gelu_backward(&x, gradient));
        buffer_pool::give_back(x);
    }
}

/// Computes GELU and records its backward pass.
pub(super) fn gelu<C: CheckpointStrategy>(x: Tracked) -> Tracked {
    let (x, node) = x.into_parts();
    record::<C, _, _, 1>(GeluBackward, [node], || {
        let x = elementwise::in_memory_order(x);
        (elementwise::gelu(&x), x)
    })
}
