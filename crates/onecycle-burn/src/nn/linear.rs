use burn::{
    module::{Module, Param},
    tensor::{Device, Tensor},
};
use rand_core::Rng;

use super::Init;

/// A fully connected layer, `x weightᵀ + bias`, as PyTorch's `Linear`.
#[derive(Module, Debug)]
pub struct Linear {
    /// `[out, in]`.
    pub weight: Param<Tensor<2>>,
    /// `[out]`.
    pub bias: Param<Tensor<1>>,
}

impl Linear {
    /// A layer from `features_in` to `features_out`, weights and bias drawn uniformly ([`Init::Uniform`]).
    pub fn new(
        features_in: usize,
        features_out: usize,
        rng: &mut impl Rng,
        device: &Device,
    ) -> Self {
        let shape = [features_out, features_in];
        Linear {
            weight: Init::Uniform.draw(shape, features_in, features_out, rng, device),
            bias: Init::Uniform.draw([features_out], features_in, features_out, rng, device),
        }
    }

    /// Maps `[batch, in]` to `[batch, out]`.
    pub fn forward(&self, input: Tensor<2>) -> Tensor<2> {
        input.matmul(self.weight.val().transpose()) + self.bias.val().unsqueeze()
    }
}
