use core::iter::FusedIterator;

use super::Plan;
use crate::Hyper;

/// Iterator over a plan's steps and their hyper-parameters, from [`Plan::iter`].
#[derive(Debug, Clone)]
pub struct PlanIter<'a> {
    plan: &'a Plan,
    /// The next step from the front.
    next: u64,
    /// The step after the next one from the back.
    end: u64,
}

impl Plan {
    /// The steps of the run in order, each with its hyper-parameters: `(0, at(0))`, `(1, at(1))`,
    /// ..., `(steps - 1, at(steps - 1))`.
    ///
    /// ```
    /// use onecycle::{OneCycle, Run};
    /// let plan = OneCycle::new(0.8).plan(&Run::steps(1000))?;
    /// assert_eq!(plan.iter().len(), 1000);
    /// let peak = plan.iter().find(|(_, hyper)| hyper.lr == 0.8);
    /// assert_eq!(peak, Some((450, plan.at(450))));
    /// # Ok::<(), onecycle::PolicyError>(())
    /// ```
    pub fn iter(&self) -> PlanIter<'_> {
        PlanIter {
            plan: self,
            next: 0,
            end: self.steps(),
        }
    }
}

impl<'a> IntoIterator for &'a Plan {
    type Item = (u64, Hyper);
    type IntoIter = PlanIter<'a>;

    fn into_iter(self) -> PlanIter<'a> {
        self.iter()
    }
}

impl Iterator for PlanIter<'_> {
    type Item = (u64, Hyper);

    fn next(&mut self) -> Option<(u64, Hyper)> {
        let step = (self.next < self.end).then_some(self.next)?;
        self.next += 1;
        Some((step, self.plan.at(step)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        // Where a `usize` has 32 bits, a longer run than it can count counts as its maximum.
        let left = usize::try_from(self.end - self.next).unwrap_or(usize::MAX);
        (left, Some(left))
    }

    fn nth(&mut self, n: usize) -> Option<(u64, Hyper)> {
        self.next = self.next.saturating_add(n as u64).min(self.end);
        self.next()
    }
}

impl DoubleEndedIterator for PlanIter<'_> {
    fn next_back(&mut self) -> Option<(u64, Hyper)> {
        self.end = (self.next < self.end).then(|| self.end - 1)?;
        Some((self.end, self.plan.at(self.end)))
    }
}

impl ExactSizeIterator for PlanIter<'_> {}
impl FusedIterator for PlanIter<'_> {}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use alloc::vec::Vec;

    use crate::{OneCycle, Run};

    #[test]
    fn every_step_comes_once_from_either_end() {
        let policy = OneCycle::new(0.8).policy().unwrap();
        let plan = policy.resolve(&Run::steps(7)).unwrap();
        let known: Vec<_> = (0..7_u64).map(|step| (step, plan.at(step))).collect();
        assert_eq!(plan.iter().collect::<Vec<_>>(), known);
        let mut both = plan.iter();
        assert_eq!(
            (both.next(), both.next_back()),
            (Some(known[0]), Some(known[6]))
        );
        assert_eq!((both.len(), both.nth(2)), (5, Some(known[3])));
        assert_eq!(both.rev().collect::<Vec<_>>(), [known[5], known[4]]);
        let mut over = plan.iter();
        assert_eq!((over.nth(7), over.next(), over.len()), (None, None, 0));
        assert_eq!((&plan).into_iter().count(), 7);
    }
}
