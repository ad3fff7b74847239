//! The layers without automatic differentiation, and the forward passes that
//! [`gradient`](super::gradient) shares.

use std::{borrow::Cow, ops::Range};

use burn::{
    backend::{
        Flex,
        flex::{FlexTensor, Layout},
        tensor::{FloatTensor, IntTensor},
    },
    tensor::{Shape, TensorData},
};
use onecycle_kernels::{
    BatchNorm, Conv2d, CrossEntropy, Epilogue, NormEpilogue, Pixels, Pool2d, Statistics,
};

use super::{
    Activation, Affine, ConvNormOptions, CpuLayers, GhostBatches, LossOptions, Maybe, NormOptions,
    PoolOptions, Pooling, RunningStatistics, Window, buffer_pool,
    channels_last::ChannelsLast,
    elementwise,
    kernels::{KERNELS, elements, expect_valid, vector},
};

/// A matrix `[rows, columns]` as a feature map with one pixel per image.
pub(super) fn matrix(tensor: FlexTensor) -> ChannelsLast {
    let [rows, columns] = tensor.layout().shape().dims();
    let tensor = tensor.to_contiguous();
    let layout = Layout::contiguous(Shape::from([rows, columns, 1, 1]));
    ChannelsLast::read(tensor.with_layout(layout))
}

/// A feature map with one pixel per image as a matrix `[rows, columns]`.
pub(super) fn into_matrix(map: ChannelsLast) -> FlexTensor {
    let [rows, columns, _, _] = map.dims;
    map.into_tensor()
        .with_layout(Layout::contiguous(Shape::from([rows, columns])))
}

/// Shape of the convolution of `x` with `weight`, `[out, in / groups, height, width]`, or `[out, in]` for a
/// linear layer.
pub(super) fn conv_shape(x: &ChannelsLast, weight: &FlexTensor, window: Window) -> Conv2d {
    let [batch, in_channels, height, width] = x.dims;
    let shape = weight.layout().shape();
    // A linear layer is a convolution of images of one pixel.
    let [out_channels, expected, kernel_height, kernel_width] = if shape.num_dims() == 2 {
        let [o, i] = shape.dims();
        [o, i, 1, 1]
    } else {
        shape.dims()
    };
    let expected = expected * window.groups;
    assert_eq!(
        in_channels, expected,
        "conv2d: the input has {in_channels} channels, the weights expect {expected}"
    );
    Conv2d {
        batch,
        in_channels,
        out_channels,
        height,
        width,
        kernel: [kernel_height, kernel_width],
        stride: [window.stride; 2],
        padding: window.padding,
        groups: window.groups,
    }
}

/// A convolution, followed by `activation`.
pub(super) fn conv(
    x: &ChannelsLast,
    weight: &FlexTensor,
    bias: Option<&FlexTensor>,
    shape: &Conv2d,
    activation: Activation,
) -> ChannelsLast {
    let [height, width] = expect_valid("conv2d", shape.output());
    let bias = bias.map(elements);
    let epilogue = Epilogue {
        bias: bias.as_deref(),
        activation,
    };
    let dims = [shape.batch, shape.out_channels, height, width];
    let weight = elements(weight);
    let y = ChannelsLast::filled(dims, |y| {
        KERNELS.conv2d_forward(shape, x.values(), &weight, epilogue, y)
    });
    expect_valid("conv2d", y)
}

/// Weights times the scale of their output channel.
pub(super) fn scale_channels(weight: &FlexTensor, scale: &FlexTensor) -> FlexTensor {
    let (values, factors) = (elements(weight), elements(scale));
    let mut scaled = vec![0.0; values.len()];
    expect_valid("scale", KERNELS.scale_rows(&factors, &values, &mut scaled));
    vector(scaled).with_layout(Layout::contiguous(weight.layout().shape().clone()))
}

/// Pixels and channels of a ghost batch.
pub(super) fn ghost_pixels(x: &ChannelsLast, images: &Range<usize>) -> Pixels {
    let [_, channels, height, width] = x.dims;
    Pixels {
        count: images.len() * height * width,
        channels,
    }
}

/// The statistics of each ghost batch.
#[derive(Clone, Debug)]
pub(super) struct GhostStatistics {
    ghosts: GhostBatches,
    statistics: Vec<Statistics>,
}

impl GhostStatistics {
    /// The images of each ghost batch, with their statistics.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Range<usize>, &Statistics)> {
        self.ghosts.iter().zip(&self.statistics)
    }
}

/// A convolution without bias, and the statistics of its output.
pub(super) fn conv_with_statistics(
    x: &ChannelsLast,
    weight: &FlexTensor,
    shape: &Conv2d,
    ghosts: GhostBatches,
) -> (ChannelsLast, GhostStatistics) {
    let [height, width] = expect_valid("conv2d", shape.output());
    let dims = [shape.batch, shape.out_channels, height, width];
    let weight = elements(weight);
    let mut statistics = Vec::with_capacity(ghosts.count());
    let y = ChannelsLast::filled(dims, |y| {
        let [x_chunk, y_chunk] = [x.values().len(), y.len()].map(|len| ghosts.chunk(len));
        let parts = x.values().chunks(x_chunk).zip(y.chunks_mut(y_chunk));
        for (images, (x, y)) in ghosts.iter().zip(parts) {
            let shape = Conv2d {
                batch: images.len(),
                ..*shape
            };
            statistics.push(KERNELS.conv2d_forward_statistics(&shape, x, &weight, y)?);
        }
        Ok(())
    });
    (
        expect_valid("conv2d", y),
        GhostStatistics { ghosts, statistics },
    )
}

/// The values of a batch norm's weight and bias.
pub(super) struct AffineValues<'a> {
    weight: Cow<'a, [f32]>,
    bias: Cow<'a, [f32]>,
}

impl<'a> AffineValues<'a> {
    pub(super) fn read(weight: &'a FlexTensor, bias: &'a FlexTensor) -> Self {
        AffineValues {
            weight: elements(weight),
            bias: elements(bias),
        }
    }

    /// The batch norm with these values.
    pub(super) fn norm<'b>(
        &'b self,
        pixels: Pixels,
        statistics: &'b Statistics,
        epsilon: f64,
    ) -> BatchNorm<'b> {
        BatchNorm {
            pixels,
            statistics,
            weight: &self.weight,
            bias: &self.bias,
            epsilon,
        }
    }
}

/// Computes the statistics of each ghost batch.
pub(super) fn statistics(x: &ChannelsLast, ghosts: GhostBatches) -> GhostStatistics {
    let parts = x.values().chunks(ghosts.chunk(x.values().len()));
    let of_ghost = |(images, part): (Range<usize>, &[f32])| {
        let found = KERNELS.batch_norm_statistics(&ghost_pixels(x, &images), part);
        expect_valid("batch norm", found)
    };
    GhostStatistics {
        ghosts,
        statistics: ghosts.iter().zip(parts).map(of_ghost).collect(),
    }
}

/// Normalises each ghost batch by its statistics, adds `residual` and applies the activation.
pub(super) fn normalise(
    x: &ChannelsLast,
    statistics: &GhostStatistics,
    affine: &AffineValues,
    residual: Option<&ChannelsLast>,
    options: NormOptions,
) -> ChannelsLast {
    let chunk = statistics.ghosts.chunk(x.values().len());
    let y = ChannelsLast::filled(x.dims, |y| {
        let parts = x.values().chunks(chunk).zip(y.chunks_mut(chunk));
        for ((images, statistics), (x_part, y)) in statistics.iter().zip(parts) {
            let image = x_part.len() / images.len();
            let values = images.start * image..images.end * image;
            let norm = affine.norm(ghost_pixels(x, &images), statistics, options.epsilon);
            let epilogue = NormEpilogue {
                residual: residual.map(|residual| &residual.values()[values]),
                activation: options.activation,
            };
            KERNELS.batch_norm_forward(&norm, x_part, epilogue, y)?;
        }
        Ok(())
    });
    expect_valid("batch norm", y)
}

/// [`normalise`] on tensors, whose memory goes back to the pool.
fn normalise_tensors(
    x: ChannelsLast,
    affine: &Affine<Flex>,
    statistics: &GhostStatistics,
    residual: Maybe<Flex>,
    options: NormOptions,
) -> FlexTensor {
    let residual = residual.into_option().map(ChannelsLast::read);
    let values = AffineValues::read(&affine.weight, &affine.bias);
    let y = normalise(&x, statistics, &values, residual.as_ref(), options);
    x.give_back();
    if let Some(residual) = residual {
        residual.give_back();
    }
    y.into_tensor()
}

/// Means and variances, `[ghost batches, channels]` each.
pub(super) fn moments(ghosts: &GhostStatistics) -> [FlexTensor; 2] {
    let statistics = &ghosts.statistics;
    let table = |values: Vec<f32>| {
        let shape = [statistics.len(), values.len() / statistics.len().max(1)];
        FlexTensor::from_data(TensorData::new(values, shape))
    };
    let rounded = |values: fn(&Statistics) -> &[f64]| {
        let all = statistics.iter().flat_map(values);
        table(all.map(|&value| value as f32).collect())
    };
    [rounded(|of| &of.mean), rounded(|of| &of.variance)]
}

/// The sum, computed in the memory of `x` unless that is shared.
pub(super) fn add(mut x: ChannelsLast, y: &ChannelsLast) -> ChannelsLast {
    assert_eq!(
        x.dims, y.dims,
        "add: the feature maps have different shapes"
    );
    expect_valid("add", KERNELS.add(x.values_mut(), y.values()));
    x
}

/// Shape of a pooling of `x`.
pub(super) fn pool_shape(x: &ChannelsLast, options: PoolOptions) -> Pool2d {
    let [batch, channels, height, width] = x.dims;
    Pool2d {
        batch,
        channels,
        height,
        width,
        kernel: options.kernel,
        stride: options.stride,
        padding: options.padding,
    }
}

/// The maxima, and their positions in the windows.
pub(super) fn max_pool(x: &ChannelsLast, shape: &Pool2d) -> (ChannelsLast, Vec<u16>) {
    let [height, width] = expect_valid("max pooling", shape.output());
    let dims = [shape.batch, shape.channels, height, width];
    let mut argmax = buffer_pool::take_positions(dims.iter().product());
    let y = ChannelsLast::filled(dims, |y| {
        KERNELS.max_pool2d_forward(shape, x.values(), y, &mut argmax)
    });
    (expect_valid("max pooling", y), argmax)
}

/// The mean of each window.
pub(super) fn average_pool(x: &ChannelsLast, shape: &Pool2d) -> ChannelsLast {
    let [height, width] = expect_valid("average pooling", shape.output());
    let dims = [shape.batch, shape.channels, height, width];
    let y = ChannelsLast::filled(dims, |y| {
        KERNELS.average_pool2d_forward(shape, x.values(), y)
    });
    expect_valid("average pooling", y)
}

/// The loss, and its gradient with respect to the logits.
pub(super) fn cross_entropy(
    logits: FlexTensor,
    labels: IntTensor<Flex>,
    options: &LossOptions,
) -> (f32, ChannelsLast) {
    let logits = matrix(logits);
    let labels: Vec<i64> = labels.into_data().iter::<i64>().collect();
    let mut loss = 0.0;
    let gradient = ChannelsLast::filled(logits.dims, |gradient| {
        let settings = CrossEntropy {
            classes: logits.dims[1],
            label_smoothing: options.smoothing,
        };
        let logits = logits.values();
        loss = match &options.weights {
            None => KERNELS.cross_entropy(settings, logits, &labels, gradient)?,
            Some(weights) => {
                KERNELS.weighted_cross_entropy(settings, weights, logits, &labels, gradient)?
            }
        };
        Ok(())
    });
    (loss, expect_valid("cross-entropy", gradient))
}

impl CpuLayers for Flex {
    fn cpu_conv2d(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: Maybe<Self>,
        window: Window,
        activation: Activation,
    ) -> FloatTensor<Self> {
        let x = ChannelsLast::read(x);
        let shape = conv_shape(&x, &weight, window);
        let bias = bias.into_option();
        let y = conv(&x, &weight, bias.as_ref(), &shape, activation);
        x.give_back();
        y.into_tensor()
    }

    fn cpu_scale_channels(
        weight: FloatTensor<Self>,
        scale: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        scale_channels(&weight, &scale)
    }

    fn cpu_linear(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        activation: Activation,
    ) -> FloatTensor<Self> {
        let x = matrix(x);
        let shape = conv_shape(&x, &weight, LINEAR);
        into_matrix(conv(&x, &weight, Some(&bias), &shape, activation))
    }

    fn cpu_batch_norm_train(
        x: FloatTensor<Self>,
        affine: Affine<Self>,
        residual: Maybe<Self>,
        ghost: usize,
        options: NormOptions,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let x = ChannelsLast::read(x);
        let statistics = statistics(&x, GhostBatches::new(x.dims[0], ghost));
        let [mean, variance] = moments(&statistics);
        let y = normalise_tensors(x, &affine, &statistics, residual, options);
        (y, mean, variance)
    }

    fn cpu_conv_norm_train(
        x: FloatTensor<Self>,
        kernel: FloatTensor<Self>,
        affine: Affine<Self>,
        residual: Maybe<Self>,
        options: ConvNormOptions,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let ConvNormOptions {
            window,
            ghost,
            norm,
        } = options;
        let z = Self::cpu_conv2d(x, kernel, Maybe::Absent, window, Activation::Identity);
        Self::cpu_batch_norm_train(z, affine, residual, ghost, norm)
    }

    fn cpu_batch_norm(
        x: FloatTensor<Self>,
        affine: Affine<Self>,
        running: RunningStatistics<Self>,
        residual: Maybe<Self>,
        options: NormOptions,
    ) -> FloatTensor<Self> {
        let x = ChannelsLast::read(x);
        let doubles = |tensor| elements(tensor).iter().copied().map(f64::from).collect();
        let statistics = GhostStatistics {
            ghosts: GhostBatches::new(x.dims[0], 0),
            statistics: vec![Statistics {
                mean: doubles(&running.mean),
                variance: doubles(&running.variance),
            }],
        };
        normalise_tensors(x, &affine, &statistics, residual, options)
    }

    fn cpu_pool2d(x: FloatTensor<Self>, options: PoolOptions) -> FloatTensor<Self> {
        let x = ChannelsLast::read(x);
        let shape = pool_shape(&x, options);
        let y = match options.pooling {
            Pooling::Max => {
                let (y, argmax) = max_pool(&x, &shape);
                buffer_pool::give_back_positions(argmax);
                y
            }
            Pooling::Average => average_pool(&x, &shape),
        };
        x.give_back();
        y.into_tensor()
    }

    fn cpu_gelu(x: FloatTensor<Self>) -> FloatTensor<Self> {
        elementwise::gelu(&elementwise::in_memory_order(x))
    }

    fn cpu_add(x: FloatTensor<Self>, y: FloatTensor<Self>) -> FloatTensor<Self> {
        add(ChannelsLast::read(x), &ChannelsLast::read(y)).into_tensor()
    }

    fn cpu_branch(x: FloatTensor<Self>) -> (FloatTensor<Self>, FloatTensor<Self>) {
        (x.clone(), x)
    }

    fn cpu_cross_entropy(
        logits: FloatTensor<Self>,
        labels: IntTensor<Self>,
        options: LossOptions,
    ) -> FloatTensor<Self> {
        vector(vec![cross_entropy(logits, labels, &options).0])
    }
}

/// The window of a linear layer.
pub(super) const LINEAR: Window = Window {
    stride: 1,
    padding: [[0; 2]; 2],
    groups: 1,
};
