//! The kernels that all layers share, and the slices of tensors that they read and write.

use std::{borrow::Cow, sync::LazyLock};

use burn::{backend::flex::FlexTensor, tensor::TensorData};
use onecycle_kernels::{KernelError, Kernels};

/// The kernels, with scratch memory that all layers share.
pub(super) static KERNELS: LazyLock<Kernels> = LazyLock::new(Kernels::new);

/// Unwraps the result of a kernel. An error means that the model's shapes are inconsistent; Burn's
/// own operations panic in this case, too.
pub(super) fn expect_valid<T>(layer: &str, result: Result<T, KernelError>) -> T {
    result.unwrap_or_else(|error| panic!("{layer}: {error}"))
}

/// The elements of a tensor, copied if it is not contiguous.
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
