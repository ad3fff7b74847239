//! The adaptor to Burn's `Learner` gives the same bits as the optimizer of this crate.
//!
//! Like Burn's training loop, the test calls the scheduler once and then the optimizer once per
//! step.

use burn::{
    lr_scheduler::LrScheduler,
    module::{Module, Param},
    optim::GradientsParams,
    tensor::{Device, Tensor, TensorData},
};
use onecycle::{AtEnd, OneCycle, Plan, Run};
use onecycle_burn::{
    BurnError, Optimizer, OptimizerConfig, PlanDriver,
    optim::{Ignorable, ParamGroup},
    state::{self, TensorMap},
};

#[derive(Module, Debug)]
struct Net {
    weight: Param<Tensor<2>>,
    bias: Param<Tensor<1>>,
}

fn net() -> Net {
    let device = Device::flex().autodiff();
    Net {
        weight: Param::from_data(TensorData::from([[0.3f32, -1.2], [0.7, 0.1]]), &device),
        bias: Param::from_data(TensorData::from([0.5f32, -0.4]), &device),
    }
}

/// Gradients that depend on the weights, so that a difference between two runs grows.
fn grads(net: &Net) -> GradientsParams {
    let loss = net.weight.val().powi_scalar(4).sum() + net.bias.val().exp().sum();
    GradientsParams::from_grads(loss.backward(), net)
}

fn plan() -> Plan {
    OneCycle::new(0.05)
        .weight_decay(1e-2)
        .plan(&Run::steps(30))
        .unwrap()
}

/// Optimizers with and without parameter groups. In the second one, the bias belongs to two groups,
/// of which the first counts.
fn optimizers() -> [Optimizer; 3] {
    let new = |config| Optimizer::new(config).unwrap();
    let groups = vec![
        ParamGroup::no_decay_on_bias_and_norm(),
        ParamGroup::prefix("bias", 0.0, 1.0),
        ParamGroup::prefix("weight", 0.5, 2.0),
    ];
    [
        new(OptimizerConfig::sgd()),
        new(OptimizerConfig::sgd()).with_groups(groups).unwrap(),
        new(OptimizerConfig::adamw()),
    ]
}

/// Weights after training with this crate's optimizer.
fn with_optimizer(mut optimizer: Optimizer) -> TensorMap {
    let (plan, mut net) = (plan(), net());
    for (_, hyper) in plan.iter() {
        let grads = grads(&net);
        (net, _) = optimizer.step(&hyper, net, grads).unwrap();
    }
    state::weights(&net)
}

/// Weights after training with the adaptor, saved and restored before step `interrupted`.
fn with_adaptor(with: &Optimizer, interrupted: Option<u64>) -> TensorMap {
    let mut net = net();
    let mut driver = PlanDriver::new(plan(), with.clone()).unwrap();
    let mut scheduler = driver.scheduler();
    let mut optimizer = driver.optimizer(&net);
    for step in 0..plan().steps() {
        if interrupted == Some(step) {
            let (schedule, moments) = (scheduler.to_record(), optimizer.to_record());
            driver = PlanDriver::new(plan(), with.clone()).unwrap();
            scheduler = driver.scheduler();
            scheduler.load_record(schedule);
            optimizer = driver.optimizer(&net).load_record(moments);
        }
        let lr = scheduler.step();
        let grads = grads(&net);
        net = optimizer.step(lr, net, grads);
    }
    state::weights(&net)
}

#[test]
fn adaptor_and_optimizer_give_the_same_bits() {
    let mut results = Vec::new();
    for optimizer in optimizers() {
        let with_adaptor = with_adaptor(&optimizer, None);
        assert_eq!(with_optimizer(optimizer), with_adaptor);
        results.push(with_adaptor);
    }
    assert_ne!(results[0], results[1], "groups have an effect");
}

#[test]
fn records_restore_step_and_state() {
    for optimizer in optimizers() {
        assert_eq!(
            with_adaptor(&optimizer, None),
            with_adaptor(&optimizer, Some(13))
        );
    }
}

#[test]
fn what_the_learner_cannot_do_is_an_error() {
    let [sgd, ..] = optimizers();
    let sized = OneCycle::new(0.05).batch_size(64);
    let sized = sized.plan(&Run::steps(30).with_samples(640)).unwrap();
    let error = PlanDriver::new(sized.clone(), sgd.clone()).unwrap_err();
    assert!(matches!(
        error,
        BurnError::UnusedHyper {
            hyper: "batch_size",
            ..
        }
    ));
    assert!(PlanDriver::new(sized, sgd.clone().ignore(Ignorable::BatchSize)).is_ok());

    let clipping = sgd.clone().with_clip_norm(1.0).unwrap();
    let error = PlanDriver::new(plan(), clipping).unwrap_err().to_string();
    assert!(error.contains("global norm") && error.contains("fit_one_cycle"));

    let mut used = sgd;
    let net = net();
    let gradients = grads(&net);
    used.step(&plan().at(0), net, gradients).unwrap();
    let error = PlanDriver::new(plan(), used).unwrap_err().to_string();
    assert!(error.contains("state"), "{error}");
}

#[test]
#[should_panic(expected = "asked for step 30 (from 0) of a plan of 30 steps")]
fn a_step_past_the_end_of_the_plan_panics() {
    let [sgd, ..] = optimizers();
    let mut scheduler = PlanDriver::new(plan(), sgd).unwrap().scheduler();
    for _ in 0..31 {
        scheduler.step();
    }
}

#[test]
fn a_plan_that_restarts_has_no_end() {
    let [sgd, ..] = optimizers();
    let plan = OneCycle::new(0.05).at_end(AtEnd::Restart);
    let plan = plan.plan(&Run::steps(30)).unwrap();
    let mut scheduler = PlanDriver::new(plan.clone(), sgd).unwrap().scheduler();
    let rates: Vec<f64> = (0..60).map(|_| scheduler.step()).collect();
    assert_eq!(rates[..30], rates[30..]);
}
