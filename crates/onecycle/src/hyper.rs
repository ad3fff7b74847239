use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::{PolicyError, check, math, text::Short};

/// The hyper-parameters of one update.
///
/// `None` means that the policy does not set the parameter; the optimizer or the data loader keeps
/// its own value.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Hyper {
    /// Learning rate, at least 0. There is no upper limit.
    pub lr: f64,
    /// SGD's momentum or Adam's beta1, at least 0 and below 1.
    pub momentum: Option<f64>,
    /// Weight decay, at least 0.
    pub weight_decay: Option<f64>,
    /// Samples per batch, at least 1. The data loader applies it.
    pub batch_size: Option<u64>,
}

impl Hyper {
    /// Only a learning rate. The optimizer and the data loader keep their own values for everything
    /// else.
    ///
    /// ```
    /// use onecycle::Hyper;
    /// let hyper = Hyper { momentum: Some(0.9), ..Hyper::new(0.1) };
    /// assert_eq!((hyper.lr, hyper.momentum, hyper.weight_decay), (0.1, Some(0.9), None));
    /// assert_eq!(hyper.to_string(), "lr 0.1, momentum 0.9");
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

impl fmt::Display for Hyper {
    /// The values that are set: `lr 0.8, momentum 0.85, weight decay 0.0001, batch size 64`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "lr {}", Short(self.lr))?;
        if let Some(momentum) = self.momentum {
            write!(f, ", momentum {}", Short(momentum))?;
        }
        if let Some(weight_decay) = self.weight_decay {
            write!(f, ", weight decay {}", Short(weight_decay))?;
        }
        if let Some(batch_size) = self.batch_size {
            write!(f, ", batch size {batch_size}")?;
        }
        Ok(())
    }
}

/// Factors of one parameter group on the plan's learning rate and weight decay.
///
/// Momentum and batch size are the same for all groups.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GroupScale {
    /// Factor on the learning rate, at least 0 (0 freezes the group).
    pub lr: f64,
    /// Factor on the weight decay, at least 0 (for example 0 for biases and batch-norm parameters).
    pub weight_decay: f64,
}

impl Default for GroupScale {
    /// Factors of 1.
    fn default() -> Self {
        GroupScale {
            lr: 1.0,
            weight_decay: 1.0,
        }
    }
}

impl GroupScale {
    /// Creates the factors on learning rate and weight decay.
    ///
    /// # Errors
    /// Returns an error if a factor is negative, NaN or infinite.
    pub fn new(lr: f64, weight_decay: f64) -> Result<Self, PolicyError> {
        check::rate("lr", lr)?;
        check::rate("weight_decay", weight_decay)?;
        Ok(GroupScale { lr, weight_decay })
    }

    /// Discriminative learning rates: the last of `groups` groups uses the plan's rate, and each
    /// group before it `1 / ratio` of the next group's rate. Source: Howard & Ruder, "Universal
    /// Language Model Fine-tuning" (2018), section 3.2, with `ratio` 2.6.
    ///
    /// ```
    /// use onecycle::GroupScale;
    /// let scales = GroupScale::discriminative(3, 2.0)?;
    /// assert_eq!(scales.iter().map(|s| s.lr).collect::<Vec<_>>(), [0.25, 0.5, 1.0]);
    /// # Ok::<(), onecycle::PolicyError>(())
    /// ```
    ///
    /// # Errors
    /// Returns an error if the ratio is not positive.
    pub fn discriminative(groups: usize, ratio: f64) -> Result<Vec<Self>, PolicyError> {
        check::positive("ratio", ratio)?;
        (0..groups)
            .map(|i| {
                let depth = (groups - 1 - i) as f64;
                GroupScale::new(math::pow(ratio, -depth), 1.0)
            })
            .collect()
    }

    /// Applies the factors to `hyper`.
    #[inline]
    pub fn apply(self, hyper: Hyper) -> Hyper {
        Hyper {
            lr: hyper.lr * self.lr,
            weight_decay: hyper.weight_decay.map(|decay| decay * self.weight_decay),
            ..hyper
        }
    }
}
