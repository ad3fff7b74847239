use burn::tensor::{Tensor, module::max_pool2d as burn_max_pool2d, ops::MaxPoolOptions};

use crate::cpu::{self, PoolOptions, Pooling};

/// Maximum of each `side` × `side` window of `[batch, channels, height, width]`. Windows do not
/// overlap; rows and columns at the end that do not fill a window are ignored.
pub fn max_pool2d(x: Tensor<4>, side: usize) -> Tensor<4> {
    let window = PoolWindow {
        side,
        stride: side,
        padding: 0,
    };
    max_pool2d_with(x, window)
}

/// Window of a pooling, square.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolWindow {
    /// Height and width, in pixels.
    pub side: usize,
    /// Pixels from one window to the next.
    pub stride: usize,
    /// Rows and columns on each side of the image that windows may cover; at most half of `side`.
    pub padding: usize,
}

/// Maximum of each window of `[batch, channels, height, width]`, like PyTorch's `max_pool2d`. Windows
/// may overlap. Padding never is the maximum. The output has `(height + 2 padding - side) / stride +
/// 1` rows, rounded down.
pub fn max_pool2d_with(x: Tensor<4>, window: PoolWindow) -> Tensor<4> {
    let PoolWindow {
        side,
        stride,
        padding,
    } = window;
    if cpu::supports(&x) {
        let options = PoolOptions {
            pooling: Pooling::Max,
            kernel: [side; 2],
            stride: [stride; 2],
            padding: [padding; 2],
        };
        return cpu::pool2d(x, options);
    }
    let options = MaxPoolOptions::new([side, side])
        .with_stride([stride, stride])
        .with_padding([padding, padding]);
    burn_max_pool2d(x, options)
}

/// Mean over height and width: `[batch, channels, height, width]` to `[batch, channels]`.
pub fn global_average_pool2d(x: Tensor<4>) -> Tensor<2> {
    let [batch, channels, height, width] = x.dims();
    let pooled = if cpu::supports(&x) {
        cpu::pool2d(x, global(Pooling::Average, [height, width]))
    } else {
        x.mean_dims(&[2, 3])
    };
    pooled.reshape([batch, channels])
}

/// Maximum over height and width: `[batch, channels, height, width]` to `[batch, channels]`.
pub fn global_max_pool2d(x: Tensor<4>) -> Tensor<2> {
    let [batch, channels, height, width] = x.dims();
    let pooled = if cpu::supports(&x) {
        cpu::pool2d(x, global(Pooling::Max, [height, width]))
    } else {
        x.max_dims(&[2, 3])
    };
    pooled.reshape([batch, channels])
}

/// One window as large as the image.
fn global(pooling: Pooling, size: [usize; 2]) -> PoolOptions {
    PoolOptions {
        pooling,
        kernel: size,
        stride: [1, 1],
        padding: [0, 0],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, TensorData};

    /// Odd sizes, where 2 x 2 windows leave out the last row and column, a window as large as the map,
    /// and windows that overlap and reach into the padding. Values and gradients are those of Burn's operation, exactly.
    #[test]
    fn max_pooling_agrees_with_burn() {
        let device = Device::flex().autodiff();
        for (channels, size, side, stride, padding) in [
            (64, 31, 2, 2, 0),
            (8, 15, 2, 2, 0),
            (5, 7, 2, 2, 0),
            (256, 3, 3, 3, 0),
            (3, 8, 2, 2, 0),
            (64, 14, 3, 2, 1),
            (5, 9, 3, 2, 1),
        ] {
            let dims = [2, channels, size, size];
            let values: Vec<f32> = (0..dims.iter().product())
                .map(|i| (i * 7919 % 1013) as f32 - 500.0)
                .collect();
            let run = |pool: &dyn Fn(Tensor<4>) -> Tensor<4>| {
                let data = TensorData::new(values.clone(), dims);
                let x = Tensor::<4>::from_data(data, &device).require_grad();
                let y = pool(x.clone());
                let grads = (y.clone() * y.clone()).sum().backward();
                let dx = x.grad(&grads).expect("a gradient");
                [y, dx].map(|t| (t.dims(), t.into_data().iter::<f32>().collect::<Vec<_>>()))
            };
            let options = MaxPoolOptions::new([side; 2])
                .with_stride([stride; 2])
                .with_padding([padding; 2]);
            let window = PoolWindow {
                side,
                stride,
                padding,
            };
            let ours = run(&|x| max_pool2d_with(x, window));
            let outputs = (size + 2 * padding - side) / stride + 1;
            assert_eq!(ours[0].0, [2, channels, outputs, outputs]);
            assert_eq!(ours, run(&|x| burn_max_pool2d(x, options.clone())));
            if stride == side {
                assert_eq!(ours, run(&|x| max_pool2d(x, side)));
            }
        }
    }
}
