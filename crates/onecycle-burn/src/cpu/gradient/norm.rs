//! Backward pass of batch norm, alone and after a convolution. Each ghost batch has its own
//! statistics.

use std::ops::Range;

use burn::backend::{
    Flex,
    autodiff::{
        NodeId,
        checkpoint::base::Checkpointer,
        grads::Gradients,
        ops::{Backward, Ops},
    },
    flex::{FlexTensor, Layout},
};
use onecycle_kernels::{
    AffineGradient, BatchNorm, Conv2d, Conv2dGradients, Derivative, IncomingGradient, InputGradient,
};

use super::register;
use crate::cpu::{
    Activation, Affine, NormOptions,
    channels_last::ChannelsLast,
    flex::{self, AffineValues, GhostStatistics},
    kernels::{KERNELS, elements, expect_valid, vector},
};

/// Batch norm. The fourth parent, if any, is the residual.
#[derive(Debug)]
pub(super) struct NormBackward;

#[derive(Clone, Debug)]
pub(super) struct NormState {
    x: ChannelsLast,
    weight: FlexTensor,
    bias: FlexTensor,
    statistics: GhostStatistics,
    options: NormOptions,
    /// The output, if a ReLU follows a residual.
    y: Option<ChannelsLast>,
}

/// The part of a backward pass that concerns one ghost batch.
struct GhostBatch<'a> {
    images: Range<usize>,
    /// Range of its values in the feature map and in the gradient.
    values: Range<usize>,
    norm: BatchNorm<'a>,
    x: &'a [f32],
    derivative: Derivative<'a>,
}

impl GhostBatch<'_> {
    /// Gradients of weight and bias. With a residual, `gradient` becomes the residual's gradient.
    fn sums(&self, gradient: &mut [f32]) -> AffineGradient {
        let sums = KERNELS.batch_norm_backward_sums(&self.norm, self.x, self.derivative, gradient);
        expect_valid("batch norm", sums)
    }

    /// The gradient of the input, not computed yet.
    fn input_gradient<'a>(
        &'a self,
        sums: &AffineGradient,
        gradient: impl Into<IncomingGradient<'a>>,
    ) -> InputGradient<'a> {
        let lazy = InputGradient::new(&self.norm, sums, self.x, self.derivative, gradient);
        expect_valid("batch norm", lazy)
    }
}

impl NormState {
    fn affine(&self) -> AffineValues<'_> {
        AffineValues::read(&self.weight, &self.bias)
    }

    fn ghosts<'a>(&'a self, affine: &'a AffineValues<'a>) -> Vec<GhostBatch<'a>> {
        let x = self.x.values();
        let image = x.len() / self.x.dims[0].max(1);
        self.statistics
            .iter()
            .map(|(images, statistics)| {
                let values = images.start * image..images.end * image;
                let pixels = flex::ghost_pixels(&self.x, &images);
                GhostBatch {
                    images,
                    norm: affine.norm(pixels, statistics, self.options.epsilon),
                    x: &x[values.clone()],
                    derivative: match (&self.y, self.options.activation) {
                        (Some(y), _) => Derivative::OfReluOutput(&y.values()[values.clone()]),
                        (None, Activation::Identity) => Derivative::One,
                        (None, Activation::Relu) => Derivative::OfRelu,
                        (None, Activation::Relu6) => Derivative::OfRelu6,
                        (None, Activation::Gelu) => Derivative::OfGelu,
                    },
                    values,
                }
            })
            .collect()
    }

    /// Gradients of weight and bias for each ghost batch. With a residual, `gradient` becomes the
    /// residual's gradient.
    fn sums(ghosts: &[GhostBatch], gradient: &mut ChannelsLast) -> Vec<AffineGradient> {
        let gradient = gradient.values_mut();
        let sums = |ghost: &GhostBatch| ghost.sums(&mut gradient[ghost.values.clone()]);
        ghosts.iter().map(sums).collect()
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
        let affine = state.affine();
        let ghosts = state.ghosts(&affine);
        let sums = NormState::sums(&ghosts, &mut gradient);
        let mut parents = ops.parents.into_iter().map(|node| node.map(|node| node.id));
        let [x_node, weight_node, bias_node, residual_node] =
            [(); 4].map(|()| parents.next().flatten());
        register_affine(grads, [weight_node, bias_node], &sums);
        match residual_node {
            // The masked gradient becomes the residual's, so the input's gradient needs memory of
            // its own.
            Some(residual) => {
                register(grads, x_node, || {
                    let target = ChannelsLast::filled(state.x.dims, |target| {
                        ghosts.iter().zip(&sums).try_for_each(|(ghost, sums)| {
                            let gradient = &gradient.values()[ghost.values.clone()];
                            let target = &mut target[ghost.values.clone()];
                            ghost.input_gradient(sums, gradient).write(&KERNELS, target)
                        })
                    });
                    expect_valid("batch norm", target).into_tensor()
                });
                grads.register::<Flex>(residual, gradient.into_tensor());
            }
            None => register(grads, x_node, || {
                for (ghost, sums) in ghosts.iter().zip(&sums) {
                    let spent = &mut gradient.values_mut()[ghost.values.clone()];
                    let mut lazy = ghost.input_gradient(sums, spent);
                    let written = lazy.overwrite(&KERNELS).is_some();
                    debug_assert!(written, "a spent gradient may be overwritten");
                }
                gradient.into_tensor()
            }),
        }
        drop(ghosts);
        drop(affine);
        state.give_back();
    }
}

/// Registers the gradients of weight and bias, summed over all ghost batches.
fn register_affine(
    grads: &mut Gradients,
    [weight_node, bias_node]: [Option<NodeId>; 2],
    sums: &[AffineGradient],
) {
    let weights = sums.iter().map(|sums| sums.weight.clone());
    register(grads, weight_node, || vector(total(weights)));
    let biases = sums.iter().map(|sums| sums.bias.clone());
    register(grads, bias_node, || vector(total(biases)));
}

/// Sum of vectors of equal length.
fn total(mut parts: impl Iterator<Item = Vec<f32>>) -> Vec<f32> {
    let mut total = parts.next().unwrap_or_default();
    for part in parts {
        for (total, value) in total.iter_mut().zip(part) {
            *total += value;
        }
    }
    total
}

/// A convolution followed by batch norm. The fifth parent, if any, is the residual.
#[derive(Debug)]
pub(super) struct ConvNormBackward;

#[derive(Clone, Debug)]
pub(super) struct ConvNormState {
    pub(super) shape: Conv2d,
    pub(super) x: ChannelsLast,
    pub(super) kernel: FlexTensor,
    /// Its input is the output of the convolution.
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
        let affine = norm.affine();
        let ghosts = norm.ghosts(&affine);
        let sums = NormState::sums(&ghosts, &mut gradient);
        let mut parents = ops.parents.into_iter().map(|node| node.map(|node| node.id));
        let [x_node, kernel_node, weight_node, bias_node, residual_node] =
            [(); 5].map(|()| parents.next().flatten());
        register_affine(grads, [weight_node, bias_node], &sums);
        let kernel_elements = elements(&kernel);
        let mut kernel_gradients = Vec::with_capacity(ghosts.len());
        let x_image = x.values().len() / shape.batch;
        // One call per ghost batch; `input_gradient` is that of the whole batch.
        let mut backward = |mut input_gradient: Option<&mut [f32]>| {
            for (ghost, sums) in ghosts.iter().zip(&sums) {
                let inputs = ghost.images.start * x_image..ghost.images.end * x_image;
                let values = ghost.values.clone();
                // The residual's gradient is still needed, so it must not be overwritten.
                let lazy = match residual_node {
                    Some(_) => ghost.input_gradient(sums, &gradient.values()[values]),
                    None => ghost.input_gradient(sums, &mut gradient.values_mut()[values]),
                };
                let mut kernel_gradient = kernel_node.map(|_| vec![0.0; shape.weight_len()]);
                let ghost_shape = Conv2d {
                    batch: ghost.images.len(),
                    ..shape
                };
                let target = input_gradient.as_deref_mut();
                let targets = Conv2dGradients {
                    weights: kernel_gradient.as_deref_mut(),
                    input: target.map(|whole| &mut whole[inputs.clone()]),
                };
                KERNELS.conv2d_backward_normalised(
                    &ghost_shape,
                    &x.values()[inputs.clone()],
                    &kernel_elements,
                    lazy,
                    targets,
                )?;
                kernel_gradients.extend(kernel_gradient);
            }
            Ok(())
        };
        match x_node {
            None => expect_valid("conv2d", backward(None)),
            Some(node) => {
                let target = ChannelsLast::filled(x.dims, |target| backward(Some(target)));
                grads.register::<Flex>(node, expect_valid("conv2d", target).into_tensor());
            }
        }
        register(grads, kernel_node, || {
            let layout = Layout::contiguous(kernel.layout().shape().clone());
            vector(total(kernel_gradients.into_iter())).with_layout(layout)
        });
        match residual_node {
            Some(residual) => grads.register::<Flex>(residual, gradient.into_tensor()),
            None => gradient.give_back(),
        }
        drop(ghosts);
        drop(affine);
        x.give_back();
        norm.give_back();
    }
}

/// Computes the output of a batch norm, and the state for its backward pass.
pub(super) fn normalise(
    x: ChannelsLast,
    affine: Affine<Flex>,
    statistics: GhostStatistics,
    residual: Option<FlexTensor>,
    options: NormOptions,
) -> (FlexTensor, NormState) {
    let Affine { weight, bias } = affine;
    let residual = residual.map(ChannelsLast::read);
    let values = AffineValues::read(&weight, &bias);
    let y = flex::normalise(&x, &statistics, &values, residual.as_ref(), options);
    drop(values);
    let masked = match (options.activation, &residual) {
        (Activation::Relu6 | Activation::Gelu, Some(_)) => {
            unreachable!("only ReLU follows a residual in any layer")
        }
        (activation, residual) => activation == Activation::Relu && residual.is_some(),
    };
    if let Some(residual) = residual {
        residual.give_back();
    }
    let state = NormState {
        x,
        weight,
        bias,
        statistics,
        options,
        y: masked.then(|| y.clone()),
    };
    (y.into_tensor(), state)
}
