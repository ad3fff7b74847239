//! The layers on the CPU: Burn's tensors handed to the kernels of [`onecycle_kernels`], with backward passes of their own.
//!
//! Burn's own CPU operations compute a convolution by way of a matrix that repeats each pixel as often as the window has
//! places, and walk over memory once for each elementary operation. The kernels work in place. Feature maps stay
//! `[batch, channels, height, width]` to the model and stand channels-last in memory, which is what the kernels want.
//!
//! [`supports`] says whether a tensor is one for the kernels: on the CPU (Burn's flex backend) and in single precision. The
//! layers in [`nn`](crate::nn) use Burn's operations for everything else.

mod buffer_pool;
mod channels_last;
mod flex;
mod ghost_batches;
mod gradient;
mod update;

use burn::{
    backend::{
        Backend, Dispatch, DispatchDevice, ExtensionType, backend_extension,
        tensor::{FloatTensor, IntTensor},
    },
    tensor::{DType, Int, Tensor},
};

pub(crate) use ghost_batches::GhostBatches;
pub(crate) use update::{adam, sgd};

/// Whether the kernels can take this tensor.
pub(crate) fn supports<const D: usize>(tensor: &Tensor<D>) -> bool {
    let on_cpu = match tensor.device().as_dispatch() {
        DispatchDevice::Flex(_) => true,
        DispatchDevice::Autodiff(_) => matches!(
            tensor.device().without_autodiff().as_dispatch(),
            DispatchDevice::Flex(_)
        ),
        #[allow(unreachable_patterns)] // Without a GPU feature there are no others.
        _ => false,
    };
    on_cpu && tensor.dtype() == DType::F32
}

/// Window of a convolution with a square kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) stride: usize,
    pub(crate) padding: usize,
}

/// What a pooling takes of each window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pooling {
    /// The largest value.
    Max,
    /// The mean.
    Average,
}

/// A tensor that an operation may go without; what [`backend_extension`] takes in place of an `Option`.
#[derive(ExtensionType)]
pub(crate) enum Maybe<B: Backend> {
    /// A tensor.
    Given(FloatTensor<B>),
    /// None.
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

/// The layers as operations of a backend. Shapes are those of the functions below.
#[backend_extension(Flex, Autodiff)]
pub(crate) trait CpuLayers: Backend {
    fn cpu_conv2d(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        #[extension_type] bias: Maybe<Self>,
        window: Window,
        relu: bool,
    ) -> FloatTensor<Self>;

    fn cpu_linear(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        relu: bool,
    ) -> FloatTensor<Self>;

    fn cpu_batch_norm_train(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        #[extension_type] residual: Maybe<Self>,
        ghost: usize,
        epsilon: f64,
        relu: bool,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    #[allow(clippy::too_many_arguments)]
    fn cpu_conv_norm_train(
        x: FloatTensor<Self>,
        kernel: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        #[extension_type] residual: Maybe<Self>,
        window: Window,
        ghost: usize,
        epsilon: f64,
        relu: bool,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    #[allow(clippy::too_many_arguments)]
    fn cpu_batch_norm(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        variance: FloatTensor<Self>,
        #[extension_type] residual: Maybe<Self>,
        epsilon: f64,
        relu: bool,
    ) -> FloatTensor<Self>;

    fn cpu_pool2d(
        x: FloatTensor<Self>,
        pooling: Pooling,
        kernel: [usize; 2],
        stride: [usize; 2],
    ) -> FloatTensor<Self>;

    fn cpu_add(x: FloatTensor<Self>, y: FloatTensor<Self>) -> FloatTensor<Self>;

    fn cpu_branch(x: FloatTensor<Self>) -> (FloatTensor<Self>, FloatTensor<Self>);

    fn cpu_cross_entropy(
        logits: FloatTensor<Self>,
        labels: IntTensor<Self>,
        smoothing: f64,
    ) -> FloatTensor<Self>;
}

/// Convolution of `[batch, in, height, width]` with `[out, in, kernel, kernel]` and `[out]`, then ReLU where asked for.
pub(crate) fn conv2d(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    window: Window,
    relu: bool,
) -> Tensor<4> {
    Tensor::from_dispatch(Dispatch::cpu_conv2d(
        x.into_dispatch(),
        weight.into_dispatch(),
        Maybe::from(bias),
        window,
        relu,
    ))
}

/// `x weightᵀ + bias` of `[batch, in]` with `[out, in]` and `[out]`, then ReLU where asked for.
pub(crate) fn linear(x: Tensor<2>, weight: Tensor<2>, bias: Tensor<1>, relu: bool) -> Tensor<2> {
    Tensor::from_dispatch(Dispatch::cpu_linear(
        x.into_dispatch(),
        weight.into_dispatch(),
        bias.into_dispatch(),
        relu,
    ))
}

/// What a batch norm by its batch's own statistics gives.
pub(crate) struct Normalised {
    /// The feature map.
    pub(crate) output: Tensor<4>,
    /// Mean of each run, `[runs, channels]`, without gradient.
    pub(crate) mean: Tensor<2>,
    /// Biased variance of each run, likewise.
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

/// Batch norm of each run of `ghost` images, 0 for the whole batch, by its own statistics, plus a residual, then ReLU, where
/// asked for.
pub(crate) fn batch_norm_train(
    x: Tensor<4>,
    [weight, bias]: [Tensor<1>; 2],
    residual: Option<Tensor<4>>,
    ghost: usize,
    epsilon: f64,
    relu: bool,
) -> Normalised {
    Normalised::from_dispatch(Dispatch::cpu_batch_norm_train(
        x.into_dispatch(),
        weight.into_dispatch(),
        bias.into_dispatch(),
        Maybe::from(residual),
        ghost,
        epsilon,
        relu,
    ))
}

/// [`batch_norm_train`] of the convolution of `x` with `kernel`, without a bias: the statistics are taken while the
/// convolution's output is in cache, and the gradient between the two never stands in memory.
#[allow(clippy::too_many_arguments)]
pub(crate) fn conv_norm_train(
    x: Tensor<4>,
    kernel: Tensor<4>,
    window: Window,
    [weight, bias]: [Tensor<1>; 2],
    residual: Option<Tensor<4>>,
    ghost: usize,
    epsilon: f64,
    relu: bool,
) -> Normalised {
    Normalised::from_dispatch(Dispatch::cpu_conv_norm_train(
        x.into_dispatch(),
        kernel.into_dispatch(),
        weight.into_dispatch(),
        bias.into_dispatch(),
        Maybe::from(residual),
        window,
        ghost,
        epsilon,
        relu,
    ))
}

/// Batch norm by given statistics, plus a residual, then ReLU, where asked for.
pub(crate) fn batch_norm(
    x: Tensor<4>,
    [weight, bias]: [Tensor<1>; 2],
    [mean, variance]: [Tensor<1>; 2],
    residual: Option<Tensor<4>>,
    epsilon: f64,
    relu: bool,
) -> Tensor<4> {
    Tensor::from_dispatch(Dispatch::cpu_batch_norm(
        x.into_dispatch(),
        weight.into_dispatch(),
        bias.into_dispatch(),
        mean.into_dispatch(),
        variance.into_dispatch(),
        Maybe::from(residual),
        epsilon,
        relu,
    ))
}

/// Pooling of `[batch, channels, height, width]` without padding.
pub(crate) fn pool2d(
    x: Tensor<4>,
    pooling: Pooling,
    kernel: [usize; 2],
    stride: [usize; 2],
) -> Tensor<4> {
    Tensor::from_dispatch(Dispatch::cpu_pool2d(
        x.into_dispatch(),
        pooling,
        kernel,
        stride,
    ))
}

/// Sum of two feature maps of the same shape.
pub(crate) fn add(x: Tensor<4>, y: Tensor<4>) -> Tensor<4> {
    Tensor::from_dispatch(Dispatch::cpu_add(x.into_dispatch(), y.into_dispatch()))
}

/// The same feature map twice, for two branches whose gradients are added in place.
pub(crate) fn branch(x: Tensor<4>) -> [Tensor<4>; 2] {
    let (one, other) = Dispatch::cpu_branch(x.into_dispatch());
    [Tensor::from_dispatch(one), Tensor::from_dispatch(other)]
}

/// Mean cross-entropy of `[batch, classes]` against class indices `[batch]`, with label smoothing.
pub(crate) fn cross_entropy(
    logits: Tensor<2>,
    labels: Tensor<1, Int>,
    smoothing: f64,
) -> Tensor<1> {
    Tensor::from_dispatch(Dispatch::cpu_cross_entropy(
        logits.into_dispatch(),
        labels.into_dispatch(),
        smoothing,
    ))
}
