//! From a preset to a plan in one chain of calls.

use crate::{
    AtEnd, BatchSizes, Curve, LegShape, Momentum, OneCycle, Plan, Policy, PolicyError, Preset, Run,
    Span, fastai, optax, preset, preset::for_each_preset, torch,
};

/// A preset together with weight decay, momentum curve, batch size and behaviour at the end.
///
/// It comes from the methods of the same names of every preset. Nothing is checked before
/// [`policy`](Self::policy) or [`plan`](Self::plan), so a chain of calls needs one `?`.
///
/// ```
/// use onecycle::{OneCycle, Run, Span};
/// let images = vec![0_u8; 50_000];
/// let plan = OneCycle::new(0.5)
///     .weight_decay(1e-4)
///     .momentum(0.95, 0.85)
///     .annihilation(Span::Epochs(1.5))
///     .plan(&Run::epochs(10, images.len(), 512))?;
/// let peak = plan.at(plan.peak_step());
/// assert_eq!(peak.to_string(), "lr 0.5, momentum 0.85, weight decay 0.0001");
/// # Ok::<(), onecycle::PolicyError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[must_use = "a builder does nothing until `plan` or `policy` is called"]
pub struct PolicyBuilder<P> {
    preset: P,
    momentum: Option<Curve>,
    weight_decay: Option<Curve>,
    batch_size: Option<BatchSizes>,
    at_end: AtEnd,
}

impl<P: Into<Preset>> PolicyBuilder<P> {
    pub(crate) fn new(preset: P) -> Self {
        PolicyBuilder {
            preset,
            momentum: None,
            weight_decay: None,
            batch_size: None,
            at_end: AtEnd::Hold,
        }
    }

    /// Changes the preset.
    pub(crate) fn map(self, change: impl FnOnce(P) -> P) -> Self {
        PolicyBuilder {
            preset: change(self.preset),
            ..self
        }
    }

    /// Sets momentum over the run; see [`Policy::with_momentum`].
    pub fn momentum_curve(self, momentum: impl Into<Curve>) -> Self {
        PolicyBuilder {
            momentum: Some(momentum.into()),
            ..self
        }
    }

    /// Sets the weight decay; see [`Policy::with_weight_decay`].
    pub fn weight_decay(self, weight_decay: impl Into<Curve>) -> Self {
        PolicyBuilder {
            weight_decay: Some(weight_decay.into()),
            ..self
        }
    }

    /// Sets the batch size; see [`Policy::with_batch_size`].
    pub fn batch_size(self, batch_size: impl Into<BatchSizes>) -> Self {
        PolicyBuilder {
            batch_size: Some(batch_size.into()),
            ..self
        }
    }

    /// Sets the behaviour after the last step.
    pub fn at_end(self, at_end: AtEnd) -> Self {
        PolicyBuilder { at_end, ..self }
    }

    /// Checks the parameters and builds the policy.
    ///
    /// # Errors
    /// Returns a [`PolicyError`] with the name and value of the first wrong parameter.
    pub fn policy(self) -> Result<Policy, PolicyError> {
        let mut policy = Policy::from_preset(self.preset.into())?;
        if let Some(momentum) = self.momentum {
            policy = policy.with_momentum(momentum)?;
        }
        if let Some(weight_decay) = self.weight_decay {
            policy = policy.with_weight_decay(weight_decay)?;
        }
        if let Some(batch_size) = self.batch_size {
            policy = policy.with_batch_size(batch_size)?;
        }
        Ok(policy.at_end(self.at_end))
    }

    /// Checks the parameters and resolves the policy for `run`.
    ///
    /// # Errors
    /// Those of [`policy`](Self::policy) and [`Policy::resolve`].
    pub fn plan(self, run: &Run) -> Result<Plan, PolicyError> {
        self.policy()?.resolve(run)
    }
}

macro_rules! builder_methods {
    ($($(#[$doc:meta])* $kind:literal => $name:ident($parameters:ty),)*) => {$(
        impl $parameters {
            /// Checks the parameters and resolves the policy for `run`.
            ///
            /// # Errors
            /// Those of [`policy`](Self::policy) and [`Policy::resolve`].
            pub fn plan(self, run: &Run) -> Result<Plan, PolicyError> {
                self.policy()?.resolve(run)
            }

            /// Adds momentum over the run; it replaces the preset's own. See
            /// [`Policy::with_momentum`].
            pub fn momentum_curve(self, momentum: impl Into<Curve>) -> PolicyBuilder<Self> {
                PolicyBuilder::new(self).momentum_curve(momentum)
            }

            /// Adds a weight decay; see [`Policy::with_weight_decay`].
            pub fn weight_decay(self, weight_decay: impl Into<Curve>) -> PolicyBuilder<Self> {
                PolicyBuilder::new(self).weight_decay(weight_decay)
            }

            /// Adds a batch size; see [`Policy::with_batch_size`].
            pub fn batch_size(self, batch_size: impl Into<BatchSizes>) -> PolicyBuilder<Self> {
                PolicyBuilder::new(self).batch_size(batch_size)
            }

            /// Sets the behaviour after the last step.
            pub fn at_end(self, at_end: AtEnd) -> PolicyBuilder<Self> {
                PolicyBuilder::new(self).at_end(at_end)
            }
        }
    )*};
}

for_each_preset!(builder_methods);

/// Methods that set a field, of [`OneCycle`] and of its [`PolicyBuilder`].
macro_rules! setters {
    ($($(#[$doc:meta])* $name:ident($($argument:ident: $type:ty),*) { $field:ident: $value:expr })*) => {
        impl OneCycle {
            $(
                $(#[$doc])*
                pub fn $name(self, $($argument: $type),*) -> Self {
                    OneCycle { $field: $value, ..self }
                }
            )*
        }

        impl PolicyBuilder<OneCycle> {
            $(
                $(#[$doc])*
                pub fn $name(self, $($argument: $type),*) -> Self {
                    self.map(|one_cycle| one_cycle.$name($($argument),*))
                }
            )*
        }
    };
}

setters! {
    /// Sets the learning rate of the first step, instead of `div`.
    lr_min(lr_min: f64) { lr_min: Some(lr_min) }
    /// Sets the ratio of the peak to the first learning rate, instead of `lr_min`.
    #[allow(clippy::should_implement_trait, reason = "the parameter's name in every library")]
    div(div: f64) { div: Some(div) }
    /// Sets the learning rate of the last step.
    lr_final(lr_final: f64) { lr_final: Some(lr_final) }
    /// Sets the length of the last phase.
    annihilation(annihilation: Span) { annihilation: annihilation }
    /// Sets the momentum at the lowest and at the highest learning rate.
    momentum(high: f64, low: f64) { momentum: Momentum::Cycle { high, low } }
    /// Leaves momentum to the optimizer.
    without_momentum() { momentum: Momentum::Unset }
    /// Sets the shape of the legs.
    shape(shape: LegShape) { shape: shape }
}
