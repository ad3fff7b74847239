//! An adaptor by which a plan drives Burn's own `Learner`, momentum included.
//!
//! Burn passes only a learning rate to its optimizer at each step. [`PlanDriver`] creates a
//! scheduler and an optimizer that share one step counter: the scheduler advances it, and the
//! optimizer looks up the whole [`Hyper`](onecycle::Hyper) of that step in the plan. Burn saves and
//! restores the counter with the scheduler's record, so a resumed training continues at the right
//! step.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use burn::{
    lr_scheduler::{LrScheduler, LrSchedulerRecord},
    optim::{LearningRate, Optimizer, RecordState, StateSink, StateSource},
    tensor::{Device, Tensor},
};
use onecycle::Plan;

use crate::{
    BurnError,
    optim::{OptimizerConfig, ParamState, Rates, update},
    state::TensorMap,
};

/// Creates the scheduler and the optimizer by which a plan drives Burn's `Learner`.
///
/// ```
/// use burn::lr_scheduler::LrScheduler;
/// use onecycle::{OneCycle, Run};
/// use onecycle_burn::{OptimizerConfig, PlanDriver};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let plan = OneCycle::new(0.8).policy()?.resolve(&Run::steps(100))?;
/// let driver = PlanDriver::new(plan, OptimizerConfig::sgd())?;
/// // Learner::new(model, driver.optimizer(), driver.scheduler())
/// let mut scheduler = driver.scheduler();
/// assert_eq!(scheduler.step(), 0.08);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct PlanDriver {
    plan: Arc<Plan>,
    config: OptimizerConfig,
    /// Number of learning rates that the scheduler has returned so far.
    asked: Arc<AtomicU64>,
}

impl PlanDriver {
    /// Creates a driver at step 0.
    ///
    /// # Errors
    /// - [`BurnError::InvalidOption`] or [`BurnError::Contradiction`] for options out of range.
    /// - [`BurnError::HyperOutOfRange`] for a plan with rates that an update cannot use.
    /// - [`BurnError::UnusedHyper`] for a plan that sets a batch size, because Burn's data loader
    ///   has a fixed one.
    pub fn new(plan: Plan, config: OptimizerConfig) -> Result<Self, BurnError> {
        config.check()?;
        for step in 0..plan.steps() {
            let hyper = plan.at(step);
            BurnError::check_hyper(&hyper)?;
            if let Some(batch_size) = hyper.batch_size {
                return Err(BurnError::UnusedHyper {
                    hyper: "batch_size",
                    value: batch_size as f64,
                    optimizer: config.kind(),
                });
            }
        }
        Ok(PlanDriver {
            plan: Arc::new(plan),
            config,
            asked: Arc::new(AtomicU64::new(0)),
        })
    }

    /// The scheduler to pass to the `Learner`.
    pub fn scheduler(&self) -> PlanScheduler {
        PlanScheduler {
            driver: self.clone(),
        }
    }

    /// The optimizer to pass to the `Learner`. It only works together with
    /// [`PlanDriver::scheduler`].
    pub fn optimizer(&self) -> PlanOptimizer {
        PlanOptimizer {
            driver: self.clone(),
        }
    }
}

/// A Burn scheduler that returns the learning rates of a plan. See [`PlanDriver`].
#[derive(Debug, Clone)]
pub struct PlanScheduler {
    driver: PlanDriver,
}

impl LrScheduler for PlanScheduler {
    fn step(&mut self) -> LearningRate {
        let step = self.driver.asked.fetch_add(1, Ordering::SeqCst);
        self.driver.plan.at(step).lr
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

/// A Burn optimizer whose momentum and weight decay follow a plan. See [`PlanDriver`].
///
/// It uses the learning rate that Burn passes, so Burn's own per-group rates take effect.
#[derive(Debug, Clone)]
pub struct PlanOptimizer {
    driver: PlanDriver,
}

impl Optimizer for PlanOptimizer {
    type State<const D: usize> = PlanState;

    fn step<const D: usize>(
        &self,
        lr: LearningRate,
        tensor: Tensor<D>,
        grad: Tensor<D>,
        state: Option<PlanState>,
    ) -> (Tensor<D>, Option<PlanState>) {
        let step = self.driver.asked.load(Ordering::SeqCst).saturating_sub(1);
        let hyper = self.driver.plan.at(step);
        let config = &self.driver.config;
        let rates = Rates {
            lr,
            ..Rates::new(&hyper, config)
        };
        let shape = tensor.shape();
        let mut state = state.unwrap_or_default();
        let flat = update(
            config,
            rates,
            tensor.reshape([-1]),
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
