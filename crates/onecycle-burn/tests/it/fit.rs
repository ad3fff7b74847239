//! `fit_one_cycle` and `lr_find` make the updates of a hand-written loop, and stop at wrong data.

use burn::tensor::{Device, Tensor};
use onecycle::{
    OneCycle, Plan, Run,
    range_test::{LrSweep, RangeTest},
};
use onecycle_burn::{
    BurnError, Optimizer, OptimizerConfig, fit::FitOutcome, fit_one_cycle, lr_find, nn::Linear,
    optim::ParamGroup, state, training_step, try_fit_one_cycle,
};

type Batch = (Tensor<2>, Tensor<2>);

fn model() -> Linear {
    Linear::new(2, 1, &mut onecycle_burn::rng(1), &Device::flex().autodiff())
}

fn optimizer() -> Optimizer {
    Optimizer::new(OptimizerConfig::sgd()).unwrap()
}

/// A plan for epochs of three batches.
fn plan(epochs: f64) -> Plan {
    OneCycle::new(0.2).plan(&Run::epochs(epochs, 6, 2)).unwrap()
}

/// The batches of an epoch: two points each, other ones in each epoch.
fn batches(epoch: u64, count: u64) -> Vec<Batch> {
    let device = Device::flex().autodiff();
    let batch = |i: u64| {
        let at = (3 * epoch + i) as f32;
        let x = Tensor::from_data([[at.sin(), 1.0], [at.cos(), -1.0]], &device);
        (x, Tensor::from_data([[at.sin()], [0.5]], &device))
    };
    (0..count).map(batch).collect()
}

fn loss(model: &Linear, (x, y): Batch) -> Tensor<1> {
    (model.forward(x) - y).square().mean()
}

/// Trains with a number of batches for each epoch.
fn fit(plan: &Plan, counts: &[u64]) -> (Linear, Result<FitOutcome, BurnError>) {
    let mut model = model();
    let epochs = |epoch| batches(epoch, counts.get(epoch as usize).copied().unwrap_or(3));
    let fitted = fit_one_cycle(&mut model, &mut optimizer(), plan, epochs, loss);
    (model, fitted)
}

#[test]
fn a_fit_makes_the_updates_of_a_loop() {
    // Two epochs and a third of the next.
    let plan = plan(2.34);
    assert_eq!(plan.steps(), 7);
    let (fitted, outcome) = fit(&plan, &[]);
    let outcome = outcome.unwrap();

    let (mut model, mut optimizer) = (model(), optimizer());
    let mut losses = Vec::new();
    let all = (0..3).flat_map(|epoch| batches(epoch, 3));
    for ((_, hyper), batch) in plan.iter().zip(all) {
        let outcome;
        (model, outcome) = training_step(model, &mut optimizer, &hyper, |model| {
            Ok::<_, BurnError>(loss(model, batch))
        })
        .unwrap();
        losses.push(outcome.loss);
    }
    assert_eq!(outcome.losses, losses);
    assert_eq!(outcome.epoch_starts, [0, 3, 6]);
    assert_eq!(state::weights(&fitted), state::weights(&model));
    let first = losses[..3].iter().sum::<f64>() / 3.0;
    let means = outcome.epoch_losses();
    assert_eq!((means.len(), means[0], means[2]), (3, first, losses[6]));
}

#[test]
fn epochs_of_another_length_than_in_the_plan_are_an_error() {
    let error = |counts: &[u64]| fit(&plan(3.0), counts).1.unwrap_err();
    let length = |epoch, found| BurnError::EpochLength {
        epoch,
        expected: 3,
        found,
    };
    assert_eq!(error(&[3, 2, 3]), length(1, 2));
    assert_eq!(error(&[3, 5, 3]), length(1, 4));
    assert_eq!(error(&[0, 3, 3]), BurnError::NoBatch { epoch: 0 });
    assert_eq!(error(&[3, 0, 3]), BurnError::NoBatch { epoch: 1 });
    // A plan in steps defines no epochs.
    let steps = OneCycle::new(0.2).plan(&Run::steps(9)).unwrap();
    let outcome = fit(&steps, &[1, 5, 3]).1.unwrap();
    assert_eq!(outcome.epoch_starts, [0, 1, 6]);
}

/// A loss that is not finite, or an error of the data, keeps the updates made before it.
#[test]
fn after_an_error_the_model_has_the_weights_of_the_last_update() {
    let plan = plan(2.0);
    let stopped_at = |stop: u64, with: Option<f32>| {
        let (mut model, mut calls) = (model(), 0);
        let fitted = try_fit_one_cycle(
            &mut model,
            &mut optimizer(),
            &plan,
            |epoch| batches(epoch, 3),
            |model, batch| {
                calls += 1;
                match with {
                    Some(factor) if calls > stop => Ok(loss(model, batch) * factor),
                    None if calls > stop => Err(BurnError::NoBatch { epoch: 77 }),
                    _ => Ok(loss(model, batch)),
                }
            },
        );
        (state::weights(&model), fitted.unwrap_err())
    };
    let (with_nan, error) = stopped_at(4, Some(f32::NAN));
    assert!(matches!(error, BurnError::LossNotFinite { step: 4, lr, .. } if lr == plan.at(4).lr));
    let (with_error, error) = stopped_at(4, None);
    assert_eq!(error, BurnError::NoBatch { epoch: 77 });
    assert_eq!(with_nan, with_error);
    assert_ne!(with_nan, stopped_at(3, None).0);
    assert_eq!(stopped_at(0, None).0, state::weights(&model()));
}

#[test]
fn a_batch_size_in_the_plan_is_an_error_before_the_first_step() {
    let sized = OneCycle::new(0.2).batch_size(2);
    let (model, fitted) = fit(&sized.plan(&Run::epochs(2, 6, 2)).unwrap(), &[]);
    assert!(matches!(fitted, Err(BurnError::UnusedHyper { .. })));
    assert_eq!(state::weights(&model), state::weights(&self::model()));
}

/// Groups are the optimizer's, and the range test uses them: with factor 0 nothing changes.
#[test]
fn parameter_groups_of_the_optimizer_apply_in_a_range_test() {
    let losses = |groups: Vec<ParamGroup>| {
        let optimizer = optimizer().with_groups(groups).unwrap();
        let test = RangeTest::new(LrSweep::exponential(1e-3, 1.0, 20).unwrap()).to_the_end();
        let epochs = |_| batches(0, 1);
        let tested = lr_find(&model(), &optimizer, test, epochs, loss).unwrap();
        tested.curve.loss().to_vec()
    };
    let frozen = losses(vec![ParamGroup::prefix("", 0.0, 0.0)]);
    assert_eq!(frozen, [frozen[0]; 20]);
    let free = losses(Vec::new());
    assert_eq!(free[0], frozen[0]);
    assert!(free[9] < 0.5 * free[0], "{free:?}");
}

#[test]
fn a_range_test_that_waits_for_a_loss_is_an_error() {
    let mut test = RangeTest::new(LrSweep::exponential(1e-3, 1.0, 20).unwrap());
    test.next_hyper().unwrap();
    let tested = lr_find(&model(), &optimizer(), test, |_| batches(0, 1), loss);
    let error = tested.unwrap_err();
    assert!(matches!(error, BurnError::Policy(_)));
    assert!(error.to_string().contains("0 of 1 losses"), "{error}");
}
