//! Optimizer updates in place, each in one pass over memory.

use burn::{
    backend::{Backend, Dispatch, Flex, backend_extension, flex::FlexTensor, tensor::FloatTensor},
    tensor::Tensor,
};
use onecycle_kernels::{Adam, AdamState, MomentumBuffer, Sgd};

use super::{
    Maybe,
    kernels::{KERNELS, elements, expect_valid, vector},
};

/// Updates of flat parameters as operations of a backend, without automatic differentiation.
#[backend_extension(Flex)]
pub(crate) trait CpuUpdates: Backend {
    fn cpu_sgd(
        weights: FloatTensor<Self>,
        #[extension_type] momentum_buffer: Maybe<Self>,
        gradient: FloatTensor<Self>,
        step: Sgd,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    fn cpu_adam(
        weights: FloatTensor<Self>,
        #[extension_type] exp_avg: Maybe<Self>,
        #[extension_type] exp_avg_sq: Maybe<Self>,
        gradient: FloatTensor<Self>,
        step: Adam,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}

/// One step of SGD with momentum on a flat parameter. Returns the new weights and the new momentum
/// buffer; pass `None` as the buffer in the first step.
pub(crate) fn sgd(
    weights: Tensor<1>,
    momentum_buffer: Option<Tensor<1>>,
    gradient: Tensor<1>,
    step: Sgd,
) -> (Tensor<1>, Tensor<1>) {
    let (weights, momentum_buffer) = Dispatch::cpu_sgd(
        weights.into_dispatch(),
        Maybe::from(momentum_buffer),
        gradient.into_dispatch(),
        step,
    );
    (
        Tensor::from_dispatch(weights),
        Tensor::from_dispatch(momentum_buffer),
    )
}

/// One step of Adam or AdamW on a flat parameter. Returns the new weights and the new running means
/// of the gradient and of its square; pass `None` for both in the first step.
pub(crate) fn adam(
    weights: Tensor<1>,
    [exp_avg, exp_avg_sq]: [Option<Tensor<1>>; 2],
    gradient: Tensor<1>,
    step: Adam,
) -> (Tensor<1>, [Tensor<1>; 2]) {
    let (weights, exp_avg, exp_avg_sq) = Dispatch::cpu_adam(
        weights.into_dispatch(),
        Maybe::from(exp_avg),
        Maybe::from(exp_avg_sq),
        gradient.into_dispatch(),
        step,
    );
    (
        Tensor::from_dispatch(weights),
        [exp_avg, exp_avg_sq].map(Tensor::from_dispatch),
    )
}

/// A contiguous tensor that can be written to: the tensor itself, or a copy if its memory is
/// shared.
pub(super) fn writable(tensor: FlexTensor) -> FlexTensor {
    let len = tensor.layout().shape().num_elements();
    let alone = tensor.is_unique() && tensor.as_slice::<f32>().is_some();
    if alone && tensor.storage::<f32>().len() == len {
        return tensor;
    }
    vector(elements(&tensor).into_owned())
}

/// The optimizer's state, or zeros in the first step.
fn state(given: Maybe<Flex>, len: usize) -> FlexTensor {
    match given.into_option() {
        Some(tensor) => writable(tensor),
        None => vector(vec![0.0; len]),
    }
}

impl CpuUpdates for Flex {
    fn cpu_sgd(
        weights: FloatTensor<Self>,
        momentum_buffer: Maybe<Self>,
        gradient: FloatTensor<Self>,
        step: Sgd,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let mut weights = writable(weights);
        let first = matches!(momentum_buffer, Maybe::Absent);
        let mut momentum_buffer = state(momentum_buffer, weights.storage::<f32>().len());
        let buffer = if first {
            MomentumBuffer::Uninitialised(momentum_buffer.storage_mut())
        } else {
            MomentumBuffer::Previous(momentum_buffer.storage_mut())
        };
        let gradient = elements(&gradient);
        let updated = KERNELS.sgd(&step, weights.storage_mut(), buffer, &gradient);
        expect_valid("sgd", updated);
        (weights, momentum_buffer)
    }

    fn cpu_adam(
        weights: FloatTensor<Self>,
        exp_avg: Maybe<Self>,
        exp_avg_sq: Maybe<Self>,
        gradient: FloatTensor<Self>,
        step: Adam,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let mut weights = writable(weights);
        let len = weights.storage::<f32>().len();
        let [mut exp_avg, mut exp_avg_sq] = [exp_avg, exp_avg_sq].map(|given| state(given, len));
        let state = AdamState {
            exp_avg: exp_avg.storage_mut(),
            exp_avg_sq: exp_avg_sq.storage_mut(),
        };
        let gradient = elements(&gradient);
        let updated = KERNELS.adam(&step, weights.storage_mut(), state, &gradient);
        expect_valid("adam", updated);
        (weights, exp_avg, exp_avg_sq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_written_in_place_unless_shared() {
        let alone = vector(vec![1.0, 2.0]);
        let address = alone.storage::<f32>().as_ptr();
        let mut kept = writable(alone);
        assert_eq!(kept.storage::<f32>().as_ptr(), address);
        let other = kept.clone();
        kept = writable(kept);
        kept.storage_mut::<f32>()[0] = 5.0;
        assert_eq!(elements(&other)[..], [1.0, 2.0]);
        assert_eq!(elements(&kept)[..], [5.0, 2.0]);
    }
}
