use alloc::boxed::Box;

use serde::{Deserialize, Serialize};

use crate::{
    BatchSizes, Curve, PolicyError, Preset, check, fastai, optax, preset, preset::for_each_preset,
    torch,
};

/// Behaviour of a plan after its last step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AtEnd {
    /// Keeps the hyper-parameters of the last step.
    #[default]
    Hold,
    /// [`Plan::try_at`](crate::Plan::try_at) returns an error; [`Plan::at`](crate::Plan::at), which
    /// cannot fail, keeps the last values.
    Error,
    /// Starts again from step 0.
    Restart,
}

/// Learning rate, momentum, weight decay and batch size over a run, in the user's units.
///
/// A policy is built from a [`Preset`] (`OneCycle::new(0.8).policy()?`) or from [`Curve`]s. Its
/// parameters are checked at that point. [`Policy::resolve`] turns it into a [`Plan`](crate::Plan)
/// for a [`Run`](crate::Run). A preset's method `plan` does both.
///
/// ```
/// use onecycle::{AtEnd, OneCycle, Run};
/// let policy = OneCycle::new(0.8).weight_decay(1e-4).at_end(AtEnd::Error).policy()?;
/// let plan = policy.resolve(&Run::steps(1000))?;
/// assert_eq!(plan.at(450).lr, 0.8);
/// assert_eq!(plan.at(450).weight_decay, Some(1e-4));
/// assert!(plan.try_at(1000).is_err());
/// # Ok::<(), onecycle::PolicyError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "form::PolicyForm", into = "form::PolicyForm")]
pub struct Policy {
    pub(crate) lr: Source,
    pub(crate) momentum: Option<Curve>,
    pub(crate) weight_decay: Option<Curve>,
    pub(crate) batch_size: Option<BatchSizes>,
    pub(crate) at_end: AtEnd,
}

/// Source of the learning rate. A preset may set momentum as well.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Source {
    Preset(Box<Preset>),
    Curve(Curve),
}

impl Policy {
    fn of(lr: Source) -> Self {
        Policy {
            lr,
            momentum: None,
            weight_decay: None,
            batch_size: None,
            at_end: AtEnd::Hold,
        }
    }

    /// Builds a policy from a preset.
    ///
    /// # Errors
    /// Returns the [`PolicyError`] of the first wrong parameter.
    pub fn from_preset(preset: Preset) -> Result<Self, PolicyError> {
        preset.parameters().check()?;
        Ok(Policy::of(Source::Preset(Box::new(preset))))
    }

    /// Builds a policy from a learning-rate curve, or from a number for a constant rate.
    ///
    /// # Errors
    /// Returns an error if a value is negative, NaN or infinite, or if the curve is malformed.
    pub fn from_curve(lr: impl Into<Curve>) -> Result<Self, PolicyError> {
        let lr = lr.into();
        lr.check("lr", check::rate)?;
        Ok(Policy::of(Source::Curve(lr)))
    }

    /// Sets momentum (SGD's momentum, Adam's beta1); it replaces the preset's own. A number means a
    /// constant.
    ///
    /// # Errors
    /// Returns an error if a value is outside `[0, 1)`, or if the curve is malformed.
    pub fn with_momentum(self, momentum: impl Into<Curve>) -> Result<Self, PolicyError> {
        let momentum = momentum.into();
        momentum.check("momentum", check::momentum)?;
        Ok(Policy {
            momentum: Some(momentum),
            ..self
        })
    }

    /// Sets the weight decay. A number means a constant.
    ///
    /// # Errors
    /// Returns an error if a value is negative, NaN or infinite, or if the curve is malformed.
    pub fn with_weight_decay(self, weight_decay: impl Into<Curve>) -> Result<Self, PolicyError> {
        let weight_decay = weight_decay.into();
        weight_decay.check("weight_decay", check::rate)?;
        Ok(Policy {
            weight_decay: Some(weight_decay),
            ..self
        })
    }

    /// Sets the batch size. Spans in epochs and samples then follow it. A number means a constant.
    ///
    /// # Errors
    /// Returns an error if a size is 0, or if the points do not increase from 0.
    pub fn with_batch_size(self, batch_size: impl Into<BatchSizes>) -> Result<Self, PolicyError> {
        let batch_size = batch_size.into();
        batch_size.check()?;
        Ok(Policy {
            batch_size: Some(batch_size),
            ..self
        })
    }

    /// Sets the behaviour after the last step. The default is [`AtEnd::Hold`].
    pub fn at_end(self, at_end: AtEnd) -> Self {
        Policy { at_end, ..self }
    }

    /// Number of steps, if the policy defines its own length, such as `total_steps` of PyTorch's
    /// OneCycleLR. Most policies take their length from the run.
    pub fn length(&self) -> Option<u64> {
        match &self.lr {
            Source::Preset(preset) => preset.parameters().length(),
            Source::Curve(_) => None,
        }
    }

    /// The preset, if the policy was built from one.
    pub fn preset(&self) -> Option<&Preset> {
        match &self.lr {
            Source::Preset(preset) => Some(preset),
            Source::Curve(_) => None,
        }
    }
}

macro_rules! policy_methods {
    ($($(#[$doc:meta])* $kind:literal => $name:ident($parameters:ty),)*) => {$(
        impl $parameters {
            /// Checks the parameters and builds a policy.
            ///
            /// # Errors
            /// Returns a [`PolicyError`] with the name and value of the first wrong parameter.
            pub fn policy(self) -> Result<Policy, PolicyError> {
                Policy::from_preset(self.into())
            }
        }
    )*};
}

for_each_preset!(policy_methods);

mod form {
    use super::{AtEnd, Policy, Source};
    use crate::{BatchSizes, Curve, PolicyError, Preset};
    use alloc::boxed::Box;

    /// Serialised form of a policy: its source, and the keys that all kinds share.
    #[derive(serde::Serialize, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(super) struct PolicyForm {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        preset: Option<Box<Preset>>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lr: Option<Curve>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        momentum: Option<Curve>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        weight_decay: Option<Curve>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        batch_size: Option<BatchSizes>,
        #[serde(default)]
        at_end: AtEnd,
    }

    impl From<Policy> for PolicyForm {
        fn from(policy: Policy) -> Self {
            let (preset, lr) = match policy.lr {
                Source::Preset(preset) => (Some(preset), None),
                Source::Curve(curve) => (None, Some(curve)),
            };
            PolicyForm {
                preset,
                lr,
                momentum: policy.momentum,
                weight_decay: policy.weight_decay,
                batch_size: policy.batch_size,
                at_end: policy.at_end,
            }
        }
    }

    impl TryFrom<PolicyForm> for Policy {
        type Error = PolicyError;

        fn try_from(form: PolicyForm) -> Result<Self, PolicyError> {
            let mut policy = match (form.preset, form.lr) {
                (Some(preset), None) => Policy::from_preset(*preset)?,
                (None, Some(curve)) => Policy::from_curve(curve)?,
                (Some(_), Some(_)) => {
                    return Err(PolicyError::Conflict {
                        first: "preset",
                        second: "lr",
                    });
                }
                (None, None) => {
                    return Err(PolicyError::Missing {
                        name: "lr",
                        hint: "give a policy a `preset` or a curve `lr`",
                    });
                }
            };
            if let Some(momentum) = form.momentum {
                policy = policy.with_momentum(momentum)?;
            }
            if let Some(weight_decay) = form.weight_decay {
                policy = policy.with_weight_decay(weight_decay)?;
            }
            if let Some(batch_size) = form.batch_size {
                policy = policy.with_batch_size(batch_size)?;
            }
            Ok(policy.at_end(form.at_end))
        }
    }
}
