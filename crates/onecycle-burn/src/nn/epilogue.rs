use burn::tensor::Tensor;

use super::{activation::activate, add};
use crate::cpu::Activation;

/// What follows a normalisation: first a residual is added, then an activation is applied. On the
/// CPU the kernels do both in the pass that normalises.
#[derive(Debug, Clone)]
pub(super) struct Epilogue {
    /// Added to the output; of its shape.
    pub(super) residual: Option<Tensor<4>>,
    /// Comes last.
    pub(super) activation: Activation,
}

impl Epilogue {
    /// Only an activation.
    pub(super) fn activation(activation: Activation) -> Self {
        Epilogue {
            residual: None,
            activation,
        }
    }

    /// Only a residual.
    pub(super) fn residual(residual: Tensor<4>) -> Self {
        Epilogue {
            residual: Some(residual),
            activation: Activation::Identity,
        }
    }

    pub(super) fn residual_relu(residual: Tensor<4>) -> Self {
        Epilogue {
            residual: Some(residual),
            activation: Activation::Relu,
        }
    }

    /// Where no kernel has done it.
    pub(super) fn apply(self, output: Tensor<4>) -> Tensor<4> {
        let output = match self.residual {
            Some(residual) => add(output, residual),
            None => output,
        };
        activate(self.activation, output)
    }
}
