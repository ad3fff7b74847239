use alloc::string::String;

use crate::Span;

/// Why a policy cannot be built, or cannot be resolved against a run.
///
/// Every variant carries the offending value. Names are those of the parameters as they stand in a
/// configuration file.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// A parameter is NaN or infinite.
    #[error("`{name}` is {value}: expected a finite number")]
    NotFinite {
        /// The parameter.
        name: &'static str,
        /// Its value.
        value: f64,
    },
    /// A parameter is below zero that must not be.
    #[error("`{name}` is {value}: expected a number of at least 0")]
    Negative {
        /// The parameter.
        name: &'static str,
        /// Its value.
        value: f64,
    },
    /// A parameter lies outside its range.
    #[error("`{name}` is {value}: expected {expected}")]
    OutOfRange {
        /// The parameter.
        name: &'static str,
        /// Its value.
        value: f64,
        /// The range in words.
        expected: &'static str,
    },
    /// Two parameters stand in the wrong order.
    #[error(
        "`{low}` = {low_value} is above `{high}` = {high_value}: exchange them or change one of them"
    )]
    Order {
        /// The parameter that should be the smaller one.
        low: &'static str,
        /// Its value.
        low_value: f64,
        /// The parameter that should be the larger one.
        high: &'static str,
        /// Its value.
        high_value: f64,
    },
    /// The run has no steps at all.
    #[error("the run has {steps} steps: expected at least 1")]
    ZeroSteps {
        /// Steps of the run.
        steps: u64,
    },
    /// A phase lasts zero steps.
    #[error("`{phase}` is empty (`{name}` is {span}): give it a length, or leave it out")]
    EmptyPhase {
        /// The phase.
        phase: &'static str,
        /// The parameter that makes it empty.
        name: &'static str,
        /// That parameter's value.
        span: Span,
    },
    /// A phase of an original lasts zero steps, where the original divides by zero.
    #[error(
        "the phase `{phase}` would begin and end at step {step}: change `{name}` = {value} or the number of steps"
    )]
    PhaseWithoutLength {
        /// The phase.
        phase: &'static str,
        /// Where it begins and ends, in steps.
        step: f64,
        /// The parameter that decides it.
        name: &'static str,
        /// That parameter's value.
        value: f64,
    },
    /// A span is longer than the run, or than the part of the run in which it lies.
    #[error(
        "`{name}` = {span} is {steps} steps long, but only {available} steps are there: shorten it or lengthen the run"
    )]
    SpanLongerThanRun {
        /// The parameter.
        name: &'static str,
        /// Its value.
        span: Span,
        /// The same in steps.
        steps: f64,
        /// Steps that there are.
        available: u64,
    },
    /// A policy that says itself how long it is does not fit into the run.
    #[error(
        "the policy is {policy} steps long, the run (or its part of the run) has only {run}: give both the same number of steps"
    )]
    LongerThanRun {
        /// Steps of the policy.
        policy: u64,
        /// Steps of the run, or of its part of the run.
        run: u64,
    },
    /// A span is in epochs or samples, and the run does not say how many of them a step is.
    #[error("`{name}` = {span} cannot be turned into steps: give the run {missing}")]
    UnknownUnit {
        /// The parameter.
        name: &'static str,
        /// Its value.
        span: Span,
        /// What the run lacks.
        missing: &'static str,
    },
    /// Something that is needed was not given.
    #[error("`{name}` is missing: {hint}")]
    Missing {
        /// The parameter.
        name: &'static str,
        /// What to do.
        hint: &'static str,
    },
    /// Two parameters exclude each other.
    #[error("`{first}` and `{second}` exclude each other: leave one out")]
    Conflict {
        /// One of them.
        first: &'static str,
        /// The other.
        second: &'static str,
    },
    /// A list has the wrong number of entries.
    #[error("`{name}` has {found} entries: expected {expected}")]
    Count {
        /// The parameter.
        name: &'static str,
        /// Entries found.
        found: usize,
        /// Entries expected.
        expected: usize,
    },
    /// A list of points in time does not increase.
    #[error(
        "`{name}` has {later} after {earlier}: expected points in increasing order, the first of them 0"
    )]
    NotIncreasing {
        /// The parameter.
        name: &'static str,
        /// The point before.
        earlier: Span,
        /// The point that is not later than it.
        later: Span,
    },
    /// The learning rates of a range test's curve do not increase.
    #[error(
        "learning rate {later} stands after {earlier} (at {index}, counted from 0): expected finite rates that increase"
    )]
    RateNotIncreasing {
        /// Where, counted from 0.
        index: usize,
        /// The rate before.
        earlier: f64,
        /// The rate that is not larger.
        later: f64,
    },
    /// A name that no rule has.
    #[error("`{name}` is no rule: expected one of {known}")]
    UnknownRule {
        /// The name.
        name: String,
        /// The names that there are.
        known: String,
    },
    /// The steps of the run cannot be shared out evenly over its epochs.
    #[error(
        "{steps} steps are not a whole number of steps in each of {epochs} epochs: change one of them"
    )]
    NotDivisible {
        /// Steps of the run.
        steps: u64,
        /// Its epochs.
        epochs: u64,
    },
    /// A batch is larger than the training set, and incomplete batches are dropped.
    #[error(
        "a batch of {batch_size} never fills up from {samples} samples: choose a smaller `batch_size`, or keep the last batch"
    )]
    BatchTooLarge {
        /// Samples in a batch.
        batch_size: u64,
        /// Samples of the training set.
        samples: u64,
    },
    /// The run is too long for a policy that must compute each value from the one before.
    #[error(
        "{steps} steps are too many for a policy that is defined from step to step: it can take {limit}"
    )]
    TooManySteps {
        /// Steps of the run.
        steps: u64,
        /// The limit.
        limit: u64,
    },
    /// A text is no span.
    #[error(
        "`{text}` is no span: expected steps (`500` or `500st`), epochs (`13ep`), samples (`50000sa`) or a share of the run (`10%` or `0.1`)"
    )]
    InvalidSpan {
        /// The text.
        text: String,
    },
    /// A feature of the original that this preset does not have.
    #[error("`{name}` = {value} is not supported: {hint}")]
    Unsupported {
        /// The parameter.
        name: &'static str,
        /// Its value.
        value: String,
        /// What to do.
        hint: &'static str,
    },
}

/// A step was asked for that lies past the end of a plan with [`AtEnd::Error`](crate::AtEnd::Error).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "step {step} is past the end of a plan of {steps} steps: lengthen the run, or let the plan hold or restart"
)]
pub struct PastEnd {
    /// The step asked for, counted from 0.
    pub step: u64,
    /// Steps of the plan.
    pub steps: u64,
}
