mod iter;

pub use iter::PlanIter;

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::{
    AtEnd, Count, Curve, GroupScale, Hyper, PastEnd, Phase, Policy, PolicyError, Run, Span, check,
    clock::{Clock, Extent},
    math,
    policy::Source,
    resolve::Tracks,
    shape::Memo,
    table::Table,
};

/// A hyper-parameter that a plan may set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parameter {
    /// The learning rate.
    Lr,
    /// SGD's momentum or Adam's beta1.
    Momentum,
    /// Weight decay.
    WeightDecay,
    /// Samples per batch.
    BatchSize,
}

/// A policy resolved for a run: a pure function from the step to its [`Hyper`]-parameters.
///
/// A plan has no state, so resuming a training needs only the step number. It serialises as its
/// policy and run, and compares equal after a round trip.
///
/// ```
/// use onecycle::{OneCycle, Run, Span};
/// // Gugger's ResNet-56: 95 epochs of 98 steps, 13 of them annihilation.
/// let one_cycle = OneCycle::new(0.8).annihilation(Span::Epochs(13.0));
/// let plan = one_cycle.plan(&Run::epochs(95, 50_000, 512))?;
/// assert_eq!(plan.steps(), 9310);
/// let phases: Vec<String> = plan
///     .phases()
///     .iter()
///     .map(|p| format!("{}: {}..={}, {} -> {}", p.name, p.first_step, p.last_step, p.from, p.to))
///     .collect();
/// assert_eq!(phases, [
///     "up: 0..=4017, 0.08 -> 0.8",
///     "down: 4018..=8035, 0.8 -> 0.08",
///     "annihilation: 8036..=9309, 0.08 -> 0.0008",
/// ]);
/// # Ok::<(), onecycle::PolicyError>(())
/// ```
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "form::PlanForm", into = "form::PlanForm")]
pub struct Plan {
    policy: Policy,
    run: Run,
    resolved: Resolved,
}

/// The tables of all hyper-parameters, computed from policy and run.
#[derive(Debug, Clone)]
struct Resolved {
    lr: Table,
    momentum: Option<Table>,
    weight_decay: Option<Table>,
    /// Step from which [`AtEnd`] applies. The run may be longer.
    end: u64,
    at_end: AtEnd,
    clock: Clock,
}

impl PartialEq for Plan {
    fn eq(&self, other: &Self) -> bool {
        // Everything else follows from these two.
        self.policy == other.policy && self.run == other.run
    }
}

impl Plan {
    /// Number of steps of the run.
    pub fn steps(&self) -> u64 {
        self.resolved.clock.total_steps()
    }

    /// The step from which [`AtEnd`] applies: [`steps`](Self::steps), or less if the policy has a
    /// length of its own that is shorter than the run, such as `total_steps` of PyTorch's OneCycleLR.
    pub fn ends_at(&self) -> u64 {
        self.resolved.end
    }

    /// The policy of the plan.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The run for which the policy was resolved.
    pub fn run(&self) -> &Run {
        &self.run
    }

    /// Behaviour after the last step.
    pub fn at_end(&self) -> AtEnd {
        self.resolved.at_end
    }

    /// The first step with the highest learning rate.
    ///
    /// ```
    /// use onecycle::{OneCycle, Run};
    /// assert_eq!(OneCycle::new(0.8).plan(&Run::steps(1000))?.peak_step(), 450);
    /// # Ok::<(), onecycle::PolicyError>(())
    /// ```
    pub fn peak_step(&self) -> u64 {
        let mut peak = (0, self.at(0).lr);
        for (step, hyper) in self.iter() {
            if hyper.lr > peak.1 {
                peak = (step, hyper.lr);
            }
        }
        peak.0
    }

    /// Epochs completed before `step`; `None` if the run does not define its epochs.
    pub fn epoch_at(&self, step: impl Count) -> Option<f64> {
        self.resolved.clock.epoch_at(step.count())
    }

    /// The step at a point of the run, rounded. `name` is the parameter that an error names.
    ///
    /// ```
    /// use onecycle::{OneCycle, Run, Span};
    /// let plan = OneCycle::new(0.8).plan(&Run::epochs(10, 50_000, 500))?;
    /// assert_eq!(plan.step_at("start", Span::Fraction(0.75))?, 750);
    /// assert_eq!(plan.step_at("start", Span::Epochs(2.0))?, 200);
    /// # Ok::<(), onecycle::PolicyError>(())
    /// ```
    ///
    /// # Errors
    /// [`PolicyError::UnknownUnit`] if the run does not define epochs or samples.
    pub fn step_at(&self, name: &'static str, at: Span) -> Result<u64, PolicyError> {
        Ok(math::round(self.resolved.clock.position(name, at)?) as u64)
    }

    /// The hyper-parameters of update `step`, counted from 0. After the end of the policy,
    /// [`AtEnd`] decides.
    #[inline]
    pub fn at(&self, step: impl Count) -> Hyper {
        self.hyper(step.count())
    }

    #[inline]
    fn hyper(&self, step: u64) -> Hyper {
        let tracks = &self.resolved;
        let n = if step < tracks.end {
            step
        } else if tracks.at_end == AtEnd::Restart {
            step % tracks.end
        } else {
            tracks.end - 1
        };
        let mut memo = Memo::default();
        Hyper {
            lr: tracks.lr.value(n, &mut memo),
            momentum: tracks
                .momentum
                .as_ref()
                .map(|table| table.value(n, &mut memo)),
            weight_decay: tracks
                .weight_decay
                .as_ref()
                .map(|table| table.value(n, &mut memo)),
            batch_size: batch_at(tracks.clock.batches(), n),
        }
    }

    /// Like [`at`](Plan::at), but returns an error past the end of a plan with [`AtEnd::Error`].
    ///
    /// # Errors
    /// Returns [`PastEnd`] with the step and the length of the plan.
    pub fn try_at(&self, step: impl Count) -> Result<Hyper, PastEnd> {
        let step = step.count();
        if step >= self.resolved.end && self.resolved.at_end == AtEnd::Error {
            return Err(PastEnd {
                step,
                steps: self.resolved.end,
            });
        }
        Ok(self.at(step))
    }

    /// The hyper-parameters of all parameter groups in update `step`, written to `out` without
    /// allocation.
    ///
    /// ```
    /// use onecycle::{GroupScale, OneCycle, Run};
    /// let plan = OneCycle::new(0.8).plan(&Run::steps(1000))?;
    /// let scales = GroupScale::discriminative(3, 2.0)?;
    /// let mut groups = [plan.at(0); 3];
    /// plan.groups(450, &scales, &mut groups)?;
    /// assert_eq!(groups.map(|hyper| hyper.lr), [0.2, 0.4, 0.8]);
    /// # Ok::<(), onecycle::PolicyError>(())
    /// ```
    ///
    /// # Errors
    /// Returns [`PolicyError::Count`] if `out` and `scales` differ in length.
    pub fn groups(
        &self,
        step: impl Count,
        scales: &[GroupScale],
        out: &mut [Hyper],
    ) -> Result<(), PolicyError> {
        check::count("out", out.len(), scales.len())?;
        let hyper = self.at(step);
        for (scale, out) in scales.iter().zip(out) {
            *out = scale.apply(hyper);
        }
        Ok(())
    }

    /// The phases of the learning rate. They cover the run without gap or overlap.
    pub fn phases(&self) -> Vec<Phase> {
        self.phases_of(Parameter::Lr)
    }

    /// The phases of one hyper-parameter; empty if the policy does not set it.
    pub fn phases_of(&self, parameter: Parameter) -> Vec<Phase> {
        let tracks = &self.resolved;
        let table = match parameter {
            Parameter::Lr => Some(&tracks.lr),
            Parameter::Momentum => tracks.momentum.as_ref(),
            Parameter::WeightDecay => tracks.weight_decay.as_ref(),
            Parameter::BatchSize => return batch_phases(tracks.clock.batches(), self.steps()),
        };
        table
            .map(|table| table.phases(self.steps()))
            .unwrap_or_default()
    }
}

impl Policy {
    /// Resolves the policy for a run of known length.
    ///
    /// # Errors
    /// - [`PolicyError::ZeroSteps`] if the run has no steps.
    /// - [`PolicyError::SpanLongerThanRun`] if a span is longer than the run or its part of it.
    /// - [`PolicyError::LongerThanRun`] if the policy has a length of its own and the run has fewer
    ///   steps.
    /// - [`PolicyError::UnknownUnit`] if a span is in a unit that the run does not define.
    /// - [`PolicyError::PhaseWithoutLength`] if a phase of a schedule that reproduces PyTorch, optax
    ///   or fastai has length 0: the original would divide by zero.
    pub fn resolve(&self, run: &Run) -> Result<Plan, PolicyError> {
        let clock = Clock::new(run, self.batch_size.as_ref())?;
        let extent = Extent::whole(&clock);
        let steps = clock.total_steps();
        let mut end = steps;
        let tracks = match &self.lr {
            Source::Curve(curve) => Tracks::from(curve.resolve(&extent)?),
            Source::Preset(preset) => {
                if let (Some(length), false) = (self.length(), preset.parameters().continues()) {
                    end = end.min(length);
                }
                preset.resolve(&extent)?
            }
        };
        let optional =
            |curve: &Option<Curve>| curve.as_ref().map(|c| c.resolve(&extent)).transpose();
        let momentum = optional(&self.momentum)?.or(tracks.momentum);
        let weight_decay = optional(&self.weight_decay)?;
        tracks.lr.check_finite("lr", steps - 1)?;
        for (name, table) in [("momentum", &momentum), ("weight_decay", &weight_decay)] {
            if let Some(table) = table {
                table.check_finite(name, steps - 1)?;
            }
        }
        Ok(Plan {
            policy: self.clone(),
            run: *run,
            resolved: Resolved {
                lr: tracks.lr,
                momentum,
                weight_decay,
                end,
                at_end: self.at_end,
                clock,
            },
        })
    }
}

fn batch_at(batches: &[(u64, u64)], step: u64) -> Option<u64> {
    let size = batches.iter().rev().find(|(first, _)| *first <= step);
    size.map(|(_, size)| *size)
}

fn batch_phases(batches: &[(u64, u64)], steps: u64) -> Vec<Phase> {
    let ends = batches
        .iter()
        .skip(1)
        .map(|(first, _)| *first)
        .chain([steps]);
    batches
        .iter()
        .zip(ends)
        .filter(|((first, _), end)| *first < (*end).min(steps))
        .map(|((first, size), end)| Phase {
            name: "constant".into(),
            first_step: *first,
            last_step: end.min(steps) - 1,
            from: *size as f64,
            to: *size as f64,
        })
        .collect()
}

mod form {
    use super::Plan;
    use crate::{Policy, PolicyError, Run};

    #[derive(serde::Serialize, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(super) struct PlanForm {
        policy: Policy,
        run: Run,
    }

    impl From<Plan> for PlanForm {
        fn from(plan: Plan) -> Self {
            PlanForm {
                policy: plan.policy,
                run: plan.run,
            }
        }
    }

    impl TryFrom<PlanForm> for Plan {
        type Error = PolicyError;

        fn try_from(form: PlanForm) -> Result<Self, PolicyError> {
            form.policy.resolve(&form.run)
        }
    }
}
