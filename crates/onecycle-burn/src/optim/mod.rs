//! Optimizers that take every hyper-parameter at each step.
//!
//! Burn's [`Optimizer`](burn::optim::Optimizer) receives only a learning rate, and each parameter
//! caches the other settings at its first step. Here a step takes a whole [`Hyper`], so update `n`
//! uses exactly the values that a plan returns for step `n`.

mod clip;
mod config;
mod muon;
mod param_group;
mod param_state;
mod rates;
mod rules;

use std::collections::BTreeMap;

use burn::{
    module::{Module, ModuleMapper, Param},
    optim::GradientsParams,
    tensor::{Device, Tensor},
};
use onecycle::{GroupScale, Hyper};

pub use config::{Adam, BiasCorrection, Muon, OptimizerConfig, RmsProp, Sgd};
pub use param_group::{ParamGroup, Select};

pub(crate) use param_state::ParamState;
pub(crate) use rates::Rates;
pub(crate) use rules::update;

use crate::{
    BurnError,
    state::{ModulePath, TensorMap},
};

/// A hyper-parameter that an optimizer can be told to ignore; see [`Optimizer::ignore`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ignorable {
    /// Batch size. The data loader applies it; ignore it here to declare that this is handled.
    BatchSize,
}

/// An optimizer with its state for all parameters of one module.
///
/// State is stored by the parameter's path in the module (`stage1.0.conv1.weight`), so saved state
/// fits a newly built module.
///
/// ```
/// use onecycle_burn::optim::{ParamGroup, Optimizer, OptimizerConfig};
///
/// let optimizer = Optimizer::new(OptimizerConfig::sgd())?
///     .with_groups(vec![ParamGroup::no_decay_on_bias_and_norm()])?
///     .with_clip_norm(1.0)?;
/// # Ok::<(), onecycle_burn::BurnError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Optimizer {
    config: OptimizerConfig,
    groups: Vec<ParamGroup>,
    clip_norm: Option<f64>,
    ignore_batch_size: bool,
    state: BTreeMap<String, ParamState>,
}

/// What an optimizer reports of an update.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepReport {
    /// L2 norm of all gradients together, before clipping and before weight decay. `None` without
    /// clipping, because reading it back makes an accelerator wait; [`grad_norm`] computes it on
    /// request.
    pub grad_norm: Option<f64>,
    /// Whether clipping scaled the gradients down.
    pub clipped: bool,
}

impl Optimizer {
    /// Creates an optimizer without parameter groups, clipping or state.
    ///
    /// # Errors
    /// Options out of range, see [`OptimizerConfig::check`].
    pub fn new(config: OptimizerConfig) -> Result<Self, BurnError> {
        config.check()?;
        Ok(Optimizer {
            config,
            groups: Vec::new(),
            clip_norm: None,
            ignore_batch_size: false,
            state: BTreeMap::new(),
        })
    }

    /// Sets the parameter groups. A parameter takes the factors of the first group that matches it.
    ///
    /// # Errors
    /// [`BurnError::InvalidOption`] for a factor that is negative or not finite.
    pub fn with_groups(mut self, groups: Vec<ParamGroup>) -> Result<Self, BurnError> {
        groups.iter().try_for_each(ParamGroup::check)?;
        self.groups = groups;
        Ok(self)
    }

    /// Clips gradients by their L2 norm over all parameters together: they are multiplied by
    /// `min(1, max_norm / (norm + 1e-6))` (Pascanu et al. 2013; PyTorch's `clip_grad_norm_`).
    ///
    /// # Errors
    /// [`BurnError::InvalidOption`] for a `max_norm` that is not above 0.
    pub fn with_clip_norm(mut self, max_norm: f64) -> Result<Self, BurnError> {
        if max_norm.is_nan() || max_norm <= 0.0 {
            return Err(BurnError::InvalidOption {
                option: "clip_norm",
                value: max_norm,
                expected: "above 0",
            });
        }
        self.clip_norm = Some(max_norm);
        Ok(self)
    }

    /// Declares that a hyper-parameter of the plan is handled elsewhere.
    pub fn ignore(mut self, what: Ignorable) -> Self {
        match what {
            Ignorable::BatchSize => self.ignore_batch_size = true,
        }
        self
    }

    /// The options this optimizer was built with.
    pub fn config(&self) -> &OptimizerConfig {
        &self.config
    }

    /// Updates all parameters of `model` that have a gradient, once.
    ///
    /// `hyper.momentum` is the momentum of SGD, RMSprop and Muon and the beta1 of Adam. If it or
    /// `hyper.weight_decay` is `None`, the optimizer's own option is used.
    ///
    /// # Errors
    /// - [`BurnError::UnusedHyper`] if `hyper` sets a batch size that was not declared as handled;
    ///   see [`ignore`](Self::ignore).
    /// - [`BurnError::HyperOutOfRange`] for a negative or non-finite rate, or a momentum outside
    ///   `[0, 1)`.
    pub fn step<M: Module>(
        &mut self,
        hyper: &Hyper,
        model: M,
        grads: GradientsParams,
    ) -> Result<(M, StepReport), BurnError> {
        self.check(hyper)?;
        let mut report = StepReport {
            grad_norm: None,
            clipped: false,
        };
        let mut scale = 1.0;
        if let Some(max_norm) = self.clip_norm {
            let norm = clip::global_norm(&model, &grads);
            scale = clip::scale(norm, max_norm);
            report.grad_norm = Some(norm);
            report.clipped = scale < 1.0;
        }
        let mut updater = Updater {
            optimizer: self,
            path: ModulePath::default(),
            grads,
            hyper,
            scale,
        };
        Ok((model.map(&mut updater), report))
    }

    /// The optimizer's state as named flat tensors: for example `fc.weight/velocity`, and
    /// `fc.weight/counters` with the number of steps and the product of beta1 (float64, `[2]`).
    pub fn state(&self) -> TensorMap {
        let mut map = TensorMap::new();
        for (path, state) in &self.state {
            state.save(path, &mut map);
        }
        map
    }

    /// Replaces the state by one that [`Optimizer::state`] returned, on `device`.
    ///
    /// # Errors
    /// [`BurnError::UnexpectedTensor`] for a name that optimizer state never has.
    pub fn load_state(&mut self, state: TensorMap, device: &Device) -> Result<(), BurnError> {
        let device = device.clone().without_autodiff();
        let mut restored: BTreeMap<String, ParamState> = BTreeMap::new();
        for (name, data) in state {
            let Some((path, field)) = name.rsplit_once('/') else {
                return Err(BurnError::UnexpectedTensor { name });
            };
            let of_param = restored.entry(path.to_owned()).or_default();
            if !of_param.restore(field, data, &device) {
                return Err(BurnError::UnexpectedTensor { name });
            }
        }
        self.state = restored;
        Ok(())
    }

    /// Returns the error that [`step`](Self::step) would return.
    pub(crate) fn check(&self, hyper: &Hyper) -> Result<(), BurnError> {
        BurnError::check_hyper(hyper)?;
        match (hyper.batch_size, self.ignore_batch_size) {
            (Some(batch_size), false) => Err(BurnError::UnusedHyper {
                hyper: "batch_size",
                value: batch_size as f64,
                optimizer: self.config.kind(),
            }),
            _ => Ok(()),
        }
    }

    /// The parameter groups.
    pub fn groups(&self) -> &[ParamGroup] {
        &self.groups
    }

    /// The maximum norm to which gradients are clipped.
    pub fn clip_norm(&self) -> Option<f64> {
        self.clip_norm
    }

    /// Whether an update was made or a state loaded.
    pub(crate) fn has_state(&self) -> bool {
        !self.state.is_empty()
    }

    /// The factors of a parameter.
    fn scale_of(&self, path: &str, rank: usize) -> GroupScale {
        let group = self.groups.iter().find(|group| group.matches(path, rank));
        group.map_or_else(GroupScale::default, |group| group.scale)
    }
}

/// L2 norm of all gradients of `model` together. One value is read back from the device.
pub fn grad_norm<M: Module>(model: &M, grads: &GradientsParams) -> f64 {
    clip::global_norm(model, grads)
}

/// Visits the parameters of a module and updates those that have a gradient.
struct Updater<'a> {
    optimizer: &'a mut Optimizer,
    path: ModulePath,
    grads: GradientsParams,
    hyper: &'a Hyper,
    /// Factor on all gradients, set by clipping.
    scale: f64,
}

impl ModuleMapper for Updater<'_> {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, container_type: &str) {
        self.path.exit(container_type);
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(grad) = self.grads.remove::<D>(param.id) else {
            return param;
        };
        let path = self.path.joined();
        let config = self.optimizer.config.of_parameter(&path, D);
        let rates = Rates::new(self.hyper, config).scaled(self.optimizer.scale_of(&path, D));
        let (id, tensor, mapper) = param.consume();
        let (required, tracked, shape) = (
            tensor.is_require_grad(),
            tensor.is_autodiff(),
            tensor.shape(),
        );

        let mut grad = grad.without_autodiff().reshape([-1]);
        if self.scale != 1.0 {
            grad = grad * self.scale;
        }
        let state = self.optimizer.state.entry(path).or_default();
        let flat = update(
            config,
            rates,
            (tensor.without_autodiff().reshape([-1]), &shape),
            grad,
            state,
        );
        let mut tensor = flat.reshape(shape);
        if tracked {
            tensor = tensor.autodiff();
        }
        if required {
            tensor = tensor.require_grad();
        }
        Param::from_mapped_value(id, tensor, mapper)
    }
}
