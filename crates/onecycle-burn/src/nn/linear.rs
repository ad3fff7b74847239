use burn::{
    module::{Module, Param},
    tensor::{Device, Tensor},
};
use rand_core::Rng;

use super::{Init, activation::activate};
use crate::cpu::{self, Activation};

/// A fully connected layer, `x weightᵀ + bias`, like PyTorch's `Linear`.
#[derive(Module, Debug)]
pub struct Linear {
    /// `[out, in]`.
    pub weight: Param<Tensor<2>>,
    /// `[out]`.
    pub bias: Option<Param<Tensor<1>>>,
}

impl Linear {
    /// Creates a layer from `features_in` to `features_out` features, weights and bias drawn from
    /// `rng` ([`Init::Uniform`]).
    pub fn new(
        features_in: usize,
        features_out: usize,
        rng: &mut impl Rng,
        device: &Device,
    ) -> Self {
        Linear::with_init(features_in, features_out, Init::Uniform, rng, device)
    }

    /// Creates a layer with weights drawn from `rng`. The bias is drawn after them with
    /// [`Init::Uniform`], else it is 0.
    pub fn with_init(
        features_in: usize,
        features_out: usize,
        init: Init,
        rng: &mut impl Rng,
        device: &Device,
    ) -> Self {
        let shape = [features_out, features_in];
        Linear {
            weight: init.draw(shape, features_in, features_out, rng, device),
            bias: Some(init.bias(features_out, features_in, rng, device)),
        }
    }

    /// Like [`new`](Self::new), without a bias.
    pub fn without_bias(
        features_in: usize,
        features_out: usize,
        rng: &mut impl Rng,
        device: &Device,
    ) -> Self {
        let shape = [features_out, features_in];
        Linear {
            weight: Init::Uniform.draw(shape, features_in, features_out, rng, device),
            bias: None,
        }
    }

    /// Maps `[batch, in]` to `[batch, out]`.
    pub fn forward(&self, input: Tensor<2>) -> Tensor<2> {
        self.apply(input, Activation::Identity)
    }

    /// [`Linear::forward`], then ReLU.
    pub fn forward_relu(&self, input: Tensor<2>) -> Tensor<2> {
        self.apply(input, Activation::Relu)
    }

    /// [`Linear::forward`], then [`gelu`](super::gelu).
    pub fn forward_gelu(&self, input: Tensor<2>) -> Tensor<2> {
        self.apply(input, Activation::Gelu)
    }

    fn apply(&self, input: Tensor<2>, activation: Activation) -> Tensor<2> {
        let weight = self.weight.val();
        let bias = self.bias.as_ref().map(Param::val);
        if cpu::supports(&input) {
            // The kernel always adds a bias; zeros need no gradient.
            let zeros = || Tensor::zeros([weight.dims()[0]], &input.device());
            let bias = bias.unwrap_or_else(zeros);
            return cpu::linear(input, weight, bias, activation);
        }
        let mut output = input.matmul(weight.transpose());
        if let Some(bias) = bias {
            output = output + bias.unsqueeze();
        }
        activate(activation, output)
    }
}
