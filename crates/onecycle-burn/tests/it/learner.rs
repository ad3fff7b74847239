//! The adaptor to Burn's `Learner` gives the same bits as the optimizer of this crate.
//!
//! Like Burn's training loop, the test calls the scheduler once and then the optimizer once per step.

use burn::{
    lr_scheduler::LrScheduler,
    module::{Module, Param},
    optim::{GradientsParams, ModuleOptimizer},
    tensor::{Device, Tensor, TensorData},
};
use onecycle::{BatchSizes, OneCycle, Plan, Run};
use onecycle_burn::{
    BurnError, Optimizer, OptimizerConfig, PlanDriver,
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
        .policy()
        .unwrap()
        .resolve(&Run::steps(30))
        .unwrap()
}

/// Weights after training with this crate's optimizer.
fn with_optimizer(config: &OptimizerConfig) -> TensorMap {
    let (plan, mut net) = (plan(), net());
    let mut optimizer = Optimizer::new(config.clone()).unwrap();
    for step in 0..plan.steps() {
        let grads = grads(&net);
        (net, _) = optimizer.step(&plan.at(step), net, grads).unwrap();
    }
    state::weights(&net)
}

/// Weights after training with the adaptor, saved and restored before step `interrupted`.
fn with_adaptor(config: &OptimizerConfig, interrupted: Option<u64>) -> TensorMap {
    let mut driver = PlanDriver::new(plan(), config.clone()).unwrap();
    let mut scheduler = driver.scheduler();
    let mut optimizer = ModuleOptimizer::from(driver.optimizer());
    let mut net = net();
    for step in 0..plan().steps() {
        if interrupted == Some(step) {
            let (schedule, moments) = (scheduler.to_record(), optimizer.to_record());
            driver = PlanDriver::new(plan(), config.clone()).unwrap();
            scheduler = driver.scheduler();
            scheduler.load_record(schedule);
            optimizer = ModuleOptimizer::from(driver.optimizer()).load_record(moments);
        }
        let lr = scheduler.step();
        let grads = grads(&net);
        net = optimizer.step(lr, net, grads);
    }
    state::weights(&net)
}

#[test]
fn adaptor_and_optimizer_give_the_same_bits() {
    for config in [OptimizerConfig::sgd(), OptimizerConfig::adamw()] {
        assert_eq!(
            with_optimizer(&config),
            with_adaptor(&config, None),
            "{}",
            config.kind()
        );
    }
}

#[test]
fn records_restore_step_and_state() {
    for config in [OptimizerConfig::sgd(), OptimizerConfig::adamw()] {
        assert_eq!(
            with_adaptor(&config, None),
            with_adaptor(&config, Some(13)),
            "{}",
            config.kind()
        );
    }
}

#[test]
fn a_plan_with_a_batch_size_is_refused() {
    let plan = OneCycle::new(0.05)
        .policy()
        .unwrap()
        .with_batch_size(BatchSizes::Constant(64))
        .unwrap()
        .resolve(&Run::steps(30).with_samples(640))
        .unwrap();
    assert!(matches!(
        PlanDriver::new(plan, OptimizerConfig::sgd()),
        Err(BurnError::UnusedHyper {
            hyper: "batch_size",
            ..
        })
    ));
}
