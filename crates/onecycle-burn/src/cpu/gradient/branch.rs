//! The gradient of a feature map that two branches use, as in a residual block.
//!
//! Burn adds the gradients of branches with an operation that does not support channels-last
//! memory: it would copy both gradients to its own order, on one thread. Here, each branch stores
//! its gradient in a shared place, where the second is added to the first in place. An operation
//! before the branches passes the sum on. It is closer to the input than both branches, so the
//! backward pass visits it last.

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

/// Where the gradients of the branches are added.
type Sum = Arc<Mutex<Option<ChannelsLast>>>;

/// Returns `x` twice, once for each branch.
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

/// Adds its gradient to the sum.
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

/// Passes the sum on. It consumes no gradient, because none is registered for it.
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
