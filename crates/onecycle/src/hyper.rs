use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::{PolicyError, check, math};

/// The hyper-parameters of one update.
///
/// `None` means that the policy does not set the parameter: the optimizer (or the loader) keeps its own.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Hyper {
    /// Learning rate, at least 0. There is no upper limit.
    pub lr: f64,
    /// SGD's momentum or Adam's beta1, at least 0 and below 1.
    pub momentum: Option<f64>,
    /// Weight decay, at least 0.
    pub weight_decay: Option<f64>,
    /// Samples in the batch of this update, at least 1.
    pub batch_size: Option<u64>,
}

impl Hyper {
    /// A learning rate alone: the optimizer and the loader keep their own values of the others.
    ///
    /// ```
    /// use onecycle::Hyper;
    /// let hyper = Hyper { momentum: Some(0.9), ..Hyper::new(0.1) };
    /// assert_eq!((hyper.lr, hyper.momentum, hyper.weight_decay), (0.1, Some(0.9), None));
    /// ```
    pub const fn new(lr: f64) -> Self {
        Hyper {
            lr,
            momentum: None,
            weight_decay: None,
            batch_size: None,
        }
    }
}

/// What one parameter group takes of the plan: factors on its learning rate and weight decay.
///
/// Momentum and batch size are the same for all groups.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GroupScale {
    /// Factor on the learning rate, at least 0 (0 freezes the group).
    pub lr: f64,
    /// Factor on the weight decay, at least 0 (0 for biases and batch-norm parameters, say).
    pub weight_decay: f64,
}

impl Default for GroupScale {
    /// A group that takes the plan as it is.
    fn default() -> Self {
        GroupScale {
            lr: 1.0,
            weight_decay: 1.0,
        }
    }
}

impl GroupScale {
    /// Factors on the learning rate and on the weight decay.
    ///
    /// # Errors
    /// Either of them negative, NaN or infinite.
    pub fn new(lr: f64, weight_decay: f64) -> Result<Self, PolicyError> {
        check::rate("lr", lr)?;
        check::rate("weight_decay", weight_decay)?;
        Ok(GroupScale { lr, weight_decay })
    }

    /// Discriminative rates: the last of `groups` takes the plan's rate, each group before it `1 / ratio` of the
    /// next one's. Howard & Ruder, "Universal Language Model Fine-tuning" (2018), section 3.2, with `ratio` 2.6.
    ///
    /// ```
    /// use onecycle::GroupScale;
    /// let scales = GroupScale::discriminative(3, 2.0)?;
    /// assert_eq!(scales.iter().map(|s| s.lr).collect::<Vec<_>>(), [0.25, 0.5, 1.0]);
    /// # Ok::<(), onecycle::PolicyError>(())
    /// ```
    ///
    /// # Errors
    /// A ratio that is not above 0.
    pub fn discriminative(groups: usize, ratio: f64) -> Result<Vec<Self>, PolicyError> {
        check::positive("ratio", ratio)?;
        (0..groups)
            .map(|i| {
                let depth = (groups - 1 - i) as f64;
                GroupScale::new(math::pow(ratio, -depth), 1.0)
            })
            .collect()
    }

    /// `hyper` as this group takes it.
    #[inline]
    pub fn apply(self, hyper: Hyper) -> Hyper {
        Hyper {
            lr: hyper.lr * self.lr,
            weight_decay: hyper.weight_decay.map(|decay| decay * self.weight_decay),
            ..hyper
        }
    }
}
