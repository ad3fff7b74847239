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
    Runs,
    channels_last::ChannelsLast,
    flex::{self, Scale, WORKSPACE, elements, fitting, path, run_pixels, vector},
};

/// Batch norm; the fourth parent, where there is one, is the residual.
#[derive(Debug)]
pub(super) struct NormBackward;

/// Statistics by which each run of a batch is normalised.
#[derive(Clone, Debug)]
pub(super) struct OwnStatistics {
    pub(super) statistics: Vec<Statistics>,
    pub(super) runs: Runs,
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
struct Run<'a> {
    images: Range<usize>,
    /// Where its values are in the feature map and in its gradient.
    values: Range<usize>,
    pixels: Pixels,
    statistics: &'a Statistics,
    scale: &'a Scale<'a>,
    x: &'a [f32],
    mask: ReluMask<'a>,
}

impl Run<'_> {
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

    fn runs<'a>(&'a self, scale: &'a Scale<'a>) -> Vec<Run<'a>> {
        let x = self.x.values();
        let image = x.len() / self.x.dims[0].max(1);
        let runs = self.own.runs.iter().zip(&self.own.statistics);
        runs.map(|(images, statistics)| {
            let values = images.start * image..images.end * image;
            Run {
                pixels: run_pixels(&self.x, &images),
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
    fn sums(runs: &[Run], gradient: &mut ChannelsLast) -> Vec<AffineGradient> {
        let gradient = gradient.values_mut();
        let sums = |run: &Run| run.sums(&mut gradient[run.values.clone()]);
        runs.iter().map(sums).collect()
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
        let runs = state.runs(&scale);
        let sums = NormState::sums(&runs, &mut gradient);
        let mut parents = ops.parents.into_iter().map(|node| node.map(|node| node.id));
        let [x_node, weight_node, bias_node, residual_node] =
            [(); 4].map(|()| parents.next().flatten());
        register_affine(grads, [weight_node, bias_node], &sums);
        match residual_node {
            // The masked gradient is the residual's; the input's needs memory of its own.
            Some(residual) => {
                register(grads, x_node, || {
                    let target = ChannelsLast::filled(state.x.dims, |target| {
                        runs.iter().zip(&sums).try_for_each(|(run, sums)| {
                            let gradient = &gradient.values()[run.values.clone()];
                            let target = &mut target[run.values.clone()];
                            run.input_gradient(sums, gradient).write(path(), target)
                        })
                    });
                    fitting("batch norm", target).into_tensor()
                });
                grads.register::<Flex>(residual, gradient.into_tensor());
            }
            None => register(grads, x_node, || {
                for (run, sums) in runs.iter().zip(&sums) {
                    let spent = &mut gradient.values_mut()[run.values.clone()];
                    let written = run.input_gradient(sums, spent).overwrite(path()).is_some();
                    debug_assert!(written, "what is spent may be written");
                }
                gradient.into_tensor()
            }),
        }
        drop(runs);
        drop(scale);
        state.give_back();
    }
}

/// Registers the gradients of scale and shift: the sums over all runs.
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
        let runs = norm.runs(&scale);
        let sums = NormState::sums(&runs, &mut gradient);
        let mut parents = ops.parents.into_iter().map(|node| node.map(|node| node.id));
        let [x_node, kernel_node, weight_node, bias_node, residual_node] =
            [(); 5].map(|()| parents.next().flatten());
        register_affine(grads, [weight_node, bias_node], &sums);
        let kernel_elements = elements(&kernel);
        let mut kernel_gradients = Vec::with_capacity(runs.len());
        let x_image = x.values().len() / shape.batch;
        // Each run by itself: `input_gradient` is that of the whole batch.
        let mut backward = |mut input_gradient: Option<&mut [f32]>| {
            for (run, sums) in runs.iter().zip(&sums) {
                let own = run.images.start * x_image..run.images.end * x_image;
                let values = run.values.clone();
                // The residual's gradient is kept.
                let lazy = match residual_node {
                    Some(_) => run.input_gradient(sums, &gradient.values()[values]),
                    None => run.input_gradient(sums, &mut gradient.values_mut()[values]),
                };
                let mut kernel_gradient = vec![0.0; shape.weight_len()];
                conv2d_backward_normalised(
                    &WORKSPACE,
                    path(),
                    &Conv2d {
                        batch: run.images.len(),
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
        drop(runs);
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
        own.runs,
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
