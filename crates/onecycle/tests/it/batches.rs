//! The number of steps of a run whose batch size changes, compared with a simulated data loader.

use onecycle::{BatchSizes, Constant, Plan, Policy, Run, Span};
use proptest::prelude::*;

/// A training set and the way a loader draws batches from it.
#[derive(Debug, Clone, Copy)]
struct Loader {
    samples: u64,
    drop_last: bool,
}

impl Loader {
    /// Draws the batches of `epochs` epochs, with the size that `size` returns for each step, and
    /// returns the first step of each epoch and the step after the last.
    ///
    /// A new epoch starts when no sample is left. If incomplete batches are dropped, it starts when
    /// the samples that are left do not fill a batch, of the size just drawn or of the next one.
    fn epochs(self, epochs: u64, size: impl Fn(u64) -> u64) -> Vec<u64> {
        let (mut starts, mut step) = (vec![0], 0);
        let mut left = self.samples;
        while starts.len() as u64 <= epochs {
            let next = size(step);
            let too_few = |left: u64, size| left == 0 || (self.drop_last && left < size);
            if left < self.samples && too_few(left, next) {
                starts.push(step);
                left = self.samples;
                continue;
            }
            left = left.saturating_sub(next);
            step += 1;
            if too_few(left, next) {
                starts.push(step);
                left = self.samples;
            }
        }
        starts
    }
}

/// Points that increase, in one unit or in several.
fn tracks() -> impl Strategy<Value = Vec<(Span, u64)>> {
    let change = (0..4_u8, 0.02..1.4_f64, 1..90_u64);
    (
        1..90_u64,
        prop::collection::vec(change, 0..5),
        any::<bool>(),
    )
        .prop_map(|(first, changes, mixed)| {
            let unit_of_all = changes.first().map_or(0, |(unit, ..)| *unit);
            let mut points = vec![(Span::Steps(0), first)];
            let mut at = 0.0;
            for (unit, length, size) in changes {
                at += length;
                let span = match if mixed { unit } else { unit_of_all } {
                    0 => Span::Epochs(at),
                    1 => Span::Epochs((at * 4.0).ceil() / 4.0),
                    2 => Span::Steps((at * 7.0).ceil() as u64),
                    _ => Span::Samples((at * 150.0).ceil() as u64),
                };
                points.push((span, size));
            }
            points
        })
}

fn policy(track: Vec<(Span, u64)>) -> Option<Policy> {
    let policy = Constant::new(0.1).policy().unwrap();
    policy.with_batch_size(BatchSizes::Piecewise(track)).ok()
}

fn plan(loader: Loader, policy: &Policy, epochs: u64) -> Option<Plan> {
    let run = Run::epochs(epochs, loader.samples, 1).drop_last(loader.drop_last);
    policy.resolve(&run).ok()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_plan_has_as_many_steps_as_a_loader_has_batches(
        samples in 1..400_u64,
        track in tracks(),
        epochs in 1..6_u64,
        drop_last in any::<bool>(),
    ) {
        let loader = Loader { samples, drop_last };
        let Some(policy) = policy(track) else { return Ok(()) };
        let Some(plan) = plan(loader, &policy, epochs) else { return Ok(()) };
        // Past its end a plan repeats its last batch size, and a change may come just there.
        let longer = self::plan(loader, &policy, epochs + 4).unwrap();
        let starts = loader.epochs(epochs, |step| longer.at(step).batch_size.unwrap());
        prop_assert_eq!(plan.steps(), starts[epochs as usize], "{:?}", starts);
        for (epoch, step) in starts.iter().enumerate() {
            let found = plan.epoch_at(*step).unwrap();
            prop_assert!((found - epoch as f64).abs() < 1e-9, "step {}: epoch {}", step, found);
        }
        for step in 0..plan.steps() {
            let (from, to) = (plan.epoch_at(step).unwrap(), plan.epoch_at(step + 1).unwrap());
            prop_assert!(from < to, "step {}: epochs {} and {}", step, from, to);
        }
    }
}

/// 120 images: two batches of 50, then the remaining 20 images in two batches of 10, then an epoch
/// of 12 batches.
#[test]
fn a_change_within_an_epoch_leaves_the_images_not_yet_drawn() {
    let track = vec![(Span::Steps(0), 50), (Span::Steps(2), 10)];
    let loader = Loader {
        samples: 120,
        drop_last: false,
    };
    let plan = plan(loader, &policy(track).unwrap(), 2).unwrap();
    assert_eq!(plan.steps(), 2 + 2 + 12);
    assert_eq!(
        [4, 16].map(|step| plan.epoch_at(step)),
        [Some(1.0), Some(2.0)]
    );
}

/// A run with a number of steps per epoch instead of a number of samples: the steps count.
#[test]
fn steps_per_epoch_hold_for_every_batch_size() {
    let track = vec![(Span::Steps(0), 50), (Span::Steps(5), 10)];
    let run = Run::steps(40).with_steps_per_epoch(10);
    let plan = policy(track).unwrap().resolve(&run).unwrap();
    let epochs = [5, 6, 10, 40].map(|step| plan.epoch_at(step).unwrap());
    assert_eq!(epochs, [0.5, 0.6, 1.0, 4.0]);
}
