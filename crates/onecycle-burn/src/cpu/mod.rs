//! Layers on the CPU: a Burn backend extension that runs [`onecycle_kernels`], with backward passes
//! of its own.
//!
//! Burn's own CPU operations compute a convolution by an im2col matrix, which repeats each pixel
//! for every position of the window, and take one pass over memory for each elementary operation.
//! These kernels read images in place and fuse operations. Feature maps keep Burn's shape
//! `[batch, channels, height, width]`, but their memory is channels-last, which the kernels
//! require.
//!
//! [`supports`] tells whether the kernels can process a tensor: it must be on the CPU (Burn's flex
//! backend) and in single precision. For all other tensors, the layers in [`nn`](crate::nn) use
//! Burn's operations.

mod average;
mod buffer_pool;
mod channels_last;
mod elementwise;
mod flex;
mod ghost_batches;
mod gradient;
mod kernels;
mod update;

use burn::{
    backend::{
        Backend, Dispatch, DispatchDevice, ExtensionType, backend_extension,
        tensor::{FloatTensor, IntTensor},
    },
    tensor::{DType, Int, Tensor},
};

pub(crate) use average::lerp;
pub(crate) use ghost_batches::GhostBatches;
pub(crate) use onecycle_kernels::Activation;
pub(crate) use update::{adam, sgd};

/// Whether the kernels can process this tensor.
pub(crate) fn supports<const D: usize>(tensor: &Tensor<D>) -> bool {
    let on_cpu = match tensor.device().as_dispatch() {
        DispatchDevice::Flex(_) => true,
        DispatchDevice::Autodiff(_) => matches!(
            tensor.device().without_autodiff().as_dispatch(),
            DispatchDevice::Flex(_)
        ),
        #[allow(unreachable_patterns)] // Without a GPU feature there are no other devices.
        _ => false,
    };
    on_cpu && tensor.dtype() == DType::F32
}

/// Stride and padding of a convolution, and its groups of channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    /// Equal in both directions.
    pub(crate) stride: usize,
    /// `[[rows above, rows below], [columns left, columns right]]`.
    pub(crate) padding: [[usize; 2]; 2],
    /// 1, or the number of channels for a depthwise convolution.
    pub(crate) groups: usize,
}

/// Kind of pooling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pooling {
    /// The maximum of each window.
    Max,
    /// The mean of each window.
    Average,
}

/// Options of a pooling. Pairs are vertical and horizontal.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PoolOptions {
    pub(crate) pooling: Pooling,
    pub(crate) kernel: [usize; 2],
    pub(crate) stride: [usize; 2],
    pub(crate) padding: [usize; 2],
}

/// An optional tensor: [`backend_extension`] does not accept `Option`.
#[derive(ExtensionType)]
pub(crate) enum Maybe<B: Backend> {
    /// A tensor.
    Given(FloatTensor<B>),
    /// No tensor.
    Absent,
}

impl<B: Backend> Maybe<B> {
    fn into_option(self) -> Option<FloatTensor<B>> {
        match self {
            Maybe::Given(tensor) => Some(tensor),
            Maybe::Absent => None,
        }
    }
}

impl<const D: usize> From<Option<Tensor<D>>> for Maybe<Dispatch> {
    fn from(tensor: Option<Tensor<D>>) -> Self {
        tensor.map_or(Maybe::Absent, |tensor| Maybe::Given(tensor.into_dispatch()))
    }
}

/// Weight and bias of a batch norm, `[channels]` each.
#[derive(ExtensionType)]
pub(crate) struct Affine<B: Backend> {
    weight: FloatTensor<B>,
    bias: FloatTensor<B>,
}

impl From<[Tensor<1>; 2]> for Affine<Dispatch> {
    fn from(tensors: [Tensor<1>; 2]) -> Self {
        let [weight, bias] = tensors.map(Tensor::into_dispatch);
        Affine { weight, bias }
    }
}

/// Statistics that a batch norm uses in evaluation, `[channels]` each.
#[derive(ExtensionType)]
pub(crate) struct RunningStatistics<B: Backend> {
    mean: FloatTensor<B>,
    variance: FloatTensor<B>,
}

impl From<[Tensor<1>; 2]> for RunningStatistics<Dispatch> {
    fn from(tensors: [Tensor<1>; 2]) -> Self {
        let [mean, variance] = tensors.map(Tensor::into_dispatch);
        RunningStatistics { mean, variance }
    }
}

/// Options of a batch norm.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NormOptions {
    /// Added to the variance.
    pub(crate) epsilon: f64,
    /// Applied last, after the residual if there is one. Only ReLU is supported after a residual in
    /// training.
    pub(crate) activation: Activation,
}

/// Options of a convolution followed by batch norm.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ConvNormOptions {
    pub(crate) window: Window,
    /// Images per ghost batch; 0 for the whole batch.
    pub(crate) ghost: usize,
    pub(crate) norm: NormOptions,
}

/// Options of a cross-entropy.
#[derive(Debug, Clone)]
pub(crate) struct LossOptions {
    /// Share of the target spread over all classes.
    pub(crate) smoothing: f64,
    /// Weight of each class, above 0; `None` for the plain mean.
    pub(crate) weights: Option<Vec<f64>>,
}

/// The layers as operations of a backend. The functions below document the shapes.
#[backend_extension(Flex, Autodiff)]
pub(crate) trait CpuLayers: Backend {
    fn cpu_conv2d(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        #[extension_type] bias: Maybe<Self>,
        window: Window,
        activation: Activation,
    ) -> FloatTensor<Self>;

    fn cpu_scale_channels(weight: FloatTensor<Self>, scale: FloatTensor<Self>)
    -> FloatTensor<Self>;

    fn cpu_linear(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        activation: Activation,
    ) -> FloatTensor<Self>;

    fn cpu_batch_norm_train(
        x: FloatTensor<Self>,
        #[extension_type] affine: Affine<Self>,
        #[extension_type] residual: Maybe<Self>,
        ghost: usize,
        options: NormOptions,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    fn cpu_conv_norm_train(
        x: FloatTensor<Self>,
        kernel: FloatTensor<Self>,
        #[extension_type] affine: Affine<Self>,
        #[extension_type] residual: Maybe<Self>,
        options: ConvNormOptions,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    fn cpu_batch_norm(
        x: FloatTensor<Self>,
        #[extension_type] affine: Affine<Self>,
        #[extension_type] running: RunningStatistics<Self>,
        #[extension_type] residual: Maybe<Self>,
        options: NormOptions,
    ) -> FloatTensor<Self>;

    fn cpu_pool2d(x: FloatTensor<Self>, options: PoolOptions) -> FloatTensor<Self>;

    fn cpu_gelu(x: FloatTensor<Self>) -> FloatTensor<Self>;

    fn cpu_add(x: FloatTensor<Self>, y: FloatTensor<Self>) -> FloatTensor<Self>;

    fn cpu_branch(x: FloatTensor<Self>) -> (FloatTensor<Self>, FloatTensor<Self>);

    fn cpu_cross_entropy(
        logits: FloatTensor<Self>,
        labels: IntTensor<Self>,
        options: LossOptions,
    ) -> FloatTensor<Self>;
}

/// Convolution of `[batch, in, height, width]` with weights `[out, in / groups, kernel, kernel]` and bias
/// `[out]`, followed by `activation`.
pub(crate) fn conv2d(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    window: Window,
    activation: Activation,
) -> Tensor<4> {
    Tensor::from_dispatch(Dispatch::cpu_conv2d(
        x.into_dispatch(),
        weight.into_dispatch(),
        Maybe::from(bias),
        window,
        activation,
    ))
}

/// Weights `[out, in / groups, kernel, kernel]`, those of each output channel times its `scale`,
/// `[out]`.
pub(crate) fn scale_channels(weight: Tensor<4>, scale: Tensor<1>) -> Tensor<4> {
    Tensor::from_dispatch(Dispatch::cpu_scale_channels(
        weight.into_dispatch(),
        scale.into_dispatch(),
    ))
}

/// Linear layer `x weightᵀ + bias` of `[batch, in]` with weights `[out, in]` and bias `[out]`,
/// followed by `activation`.
pub(crate) fn linear(
    x: Tensor<2>,
    weight: Tensor<2>,
    bias: Tensor<1>,
    activation: Activation,
) -> Tensor<2> {
    Tensor::from_dispatch(Dispatch::cpu_linear(
        x.into_dispatch(),
        weight.into_dispatch(),
        bias.into_dispatch(),
        activation,
    ))
}

/// Result of a batch norm in training.
pub(crate) struct Normalised {
    /// `[batch, channels, height, width]`.
    pub(crate) output: Tensor<4>,
    /// Mean of each ghost batch, `[ghost batches, channels]`, without gradient.
    pub(crate) mean: Tensor<2>,
    /// Biased variance of each ghost batch, `[ghost batches, channels]`, without gradient.
    pub(crate) variance: Tensor<2>,
}

impl Normalised {
    fn from_dispatch(
        (output, mean, variance): (
            FloatTensor<Dispatch>,
            FloatTensor<Dispatch>,
            FloatTensor<Dispatch>,
        ),
    ) -> Self {
        Normalised {
            output: Tensor::from_dispatch(output),
            mean: Tensor::from_dispatch(mean),
            variance: Tensor::from_dispatch(variance),
        }
    }
}

/// Batch norm in training, then `residual` is added and the activation applied. Each ghost batch of `ghost`
/// images (0 for the whole batch) is normalised by its own statistics.
pub(crate) fn batch_norm_train(
    x: Tensor<4>,
    affine: [Tensor<1>; 2],
    residual: Option<Tensor<4>>,
    ghost: usize,
    options: NormOptions,
) -> Normalised {
    Normalised::from_dispatch(Dispatch::cpu_batch_norm_train(
        x.into_dispatch(),
        Affine::from(affine),
        Maybe::from(residual),
        ghost,
        options,
    ))
}

/// [`batch_norm_train`] of the convolution of `x` with `kernel`, without a bias. The statistics are
/// computed while the convolution's output is in cache, and the gradient between the two layers is
/// not stored.
pub(crate) fn conv_norm_train(
    x: Tensor<4>,
    kernel: Tensor<4>,
    affine: [Tensor<1>; 2],
    residual: Option<Tensor<4>>,
    options: ConvNormOptions,
) -> Normalised {
    Normalised::from_dispatch(Dispatch::cpu_conv_norm_train(
        x.into_dispatch(),
        kernel.into_dispatch(),
        Affine::from(affine),
        Maybe::from(residual),
        options,
    ))
}

/// Batch norm in evaluation, with `running` mean and variance; then `residual` is added and the
/// activation applied.
pub(crate) fn batch_norm(
    x: Tensor<4>,
    affine: [Tensor<1>; 2],
    running: [Tensor<1>; 2],
    residual: Option<Tensor<4>>,
    options: NormOptions,
) -> Tensor<4> {
    Tensor::from_dispatch(Dispatch::cpu_batch_norm(
        x.into_dispatch(),
        Affine::from(affine),
        RunningStatistics::from(running),
        Maybe::from(residual),
        options,
    ))
}

/// Pooling of `[batch, channels, height, width]`.
pub(crate) fn pool2d(x: Tensor<4>, options: PoolOptions) -> Tensor<4> {
    Tensor::from_dispatch(Dispatch::cpu_pool2d(x.into_dispatch(), options))
}

/// `x Φ(x)` of each element, of any shape.
pub(crate) fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    Tensor::from_dispatch(Dispatch::cpu_gelu(x.into_dispatch()))
}

/// Sum of two feature maps of the same shape.
pub(crate) fn add(x: Tensor<4>, y: Tensor<4>) -> Tensor<4> {
    Tensor::from_dispatch(Dispatch::cpu_add(x.into_dispatch(), y.into_dispatch()))
}

/// Returns the feature map twice, for two branches. The backward pass adds their gradients in
/// place.
pub(crate) fn branch(x: Tensor<4>) -> [Tensor<4>; 2] {
    let (one, other) = Dispatch::cpu_branch(x.into_dispatch());
    [Tensor::from_dispatch(one), Tensor::from_dispatch(other)]
}

/// Mean cross-entropy of `[batch, classes]` against class indices `[batch]`, with label smoothing
/// and class weights.
pub(crate) fn cross_entropy(
    logits: Tensor<2>,
    labels: Tensor<1, Int>,
    options: LossOptions,
) -> Tensor<1> {
    Tensor::from_dispatch(Dispatch::cpu_cross_entropy(
        logits.into_dispatch(),
        labels.into_dispatch(),
        options,
    ))
}
