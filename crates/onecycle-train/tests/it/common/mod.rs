//! Made-up records of a run, for tests of figures and reports.

use onecycle_plot::Mark;
use onecycle_train::record::{EpochRecord, StepRecord, generalisation_gap};

/// Records and phases of a 1cycle run with `epochs` epochs of `per_epoch` steps.
pub(crate) fn run(epochs: u64, per_epoch: u64) -> (Vec<StepRecord>, Vec<EpochRecord>, Vec<Mark>) {
    let total = epochs * per_epoch;
    let leg = (0.43 * total as f64).floor();
    // Up in the first leg, down in the second, flat after them.
    let height = |n: u64| (1.0 - (n as f64 - leg).abs() / leg).max(0.0);
    let steps: Vec<StepRecord> = (0..total)
        .map(|n| StepRecord {
            step: n,
            epoch: n / per_epoch,
            lr: 0.08 + 0.72 * height(n),
            momentum: Some(0.95 - 0.1 * height(n)),
            weight_decay: 1e-4,
            batch_size: 128,
            loss: 0.2 + 2.1 * (-5.0 * n as f64 / total as f64).exp() + 0.05 * (n as f64).sin(),
            grad_norm: None,
            image_size: None,
        })
        .collect();
    let epoch = |(i, part): (usize, &[StepRecord])| {
        let train_loss = part.iter().map(|record| record.loss).sum::<f64>() / part.len() as f64;
        let val_loss = train_loss + 0.02 * i as f64;
        let last = &part[part.len() - 1];
        EpochRecord {
            epoch: last.epoch,
            steps: last.step + 1,
            train_loss,
            train_accuracy: 1.0 - train_loss / 4.0,
            val_loss,
            val_accuracy: 1.0 - val_loss / 4.0,
            generalisation_gap: generalisation_gap(train_loss, val_loss),
            lr: last.lr,
            momentum: last.momentum,
            seconds: 10.0,
            images_per_second: 128.0 * per_epoch as f64 / 10.0,
        }
    };
    let epochs = steps
        .chunks(per_epoch as usize)
        .enumerate()
        .map(epoch)
        .collect();
    let mark = |x, label: &str| Mark {
        x,
        label: label.to_owned(),
    };
    let phases = vec![
        mark(0.0, "up"),
        mark(leg, "down"),
        mark(2.0 * leg, "annihilation"),
    ];
    (steps, epochs, phases)
}
