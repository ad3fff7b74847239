//! What the comparisons of training steps with PyTorch share.

use burn::{
    module::{ModuleMapper, Param},
    tensor::{DType, Tensor, TensorData},
};

/// All values of a tensor.
pub(crate) fn values(data: &TensorData) -> Vec<f64> {
    data.iter::<f64>().collect()
}

/// The Euclidean norm.
pub(crate) fn norm(values: impl IntoIterator<Item = f64>) -> f64 {
    values.into_iter().map(|v| v * v).sum::<f64>().sqrt()
}

/// The norm of the difference over the norm of the recorded vector.
pub(crate) fn l2(got: &[f64], want: &[f64]) -> f64 {
    assert_eq!(got.len(), want.len());
    norm(got.iter().zip(want).map(|(g, w)| g - w)) / norm(want.iter().copied())
}

/// Converts all tensors of a module to one element type.
pub(crate) struct Convert(pub(crate) DType);

impl ModuleMapper for Convert {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, tensor, mapper) = param.consume();
        let required = tensor.is_require_grad();
        let mut tensor = tensor.without_autodiff().cast(self.0).autodiff();
        if required {
            tensor = tensor.require_grad();
        }
        Param::from_mapped_value(id, tensor, mapper)
    }
}
