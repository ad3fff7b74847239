//! The best network of a run so far, for `keep = "best"`.

use onecycle_burn::state::TensorMap;
use serde::{Deserialize, Serialize};

use crate::record::EpochRecord;

/// The epoch with the best network.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct BestEpoch {
    /// The epoch, counted from 0 as in `epochs.jsonl`.
    pub epoch: u64,
    /// Its accuracy on the validation images, 0 to 1.
    pub val_accuracy: f64,
    /// Its mean loss on the validation images.
    pub val_loss: f64,
}

impl BestEpoch {
    /// The epoch of a record.
    pub(crate) fn of(record: &EpochRecord) -> Self {
        BestEpoch {
            epoch: record.epoch,
            val_accuracy: record.val_accuracy,
            val_loss: record.val_loss,
        }
    }

    /// Whether the network is better than the best one before: a higher accuracy, or an equal one
    /// and a lower loss.
    pub(crate) fn beats(&self, before: Option<&BestEpoch>) -> bool {
        before.is_none_or(|before| {
            let order = self.val_accuracy.total_cmp(&before.val_accuracy);
            order
                .then(before.val_loss.total_cmp(&self.val_loss))
                .is_gt()
        })
    }
}

/// The best network so far.
#[derive(Debug, Clone, PartialEq)]
pub struct Best {
    /// Its epoch.
    pub epoch: BestEpoch,
    /// Weights and running statistics.
    pub weights: TensorMap,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_accuracy_decides_then_the_loss_then_the_order() {
        let of = |val_accuracy, val_loss| BestEpoch {
            epoch: 0,
            val_accuracy,
            val_loss,
        };
        assert!(of(0.0, 9.0).beats(None));
        assert!(of(0.9, 2.0).beats(Some(&of(0.8, 1.0))));
        assert!(of(0.9, 0.9).beats(Some(&of(0.9, 1.0))));
        assert!(!of(0.9, 1.0).beats(Some(&of(0.9, 1.0))));
        assert!(!of(0.8, 0.1).beats(Some(&of(0.9, 1.0))));
    }
}
