//! Batch norm, alone and behind a convolution; each run of images is normalised by its own statistics.

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
    AffineGradient, Conv2d, IncomingGradient, InputGradient, Pixels, ReluMask, Statistics,
    batch_norm_backward_sums, conv2d_backward_normalised,
};

use super::register;
use crate::cpu::{
    GhostBatches,
    channels_last::ChannelsLast,
    flex::{self, Scale, WORKSPACE, elements, fitting, ghost_pixels, path, vector},
};

/// Batch norm; the fourth parent, where there is one, is the residual.
#[derive(Debug)]
pub(super) struct NormBackward;

/// Statistics by which each run of a batch is normalised.
#[derive(Clone, Debug)]
pub(super) struct OwnStatistics {
    pub(super) statistics: Vec<Statistics>,
    pub(super) ghosts: GhostBatches,
}

#[derive(Clone, Debug)]
pub(super) struct NormState {
    x: ChannelsLast,
    weight: FlexTensor,
    bias: FlexTensor,
    own: OwnStatistics,
    epsilon: f64,
    relu: bool,
    /// The output, where a ReLU follows a residual.
    y: Option<ChannelsLast>,
}

/// What the backward pass knows of a run of images.
struct GhostBatch<'a> {
    images: Range<usize>,
    /// Where its values are in the feature map and in its gradient.
    values: Range<usize>,
    pixels: Pixels,
    statistics: &'a Statistics,
    scale: &'a Scale<'a>,
    x: &'a [f32],
    mask: ReluMask<'a>,
}

impl GhostBatch<'_> {
    /// Gradients of scale and shift; `gradient` becomes that of the residual.
    fn sums(&self, gradient: &mut [f32]) -> AffineGradient {
        let sums = batch_norm_backward_sums(
            path(),
            &self.pixels,
            self.statistics,
            self.scale.affine(),
            self.x,
            self.mask,
            gradient,
        );
        fitting("batch norm", sums)
    }

    /// Gradient of the input, still to be computed.
    fn input_gradient<'a>(
        &'a self,
        sums: &AffineGradient,
        gradient: impl Into<IncomingGradient<'a>>,
    ) -> InputGradient<'a> {
        let lazy = InputGradient::new(
            &self.pixels,
            self.statistics,
            self.scale.affine(),
            sums,
            self.x,
            self.mask,
            gradient,
        );
        fitting("batch norm", lazy)
    }
}

impl NormState {
    fn scale(&self) -> Scale<'_> {
        Scale::read(&self.weight, &self.bias, self.epsilon)
    }

    fn ghosts<'a>(&'a self, scale: &'a Scale<'a>) -> Vec<GhostBatch<'a>> {
        let x = self.x.values();
        let image = x.len() / self.x.dims[0].max(1);
        let ghosts = self.own.ghosts.iter().zip(&self.own.statistics);
        ghosts
            .map(|(images, statistics)| {
                let values = images.start * image..images.end * image;
                GhostBatch {
                    pixels: ghost_pixels(&self.x, &images),
                    images,
                    statistics,
                    scale,
                    x: &x[values.clone()],
                    mask: match &self.y {
                        Some(y) => ReluMask::Output(&y.values()[values.clone()]),
                        None if self.relu => ReluMask::Recomputed,
                        None => ReluMask::Absent,
                    },
                    values,
                }
            })
            .collect()
    }

    /// Gradients of scale and shift by each run; `gradient` becomes that of the residual.
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
        let scale = state.scale();
        let ghosts = state.ghosts(&scale);
        let sums = NormState::sums(&ghosts, &mut gradient);
        let mut parents = ops.parents.into_iter().map(|node| node.map(|node| node.id));
        let [x_node, weight_node, bias_node, residual_node] =
            [(); 4].map(|()| parents.next().flatten());
        register_affine(grads, [weight_node, bias_node], &sums);
        match residual_node {
            // The masked gradient is the residual's; the input's needs memory of its own.
            Some(residual) => {
                register(grads, x_node, || {
                    let target = ChannelsLast::filled(state.x.dims, |target| {
                        ghosts.iter().zip(&sums).try_for_each(|(ghost, sums)| {
                            let gradient = &gradient.values()[ghost.values.clone()];
                            let target = &mut target[ghost.values.clone()];
                            ghost.input_gradient(sums, gradient).write(path(), target)
                        })
                    });
                    fitting("batch norm", target).into_tensor()
                });
                grads.register::<Flex>(residual, gradient.into_tensor());
            }
            None => register(grads, x_node, || {
                for (ghost, sums) in ghosts.iter().zip(&sums) {
                    let spent = &mut gradient.values_mut()[ghost.values.clone()];
                    let written = ghost
                        .input_gradient(sums, spent)
                        .overwrite(path())
                        .is_some();
                    debug_assert!(written, "what is spent may be written");
                }
                gradient.into_tensor()
            }),
        }
        drop(ghosts);
        drop(scale);
        state.give_back();
    }
}

/// Registers the gradients of scale and shift: the sums over all ghosts.
fn register_affine(
    grads: &mut Gradients,
    [weight_node, bias_node]: [Option<NodeId>; 2],
    sums: &[AffineGradient],
) {
    let weights = sums.iter().map(|of| of.weight.clone());
    register(grads, weight_node, || vector(total(weights)));
    let biases = sums.iter().map(|of| of.bias.clone());
    register(grads, bias_node, || vector(total(biases)));
}

/// Sum of vectors of one length.
fn total(mut parts: impl Iterator<Item = Vec<f32>>) -> Vec<f32> {
    let mut total = parts.next().unwrap_or_default();
    for part in parts {
        for (total, value) in total.iter_mut().zip(part) {
            *total += value;
        }
    }
    total
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
        let scale = norm.scale();
        let ghosts = norm.ghosts(&scale);
        let sums = NormState::sums(&ghosts, &mut gradient);
        let mut parents = ops.parents.into_iter().map(|node| node.map(|node| node.id));
        let [x_node, kernel_node, weight_node, bias_node, residual_node] =
            [(); 5].map(|()| parents.next().flatten());
        register_affine(grads, [weight_node, bias_node], &sums);
        let kernel_elements = elements(&kernel);
        let mut kernel_gradients = Vec::with_capacity(ghosts.len());
        let x_image = x.values().len() / shape.batch;
        // Each run by itself: `input_gradient` is that of the whole batch.
        let mut backward = |mut input_gradient: Option<&mut [f32]>| {
            for (ghost, sums) in ghosts.iter().zip(&sums) {
                let own = ghost.images.start * x_image..ghost.images.end * x_image;
                let values = ghost.values.clone();
                // The residual's gradient is kept.
                let lazy = match residual_node {
                    Some(_) => ghost.input_gradient(sums, &gradient.values()[values]),
                    None => ghost.input_gradient(sums, &mut gradient.values_mut()[values]),
                };
                let mut kernel_gradient = vec![0.0; shape.weight_len()];
                conv2d_backward_normalised(
                    &WORKSPACE,
                    path(),
                    &Conv2d {
                        batch: ghost.images.len(),
                        ..shape
                    },
                    &x.values()[own.clone()],
                    &kernel_elements,
                    lazy,
                    &mut kernel_gradient,
                    input_gradient.as_deref_mut().map(|whole| &mut whole[own]),
                )?;
                kernel_gradients.push(kernel_gradient);
            }
            Ok(())
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
            vector(total(kernel_gradients.into_iter())).with_layout(layout)
        });
        match residual_node {
            Some(residual) => grads.register::<Flex>(residual, gradient.into_tensor()),
            None => gradient.give_back(),
        }
        drop(ghosts);
        drop(scale);
        x.give_back();
        norm.give_back();
    }
}

/// A batch norm's output, and what its backward pass needs.
pub(super) fn normalise(
    x: ChannelsLast,
    weight: FlexTensor,
    bias: FlexTensor,
    own: OwnStatistics,
    residual: Option<FlexTensor>,
    epsilon: f64,
    relu: bool,
) -> (FlexTensor, NormState) {
    let residual = residual.map(ChannelsLast::read);
    let scale = Scale::read(&weight, &bias, epsilon);
    let y = flex::normalise(
        &x,
        &own.statistics,
        own.ghosts,
        &scale,
        residual.as_ref(),
        relu,
    );
    drop(scale);
    let masked = relu && residual.is_some();
    if let Some(residual) = residual {
        residual.give_back();
    }
    let state = NormState {
        x,
        weight,
        bias,
        own,
        epsilon,
        relu,
        y: masked.then(|| y.clone()),
    };
    (y.into_tensor(), state)
}
