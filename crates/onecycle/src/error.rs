use alloc::string::String;

use crate::{Span, span::ParseSpanError};

/// A policy that cannot be built, or that does not fit a run.
///
/// Every variant carries the offending value. Parameters are named as in a configuration file.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// A parameter is NaN or infinite.
    #[error("`{name}` is {value}: expected a finite number")]
    NotFinite {
        /// Name of the parameter.
        name: &'static str,
        /// Its value.
        value: f64,
    },
    /// A parameter is negative but must not be.
    #[error("`{name}` is {value}: expected a number of at least 0")]
    Negative {
        /// Name of the parameter.
        name: &'static str,
        /// Its value.
        value: f64,
    },
    /// A parameter lies outside its range.
    #[error("`{name}` is {value}: expected {expected}")]
    OutOfRange {
        /// Name of the parameter.
        name: &'static str,
        /// Its value.
        value: f64,
        /// The expected range in words.
        expected: &'static str,
    },
    /// Two parameters are in the wrong order.
    #[error(
        "`{low}` = {low_value} is above `{high}` = {high_value}: swap them or change one of them"
    )]
    Order {
        /// The parameter that should be smaller.
        low: &'static str,
        /// Its value.
        low_value: f64,
        /// The parameter that should be larger.
        high: &'static str,
        /// Its value.
        high_value: f64,
    },
    /// The run has no steps.
    #[error("the run has {steps} steps: expected at least 1")]
    ZeroSteps {
        /// Steps of the run.
        steps: u64,
    },
    /// A phase has no length.
    #[error("`{phase}` is empty (`{name}` is {span}): give it a length, or leave it out")]
    EmptyPhase {
        /// Name of the phase.
        phase: &'static str,
        /// The parameter that makes it empty.
        name: &'static str,
        /// That parameter's value.
        span: Span,
    },
    /// A phase of a cloned schedule has no length, and the original would divide by zero.
    #[error(
        "the phase `{phase}` would begin and end at step {step}: change `{name}` = {value} or the number of steps"
    )]
    PhaseWithoutLength {
        /// Name of the phase.
        phase: &'static str,
        /// The step at which it begins and ends.
        step: f64,
        /// The parameter that determines its length.
        name: &'static str,
        /// That parameter's value.
        value: f64,
    },
    /// A span is longer than the run, or than its part of the run.
    #[error(
        "`{name}` = {span} is {steps} steps long, but only {available} steps are available: shorten it or lengthen the run"
    )]
    SpanLongerThanRun {
        /// Name of the parameter.
        name: &'static str,
        /// Its value.
        span: Span,
        /// Its value in steps.
        steps: f64,
        /// Steps available.
        available: u64,
    },
    /// A policy with a length of its own is longer than the run.
    #[error(
        "the policy is {policy} steps long, but the run (or the policy's part of it) has only {run}: give both the same number of steps"
    )]
    LongerThanRun {
        /// Steps of the policy.
        policy: u64,
        /// Steps of the run, or of the policy's part of it.
        run: u64,
    },
    /// A span is in epochs or samples, but the run does not define them.
    #[error("`{name}` = {span} cannot be converted to steps: give the run {missing}")]
    UnknownUnit {
        /// Name of the parameter.
        name: &'static str,
        /// Its value.
        span: Span,
        /// What the run must define.
        missing: &'static str,
    },
    /// A required value is missing.
    #[error("`{name}` is missing: {hint}")]
    Missing {
        /// Name of the parameter.
        name: &'static str,
        /// What to do.
        hint: &'static str,
    },
    /// Two parameters are mutually exclusive.
    #[error("`{first}` and `{second}` are mutually exclusive: omit one of them")]
    Conflict {
        /// The first parameter.
        first: &'static str,
        /// The second parameter.
        second: &'static str,
    },
    /// A list has the wrong number of entries.
    #[error("`{name}` has {found} entries: expected {expected}")]
    Count {
        /// Name of the list.
        name: &'static str,
        /// Number of entries found.
        found: usize,
        /// Number of entries expected.
        expected: usize,
    },
    /// The points of a list do not increase.
    #[error("`{name}` has {later} after {earlier}: expected increasing points that start at 0")]
    NotIncreasing {
        /// Name of the list.
        name: &'static str,
        /// The preceding point.
        earlier: Span,
        /// The point that is not later.
        later: Span,
    },
    /// The learning rates of a loss curve do not increase.
    #[error(
        "learning rate {later} follows {earlier} (at index {index}, from 0): expected finite, increasing rates"
    )]
    RateNotIncreasing {
        /// Index of the later rate, from 0.
        index: usize,
        /// The preceding rate.
        earlier: f64,
        /// The rate that is not larger.
        later: f64,
    },
    /// The next update of a range test was requested before the losses of the last were recorded.
    #[error(
        "the update at learning rate {lr} has {recorded} of {expected} losses: call `record` once per micro-batch before `next_hyper`"
    )]
    LossNotRecorded {
        /// Learning rate of the update.
        lr: f64,
        /// Losses recorded.
        recorded: usize,
        /// Losses per update.
        expected: usize,
    },
    /// There is no rule with this name.
    #[error("there is no rule `{name}`: expected one of {known}")]
    UnknownRule {
        /// The name.
        name: String,
        /// All names of rules.
        known: String,
    },
    /// The number of steps is not a multiple of the number of epochs.
    #[error("{steps} steps cannot be divided evenly into {epochs} epochs: change one of them")]
    NotDivisible {
        /// Steps of the run.
        steps: u64,
        /// Epochs of the run.
        epochs: u64,
    },
    /// A batch is larger than the training set while incomplete batches are dropped.
    #[error(
        "a batch of {batch_size} never fills from {samples} samples: choose a smaller `batch_size`, or keep the last batch"
    )]
    BatchTooLarge {
        /// Samples per batch.
        batch_size: u64,
        /// Samples in the training set.
        samples: u64,
    },
    /// The run is too long for a policy that computes each value from the one before.
    #[error(
        "{steps} steps are too many for a policy that computes each value from the one before: the limit is {limit}"
    )]
    TooManySteps {
        /// Steps of the run.
        steps: u64,
        /// Largest number of steps.
        limit: u64,
    },
    /// A text is not a span.
    #[error(transparent)]
    InvalidSpan(#[from] ParseSpanError),
    /// A feature of the original that its clone does not support.
    #[error("`{name}` = {value} is not supported: {hint}")]
    Unsupported {
        /// Name of the parameter.
        name: &'static str,
        /// Its value.
        value: String,
        /// What to do.
        hint: &'static str,
    },
}

/// A step past the end of a plan with [`AtEnd::Error`](crate::AtEnd::Error) was requested.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "step {step} is past the end of a plan of {steps} steps: lengthen the run, or use `at_end` hold or restart"
)]
pub struct PastEnd {
    /// The requested step, counted from 0.
    pub step: u64,
    /// Steps of the plan.
    pub steps: u64,
}
