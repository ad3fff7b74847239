//! The layers with automatic differentiation: forward passes that record backward passes.

mod branch;
mod conv;
mod gelu;
mod norm;
mod pool;
mod scale;

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
use gelu::gelu;
use norm::{ConvNormBackward, ConvNormState, NormBackward, normalise};
use pool::{PoolBackward, PoolState};
use scale::scale_channels;

use super::{
    Activation, Affine, ConvNormOptions, CpuLayers, GhostBatches, LossOptions, Maybe, NormOptions,
    PoolOptions, Pooling, RunningStatistics, Window,
    channels_last::ChannelsLast,
    flex::{self, LINEAR},
    kernels::{elements, vector},
};

/// A tensor with its node in the autodiff graph.
pub(super) type Tracked = FloatTensor<Autodiff<Flex>>;

/// Records an operation. `forward` computes the output and the state for the backward pass.
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

/// A tensor without gradient.
fn constant(tensor: FlexTensor) -> Tracked {
    Autodiff::<Flex>::from_inner(tensor)
}

/// Weight and bias without their nodes, and the nodes.
fn split<C: CheckpointStrategy>(
    affine: Affine<Autodiff<Flex, C>>,
) -> (Affine<Flex>, [NodeGuard; 2]) {
    let ((weight, weight_node), (bias, bias_node)) =
        (affine.weight.into_parts(), affine.bias.into_parts());
    (Affine { weight, bias }, [weight_node, bias_node])
}

/// Registers a gradient, which is only computed if the node needs one.
fn register(grads: &mut Gradients, node: Option<NodeId>, gradient: impl FnOnce() -> FlexTensor) {
    if let Some(node) = node {
        grads.register::<Flex>(node, gradient());
    }
}

/// A sum. Both parents receive the gradient.
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

/// The loss. The forward pass has already computed its gradient.
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
        activation: Activation,
    ) -> FloatTensor<Self> {
        let bias = bias.into_option();
        let (x, x_node) = x.into_parts();
        let x = ChannelsLast::read(x);
        conv::<C>((x, x_node), weight, bias, window, activation)
    }

    fn cpu_scale_channels(
        weight: FloatTensor<Self>,
        scale: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        scale_channels::<C>(weight, scale)
    }

    fn cpu_linear(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        activation: Activation,
    ) -> FloatTensor<Self> {
        let (x, x_node) = x.into_parts();
        let x = flex::matrix(x);
        conv::<C>((x, x_node), weight, Some(bias), LINEAR, activation)
    }

    fn cpu_batch_norm_train(
        x: FloatTensor<Self>,
        affine: Affine<Self>,
        residual: Maybe<Self>,
        ghost: usize,
        options: NormOptions,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let (x, x_node) = x.into_parts();
        let (affine, [weight_node, bias_node]) = split(affine);
        let (residual, residual_node) = residual.into_option().map(Tracked::into_parts).unzip();
        let x = ChannelsLast::read(x);
        let statistics = flex::statistics(&x, GhostBatches::new(x.dims[0], ghost));
        let moments = flex::moments(&statistics);
        let forward = || normalise(x, affine, statistics, residual, options);
        let y = match residual_node {
            None => {
                let nodes = [x_node, weight_node, bias_node];
                record::<C, _, _, 3>(NormBackward, nodes, forward)
            }
            Some(residual_node) => {
                let nodes = [x_node, weight_node, bias_node, residual_node];
                record::<C, _, _, 4>(NormBackward, nodes, forward)
            }
        };
        let [mean, variance] = moments.map(constant);
        (y, mean, variance)
    }

    fn cpu_conv_norm_train(
        x: FloatTensor<Self>,
        kernel: FloatTensor<Self>,
        affine: Affine<Self>,
        residual: Maybe<Self>,
        options: ConvNormOptions,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let ((x, x_node), (kernel, kernel_node)) = (x.into_parts(), kernel.into_parts());
        let (affine, [weight_node, bias_node]) = split(affine);
        let (residual, residual_node) = residual.into_option().map(Tracked::into_parts).unzip();
        let x = ChannelsLast::read(x);
        let shape = flex::conv_shape(&x, &kernel, options.window);
        let ghosts = GhostBatches::new(shape.batch, options.ghost);
        let (z, statistics) = flex::conv_with_statistics(&x, &kernel, &shape, ghosts);
        let moments = flex::moments(&statistics);
        let forward = || {
            let (y, norm) = normalise(z, affine, statistics, residual, options.norm);
            let state = ConvNormState {
                shape,
                x,
                kernel,
                norm,
            };
            (y, state)
        };
        let y = match residual_node {
            None => {
                let nodes = [x_node, kernel_node, weight_node, bias_node];
                record::<C, _, _, 4>(ConvNormBackward, nodes, forward)
            }
            Some(residual_node) => {
                let nodes = [x_node, kernel_node, weight_node, bias_node, residual_node];
                record::<C, _, _, 5>(ConvNormBackward, nodes, forward)
            }
        };
        let [mean, variance] = moments.map(constant);
        (y, mean, variance)
    }

    fn cpu_batch_norm(
        x: FloatTensor<Self>,
        affine: Affine<Self>,
        running: RunningStatistics<Self>,
        residual: Maybe<Self>,
        options: NormOptions,
    ) -> FloatTensor<Self> {
        // Running statistics are only used in evaluation, which has no gradients.
        constant(Flex::cpu_batch_norm(
            x.into_primitive(),
            Affine {
                weight: affine.weight.into_primitive(),
                bias: affine.bias.into_primitive(),
            },
            RunningStatistics {
                mean: running.mean.into_primitive(),
                variance: running.variance.into_primitive(),
            },
            residual
                .into_option()
                .map_or(Maybe::Absent, |r| Maybe::Given(r.into_primitive())),
            options,
        ))
    }

    fn cpu_pool2d(x: FloatTensor<Self>, options: PoolOptions) -> FloatTensor<Self> {
        let (x, node) = x.into_parts();
        record::<C, _, _, 1>(PoolBackward, [node], || {
            let x = ChannelsLast::read(x);
            let shape = flex::pool_shape(&x, options);
            let (y, argmax) = match options.pooling {
                Pooling::Max => {
                    let (y, argmax) = flex::max_pool(&x, &shape);
                    (y, Some(argmax))
                }
                Pooling::Average => (flex::average_pool(&x, &shape), None),
            };
            let dims = x.dims;
            x.give_back();
            let state = PoolState {
                shape,
                dims,
                argmax,
            };
            (y.into_tensor(), state)
        })
    }

    fn cpu_gelu(x: FloatTensor<Self>) -> FloatTensor<Self> {
        gelu::<C>(x)
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
        options: LossOptions,
    ) -> FloatTensor<Self> {
        let (logits, node) = logits.into_parts();
        record::<C, _, _, 1>(LossBackward, [node], || {
            let (loss, gradient) = flex::cross_entropy(logits, labels, &options);
            (vector(vec![loss]), gradient)
        })
    }
}
