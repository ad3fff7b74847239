use burn::tensor::{Tensor, module::max_pool2d as burn_max_pool2d, ops::MaxPoolOptions};

use crate::cpu::{self, Pooling};

/// Maximum of each `side` × `side` window of `[batch, channels, height, width]`. Windows do not
/// overlap; rows and columns at the end that do not fill a window are ignored.
pub fn max_pool2d(x: Tensor<4>, side: usize) -> Tensor<4> {
    if cpu::supports(&x) {
        return cpu::pool2d(x, Pooling::Max, [side, side], [side, side]);
    }
    burn_max_pool2d(x, MaxPoolOptions::new([side, side]))
}

/// Mean over height and width: `[batch, channels, height, width]` to `[batch, channels]`.
pub fn global_average_pool2d(x: Tensor<4>) -> Tensor<2> {
    let [batch, channels, height, width] = x.dims();
    let pooled = if cpu::supports(&x) {
        cpu::pool2d(x, Pooling::Average, [height, width], [1, 1])
    } else {
        x.mean_dims(&[2, 3])
    };
    pooled.reshape([batch, channels])
}

/// Maximum over height and width: `[batch, channels, height, width]` to `[batch, channels]`.
pub fn global_max_pool2d(x: Tensor<4>) -> Tensor<2> {
    let [batch, channels, height, width] = x.dims();
    let pooled = if cpu::supports(&x) {
        cpu::pool2d(x, Pooling::Max, [height, width], [1, 1])
    } else {
        x.max_dims(&[2, 3])
    };
    pooled.reshape([batch, channels])
}
