use onecycle::Hyper;

/// Errors of this crate.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BurnError {
    /// The plan sets a hyper-parameter that the optimizer does not use.
    #[error(
        "the policy sets {hyper} = {value}, which {optimizer} does not use; leave it out of the policy, or allow it with `Optimizer::ignore`"
    )]
    UnusedHyper {
        /// Name of the hyper-parameter, as in [`Hyper`].
        hyper: &'static str,
        /// Value from the plan.
        value: f64,
        /// Name of the optimizer.
        optimizer: &'static str,
    },
    /// A hyper-parameter is outside the range in which the update is defined.
    #[error("{hyper} = {value} at an optimizer step: expected {expected}")]
    HyperOutOfRange {
        /// Name of the hyper-parameter, as in [`Hyper`].
        hyper: &'static str,
        /// The given value.
        value: f64,
        /// The permitted range, in words.
        expected: &'static str,
    },
    /// An option of the optimizer is outside its range.
    #[error("optimizer option {option} = {value}: expected {expected}")]
    InvalidOption {
        /// Name of the option, as in the configuration.
        option: &'static str,
        /// The given value.
        value: f64,
        /// The permitted range, in words.
        expected: &'static str,
    },
    /// Options of the optimizer contradict each other.
    #[error("optimizer options contradict each other: {0}")]
    Contradiction(&'static str),
    /// A tensor that should be restored is missing.
    #[error("tensor `{name}` is missing; the file may belong to another model")]
    MissingTensor {
        /// Path of the parameter in the module.
        name: String,
    },
    /// The tensors to restore include one that the module does not have.
    #[error("this model has no tensor `{name}`; the file may belong to another model")]
    UnexpectedTensor {
        /// Name of the tensor.
        name: String,
    },
    /// A tensor differs in shape from its parameter.
    #[error("tensor `{name}` has shape {found:?}, the model expects {expected:?}")]
    ShapeMismatch {
        /// Path of the parameter in the module.
        name: String,
        /// Shape of the tensor.
        found: Vec<usize>,
        /// Shape of the parameter.
        expected: Vec<usize>,
    },
    /// A group of layers is empty or does not fit the module.
    #[error("`{group}`: {why}")]
    LayerGroup {
        /// The group, or the parameter without a group.
        group: String,
        /// What is wrong and what to do.
        why: &'static str,
    },
    /// A module to diagnose has no trainable parameter.
    #[error(
        "the module has no parameter that requires a gradient; it must be on a device with autodiff and not be frozen"
    )]
    NothingTrainable,
    /// Burn's `Learner` cannot do what the optimizer is set to do.
    #[error("Burn's Learner cannot {what}: {instead}")]
    Learner {
        /// The setting, in words.
        what: &'static str,
        /// What to do.
        instead: &'static str,
    },
    /// The training loss is NaN or infinite.
    #[error(
        "the loss of step {step} (from 0) is {loss} at learning rate {lr}: choose a lower rate, for instance by a range test, or check the data"
    )]
    LossNotFinite {
        /// The step, counted from 0.
        step: u64,
        /// Learning rate of the step.
        lr: f64,
        /// The loss.
        loss: f64,
    },
    /// An epoch has no batch.
    #[error("epoch {epoch} (from 0) has no batch: expected at least 1")]
    NoBatch {
        /// The epoch, counted from 0.
        epoch: u64,
    },
    /// An epoch has more or fewer batches than in the plan.
    #[error(
        "the plan has {expected} steps in epoch {epoch} (from 0), but the data gave {found} batches: give `Run::epochs` the samples and the batch size of the data"
    )]
    EpochLength {
        /// The epoch, counted from 0.
        epoch: u64,
        /// Steps of the epoch in the plan.
        expected: u64,
        /// Batches drawn. If there are more than expected, the first of them is the last drawn.
        found: u64,
    },
    /// A policy, plan or range test is wrong.
    #[error(transparent)]
    Policy(#[from] onecycle::PolicyError),
    /// A diagnosis got impossible arguments, or met a number that is not finite.
    #[error("diagnosis: {0}")]
    Diagnosis(#[from] onecycle_stats::StatsError),
}

impl BurnError {
    pub(crate) fn check_hyper(hyper: &Hyper) -> Result<(), BurnError> {
        let check = |name, value: f64, ok: bool, expected| {
            if ok {
                Ok(())
            } else {
                Err(BurnError::HyperOutOfRange {
                    hyper: name,
                    value,
                    expected,
                })
            }
        };
        check(
            "lr",
            hyper.lr,
            hyper.lr.is_finite() && hyper.lr >= 0.0,
            "a finite number of at least 0",
        )?;
        if let Some(momentum) = hyper.momentum {
            check(
                "momentum",
                momentum,
                (0.0..1.0).contains(&momentum),
                "at least 0 and below 1",
            )?;
        }
        if let Some(decay) = hyper.weight_decay {
            check(
                "weight_decay",
                decay,
                decay.is_finite() && decay >= 0.0,
                "a finite number of at least 0",
            )?;
        }
        Ok(())
    }
}
