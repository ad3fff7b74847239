//! Linear interpolation of flat tensors in place, in one pass over memory.

use burn::{
    backend::{Backend, Dispatch, Flex, backend_extension, tensor::FloatTensor},
    tensor::Tensor,
};

use super::{kernels::elements, update::writable};

/// Interpolation as an operation of a backend, without automatic differentiation.
#[backend_extension(Flex)]
pub(crate) trait CpuAverages: Backend {
    fn cpu_lerp(start: FloatTensor<Self>, end: FloatTensor<Self>, weight: f32)
    -> FloatTensor<Self>;
}

/// `start + weight (end - start)`, in the memory of `start` unless that is shared.
pub(crate) fn lerp(start: Tensor<1>, end: Tensor<1>, weight: f32) -> Tensor<1> {
    let result = Dispatch::cpu_lerp(start.into_dispatch(), end.into_dispatch(), weight);
    Tensor::from_dispatch(result)
}

impl CpuAverages for Flex {
    fn cpu_lerp(
        start: FloatTensor<Self>,
        end: FloatTensor<Self>,
        weight: f32,
    ) -> FloatTensor<Self> {
        let mut start = writable(start);
        interpolate(start.storage_mut(), &elements(&end), weight);
        start
    }
}

/// The formula of PyTorch's `torch.lerp`: it starts from the nearer end, so that weights 0 and 1
/// return exactly `start` and `end`.
fn interpolate(start: &mut [f32], end: &[f32], weight: f32) {
    let pairs = start.iter_mut().zip(end);
    if weight.abs() < 0.5 {
        pairs.for_each(|(start, end)| *start += weight * (end - *start));
    } else {
        let rest = 1.0 - weight;
        pairs.for_each(|(start, end)| *start = end - rest * (end - *start));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_are_exact_and_the_middle_is_between() {
        let of = |weight| {
            let mut start = [1.0, -0.1, 3e7];
            interpolate(&mut start, &[2.0, 0.3, 0.1], weight);
            start
        };
        assert_eq!(of(0.0), [1.0, -0.1, 3e7]);
        assert_eq!(of(1.0), [2.0, 0.3, 0.1]);
        assert_eq!(of(0.25)[0], 1.25);
        assert_eq!(of(0.75)[0], 1.75);
    }
}
