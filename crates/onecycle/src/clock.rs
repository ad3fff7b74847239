//! Conversion between steps, epochs and samples while the batch size changes.

use alloc::vec::Vec;

use crate::{BatchSizes, PolicyError, Run, Span, math};

/// The position of a run at each step, piecewise linear between steps, epochs and samples.
///
/// Every epoch starts with a new batch, so an epoch takes a whole number of steps, even if the batch
/// size changes within it. Samples are spread evenly over the steps of an epoch, or over
/// those of its part with one batch size, including the smaller last batch.
///
/// If incomplete batches are dropped, an epoch ends where its remaining samples do not fill another
/// batch, of the size before or after a change.
#[derive(Debug, Clone)]
pub(crate) struct Clock {
    stretches: Vec<Stretch>,
    batches: Vec<(u64, u64)>,
    /// Step of the last change of the batch size, and the position there before it.
    changed: Option<(f64, Place)>,
    length: Span,
    own_batch: Option<u64>,
    total: u64,
}

/// A position of the run.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    epoch: f64,
    sample: f64,
    /// Samples of the current epoch in batches before it.
    drawn: u64,
}

/// A part of the run in which every step is the same fraction of an epoch.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    step: f64,
    epoch: f64,
    sample: f64,
    steps_per_epoch: Option<f64>,
    samples_per_step: Option<f64>,
    batches: Option<Batches>,
}

/// The batches of a stretch, if the numbers of samples and of samples per batch are known.
#[derive(Debug, Clone, Copy)]
struct Batches {
    size: u64,
    /// Samples of the epoch in batches before the stretch.
    drawn: u64,
    /// Steps of each epoch of a stretch of whole epochs; `None` for the rest of a begun epoch.
    per_epoch: Option<u64>,
}

impl Batches {
    /// Samples of the epoch in batches before the step `steps` after the start of the stretch.
    fn drawn_after(self, steps: u64) -> u64 {
        let steps = self.per_epoch.map_or(steps, |per_epoch| steps % per_epoch);
        self.drawn.saturating_add(steps.saturating_mul(self.size))
    }
}

impl Clock {
    /// The clock of `run`. Batch sizes set by the policy replace the run's own.
    pub(crate) fn new(run: &Run, batches: Option<&BatchSizes>) -> Result<Self, PolicyError> {
        run.check()?;
        if let Some(batches) = batches {
            batches.check()?;
        }
        let points = match batches {
            Some(batches) => batches
                .points()
                .into_iter()
                .map(|(at, size)| (at, Some(size)))
                .collect(),
            None => alloc::vec![(Span::Steps(0), run.batch_size)],
        };
        let mut clock = Clock {
            stretches: Vec::new(),
            batches: Vec::new(),
            changed: None,
            length: run.length,
            own_batch: run.batch_size,
            total: 0,
        };
        for (at, size) in points {
            clock.switch(run, at, size)?;
        }
        let total = math::round(clock.position("epochs", run.length)?);
        clock.total = total as u64;
        if clock.total == 0 {
            return Err(PolicyError::ZeroSteps { steps: clock.total });
        }
        if batches.is_none() {
            clock.batches.clear();
        }
        Ok(clock)
    }

    /// Changes the batch size to `size` at the point `at`.
    fn switch(&mut self, run: &Run, at: Span, size: Option<u64>) -> Result<(), PolicyError> {
        let step = if at.is_zero() {
            0.0
        } else {
            math::round(self.position("batch_size", at)?)
        };
        let place = match self.changed {
            // This change replaces one at the same step, which then has no effect.
            Some((last, before)) if last == step => before,
            _ => self.place(step),
        };
        self.changed = Some((step, place));
        let Place {
            epoch: begun,
            mut sample,
            drawn,
        } = place;
        self.stretches.retain(|stretch| stretch.step < step);
        self.batches.retain(|(first, _)| (*first as f64) < step);
        if let Some(size) = size {
            self.batches.push((step as u64, size));
        }
        let Some(steps_per_epoch) = steps_per_epoch(run, size)? else {
            self.stretches.push(Stretch {
                step,
                epoch: begun,
                sample,
                steps_per_epoch: None,
                samples_per_step: size.map(|size| size as f64),
                batches: None,
            });
            return Ok(());
        };
        let (mut step, mut epoch) = (step, begun);
        // The rest of an epoch that started with another batch size.
        if let (true, Some(samples), Some(size)) = (drawn > 0, run.samples, size) {
            epoch = math::floor(begun) + 1.0;
            let rest = epoch - begun;
            let left = samples.saturating_sub(drawn);
            let batches = if run.drop_last {
                left / size
            } else {
                left.div_ceil(size)
            };
            if batches > 0 {
                let steps = batches as f64;
                let seen = if run.drop_last {
                    steps * size as f64
                } else {
                    rest * samples as f64
                };
                self.stretches.push(Stretch {
                    step,
                    epoch: begun,
                    sample,
                    steps_per_epoch: Some(steps / rest),
                    samples_per_step: Some(seen / steps),
                    batches: Some(Batches {
                        size,
                        drawn,
                        per_epoch: None,
                    }),
                });
                sample += seen;
                step += steps;
            }
        }
        let samples_per_step = match (run.samples, size) {
            (_, Some(size)) if run.drop_last => Some(size as f64),
            (Some(samples), _) => Some(samples as f64 / steps_per_epoch as f64),
            (None, size) => size.map(|size| size as f64),
        };
        self.stretches.push(Stretch {
            step,
            epoch,
            sample,
            steps_per_epoch: Some(steps_per_epoch as f64),
            samples_per_step,
            batches: run.samples.and(size).map(|size| Batches {
                size,
                drawn: 0,
                per_epoch: Some(steps_per_epoch),
            }),
        });
        Ok(())
    }

    /// The position at `step` under the changes so far.
    fn place(&self, step: f64) -> Place {
        let Some(stretch) = self.stretch(|stretch| stretch.step <= step) else {
            return Place::default();
        };
        let (epoch, sample) = stretch.place(step);
        Place {
            epoch: epoch.unwrap_or(0.0),
            sample: sample.unwrap_or(0.0),
            drawn: stretch.drawn(step),
        }
    }

    fn stretch(&self, begun: impl Fn(&Stretch) -> bool) -> Option<&Stretch> {
        self.stretches
            .iter()
            .rev()
            .find(|stretch| begun(stretch))
            .or(self.stretches.first())
    }

    /// The fractional step of the point `at`.
    pub(crate) fn position(&self, name: &'static str, at: Span) -> Result<f64, PolicyError> {
        let unknown = |missing| PolicyError::UnknownUnit {
            name,
            span: at,
            missing,
        };
        match at {
            Span::Steps(steps) => Ok(steps as f64),
            Span::Epochs(epochs) => self
                .stretch(|stretch| stretch.epoch <= epochs)
                .and_then(|stretch| {
                    let step = stretch.step + (epochs - stretch.epoch) * stretch.steps_per_epoch?;
                    // Dropped samples end an epoch before its last batch would be due.
                    let later = self.stretches.iter().find(|next| next.epoch > epochs);
                    Some(later.map_or(step, |next| step.min(next.step)))
                })
                .ok_or_else(|| {
                    unknown("the number of samples and a batch size, or its steps per epoch")
                }),
            Span::Samples(samples) => {
                let samples = samples as f64;
                self.stretch(|stretch| stretch.sample <= samples)
                    .and_then(|stretch| {
                        Some(stretch.step + (samples - stretch.sample) / stretch.samples_per_step?)
                    })
                    .ok_or_else(|| unknown("a batch size"))
            }
            Span::Fraction(fraction) => match self.length {
                Span::Epochs(epochs) => self.position(name, Span::Epochs(fraction * epochs)),
                length => Ok(fraction * self.position(name, length)?),
            },
        }
    }

    /// Number of steps of the whole run.
    pub(crate) fn total_steps(&self) -> u64 {
        self.total
    }

    /// Batch sizes set by the policy: the first step of each, and the size.
    pub(crate) fn batches(&self) -> &[(u64, u64)] {
        &self.batches
    }

    /// Epochs completed before `step`; `None` if the run does not define its epochs.
    pub(crate) fn epoch_at(&self, step: u64) -> Option<f64> {
        self.stretch(|stretch| stretch.step <= step as f64)?
            .place(step as f64)
            .0
    }

    /// Fractional length in steps of a span in epochs or samples that starts at step `from`.
    fn length_from(&self, name: &'static str, from: u64, span: Span) -> Result<f64, PolicyError> {
        if from == 0 {
            return self.position(name, span);
        }
        let start = from as f64;
        let (epoch, sample) = self
            .stretch(|stretch| stretch.step <= start)
            .map_or((None, None), |stretch| stretch.place(start));
        let end = match (span, epoch, sample) {
            (Span::Epochs(epochs), Some(epoch), _) => {
                self.position(name, Span::Epochs(epoch + epochs))?
            }
            (Span::Samples(samples), _, Some(sample)) => {
                self.position(name, Span::Samples(math::round(sample) as u64 + samples))?
            }
            _ => start + self.position(name, span)?,
        };
        Ok(end - start)
    }
}

impl Stretch {
    /// Samples of the current epoch in batches before `step`; 0 at the start of an epoch, and if
    /// the run does not define its batches.
    fn drawn(&self, step: f64) -> u64 {
        self.batches
            .map_or(0, |batches| batches.drawn_after((step - self.step) as u64))
    }

    /// Epoch and sample at `step`.
    fn place(&self, step: f64) -> (Option<f64>, Option<f64>) {
        let steps = step - self.step;
        (
            self.steps_per_epoch
                .map(|per_epoch| self.epoch + steps / per_epoch),
            self.samples_per_step
                .map(|per_step| self.sample + steps * per_step),
        )
    }
}

/// Steps of an epoch with batches of one size; `None` if the run does not define them.
fn steps_per_epoch(run: &Run, batch_size: Option<u64>) -> Result<Option<u64>, PolicyError> {
    match (run.samples, batch_size, run.steps_per_epoch) {
        (Some(samples), Some(batch_size), _) => {
            let steps = if run.drop_last {
                samples / batch_size
            } else {
                samples.div_ceil(batch_size)
            };
            if steps == 0 {
                return Err(PolicyError::BatchTooLarge {
                    batch_size,
                    samples,
                });
            }
            Ok(Some(steps))
        }
        // Valid only for the run's own batch size.
        (_, size, Some(steps))
            if size.is_none() || size == run.batch_size || run.batch_size.is_none() =>
        {
            Ok(Some(steps))
        }
        _ => Ok(None),
    }
}

impl Run {
    /// Number of steps at the run's own batch size.
    ///
    /// # Errors
    /// Returns the same errors as [`Policy::resolve`](crate::Policy::resolve) for the run itself.
    pub fn total_steps(&self) -> Result<u64, PolicyError> {
        Clock::new(self, None).map(|clock| clock.total_steps())
    }
}

/// The part of a run over which a curve or preset is resolved. Its steps count from 0.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extent<'a> {
    clock: &'a Clock,
    first: u64,
    /// Number of steps, at least 1.
    pub(crate) steps: u64,
    /// The step at which the end value is reached: the last step at the end of a run, otherwise the
    /// step after it, where the next part starts.
    pub(crate) reach: u64,
}

impl<'a> Extent<'a> {
    pub(crate) fn whole(clock: &'a Clock) -> Self {
        Extent {
            clock,
            first: 0,
            steps: clock.total,
            reach: clock.total - 1,
        }
    }

    /// The rest from step `from` on.
    pub(crate) fn rest(&self, from: u64) -> Self {
        Extent {
            first: self.first + from,
            steps: self.steps.saturating_sub(from),
            reach: self.reach.saturating_sub(from),
            ..*self
        }
    }

    /// The first `steps` steps, followed by another part.
    pub(crate) fn part(&self, steps: u64) -> Self {
        if steps >= self.steps {
            return *self;
        }
        Extent {
            steps,
            reach: steps,
            ..*self
        }
    }

    /// The batch size at the first step; the run's own if the policy sets none.
    pub(crate) fn first_batch(&self) -> Option<u64> {
        let sizes = self.clock.batches.iter().rev();
        sizes
            .clone()
            .find(|(first, _)| *first <= self.first)
            .map(|(_, size)| *size)
            .or(self.clock.own_batch)
    }

    /// Fractional length in steps of a span that starts at step `from`, at most the steps
    /// available.
    pub(crate) fn real(
        &self,
        name: &'static str,
        from: u64,
        span: Span,
    ) -> Result<f64, PolicyError> {
        let steps = match span {
            Span::Steps(steps) => steps as f64,
            Span::Fraction(fraction) => fraction * self.steps as f64,
            other => self.clock.length_from(name, self.first + from, other)?,
        };
        let available = self.steps.saturating_sub(from);
        if !matches!(span, Span::Fraction(_)) && math::round(steps) > available as f64 {
            return Err(PolicyError::SpanLongerThanRun {
                name,
                span,
                steps,
                available,
            });
        }
        Ok(steps)
    }

    /// The same, rounded to whole steps. A fraction of a short run may round to 0 steps.
    pub(crate) fn whole_steps(
        &self,
        name: &'static str,
        from: u64,
        span: Span,
    ) -> Result<u64, PolicyError> {
        let steps = math::round(self.real(name, from, span)?) as u64;
        Ok(steps.min(self.steps.saturating_sub(from)))
    }

    /// The number of steps of a span that ends with the extent.
    pub(crate) fn last_steps(&self, name: &'static str, span: Span) -> Result<f64, PolicyError> {
        match span {
            Span::Epochs(epochs) => {
                let end = self.first + self.steps;
                let Some(last) = self.clock.epoch_at(end) else {
                    return self.real(name, 0, span);
                };
                if epochs > last + 1e-9 {
                    return self.real(name, 0, span);
                }
                let start = self
                    .clock
                    .position(name, Span::Epochs((last - epochs).max(0.0)))?;
                let steps = end as f64 - start;
                if math::round(steps) > self.steps as f64 {
                    return Err(PolicyError::SpanLongerThanRun {
                        name,
                        span,
                        steps,
                        available: self.steps,
                    });
                }
                Ok(steps)
            }
            other => self.real(name, 0, other),
        }
    }

    /// One cycle of `steps` steps, independent of the length of this extent.
    pub(crate) fn cycle(&self, steps: u64) -> Self {
        Extent {
            steps,
            reach: steps,
            ..*self
        }
    }

    /// The step of a point in time. It may lie beyond the end.
    pub(crate) fn point(&self, name: &'static str, at: Span) -> Result<u64, PolicyError> {
        let steps = match at {
            Span::Steps(steps) => return Ok(steps),
            Span::Fraction(fraction) => fraction * self.steps as f64,
            other => self.clock.length_from(name, self.first, other)?,
        };
        Ok(math::round(steps) as u64)
    }

    /// Length in steps of a period. The end of the extent may cut it off.
    pub(crate) fn period(
        &self,
        phase: &'static str,
        name: &'static str,
        span: Span,
    ) -> Result<u64, PolicyError> {
        match (self.point(name, span)?, span) {
            // A fraction of a short run is at least one step.
            (steps, Span::Fraction(_)) => Ok(steps.max(1)),
            (0, _) => Err(PolicyError::EmptyPhase { phase, name, span }),
            (steps, _) => Ok(steps),
        }
    }
}
