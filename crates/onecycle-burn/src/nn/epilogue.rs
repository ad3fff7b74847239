use burn::tensor::{Tensor, activation::relu};

use super::add;

/// What follows a normalisation: first a residual is added, then ReLU is applied. On the CPU the
/// kernels do both in the pass that normalises.
#[derive(Debug, Clone)]
pub(super) struct Epilogue {
    /// Added to the output; of its shape.
    pub(super) residual: Option<Tensor<4>>,
    /// Whether ReLU comes last.
    pub(super) relu: bool,
}

impl Epilogue {
    pub(super) fn none() -> Self {
        Epilogue {
            residual: None,
            relu: false,
        }
    }

    pub(super) fn relu() -> Self {
        Epilogue {
            residual: None,
            relu: true,
        }
    }

    pub(super) fn residual_relu(residual: Tensor<4>) -> Self {
        Epilogue {
            residual: Some(residual),
            relu: true,
        }
    }

    /// Where no kernel has done it.
    pub(super) fn apply(self, output: Tensor<4>) -> Tensor<4> {
        let output = match self.residual {
            Some(residual) => add(output, residual),
            None => output,
        };
        if self.relu { relu(output) } else { output }
    }
}
