//! Batch norm, alone and behind a convolution.

use burn::backend::{
    Flex,
    autodiff::{
        checkpoint::base::Checkpointer,
        grads::Gradients,
        ops::{Backward, Ops},
    },
    flex::{FlexTensor, Layout},
};
use onecycle_kernels::{
    AffineGradient, Conv2d, InputGradient, ReluMask, Statistics, batch_norm_backward_in_place,
    batch_norm_backward_sums, conv2d_backward_normalised,
};

use super::register;
use crate::cpu::{
    channels_last::ChannelsLast,
    flex::{self, Scale, WORKSPACE, elements, fitting, path, pixels, vector},
};

/// Batch norm; the fourth parent, where there is one, is the residual.
#[derive(Debug)]
pub(super) struct NormBackward;

#[derive(Clone, Debug)]
pub(super) struct NormState {
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
pub(super) struct ConvNormBackward;

#[derive(Clone, Debug)]
pub(super) struct ConvNormState {
    pub(super) shape: Conv2d,
    pub(super) x: ChannelsLast,
    pub(super) kernel: FlexTensor,
    /// Its input is the convolution's output.
    pub(super) norm: NormState,
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

/// A batch norm's output, and what its backward pass needs.
pub(super) fn normalise(
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
