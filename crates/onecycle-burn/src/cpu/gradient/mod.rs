//! Backward passes.

mod branch;
mod conv;
mod norm;
mod pool;

use burn::backend::{
    Autodiff, AutodiffBackend, Flex,
    autodiff::{
        NodeId,
        checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
        grads::Gradients,
        ops::{Backward, NodeGuard, Ops, OpsKind},
    },
    flex::FlexTensor,
    tensor::{FloatTensor, IntTensor},
};

use branch::branch;
use conv::conv;
use norm::{ConvNormBackward, ConvNormState, NormBackward, OwnStatistics, normalise};
use pool::{PoolBackward, PoolState};

use super::{
    CpuLayers, GhostBatches, Maybe, Pooling, Window,
    channels_last::ChannelsLast,
    flex::{self, LINEAR, elements, vector},
};

/// A tensor with its place in the graph.
pub(super) type Tracked = FloatTensor<Autodiff<Flex>>;

/// Records an operation: `forward` computes the output and what the backward pass needs.
pub(super) fn record<C, B, S, const N: usize>(
    backward: B,
    parents: [NodeGuard; N],
    forward: impl FnOnce() -> (FlexTensor, S),
) -> Tracked
where
    C: CheckpointStrategy,
    B: Backward<Flex, N, State = S>,
    S: Clone + Send + std::fmt::Debug + 'static,
{
    match backward.prepare::<C>(parents).compute_bound().stateful() {
        OpsKind::Tracked(prep) => {
            let (output, state) = forward();
            prep.finish(state, output)
        }
        OpsKind::UnTracked(prep) => prep.finish(forward().0),
    }
}

/// A tensor that no gradient flows through.
fn constant(tensor: FlexTensor) -> Tracked {
    Autodiff::<Flex>::from_inner(tensor)
}

fn register(grads: &mut Gradients, node: Option<NodeId>, gradient: impl FnOnce() -> FlexTensor) {
    if let Some(node) = node {
        grads.register::<Flex>(node, gradient());
    }
}

/// A sum: both get the gradient.
#[derive(Debug)]
struct AddBackward;

impl Backward<Flex, 2> for AddBackward {
    type State = ();

    fn backward(self, ops: Ops<(), 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let gradient = grads.consume::<Flex>(&ops.node);
        for node in ops.parents.into_iter().flatten() {
            grads.register::<Flex>(node.id, gradient.clone());
        }
    }
}

/// The loss: its gradient is known from the forward pass.
#[derive(Debug)]
struct LossBackward;

impl Backward<Flex, 1> for LossBackward {
    type State = ChannelsLast;

    fn backward(self, ops: Ops<ChannelsLast, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let upstream = grads.consume::<Flex>(&ops.node);
        let factor = elements(&upstream).first().copied().unwrap_or(1.0);
        let mut gradient = ops.state;
        if factor != 1.0 {
            for g in gradient.values_mut() {
                *g *= factor;
            }
        }
        let [node] = ops.parents.map(|node| node.map(|node| node.id));
        register(grads, node, || flex::into_matrix(gradient));
    }
}

impl<C: CheckpointStrategy> CpuLayers for Autodiff<Flex, C> {
    fn cpu_conv2d(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: Maybe<Self>,
        window: Window,
        relu: bool,
    ) -> FloatTensor<Self> {
        let bias = bias.into_option();
        let (x, x_node) = x.into_parts();
        conv::<C>(ChannelsLast::read(x), x_node, weight, bias, window, relu)
    }

    fn cpu_linear(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        relu: bool,
    ) -> FloatTensor<Self> {
        let (x, x_node) = x.into_parts();
        conv::<C>(flex::matrix(x), x_node, weight, Some(bias), LINEAR, relu)
    }

    fn cpu_batch_norm_train(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        residual: Maybe<Self>,
        ghost: usize,
        epsilon: f64,
        relu: bool,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let ((x, x_node), (weight, weight_node), (bias, bias_node)) =
            (x.into_parts(), weight.into_parts(), bias.into_parts());
        let (residual, residual_node) = residual.into_option().map(Tracked::into_parts).unzip();
        let x = ChannelsLast::read(x);
        let ghosts = GhostBatches::new(x.dims[0], ghost);
        let statistics = flex::statistics(&x, ghosts);
        let moments = flex::moments(&statistics);
        let own = OwnStatistics { statistics, ghosts };
        let forward = || normalise(x, weight, bias, own, residual, epsilon, relu);
        let nodes = [x_node, weight_node, bias_node];
        let y = match (residual_node, nodes) {
            (None, nodes) => record::<C, _, _, 3>(NormBackward, nodes, forward),
            (Some(node), [x, weight, bias]) => {
                record::<C, _, _, 4>(NormBackward, [x, weight, bias, node], forward)
            }
        };
        let [mean, variance] = moments.map(constant);
        (y, mean, variance)
    }

    fn cpu_conv_norm_train(
        x: FloatTensor<Self>,
        kernel: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        residual: Maybe<Self>,
        window: Window,
        ghost: usize,
        epsilon: f64,
        relu: bool,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let ((x, x_node), (kernel, kernel_node)) = (x.into_parts(), kernel.into_parts());
        let ((weight, weight_node), (bias, bias_node)) = (weight.into_parts(), bias.into_parts());
        let (residual, residual_node) = residual.into_option().map(Tracked::into_parts).unzip();
        let x = ChannelsLast::read(x);
        let shape = flex::conv_shape(&x, &kernel, window);
        let ghosts = GhostBatches::new(shape.batch, ghost);
        let (z, statistics) = flex::conv_with_statistics(&x, &kernel, &shape, ghosts);
        let moments = flex::moments(&statistics);
        let own = OwnStatistics { statistics, ghosts };
        let forward = || {
            let (y, norm) = normalise(z, weight, bias, own, residual, epsilon, relu);
            let state = ConvNormState {
                shape,
                x,
                kernel,
                norm,
            };
            (y, state)
        };
        let nodes = [x_node, kernel_node, weight_node, bias_node];
        let y = match (residual_node, nodes) {
            (None, nodes) => record::<C, _, _, 4>(ConvNormBackward, nodes, forward),
            (Some(node), [x, kernel, weight, bias]) => {
                let nodes = [x, kernel, weight, bias, node];
                record::<C, _, _, 5>(ConvNormBackward, nodes, forward)
            }
        };
        let [mean, variance] = moments.map(constant);
        (y, mean, variance)
    }

    fn cpu_batch_norm(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        variance: FloatTensor<Self>,
        residual: Maybe<Self>,
        epsilon: f64,
        relu: bool,
    ) -> FloatTensor<Self> {
        // Given statistics are for evaluation, which has no gradients.
        constant(Flex::cpu_batch_norm(
            x.into_primitive(),
            weight.into_primitive(),
            bias.into_primitive(),
            mean.into_primitive(),
            variance.into_primitive(),
            residual
                .into_option()
                .map_or(Maybe::Absent, |r| Maybe::Given(r.into_primitive())),
            epsilon,
            relu,
        ))
    }

    fn cpu_pool2d(
        x: FloatTensor<Self>,
        pooling: Pooling,
        kernel: [usize; 2],
        stride: [usize; 2],
    ) -> FloatTensor<Self> {
        let (x, node) = x.into_parts();
        record::<C, _, _, 1>(PoolBackward, [node], || {
            let x = ChannelsLast::read(x);
            let shape = flex::pool_shape(&x, kernel, stride);
            let (y, chosen) = match pooling {
                Pooling::Max => {
                    let (y, chosen) = flex::max_pool(&x, &shape);
                    (y, Some(chosen))
                }
                Pooling::Average => (flex::average_pool(&x, &shape), None),
            };
            let dims = x.dims;
            x.give_back();
            let state = PoolState {
                shape,
                dims,
                chosen,
            };
            (y.into_tensor(), state)
        })
    }

    fn cpu_add(x: FloatTensor<Self>, y: FloatTensor<Self>) -> FloatTensor<Self> {
        let ((x, x_node), (y, y_node)) = (x.into_parts(), y.into_parts());
        record::<C, _, _, 2>(AddBackward, [x_node, y_node], || {
            let sum = flex::add(ChannelsLast::read(x), &ChannelsLast::read(y));
            (sum.into_tensor(), ())
        })
    }

    fn cpu_branch(x: FloatTensor<Self>) -> (FloatTensor<Self>, FloatTensor<Self>) {
        branch::<C>(x)
    }

    fn cpu_cross_entropy(
        logits: FloatTensor<Self>,
        labels: IntTensor<Self>,
        smoothing: f64,
    ) -> FloatTensor<Self> {
        let (logits, node) = logits.into_parts();
        record::<C, _, _, 1>(LossBackward, [node], || {
            let (loss, gradient) = flex::cross_entropy(logits, labels, smoothing);
            (vector(vec![loss]), gradient)
        })
    }
}
