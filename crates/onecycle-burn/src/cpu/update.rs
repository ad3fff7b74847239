//! Updates of parameters, each in one pass over memory, in the memory that the parameter and its state have.

use burn::{
    backend::{Backend, Dispatch, Flex, backend_extension, flex::FlexTensor, tensor::FloatTensor},
    tensor::Tensor,
};
use onecycle_kernels::{Adam, Sgd};

use super::{
    Maybe,
    flex::{elements, fitting, path, vector},
};

/// Updates of flat parameters, as operations of a backend. They are not part of what is differentiated.
#[backend_extension(Flex)]
pub(crate) trait CpuUpdates: Backend {
    fn cpu_sgd(
        weights: FloatTensor<Self>,
        #[extension_type] velocity: Maybe<Self>,
        gradient: FloatTensor<Self>,
        step: Sgd,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    fn cpu_adam(
        weights: FloatTensor<Self>,
        #[extension_type] mean: Maybe<Self>,
        #[extension_type] square: Maybe<Self>,
        gradient: FloatTensor<Self>,
        step: Adam,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}

/// One step of SGD with momentum on a flat parameter: new weights and velocity; there is none before the first step.
pub(crate) fn sgd(
    weights: Tensor<1>,
    velocity: Option<Tensor<1>>,
    gradient: Tensor<1>,
    step: Sgd,
) -> (Tensor<1>, Tensor<1>) {
    let (weights, velocity) = Dispatch::cpu_sgd(
        weights.into_dispatch(),
        Maybe::from(velocity),
        gradient.into_dispatch(),
        step,
    );
    (
        Tensor::from_dispatch(weights),
        Tensor::from_dispatch(velocity),
    )
}

/// One step of Adam or AdamW on a flat parameter: new weights, mean and mean square; there are none before the first step.
pub(crate) fn adam(
    weights: Tensor<1>,
    [mean, square]: [Option<Tensor<1>>; 2],
    gradient: Tensor<1>,
    step: Adam,
) -> (Tensor<1>, [Tensor<1>; 2]) {
    let (weights, mean, square) = Dispatch::cpu_adam(
        weights.into_dispatch(),
        Maybe::from(mean),
        Maybe::from(square),
        gradient.into_dispatch(),
        step,
    );
    (
        Tensor::from_dispatch(weights),
        [mean, square].map(Tensor::from_dispatch),
    )
}

/// The tensor itself where nobody else holds its memory, else a copy: one that can be written into as a whole.
fn writable(tensor: FlexTensor) -> FlexTensor {
    let len = tensor.layout().shape().num_elements();
    let alone = tensor.is_unique() && tensor.as_slice::<f32>().is_some();
    if alone && tensor.storage::<f32>().len() == len {
        return tensor;
    }
    vector(elements(&tensor).into_owned())
}

/// The optimizer's state, or zeros before the first step.
fn state(given: Maybe<Flex>, len: usize) -> FlexTensor {
    match given.into_option() {
        Some(tensor) => writable(tensor),
        None => vector(vec![0.0; len]),
    }
}

impl CpuUpdates for Flex {
    fn cpu_sgd(
        weights: FloatTensor<Self>,
        velocity: Maybe<Self>,
        gradient: FloatTensor<Self>,
        step: Sgd,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let mut weights = writable(weights);
        let first = matches!(velocity, Maybe::Absent);
        let mut velocity = state(velocity, weights.storage::<f32>().len());
        let updated = onecycle_kernels::sgd(
            path(),
            &step,
            first,
            weights.storage_mut(),
            velocity.storage_mut(),
            &elements(&gradient),
        );
        fitting("sgd", updated);
        (weights, velocity)
    }

    fn cpu_adam(
        weights: FloatTensor<Self>,
        mean: Maybe<Self>,
        square: Maybe<Self>,
        gradient: FloatTensor<Self>,
        step: Adam,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let mut weights = writable(weights);
        let len = weights.storage::<f32>().len();
        let [mut mean, mut square] = [mean, square].map(|given| state(given, len));
        let updated = onecycle_kernels::adam(
            path(),
            &step,
            weights.storage_mut(),
            mean.storage_mut(),
            square.storage_mut(),
            &elements(&gradient),
        );
        fitting("adam", updated);
        (weights, mean, square)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_written_in_place_unless_somebody_else_holds_it() {
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
