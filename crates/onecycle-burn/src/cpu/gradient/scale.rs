//! Backward pass of the scale that a folded batch norm gives to weights.

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
use crate::cpu::{
    flex,
    kernels::{KERNELS, elements, expect_valid, vector},
};

/// Weights times the scale of their output channel. The state is both.
#[derive(Debug)]
struct ScaleBackward;

impl Backward<Flex, 2> for ScaleBackward {
    type State = [FlexTensor; 2];

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [weight, scale] = ops.state;
        let gradient = grads.consume::<Flex>(&ops.node);
        let [weight_node, scale_node] = ops.parents.map(|node| node.map(|node| node.id));
        register(grads, scale_node, || {
            let mut products = vec![0.0; elements(&scale).len()];
            let (gradient, weight) = (elements(&gradient), elements(&weight));
            let computed = KERNELS.row_products(&gradient, &weight, &mut products);
            expect_valid("scale", computed);
            vector(products)
        });
        register(grads, weight_node, || {
            flex::scale_channels(&gradient, &scale)
        });
    }
}

/// Computes the scaled weights and records their backward pass.
pub(super) fn scale_channels<C: CheckpointStrategy>(weight: Tracked, scale: Tracked) -> Tracked {
    let ((weight, weight_node), (scale, scale_node)) = (weight.into_parts(), scale.into_parts());
    record::<C, _, _, 2>(ScaleBackward, [weight_node, scale_node], || {
        let scaled = flex::scale_channels(&weight, &scale);
        (scaled, [weight, scale])
    })
}
