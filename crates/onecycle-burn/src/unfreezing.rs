//! Unfreezes the layers of a module one group after another: [`GradualUnfreezing`].

use burn::module::Module;

use crate::{BurnError, layer_groups::LayerGroups};

/// Gradual unfreezing (Howard & Ruder, "Universal Language Model Fine-tuning" (2018), section 3.3):
/// at first only the last group of layers trains, then one more at a time, towards the input.
///
/// The number of frozen groups is a pure function of the step, so a resumed run needs no state.
///
/// ```
/// use onecycle_burn::{layer_groups::LayerGroups, unfreezing::GradualUnfreezing};
///
/// let groups = LayerGroups::new(["conv1|bn1", "layer1", "fc"])?;
/// let unfreezing = GradualUnfreezing::every(groups, 100)?;
/// let frozen = [0, 99, 100, 199, 200, 1000].map(|step| unfreezing.frozen_at(step));
/// assert_eq!(frozen, [2, 2, 1, 1, 0, 0]);
/// # Ok::<(), onecycle_burn::BurnError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GradualUnfreezing {
    groups: LayerGroups,
    /// Steps before which one more group is unfrozen, ascending.
    steps: Vec<u64>,
}

impl GradualUnfreezing {
    /// Unfreezes one more group every `steps` steps, until all train.
    ///
    /// # Errors
    /// [`BurnError::InvalidOption`] if `steps` is 0.
    pub fn every(groups: LayerGroups, steps: u64) -> Result<Self, BurnError> {
        let frozen = groups.len() as u64 - 1;
        let steps = (1..=frozen).map(|group| group * steps).collect();
        GradualUnfreezing::at_steps(groups, steps)
    }

    /// Unfreezes one more group before each of these updates, counted from 0. With fewer than
    /// `groups.len() - 1` of them, the first groups stay frozen.
    ///
    /// # Errors
    /// [`BurnError::InvalidOption`] unless the steps rise from at least 1 and there are fewer than
    /// groups.
    pub fn at_steps(groups: LayerGroups, steps: Vec<u64>) -> Result<Self, BurnError> {
        let wrong = |value, expected| BurnError::InvalidOption {
            option: "unfreezing.steps",
            value,
            expected,
        };
        if steps.len() >= groups.len() {
            return Err(wrong(
                steps.len() as f64,
                "fewer steps than groups of layers: the last group trains from the start",
            ));
        }
        let mut last = 0;
        for &step in &steps {
            if step <= last {
                return Err(wrong(step as f64, "steps of at least 1 that rise"));
            }
            last = step;
        }
        Ok(GradualUnfreezing { groups, steps })
    }

    /// The groups.
    pub fn groups(&self) -> &LayerGroups {
        &self.groups
    }

    /// Number of groups that are frozen at update `step`.
    pub fn frozen_at(&self, step: u64) -> usize {
        let unfrozen = self.steps.partition_point(|start| *start <= step);
        self.groups.len() - 1 - unfrozen
    }

    /// Freezes and unfreezes `model` for update `step`, if that differs from the step before. Call
    /// it before every update. A run that begins at a later step first calls
    /// [`start`](Self::start).
    pub fn prepare<M: Module>(&self, model: M, step: u64) -> M {
        if step > 0 && self.frozen_at(step) == self.frozen_at(step - 1) {
            return model;
        }
        self.start(model, step)
    }

    /// Freezes and unfreezes a newly built or loaded `model` for update `step`.
    pub fn start<M: Module>(&self, model: M, step: u64) -> M {
        self.groups.freeze_to(model, self.frozen_at(step))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A failed unwrap is a failed test.
mod tests {
    use super::*;

    #[test]
    fn groups_unfreeze_at_their_steps() {
        let groups = LayerGroups::new(["a", "b", "c", "d"]).unwrap();
        let some = GradualUnfreezing::at_steps(groups.clone(), vec![1, 5]).unwrap();
        let frozen = |unfreezing: &GradualUnfreezing, steps: [u64; 5]| {
            steps.map(|step| unfreezing.frozen_at(step))
        };
        assert_eq!(frozen(&some, [0, 1, 4, 5, 99]), [3, 2, 2, 1, 1]);
        let every = GradualUnfreezing::every(groups, 3).unwrap();
        assert_eq!(frozen(&every, [2, 3, 6, 8, 9]), [3, 2, 1, 1, 0]);
    }

    #[test]
    fn wrong_steps_are_refused() {
        let groups = || LayerGroups::new(["a", "b", "c"]).unwrap();
        assert!(GradualUnfreezing::every(groups(), 0).is_err());
        for steps in [vec![0], vec![2, 2], vec![3, 1], vec![1, 2, 3]] {
            assert!(GradualUnfreezing::at_steps(groups(), steps).is_err());
        }
        let alone = LayerGroups::new(["a"]).unwrap();
        assert_eq!(GradualUnfreezing::every(alone, 1).unwrap().frozen_at(0), 0);
    }
}
