use burn::tensor::Tensor;

use crate::cpu;

/// Returns the same feature map twice, for the two branches of a residual block.
///
/// The result is that of a clone, but on the CPU the backward pass is faster: a kernel adds the
/// gradients of the branches in place, instead of Burn's addition for tensors of any layout.
pub fn branch(x: Tensor<4>) -> [Tensor<4>; 2] {
    if cpu::supports(&x) {
        return cpu::branch(x);
    }
    [x.clone(), x]
}

/// Adds two feature maps of the same shape, at the end of a branch.
pub fn add(x: Tensor<4>, y: Tensor<4>) -> Tensor<4> {
    if cpu::supports(&x) {
        return cpu::add(x, y);
    }
    x + y
}
