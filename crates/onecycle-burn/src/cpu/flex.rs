//! Forward passes, and the operations without gradients.

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
    Affine, Conv2d, Epilogue, KernelError, Path, Pixels, Pool2d, Statistics, Workspace,
    average_pool2d_forward, batch_norm_forward, batch_norm_statistics, conv2d_forward,
    conv2d_forward_statistics, max_pool2d_forward,
};

use super::{CpuLayers, GhostBatches, Maybe, Pooling, Window, channels_last::ChannelsLast};

/// Scratch memory of all kernels.
pub(super) static WORKSPACE: Workspace = Workspace::new();

/// The machine's best instructions.
pub(super) fn path() -> Path {
    Path::detect()
}

/// Shapes that do not fit are a mistake in the model, which Burn's own operations answer by a panic as well.
pub(super) fn fitting<T>(layer: &str, result: Result<T, KernelError>) -> T {
    result.unwrap_or_else(|error| panic!("{layer}: {error}"))
}

/// Elements of a contiguous tensor, or of a contiguous copy.
pub(super) fn elements(tensor: &FlexTensor) -> Cow<'_, [f32]> {
    match tensor.as_slice::<f32>() {
        Some(elements) => Cow::Borrowed(elements),
        None => {
            let copy = tensor.to_contiguous();
            Cow::Owned(copy.storage::<f32>().to_vec())
        }
    }
}

/// A tensor of `[len]`.
pub(super) fn vector(values: Vec<f32>) -> FlexTensor {
    let len = values.len();
    FlexTensor::from_data(TensorData::new(values, [len]))
}

/// `[rows, columns]` as a feature map of one pixel a row.
pub(super) fn matrix(tensor: FlexTensor) -> ChannelsLast {
    let [rows, columns] = tensor.layout().shape().dims();
    let tensor = tensor.to_contiguous();
    let layout = Layout::contiguous(Shape::from([rows, columns, 1, 1]));
    ChannelsLast::read(tensor.with_layout(layout))
}

/// A feature map of one pixel as `[rows, columns]`.
pub(super) fn into_matrix(map: ChannelsLast) -> FlexTensor {
    let [rows, columns, _, _] = map.dims;
    map.into_tensor()
        .with_layout(Layout::contiguous(Shape::from([rows, columns])))
}

/// Shape of the convolution of `x` with `weight`, `[out, in, height, width]`.
pub(super) fn conv_shape(x: &ChannelsLast, weight: &FlexTensor, window: Window) -> Conv2d {
    let [batch, in_channels, height, width] = x.dims;
    let shape = weight.layout().shape();
    // A linear layer is a convolution of single pixels.
    let [out_channels, expected, kernel_height, kernel_width] = if shape.num_dims() == 2 {
        let [o, i] = shape.dims();
        [o, i, 1, 1]
    } else {
        shape.dims()
    };
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
        padding: [window.padding; 2],
    }
}

pub(super) fn conv(
    x: &ChannelsLast,
    weight: &FlexTensor,
    bias: Option<&FlexTensor>,
    shape: &Conv2d,
    relu: bool,
) -> ChannelsLast {
    let [height, width] = fitting("conv2d", shape.output());
    let bias = bias.map(elements);
    let epilogue = Epilogue {
        bias: bias.as_deref(),
        relu,
    };
    let dims = [shape.batch, shape.out_channels, height, width];
    let weight = elements(weight);
    let y = ChannelsLast::filled(dims, |y| {
        conv2d_forward(&WORKSPACE, path(), shape, x.values(), &weight, epilogue, y)
    });
    fitting("conv2d", y)
}

/// Pixels and channels of a run.
pub(super) fn ghost_pixels(x: &ChannelsLast, images: &Range<usize>) -> Pixels {
    let [_, channels, height, width] = x.dims;
    Pixels {
        count: images.len() * height * width,
        channels,
    }
}

/// A convolution without bias, and the statistics of its output in each run.
pub(super) fn conv_with_statistics(
    x: &ChannelsLast,
    weight: &FlexTensor,
    shape: &Conv2d,
    ghosts: GhostBatches,
) -> (ChannelsLast, Vec<Statistics>) {
    let [height, width] = fitting("conv2d", shape.output());
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
            let found = conv2d_forward_statistics(&WORKSPACE, path(), &shape, x, &weight, y)?;
            statistics.push(found);
        }
        Ok(())
    });
    (fitting("conv2d", y), statistics)
}

/// Pixels and channels of a feature map.
pub(super) fn pixels(x: &ChannelsLast) -> Pixels {
    Pixels {
        count: x.pixels(),
        channels: x.dims[1],
    }
}

/// A batch norm's scale and shift, as read.
pub(super) struct Scale<'a> {
    weight: Cow<'a, [f32]>,
    bias: Cow<'a, [f32]>,
    epsilon: f64,
}

impl<'a> Scale<'a> {
    pub(super) fn read(weight: &'a FlexTensor, bias: &'a FlexTensor, epsilon: f64) -> Self {
        Scale {
            weight: elements(weight),
            bias: elements(bias),
            epsilon,
        }
    }

    pub(super) fn affine(&self) -> Affine<'_> {
        Affine {
            weight: &self.weight,
            bias: &self.bias,
            epsilon: self.epsilon,
        }
    }
}

/// The statistics of each run.
pub(super) fn statistics(x: &ChannelsLast, ghosts: GhostBatches) -> Vec<Statistics> {
    let parts = x.values().chunks(ghosts.chunk(x.values().len()));
    let of_ghost = |(images, part): (Range<usize>, &[f32])| {
        let found = batch_norm_statistics(path(), &ghost_pixels(x, &images), part);
        fitting("batch norm", found)
    };
    ghosts.iter().zip(parts).map(of_ghost).collect()
}

/// Each run normalised by its own of `statistics`.
pub(super) fn normalise(
    x: &ChannelsLast,
    statistics: &[Statistics],
    ghosts: GhostBatches,
    scale: &Scale,
    residual: Option<&ChannelsLast>,
    relu: bool,
) -> ChannelsLast {
    let chunk = ghosts.chunk(x.values().len());
    let y = ChannelsLast::filled(x.dims, |y| {
        let parts = x.values().chunks(chunk).zip(y.chunks_mut(chunk));
        for ((images, statistics), (x_ghost, y)) in ghosts.iter().zip(statistics).zip(parts) {
            let image = x_ghost.len() / images.len();
            let own = images.start * image..images.end * image;
            batch_norm_forward(
                path(),
                &ghost_pixels(x, &images),
                statistics,
                scale.affine(),
                x_ghost,
                residual.map(|residual| &residual.values()[own]),
                relu,
                y,
            )?;
        }
        Ok(())
    });
    fitting("batch norm", y)
}

/// Means and variances, `[ghosts, channels]` each.
pub(super) fn moments(statistics: &[Statistics]) -> [FlexTensor; 2] {
    let table = |values: Vec<f32>| {
        let shape = [statistics.len(), values.len() / statistics.len().max(1)];
        FlexTensor::from_data(TensorData::new(values, shape))
    };
    let means = statistics.iter().flat_map(|of| of.mean.iter().copied());
    let variances = statistics.iter().flat_map(|of| of.variance.iter().copied());
    [table(means.collect()), table(variances.collect())]
}

/// The sum, in the memory of `x` where nobody else holds it.
pub(super) fn add(mut x: ChannelsLast, y: &ChannelsLast) -> ChannelsLast {
    assert_eq!(x.dims, y.dims, "add: feature maps of different shapes");
    fitting(
        "add",
        onecycle_kernels::add(path(), x.values_mut(), y.values()),
    );
    x
}

pub(super) fn pool_shape(x: &ChannelsLast, kernel: [usize; 2], stride: [usize; 2]) -> Pool2d {
    let [batch, channels, height, width] = x.dims;
    Pool2d {
        batch,
        channels,
        height,
        width,
        kernel,
        stride,
    }
}

/// Largest values, and where they stood in their windows.
pub(super) fn max_pool(x: &ChannelsLast, shape: &Pool2d) -> (ChannelsLast, Vec<u16>) {
    let [height, width] = fitting("max pooling", shape.output());
    let dims = [shape.batch, shape.channels, height, width];
    let mut chosen = vec![0; dims.iter().product()];
    let y = ChannelsLast::filled(dims, |y| {
        max_pool2d_forward(path(), shape, x.values(), y, &mut chosen)
    });
    (fitting("max pooling", y), chosen)
}

pub(super) fn average_pool(x: &ChannelsLast, shape: &Pool2d) -> ChannelsLast {
    let [height, width] = fitting("average pooling", shape.output());
    let dims = [shape.batch, shape.channels, height, width];
    let y = ChannelsLast::filled(dims, |y| {
        average_pool2d_forward(path(), shape, x.values(), y)
    });
    fitting("average pooling", y)
}

/// The loss, and its gradient with respect to the logits.
pub(super) fn cross_entropy(
    logits: FlexTensor,
    labels: IntTensor<Flex>,
    smoothing: f64,
) -> (f32, ChannelsLast) {
    let logits = matrix(logits);
    let labels: Vec<i64> = labels.into_data().iter::<i64>().collect();
    let mut loss = 0.0;
    let gradient = ChannelsLast::filled(logits.dims, |gradient| {
        let classes = logits.dims[1];
        let values = logits.values();
        onecycle_kernels::cross_entropy(path(), classes, smoothing, values, &labels, gradient)
            .map(|value| loss = value)
    });
    (loss, fitting("cross-entropy", gradient))
}

impl CpuLayers for Flex {
    fn cpu_conv2d(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: Maybe<Self>,
        window: Window,
        relu: bool,
    ) -> FloatTensor<Self> {
        let x = ChannelsLast::read(x);
        let shape = conv_shape(&x, &weight, window);
        let y = conv(&x, &weight, bias.into_option().as_ref(), &shape, relu);
        x.give_back();
        y.into_tensor()
    }

    fn cpu_linear(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        relu: bool,
    ) -> FloatTensor<Self> {
        let x = matrix(x);
        let shape = conv_shape(&x, &weight, LINEAR);
        into_matrix(conv(&x, &weight, Some(&bias), &shape, relu))
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
        let x = ChannelsLast::read(x);
        let residual = residual.into_option().map(ChannelsLast::read);
        let ghosts = GhostBatches::new(x.dims[0], ghost);
        let statistics = statistics(&x, ghosts);
        let scale = Scale::read(&weight, &bias, epsilon);
        let y = normalise(&x, &statistics, ghosts, &scale, residual.as_ref(), relu);
        x.give_back();
        if let Some(residual) = residual {
            residual.give_back();
        }
        let [mean, variance] = moments(&statistics);
        (y.into_tensor(), mean, variance)
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
        let z = Self::cpu_conv2d(x, kernel, Maybe::Absent, window, false);
        Self::cpu_batch_norm_train(z, weight, bias, residual, ghost, epsilon, relu)
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
        let x = ChannelsLast::read(x);
        let residual = residual.into_option().map(ChannelsLast::read);
        let statistics = [Statistics {
            mean: elements(&mean).into_owned(),
            variance: elements(&variance).into_owned(),
        }];
        let scale = Scale::read(&weight, &bias, epsilon);
        let whole = GhostBatches::new(x.dims[0], 0);
        let y = normalise(&x, &statistics, whole, &scale, residual.as_ref(), relu);
        x.give_back();
        if let Some(residual) = residual {
            residual.give_back();
        }
        y.into_tensor()
    }

    fn cpu_pool2d(
        x: FloatTensor<Self>,
        pooling: Pooling,
        kernel: [usize; 2],
        stride: [usize; 2],
    ) -> FloatTensor<Self> {
        let x = ChannelsLast::read(x);
        let shape = pool_shape(&x, kernel, stride);
        let y = match pooling {
            Pooling::Max => max_pool(&x, &shape).0,
            Pooling::Average => average_pool(&x, &shape),
        };
        x.give_back();
        y.into_tensor()
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
        smoothing: f64,
    ) -> FloatTensor<Self> {
        vector(vec![cross_entropy(logits, labels, smoothing).0])
    }
}

/// The window of a linear layer.
pub(super) const LINEAR: Window = Window {
    stride: 1,
    padding: 0,
};
