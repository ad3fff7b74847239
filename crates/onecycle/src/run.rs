use alloc::string::ToString;

use serde::{Deserialize, Serialize};

use crate::{Count, EpochCount, PolicyError, Span, check};

/// The length of a training run: what a policy is resolved against.
///
/// ```
/// use onecycle::Run;
/// let run = Run::epochs(95, 50_000, 512);
/// assert_eq!(run.total_steps()?, 9310); // 95 epochs of 98 steps, the last of each smaller
/// assert_eq!(run.drop_last(true).total_steps()?, 9215);
/// # Ok::<(), onecycle::PolicyError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    pub(crate) length: Span,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) samples: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) batch_size: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) steps_per_epoch: Option<u64>,
    #[serde(default)]
    pub(crate) drop_last: bool,
}

impl Run {
    fn of(length: Span) -> Self {
        Run {
            length,
            samples: None,
            batch_size: None,
            steps_per_epoch: None,
            drop_last: false,
        }
    }

    /// A run of `steps` updates. Spans in epochs also need [`Run::with_samples`] and
    /// [`Run::with_batch_size`], or [`Run::with_steps_per_epoch`].
    pub fn steps(steps: impl Count) -> Self {
        Run::of(Span::Steps(steps.count()))
    }

    /// A run of `epochs` passes over `samples` samples in batches of `batch_size`. If the policy
    /// sets the batch size, that one determines the number of steps.
    pub fn epochs(epochs: impl EpochCount, samples: impl Count, batch_size: impl Count) -> Self {
        Run::of(Span::Epochs(epochs.epochs()))
            .with_samples(samples)
            .with_batch_size(batch_size)
    }

    /// Sets the number of samples in the training set.
    pub fn with_samples(self, samples: impl Count) -> Self {
        Run {
            samples: Some(samples.count()),
            ..self
        }
    }

    /// Sets the number of samples per update, over all accumulated batches.
    pub fn with_batch_size(self, batch_size: impl Count) -> Self {
        Run {
            batch_size: Some(batch_size.count()),
            ..self
        }
    }

    /// Sets the number of updates per epoch, if the number of samples is not known.
    pub fn with_steps_per_epoch(self, steps: impl Count) -> Self {
        Run {
            steps_per_epoch: Some(steps.count()),
            ..self
        }
    }

    /// Sets whether an incomplete batch at the end of an epoch is dropped. By default it is a step.
    pub fn drop_last(self, drop_last: bool) -> Self {
        Run { drop_last, ..self }
    }

    pub(crate) fn check(&self) -> Result<(), PolicyError> {
        check::span("epochs", self.length)?;
        if !matches!(self.length, Span::Steps(_) | Span::Epochs(_)) {
            return Err(PolicyError::Unsupported {
                name: "length",
                value: self.length.to_string(),
                hint: "give the length of a run in steps or epochs",
            });
        }
        let counts = [
            ("samples", self.samples),
            ("batch_size", self.batch_size),
            ("steps_per_epoch", self.steps_per_epoch),
        ];
        for (name, count) in counts {
            check::ensure(count != Some(0), name, 0.0, "at least 1")?;
        }
        if self.samples.is_some() && self.batch_size.is_some() && self.steps_per_epoch.is_some() {
            return Err(PolicyError::Conflict {
                first: "steps_per_epoch",
                second: "samples",
            });
        }
        Ok(())
    }
}
