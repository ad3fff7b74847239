use std::ops::Range;

use burn::{
    module::{Flag, Module, ModuleMapper, ModuleVisitor, Param, ParamId},
    optim::GradientsParams,
    tensor::{DType, Tensor, TensorData},
};
use onecycle_stats::Block;

use super::Objective;
use crate::{
    BurnError, state,
    step::{gradients, loss_value},
    untracked,
};

/// A fork of a module whose trainable weights are one vector of float64.
#[derive(Debug)]
pub struct Subject<M> {
    /// Shares nothing with the original. Its training flags are off.
    fork: M,
    parts: Vec<Part>,
    weights: Vec<f64>,
    double: bool,
}

/// A trainable parameter and its range in the vector.
#[derive(Debug, Clone)]
struct Part {
    id: ParamId,
    dims: Vec<usize>,
    range: Range<usize>,
}

impl<M: Module> Subject<M> {
    /// Forks `model`. The vector contains all float parameters that require a gradient, in the
    /// order of the module.
    ///
    /// # Errors
    /// [`BurnError::NothingTrainable`] if no parameter requires a gradient.
    pub fn new(model: &M) -> Result<Self, BurnError> {
        let fork = state::fork(model).map(&mut FlagsOff);
        let mut reader = Reader {
            parts: Vec::new(),
            weights: Vec::new(),
            double: true,
        };
        fork.visit(&mut reader);
        if reader.weights.is_empty() {
            return Err(BurnError::NothingTrainable);
        }
        Ok(Subject {
            fork,
            parts: reader.parts,
            weights: reader.weights,
            double: reader.double,
        })
    }

    /// The weights of the original module.
    pub fn weights(&self) -> &[f64] {
        &self.weights
    }

    /// Whether all weights are in double precision.
    pub(super) fn is_double(&self) -> bool {
        self.double
    }

    /// The tensors that make up the vector, and the length of their filters; see
    /// [`direction`](Subject::direction).
    pub fn blocks(&self) -> Vec<Block> {
        let block = |part: &Part| Block {
            len: part.range.len(),
            filter: match part.dims.as_slice() {
                [first, _, ..] => part.range.len() / first.max(&1),
                _ => 0,
            },
        };
        self.parts.iter().map(block).collect()
    }

    /// Returns the module with these weights, in evaluation mode but with gradients.
    ///
    /// # Panics
    /// If the number of weights differs from that of the module.
    pub fn at(&self, weights: &[f64]) -> M {
        assert_eq!(weights.len(), self.weights.len(), "number of weights");
        self.fork.clone().map(&mut Writer {
            parts: &self.parts,
            weights,
        })
    }

    /// Returns loss and gradient at `weights`, as means over all micro-batches.
    ///
    /// # Errors
    /// Those of the objective.
    pub fn gradient<O: Objective<M>>(
        &self,
        weights: &[f64],
        objective: &mut O,
    ) -> Result<(f64, Vec<f64>), O::Error> {
        let model = self.at(weights);
        let batches = objective.batches();
        let mut sum = vec![0.0; weights.len()];
        let mut loss = 0.0;
        for batch in 0..batches {
            let (value, gradient) = self.batch_gradient(&model, batch, objective)?;
            loss += value;
            sum.iter_mut().zip(gradient).for_each(|(sum, g)| *sum += g);
        }
        let share = 1.0 / batches as f64;
        sum.iter_mut().for_each(|sum| *sum *= share);
        Ok((loss * share, sum))
    }

    /// Returns the loss at `weights`, as the mean over all micro-batches.
    ///
    /// # Errors
    /// Those of the objective.
    pub fn loss<O: Objective<M>>(
        &self,
        weights: &[f64],
        objective: &mut O,
    ) -> Result<f64, O::Error> {
        let model = untracked::parameters(self.at(weights));
        let batches = objective.batches();
        let mut sum = 0.0;
        for batch in 0..batches {
            let loss = objective.loss(&model, batch)?;
            sum += loss_value(&loss);
            untracked::forget(&loss.device());
        }
        Ok(sum / batches as f64)
    }

    /// Returns loss and gradient on one micro-batch of `model`, a result of [`at`](Self::at).
    pub(super) fn batch_gradient<O: Objective<M>>(
        &self,
        model: &M,
        batch: usize,
        objective: &mut O,
    ) -> Result<(f64, Vec<f64>), O::Error> {
        let loss = objective.loss(model, batch)?;
        let value = loss_value(&loss);
        let grads = gradients(&loss, model);
        // Parameters that the loss does not depend on have no gradient; theirs is 0.
        let mut gradient = vec![0.0; self.weights.len()];
        model.visit(&mut GradientReader {
            parts: &self.parts,
            grads: &grads,
            gradient: &mut gradient,
        });
        Ok((value, gradient))
    }
}

/// Turns training flags off. Unlike `freeze`, it keeps gradients.
struct FlagsOff;

impl ModuleMapper for FlagsOff {
    fn map_flag(&mut self, flag: Param<Flag>) -> Param<Flag> {
        flag.with_value(false)
    }
}

/// Collects the trainable parameters.
struct Reader {
    parts: Vec<Part>,
    weights: Vec<f64>,
    double: bool,
}

impl ModuleVisitor for Reader {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let tensor = param.val();
        // Running statistics and frozen parameters are not part of the vector.
        if !tensor.is_require_grad() {
            return;
        }
        let begin = self.weights.len();
        self.double &= tensor.dtype() == DType::F64;
        let data = tensor.clone().without_autodiff().into_data();
        self.weights.extend(data.iter::<f64>());
        self.parts.push(Part {
            id: param.id,
            dims: tensor.dims().to_vec(),
            range: begin..self.weights.len(),
        });
    }
}

/// Replaces the trainable parameters by values of the vector.
struct Writer<'a> {
    parts: &'a [Part],
    weights: &'a [f64],
}

impl ModuleMapper for Writer<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(part) = self.parts.iter().find(|part| part.id == param.id) else {
            return param;
        };
        let (id, old, mapper) = param.consume();
        let values = self.weights[part.range.clone()].to_vec();
        let data = TensorData::new(values, part.dims.clone());
        let new = Tensor::<D>::from_data(data, (&old.device(), old.dtype())).require_grad();
        Param::from_mapped_value(id, new, mapper)
    }
}

/// Copies the gradients of the trainable parameters into one vector.
struct GradientReader<'a> {
    parts: &'a [Part],
    grads: &'a GradientsParams,
    gradient: &'a mut [f64],
}

impl ModuleVisitor for GradientReader<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let part = self.parts.iter().find(|part| part.id == param.id);
        if let (Some(part), Some(grad)) = (part, self.grads.get::<D>(param.id)) {
            let data = grad.without_autodiff().into_data();
            let place = &mut self.gradient[part.range.clone()];
            place
                .iter_mut()
                .zip(data.iter::<f64>())
                .for_each(|(to, g)| *to = g);
        }
    }
}
