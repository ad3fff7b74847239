//! Gradient clipping by the global norm (Pascanu et al. 2013).

use burn::{
    module::{Module, ModuleVisitor, Param},
    optim::GradientsParams,
    tensor::Tensor,
};

/// Added to the norm before the division, as in PyTorch's `clip_grad_norm_`.
const EPSILON: f64 = 1e-6;

/// L2 norm over all gradients of `model`. One value is read back from the device.
pub(super) fn global_norm<M: Module>(model: &M, grads: &GradientsParams) -> f64 {
    let mut squares = Squares {
        grads,
        sums: Vec::new(),
    };
    model.visit(&mut squares);
    let sums = squares.sums;
    if sums.is_empty() {
        return 0.0;
    }
    let sums = Tensor::cat(sums, 0).into_data();
    sums.iter::<f64>().sum::<f64>().sqrt()
}

/// Factor on all gradients: `min(1, max_norm / (norm + 1e-6))`.
pub(super) fn scale(norm: f64, max_norm: f64) -> f64 {
    (max_norm / (norm + EPSILON)).min(1.0)
}

/// Collects the sum of squares of each gradient.
struct Squares<'a> {
    grads: &'a GradientsParams,
    sums: Vec<Tensor<1>>,
}

impl ModuleVisitor for Squares<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(grad) = self.grads.get::<D>(param.id) {
            let grad = grad.without_autodiff();
            self.sums.push((grad.clone() * grad).sum());
        }
    }
}
