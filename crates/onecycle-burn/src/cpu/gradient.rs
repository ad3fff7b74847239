//! Backward passes.

use burn::backend::{
    Autodiff, AutodiffBackend, Flex,
    autodiff::{
        NodeId,
        checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
        grads::Gradients,
        ops::{Backward, NodeGuard, Ops, OpsKind},
    },
    flex::{FlexTensor, Layout},
    tensor::{FloatTensor, IntTensor},
};
use onecycle_kernels::{
    AffineGradient, Conv2d, InputGradient, Pool2d, ReluMask, Statistics, average_pool2d_backward,
    batch_norm_backward_in_place, batch_norm_backward_sums, channel_sums, conv2d_backward_data,
    conv2d_backward_normalised, conv2d_backward_weights, max_pool2d_backward, relu_backward,
};

use super::{
    CpuLayers, Maybe, Pooling, Window,
    branch::branch,
    channels_last::ChannelsLast,
    flex::{self, LINEAR, Scale, WORKSPACE, elements, fitting, path, pixels, vector},
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

/// Batch norm; the fourth parent, where there is one, is the residual.
#[derive(Debug)]
struct NormBackward;

#[derive(Clone, Debug)]
struct NormState {
    x: ChannelsLast,
    weight: FlexTensor,
    bias: FlexTensor,
    statistics: Statistics,
    epsilon: f64,
    relu: bool,
    /// The output, where a ReLU follows a residual.
    y: Option<ChannelsLast>,
}

impl NormState {
    fn mask(&self) -> ReluMask<'_> {
        match &self.y {
            Some(y) => ReluMask::Output(y.values()),
            None if self.relu => ReluMask::Recomputed,
            None => ReluMask::Absent,
        }
    }

    fn scale(&self) -> Scale<'_> {
        Scale::read(&self.weight, &self.bias, self.epsilon)
    }

    /// Gradients of scale and shift; `gradient` becomes that of the residual.
    fn sums(&self, gradient: &mut ChannelsLast) -> AffineGradient {
        let sums = batch_norm_backward_sums(
            path(),
            &pixels(&self.x),
            &self.statistics,
            self.scale().affine(),
            self.x.values(),
            self.mask(),
            gradient.values_mut(),
        );
        fitting("batch norm", sums)
    }

    /// Gradient of the input, still to be computed.
    fn input_gradient<'a>(
        &'a self,
        sums: &AffineGradient,
        gradient: &'a ChannelsLast,
    ) -> InputGradient<'a> {
        let lazy = InputGradient::new(
            &pixels(&self.x),
            &self.statistics,
            self.scale().affine(),
            sums,
            self.x.values(),
            self.mask(),
            gradient.values(),
        );
        fitting("batch norm", lazy)
    }

    fn give_back(self) {
        self.x.give_back();
        if let Some(y) = self.y {
            y.give_back();
        }
    }
}

impl<const N: usize> Backward<Flex, N> for NormBackward {
    type State = NormState;

    fn backward(self, ops: Ops<NormState, N>, grads: &mut Gradients, _: &mut Checkpointer) {
        let state = ops.state;
        let mut gradient = ChannelsLast::read(grads.consume::<Flex>(&ops.node));
        let sums = state.sums(&mut gradient);
        let mut parents = ops.parents.into_iter().map(|node| node.map(|node| node.id));
        let [x_node, weight_node, bias_node, residual_node] =
            [(); 4].map(|()| parents.next().flatten());
        register(grads, weight_node, || vector(sums.weight.clone()));
        register(grads, bias_node, || vector(sums.bias.clone()));
        match residual_node {
            // The masked gradient is the residual's; the input's needs memory of its own.
            Some(residual) => {
                register(grads, x_node, || {
                    let lazy = state.input_gradient(&sums, &gradient);
                    let target =
                        ChannelsLast::filled(state.x.dims, |target| lazy.write(path(), target));
                    fitting("batch norm", target).into_tensor()
                });
                grads.register::<Flex>(residual, gradient.into_tensor());
            }
            None => register(grads, x_node, || {
                let done = batch_norm_backward_in_place(
                    path(),
                    &pixels(&state.x),
                    &state.statistics,
                    state.scale().affine(),
                    &sums,
                    state.x.values(),
                    state.mask(),
                    gradient.values_mut(),
                );
                fitting("batch norm", done);
                gradient.into_tensor()
            }),
        }
        state.give_back();
    }
}

/// A convolution and the batch norm behind it; the fifth parent, where there is one, is the residual.
#[derive(Debug)]
struct ConvNormBackward;

#[derive(Clone, Debug)]
struct ConvNormState {
    shape: Conv2d,
    x: ChannelsLast,
    kernel: FlexTensor,
    /// Its input is the convolution's output.
    norm: NormState,
}

impl<const N: usize> Backward<Flex, N> for ConvNormBackward {
    type State = ConvNormState;

    fn backward(self, ops: Ops<ConvNormState, N>, grads: &mut Gradients, _: &mut Checkpointer) {
        let ConvNormState {
            shape,
            x,
            kernel,
            norm,
        } = ops.state;
        let mut gradient = ChannelsLast::read(grads.consume::<Flex>(&ops.node));
        let sums = norm.sums(&mut gradient);
        let mut parents = ops.parents.into_iter().map(|node| node.map(|node| node.id));
        let [x_node, kernel_node, weight_node, bias_node, residual_node] =
            [(); 5].map(|()| parents.next().flatten());
        register(grads, weight_node, || vector(sums.weight.clone()));
        register(grads, bias_node, || vector(sums.bias.clone()));
        let lazy = norm.input_gradient(&sums, &gradient);
        let mut kernel_gradient = vec![0.0; shape.weight_len()];
        let mut backward = |input_gradient: Option<&mut [f32]>| {
            conv2d_backward_normalised(
                &WORKSPACE,
                path(),
                &shape,
                x.values(),
                &elements(&kernel),
                &lazy,
                &mut kernel_gradient,
                input_gradient,
            )
        };
        match x_node {
            None => fitting("conv2d", backward(None)),
            Some(node) => {
                let target = ChannelsLast::filled(x.dims, |target| backward(Some(target)));
                grads.register::<Flex>(node, fitting("conv2d", target).into_tensor());
            }
        }
        register(grads, kernel_node, || {
            let layout = Layout::contiguous(kernel.layout().shape().clone());
            vector(kernel_gradient).with_layout(layout)
        });
        match residual_node {
            Some(residual) => grads.register::<Flex>(residual, gradient.into_tensor()),
            None => gradient.give_back(),
        }
        x.give_back();
        norm.give_back();
    }
}

/// Pooling.
#[derive(Debug)]
struct PoolBackward;

#[derive(Clone, Debug)]
struct PoolState {
    shape: Pool2d,
    /// `[batch, channels, height, width]` of the input.
    dims: [usize; 4],
    /// Which pixel of its window each output took, for the maximum.
    chosen: Option<Vec<u16>>,
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
        epsilon: f64,
        relu: bool,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let ((x, x_node), (weight, weight_node), (bias, bias_node)) =
            (x.into_parts(), weight.into_parts(), bias.into_parts());
        let (residual, residual_node) = residual.into_option().map(Tracked::into_parts).unzip();
        let x = ChannelsLast::read(x);
        let statistics = flex::statistics(&x);
        let moments = [statistics.mean.clone(), statistics.variance.clone()];
        let forward = || normalise(x, weight, bias, statistics, residual, epsilon, relu);
        let nodes = [x_node, weight_node, bias_node];
        let y = match (residual_node, nodes) {
            (None, nodes) => record::<C, _, _, 3>(NormBackward, nodes, forward),
            (Some(node), [x, weight, bias]) => {
                record::<C, _, _, 4>(NormBackward, [x, weight, bias, node], forward)
            }
        };
        let [mean, variance] = moments.map(|values| constant(vector(values)));
        (y, mean, variance)
    }

    fn cpu_conv_norm_train(
        x: FloatTensor<Self>,
        kernel: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        residual: Maybe<Self>,
        window: Window,
        epsilon: f64,
        relu: bool,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let ((x, x_node), (kernel, kernel_node)) = (x.into_parts(), kernel.into_parts());
        let ((weight, weight_node), (bias, bias_node)) = (weight.into_parts(), bias.into_parts());
        let (residual, residual_node) = residual.into_option().map(Tracked::into_parts).unzip();
        let x = ChannelsLast::read(x);
        let shape = flex::conv_shape(&x, &kernel, window);
        let (z, statistics) = flex::conv_with_statistics(&x, &kernel, &shape);
        let moments = [statistics.mean.clone(), statistics.variance.clone()];
        let forward = || {
            let (y, norm) = normalise(z, weight, bias, statistics, residual, epsilon, relu);
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
        let [mean, variance] = moments.map(|values| constant(vector(values)));
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

/// A batch norm's output, and what its backward pass needs.
fn normalise(
    x: ChannelsLast,
    weight: FlexTensor,
    bias: FlexTensor,
    statistics: Statistics,
    residual: Option<FlexTensor>,
    epsilon: f64,
    relu: bool,
) -> (FlexTensor, NormState) {
    let residual = residual.map(ChannelsLast::read);
    let scale = Scale::read(&weight, &bias, epsilon);
    let y = flex::normalise(&x, &statistics, &scale, residual.as_ref(), relu);
    drop(scale);
    let masked = relu && residual.is_some();
    if let Some(residual) = residual {
        residual.give_back();
    }
    let state = NormState {
        x,
        weight,
        bias,
        statistics,
        epsilon,
        relu,
        y: masked.then(|| y.clone()),
    };
    (y.into_tensor(), state)
}

/// A convolution or linear layer.
fn conv<C: CheckpointStrategy>(
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
