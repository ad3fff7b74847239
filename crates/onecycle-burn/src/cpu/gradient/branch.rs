//! A feature map that two branches use, as a residual block does.
//!
//! Burn adds the gradients of the branches by an operation that knows nothing of channels-last memory: it would copy both
//! into its own order, on one thread. Here the branches leave their gradients in a common place, where the second is added
//! to the first in place, and an operation before them hands the sum on. That one is nearer to the input than both, so the
//! backward pass comes to it last.

use std::sync::{Arc, Mutex, PoisonError};

use super::{Tracked, record};
use crate::cpu::{channels_last::ChannelsLast, flex};
use burn::backend::{
    Flex,
    autodiff::{
        checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
        grads::Gradients,
        ops::{Backward, Ops},
    },
};

/// Where the gradients of the branches meet.
type Sum = Arc<Mutex<Option<ChannelsLast>>>;

/// `x` for two branches.
pub(super) fn branch<C: CheckpointStrategy>(x: Tracked) -> (Tracked, Tracked) {
    let sum = Sum::default();
    let (value, node) = x.into_parts();
    let before = record::<C, _, _, 1>(Before, [node], || (value, sum.clone()));
    let one = || {
        let value = before.primitive().clone();
        record::<C, _, _, 1>(Branch, [before.node()], || (value, sum.clone()))
    };
    (one(), one())
}

/// Leaves its gradient in the common place.
#[derive(Debug)]
struct Branch;

impl Backward<Flex, 1> for Branch {
    type State = Sum;

    fn backward(self, ops: Ops<Sum, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let gradient = ChannelsLast::read(grads.consume::<Flex>(&ops.node));
        let mut sum = ops.state.lock().unwrap_or_else(PoisonError::into_inner);
        *sum = Some(match sum.take() {
            None => gradient,
            Some(first) => {
                let added = flex::add(first, &gradient);
                gradient.give_back();
                added
            }
        });
    }
}

/// Hands the sum on. No gradient is registered for it, so it consumes none.
#[derive(Debug)]
struct Before;

impl Backward<Flex, 1> for Before {
    type State = Sum;

    fn backward(self, ops: Ops<Sum, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let sum = ops
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let [node] = ops.parents;
        if let (Some(node), Some(sum)) = (node, sum) {
            grads.register::<Flex>(node.id, sum.into_tensor());
        }
    }
}
