//! An adaptor by which a plan drives Burn's own `Learner`, momentum included.
//!
//! Burn passes only a learning rate to its optimizer at each step. [`PlanDriver`] creates a
//! scheduler and an optimizer that share one step counter: the scheduler advances it, and the
//! optimizer looks up the whole [`Hyper`] of that step in the plan. Burn saves and restores the
//! counter with the scheduler's record, so a resumed training continues at the right step.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use burn::{
    lr_scheduler::{LrScheduler, LrSchedulerRecord},
    module::{self, Module, ModuleVisitor, Param},
    optim::{LearningRate, ModuleOptimizer, RecordState, StateSink, StateSource},
    tensor::{Device, Tensor},
};
use onecycle::{AtEnd, GroupScale, Hyper, Plan};

use crate::{
    BurnError,
    optim::{Optimizer, OptimizerConfig, ParamGroup, ParamState, Rates, update},
    state::{ModulePath, TensorMap},
};

/// Creates the scheduler and the optimizer by which a plan drives Burn's `Learner`.
///
/// With the feature `train`, `driver.learner(model)` returns the `Learner`. It is
/// `Learner::new(model, driver.optimizer(&model), driver.scheduler())`.
///
/// ```
/// use onecycle_burn::burn::{
///     module::Module,
///     tensor::Tensor,
///     train::{InferenceStep, Learner, RegressionOutput, TrainOutput, TrainStep},
/// };
/// use onecycle::{OneCycle, Run};
/// use onecycle_burn::{Optimizer, OptimizerConfig, PlanDriver, burn, nn::Linear, optim::ParamGroup};
///
/// #[derive(Module, Debug)]
/// struct Net {
///     fc: Linear,
/// }
///
/// impl Net {
///     fn loss(&self, (x, y): (Tensor<2>, Tensor<2>)) -> RegressionOutput {
///         let output = self.fc.forward(x);
///         let loss = (output.clone() - y.clone()).square().mean();
///         RegressionOutput::new(loss, output, y)
///     }
/// }
///
/// impl TrainStep for Net {
///     type Input = (Tensor<2>, Tensor<2>);
///     type Output = RegressionOutput;
///
///     fn step(&self, batch: Self::Input) -> TrainOutput<RegressionOutput> {
///         let output = self.loss(batch);
///         TrainOutput::new(self, output.loss.backward(), output)
///     }
/// }
///
/// impl InferenceStep for Net {
///     type Input = (Tensor<2>, Tensor<2>);
///     type Output = RegressionOutput;
///
///     fn step(&self, batch: Self::Input) -> RegressionOutput {
///         self.loss(batch)
///     }
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let device = burn::tensor::Device::flex().autodiff();
/// let model = Net { fc: Linear::new(2, 1, &mut onecycle_burn::rng(1), &device) };
/// let plan = OneCycle::new(0.8).weight_decay(1e-4).plan(&Run::epochs(10, 1000, 50))?;
/// let optimizer = Optimizer::new(OptimizerConfig::sgd())?
///     .with_groups(vec![ParamGroup::no_decay_on_bias_and_norm()])?;
/// let mut learner: Learner<Net> = PlanDriver::new(plan, optimizer)?.learner(model);
/// // SupervisedTraining::new(..).num_epochs(10).launch(learner) makes these calls.
/// learner.lr_step();
/// assert_eq!(learner.lr_current().base(), 0.08);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct PlanDriver {
    plan: Arc<Plan>,
    config: OptimizerConfig,
    groups: Vec<ParamGroup>,
    /// Number of learning rates that the scheduler has returned so far.
    asked: Arc<AtomicU64>,
}

impl PlanDriver {
    /// Creates a driver at step 0, with the options and parameter groups of `optimizer`.
    ///
    /// # Errors
    /// - [`BurnError::HyperOutOfRange`] for a plan with rates that an update cannot use.
    /// - [`BurnError::UnusedHyper`] for a plan that sets a batch size, because Burn's data loader
    ///   has a fixed one, unless the optimizer [ignores](Optimizer::ignore) it.
    /// - [`BurnError::Learner`] for an optimizer that clips gradients by their global norm, because
    ///   Burn's optimizer sees one tensor at a time, that chooses parameters of [`Muon`](crate::optim::Muon) by their
    ///   paths, or that has already made an update.
    pub fn new(plan: Plan, optimizer: Optimizer) -> Result<Self, BurnError> {
        for (_, hyper) in plan.iter() {
            optimizer.check(&hyper)?;
        }
        if optimizer.clip_norm().is_some() {
            return Err(BurnError::Learner {
                what: "clip gradients by their global norm",
                instead: "train with `fit_one_cycle`, or let Burn clip each tensor: \
                    `driver.optimizer(&model).with_grad_clipping(..)`",
            });
        }
        if let OptimizerConfig::Muon(muon) = optimizer.config()
            && !muon.except.is_empty()
        {
            return Err(BurnError::Learner {
                what: "leave parameters of Muon to another optimizer by their paths (`except`)",
                instead: "train with `fit_one_cycle`",
            });
        }
        if optimizer.has_state() {
            return Err(BurnError::Learner {
                what: "continue from the state of an optimizer that has made updates",
                instead: "create a new one, or load the optimizer record of a Learner",
            });
        }
        Ok(PlanDriver {
            plan: Arc::new(plan),
            config: optimizer.config().clone(),
            groups: optimizer.groups().to_vec(),
            asked: Arc::new(AtomicU64::new(0)),
        })
    }

    /// Burn's `Learner` for `model`.
    #[cfg(feature = "train")]
    pub fn learner<M: burn::train::LearnerModel>(&self, model: M) -> burn::train::Learner<M> {
        let optimizer = self.optimizer(&model);
        burn::train::Learner::new(model, optimizer, self.scheduler())
    }

    /// The scheduler to pass to the `Learner`.
    pub fn scheduler(&self) -> PlanScheduler {
        PlanScheduler {
            driver: self.clone(),
        }
    }

    /// The optimizer for the parameters of `model`, to pass to the `Learner`. It only works
    /// together with [`PlanDriver::scheduler`].
    pub fn optimizer<M: Module>(&self, model: &M) -> ModuleOptimizer {
        let of_scale = |scale| PlanOptimizer {
            driver: self.clone(),
            scale,
        };
        let mut paths = GroupPaths {
            groups: &self.groups,
            ours: ModulePath::default(),
            burns: Vec::new(),
            found: vec![Vec::new(); self.groups.len()],
        };
        model.visit(&mut paths);
        let found = paths.found.into_iter().zip(&self.groups);
        let fallback = ModuleOptimizer::from(of_scale(GroupScale::default()));
        found.fold(fallback, |optimizer, (paths, group)| {
            let paths = module::ParamGroup::from_paths(paths);
            optimizer.with_group(paths, of_scale(group.scale), None)
        })
    }

    /// The hyper-parameters of update `step`.
    ///
    /// # Panics
    /// If the plan has no such step: Burn's traits do not allow an error.
    fn hyper(&self, step: u64) -> Hyper {
        let steps = self.plan.steps();
        match self.plan.try_at(step) {
            Ok(hyper) if step < steps || self.plan.at_end() == AtEnd::Restart => hyper,
            _ => panic!(
                "Burn's Learner asked for step {step} (from 0) of a plan of {steps} steps: \
                give `Run::epochs` the epochs of the Learner and the samples and batch size of its \
                data loader, or use `AtEnd::Restart`"
            ),
        }
    }
}

/// Finds the parameters of each group by their paths as Burn writes them: with the variants of
/// enums.
struct GroupPaths<'a> {
    groups: &'a [ParamGroup],
    ours: ModulePath,
    burns: Vec<String>,
    /// Burn's paths of the parameters of each group.
    found: Vec<Vec<String>>,
}

impl ModuleVisitor for GroupPaths<'_> {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.ours.enter(name, container_type);
        self.burns.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, container_type: &str) {
        self.ours.exit(container_type);
        self.burns.pop();
    }

    fn visit_float<const D: usize>(&mut self, _param: &Param<Tensor<D>>) {
        let path = self.ours.joined();
        let group = self.groups.iter().position(|one| one.matches(&path, D));
        if let Some(paths) = group.and_then(|group| self.found.get_mut(group)) {
            paths.push(self.burns.join("."));
        }
    }
}

/// A Burn scheduler that returns the learning rates of a plan. See [`PlanDriver`].
///
/// It panics past the last step of the plan, unless the plan restarts.
#[derive(Debug, Clone)]
pub struct PlanScheduler {
    driver: PlanDriver,
}

impl LrScheduler for PlanScheduler {
    fn step(&mut self) -> LearningRate {
        let step = self.driver.asked.fetch_add(1, Ordering::SeqCst);
        self.driver.hyper(step).lr
    }

    fn to_record(&self) -> LrSchedulerRecord {
        LrSchedulerRecord::new().with_scalar("step", self.driver.asked.load(Ordering::SeqCst))
    }

    fn load_record(&mut self, record: LrSchedulerRecord) {
        if let Some(step) = record.scalar::<u64>("step") {
            self.driver.asked.store(step, Ordering::SeqCst);
        }
    }
}

/// A Burn optimizer whose momentum and weight decay follow a plan, for one parameter group. See
/// [`PlanDriver`].
///
/// It uses the learning rate that Burn passes, so Burn's own per-group rates take effect.
#[derive(Debug, Clone)]
pub struct PlanOptimizer {
    driver: PlanDriver,
    scale: GroupScale,
}

impl burn::optim::Optimizer for PlanOptimizer {
    type State<const D: usize> = PlanState;

    fn step<const D: usize>(
        &self,
        lr: LearningRate,
        tensor: Tensor<D>,
        grad: Tensor<D>,
        state: Option<PlanState>,
    ) -> (Tensor<D>, Option<PlanState>) {
        let step = self.driver.asked.load(Ordering::SeqCst).saturating_sub(1);
        let hyper = self.driver.hyper(step);
        // Burn does not tell the path. A configuration that needs it was refused.
        let config = self.driver.config.of_parameter("", D);
        let rates = Rates {
            lr,
            ..Rates::new(&hyper, config)
        };
        let shape = tensor.shape();
        let mut state = state.unwrap_or_default();
        let flat = update(
            config,
            rates.scaled(self.scale),
            (tensor.reshape([-1]), &shape),
            grad.reshape([-1]),
            &mut state.0,
        );
        (flat.reshape(shape), Some(state))
    }

    fn to_device<const D: usize>(state: PlanState, device: &Device) -> PlanState {
        PlanState(state.0.on_device(device))
    }
}

/// State of [`PlanOptimizer`] for one parameter.
#[derive(Debug, Clone, Default)]
pub struct PlanState(ParamState);

impl RecordState for PlanState {
    fn state_flatten(&self, prefix: &str, out: &mut StateSink) {
        let mut map = TensorMap::new();
        self.0.save("", &mut map);
        for (name, data) in map {
            out.push_tensor(prefix, name.trim_start_matches('/'), data);
        }
    }

    fn state_unflatten(prefix: &str, src: &mut StateSource, device: &Device) -> Option<Self> {
        let mut state = ParamState::default();
        for field in ParamState::FIELDS {
            if let Some(data) = src.take_tensor(prefix, field) {
                state.restore(field, data, device).then_some(())?;
            }
        }
        Some(PlanState(state))
    }
}
