use std::f64::consts::FRAC_1_SQRT_2;

use burn::tensor::{Tensor, activation::relu};

use crate::cpu::{self, Activation};

/// GELU, `x Φ(x)` with the standard normal distribution `Φ(x) = (1 + erf(x/√2)) / 2`, of each element
/// (Hendrycks & Gimpel 2016, section 2). It is exact, like the default of PyTorch's `gelu`.
///
/// After a layer, its `forward_gelu` does the same in fewer passes over memory.
pub fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    if cpu::supports(&x) {
        return cpu::gelu(x);
    }
    gelu_by_burn(x)
}

/// [`gelu`] by Burn's elementary operations. Burn's own GELU has the gradient of the approximation
/// by a hyperbolic tangent on most backends.
pub(super) fn gelu_by_burn<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let distribution = ((x.clone() * FRAC_1_SQRT_2).erf() + 1.0) * 0.5;
    x * distribution
}

/// ReLU6, `min(max(x, 0), 6)`, of each element (Krizhevsky 2010, "Convolutional deep belief networks
/// on CIFAR-10"). Mobile networks use it.
///
/// After a layer, its `forward_relu6` does the same in fewer passes over memory.
pub fn relu6<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    x.clamp(0.0, 6.0)
}

/// Applies `activation` where no kernel has done it.
pub(super) fn activate<const D: usize>(activation: Activation, x: Tensor<D>) -> Tensor<D> {
    match activation {
        Activation::Identity => x,
        Activation::Relu => relu(x),
        Activation::Relu6 => relu6(x),
        Activation::Gelu => gelu(x),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{DType, Device, TensorData};

    fn read<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
        tensor.into_data().iter::<f64>().collect()
    }

    /// `Φ(1) = 0.841344746068543` and `φ(1) = 0.241970724519143` (Abramowitz & Stegun, table 26.1).
    #[test]
    fn values_and_gradients_are_the_tabulated_ones() {
        let (distribution, density) = (0.841344746068543, 0.241970724519143);
        for (dtype, most) in [(DType::F32, 1e-6), (DType::F64, 1e-14)] {
            let device = Device::flex().autodiff();
            let data = TensorData::from([1.0f64, -1.0, 0.0]);
            let x = Tensor::<1>::from_data(data, (&device, dtype)).require_grad();
            let y = gelu(x.clone());
            assert_eq!(y.dtype(), dtype);
            let grads = y.clone().sum().backward();
            let slope = read(x.grad(&grads).expect("a gradient"));
            let known = [
                (read(y), [distribution, distribution - 1.0, 0.0]),
                (
                    slope,
                    [distribution + density, 1.0 - distribution - density, 0.5],
                ),
            ];
            for (got, known) in known {
                for (got, known) in got.iter().zip(known) {
                    assert!((got - known).abs() < most, "{dtype:?}: {got} for {known}");
                }
            }
        }
    }

    /// Tensors of different ranks and memory orders, among them one whose gradient comes in another
    /// order than the tensor, agree with Burn's operations.
    #[test]
    fn any_shape_agrees_with_operations_of_burn() {
        let device = Device::flex().autodiff();
        let values: Vec<f32> = (0..120)
            .map(|i| ((i * 37 % 101) as f32 - 50.0) / 12.0)
            .collect();
        let run = |function: fn(Tensor<4>) -> Tensor<4>, flat: fn(Tensor<2>) -> Tensor<2>| {
            let leaf = |data: TensorData| Tensor::<4>::from_data(data, &device).require_grad();
            let x = leaf(TensorData::new(values.clone(), [2, 3, 4, 5]));
            let maps = function(x.clone().swap_dims(1, 3));
            let rows = flat(x.clone().reshape([6, 20]).transpose());
            let some = flat(x.clone().reshape([6, 20]).slice([2..4, 3..7]));
            let weights = Tensor::<4>::from_data(
                TensorData::new(values.iter().map(|v| v * 0.5 + 1.0).collect(), [2, 5, 4, 3]),
                &device,
            );
            let loss = (maps.clone() * weights).sum()
                + (rows.clone() * rows.clone()).sum()
                + (some.clone() * some.clone()).sum();
            let grads = loss.backward();
            [
                read(maps),
                read(rows),
                read(some),
                read(x.grad(&grads).expect("a gradient")),
            ]
            .concat()
        };
        let (got, known) = (run(gelu, gelu), run(gelu_by_burn, gelu_by_burn));
        assert_eq!(got.len(), 2 * 120 + 8 + 120);
        for (got, known) in got.iter().zip(&known) {
            assert!((got - known).abs() < 2e-5, "{got} for {known}");
        }
    }
}
