//! Guarantees of the optimizers besides their arithmetic: parameter groups, clipping, errors.

use burn::{
    module::{Module, Param},
    optim::GradientsParams,
    tensor::{Device, Tensor, TensorData},
};
use onecycle::Hyper;
use onecycle_burn::{
    BurnError, Optimizer, OptimizerConfig,
    optim::{Ignorable, ParamGroup, Sgd},
    state,
};

#[derive(Module, Debug)]
struct Net {
    weight: Param<Tensor<2>>,
    bias: Param<Tensor<1>>,
}

fn net(device: &Device) -> Net {
    Net {
        weight: Param::from_data(TensorData::from([[1.0f32, 2.0]]), device),
        bias: Param::from_data(TensorData::from([4.0f32]), device),
    }
}

fn grads(net: &Net, value: f32) -> GradientsParams {
    let loss = (net.weight.val().sum() + net.bias.val().sum()) * value;
    GradientsParams::from_grads(loss.backward(), net)
}

fn hyper(lr: f64) -> Hyper {
    Hyper {
        lr,
        momentum: None,
        weight_decay: None,
        batch_size: None,
    }
}

fn values(net: &Net, name: &str) -> Vec<f32> {
    state::weights(net)[name].iter::<f32>().collect()
}

#[test]
fn no_decay_on_bias_and_norm_skips_parameters_of_rank_one() {
    let device = Device::flex().autodiff();
    let mut optimizer = Optimizer::new(OptimizerConfig::sgd())
        .unwrap()
        .with_groups(vec![ParamGroup::no_decay_on_bias_and_norm()])
        .unwrap();
    let model = net(&device);
    let grads = grads(&model, 0.0);
    let hyper = Hyper {
        weight_decay: Some(0.5),
        ..hyper(0.5)
    };
    let (model, _) = optimizer.step(&hyper, model, grads).unwrap();
    assert_eq!(values(&model, "weight"), [0.75, 1.5]);
    assert_eq!(values(&model, "bias"), [4.0]);
}

#[test]
fn decoupled_decay_does_not_enter_the_velocity() {
    let device = Device::flex().autodiff();
    let sgd = Sgd {
        decoupled: true,
        weight_decay: 0.5,
        ..Sgd::default()
    };
    let mut optimizer = Optimizer::new(OptimizerConfig::Sgd(sgd)).unwrap();
    let model = net(&device);
    let grads = grads(&model, 1.0);
    let (model, _) = optimizer.step(&hyper(0.5), model, grads).unwrap();
    // 4 (1 - 0.5 · 0.5) - 0.5 · 1
    assert_eq!(values(&model, "bias"), [2.5]);
    let velocity: Vec<f32> = optimizer.state()["bias/velocity"].iter::<f32>().collect();
    assert_eq!(velocity, [1.0]);
}

#[test]
fn clipping_uses_the_norm_over_all_tensors() {
    let device = Device::flex().autodiff();
    let mut optimizer = Optimizer::new(OptimizerConfig::sgd())
        .unwrap()
        .with_clip_norm(1.0)
        .unwrap();
    let model = net(&device);
    let grads = grads(&model, 2.0);
    let (model, report) = optimizer.step(&hyper(1.0), model, grads).unwrap();
    let norm = 12f64.sqrt();
    assert!((report.grad_norm.unwrap() - norm).abs() < 1e-6);
    assert!(report.clipped);
    let step = 4.0 - f64::from(values(&model, "bias")[0]);
    assert!((step - 2.0 / (norm + 1e-6)).abs() < 1e-6);
}

#[test]
fn parameters_without_a_gradient_do_not_change() {
    let device = Device::flex().autodiff();
    let model = net(&device);
    let loss = model.weight.val().sum();
    let grads = GradientsParams::from_grads(loss.backward(), &model);
    let mut optimizer = Optimizer::new(OptimizerConfig::sgd()).unwrap();
    let (model, _) = optimizer.step(&hyper(1.0), model, grads).unwrap();
    assert_eq!(values(&model, "weight"), [0.0, 1.0]);
    assert_eq!(values(&model, "bias"), [4.0]);
    assert!(model.weight.val().is_require_grad());
}

#[test]
fn a_batch_size_is_an_error_unless_ignored() {
    let device = Device::flex().autodiff();
    let hyper = Hyper {
        batch_size: Some(64),
        ..hyper(0.1)
    };
    let mut optimizer = Optimizer::new(OptimizerConfig::sgd()).unwrap();
    let model = net(&device);
    let gradients = grads(&model, 1.0);
    let error = optimizer.step(&hyper, model, gradients).unwrap_err();
    assert_eq!(
        error,
        BurnError::UnusedHyper {
            hyper: "batch_size",
            value: 64.0,
            optimizer: "sgd"
        }
    );
    let mut optimizer = optimizer.ignore(Ignorable::BatchSize);
    let model = net(&device);
    let gradients = grads(&model, 1.0);
    assert!(optimizer.step(&hyper, model, gradients).is_ok());
}

#[test]
fn hyper_parameters_out_of_range_are_refused() {
    let device = Device::flex().autodiff();
    let mut optimizer = Optimizer::new(OptimizerConfig::sgd()).unwrap();
    for bad in [
        hyper(-0.1),
        hyper(f64::NAN),
        Hyper {
            momentum: Some(1.0),
            ..hyper(0.1)
        },
        Hyper {
            weight_decay: Some(-1e-4),
            ..hyper(0.1)
        },
    ] {
        let model = net(&device);
        let gradients = grads(&model, 1.0);
        assert!(matches!(
            optimizer.step(&bad, model, gradients),
            Err(BurnError::HyperOutOfRange { .. })
        ));
    }
    let nesterov = Sgd {
        nesterov: true,
        dampening: 0.1,
        ..Sgd::default()
    };
    assert!(matches!(
        Optimizer::new(OptimizerConfig::Sgd(nesterov)),
        Err(BurnError::Contradiction(_))
    ));
}

#[test]
fn weights_of_another_model_are_refused() {
    let device = Device::flex();
    let mut weights = state::weights(&net(&device));
    weights.insert("extra".into(), TensorData::from([1.0f32]));
    assert_eq!(
        state::load_weights(net(&device), weights.clone()).unwrap_err(),
        BurnError::UnexpectedTensor {
            name: "extra".into()
        }
    );
    weights.remove("extra");
    let bias = weights.remove("bias").unwrap();
    assert_eq!(
        state::load_weights(net(&device), weights.clone()).unwrap_err(),
        BurnError::MissingTensor {
            name: "bias".into()
        }
    );
    weights.insert("weight".into(), bias.clone());
    weights.insert("bias".into(), bias);
    assert_eq!(
        state::load_weights(net(&device), weights).unwrap_err(),
        BurnError::ShapeMismatch {
            name: "weight".into(),
            found: vec![1],
            expected: vec![1, 2]
        }
    );
}
