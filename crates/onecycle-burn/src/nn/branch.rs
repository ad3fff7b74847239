use burn::tensor::Tensor;

use crate::cpu;

/// The same feature map twice, for the two branches of a residual block.
///
/// What a clone does, but for the time that it takes: on the CPU the gradients of the branches are added in place, by the
/// kernels, instead of by Burn's operation for tensors of any layout.
pub fn branch(x: Tensor<4>) -> [Tensor<4>; 2] {
    if cpu::supports(&x) {
        return cpu::branch(x);
    }
    [x.clone(), x]
}

/// Sum of two feature maps of the same shape, the end of a branch.
pub fn add(x: Tensor<4>, y: Tensor<4>) -> Tensor<4> {
    if cpu::supports(&x) {
        return cpu::add(x, y);
    }
    x + y
}
