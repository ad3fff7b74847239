//! The optimizers against trajectories that PyTorch printed, in float64.
//!
//! ```python
//! opt = torch.optim.SGD([a, b, c], lr=lr[0], momentum=momentum[0], nesterov=True)
//! for n in range(40):
//!     for group in opt.param_groups: group["lr"], group["momentum"] = lr[n], momentum[n]
//!     for p, g in zip([a, b, c], grads[n]): p.grad = g
//!     torch.nn.utils.clip_grad_norm_([a, b, c], max_norm)     # where the case has it
//!     opt.step()
//! ```

// A test that cannot read its data should say where.
#![allow(clippy::unwrap_used)]

mod common;

use burn::{
    module::{Module, Param},
    optim::GradientsParams,
    tensor::{DType, Device, Tensor, TensorData},
};
use onecycle::Hyper;
use onecycle_burn::{
    Optimizer, OptimizerConfig,
    optim::{Adam, BiasCorrection, Group, RmsProp, Sgd},
    state,
};
use serde::Deserialize;

/// Relative to the largest magnitude of a tensor's course, as the reference's README advises.
const TOLERANCE: f64 = 1e-12;

#[derive(Deserialize)]
struct Goldens {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    optimizer: String,
    kwargs: serde_json::Value,
    lr: Vec<f64>,
    momentum: Vec<f64>,
    weight_decay: Vec<f64>,
    clip: Option<Clip>,
    init: [Vec<f64>; 3],
    grads: Vec<[Vec<f64>; 3]>,
    params: Vec<[Vec<f64>; 3]>,
    final_state: serde_json::Map<String, serde_json::Value>,
}

#[derive(Deserialize)]
struct Clip {
    max_norm: f64,
    total_norm: Vec<f64>,
}

#[derive(Module, Debug)]
struct Three {
    a: Param<Tensor<1>>,
    b: Param<Tensor<2>>,
    c: Param<Tensor<4>>,
}

fn tensor<const D: usize>(values: &[f64], shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::from_data(
        TensorData::new(values.to_vec(), shape),
        (device, DType::F64),
    )
}

impl Three {
    fn new([a, b, c]: &[Vec<f64>; 3], device: &Device) -> Self {
        Three {
            a: Param::from_tensor(tensor(a, [3], device)),
            b: Param::from_tensor(tensor(b, [2, 4], device)),
            c: Param::from_tensor(tensor(c, [2, 3, 2, 2], device)),
        }
    }

    fn grads(&self, [a, b, c]: &[Vec<f64>; 3]) -> GradientsParams {
        let device = Device::flex();
        let mut grads = GradientsParams::new();
        grads.register(self.a.id, tensor(a, [3], &device));
        grads.register(self.b.id, tensor(b, [2, 4], &device));
        grads.register(self.c.id, tensor(c, [2, 3, 2, 2], &device));
        grads
    }

    fn values(&self) -> [Vec<f64>; 3] {
        let weights = state::weights(self);
        ["a", "b", "c"].map(|name| weights[name].iter::<f64>().collect())
    }
}

fn config(case: &Case) -> OptimizerConfig {
    let number = |key: &str| case.kwargs[key].as_f64().unwrap();
    let flag = |key: &str| case.kwargs[key].as_bool().unwrap();
    let adam = || Adam {
        beta2: number("beta2"),
        eps: number("eps"),
        amsgrad: flag("amsgrad"),
        bias_correction: BiasCorrection::Torch,
        ..Adam::default()
    };
    match case.optimizer.as_str() {
        "SGD" => OptimizerConfig::Sgd(Sgd {
            dampening: number("dampening"),
            nesterov: flag("nesterov"),
            ..Sgd::default()
        }),
        "Adam" => OptimizerConfig::Adam(adam()),
        "AdamW" => OptimizerConfig::AdamW(adam()),
        "RMSprop" => OptimizerConfig::RmsProp(RmsProp {
            alpha: number("alpha"),
            eps: number("eps"),
            centered: flag("centered"),
            ..RmsProp::default()
        }),
        other => panic!("{other} has no counterpart here"),
    }
}

/// The case's weight decay is 1 times each tensor's multiplier.
fn optimizer(case: &Case) -> Optimizer {
    let groups = ["a", "b", "c"]
        .iter()
        .zip(&case.weight_decay)
        .map(|(name, decay)| Group::prefix(*name, 1.0, *decay))
        .collect();
    let optimizer = Optimizer::new(config(case))
        .unwrap()
        .with_groups(groups)
        .unwrap();
    match &case.clip {
        None => optimizer,
        Some(clip) => optimizer.with_clip_norm(clip.max_norm).unwrap(),
    }
}

fn hyper(case: &Case, step: usize) -> Hyper {
    Hyper {
        lr: case.lr[step],
        momentum: Some(case.momentum[step]),
        weight_decay: Some(1.0),
        batch_size: None,
    }
}

fn largest<'a>(values: impl Iterator<Item = &'a f64>) -> f64 {
    values.fold(f64::MIN_POSITIVE, |most, v| most.max(v.abs()))
}

fn assert_close(case: &str, what: &str, got: &[f64], want: &[f64], scale: f64) {
    assert_eq!(got.len(), want.len(), "{case}: {what}");
    for (index, (got, want)) in got.iter().zip(want).enumerate() {
        let off = (got - want).abs() / scale;
        assert!(
            off <= TOLERANCE,
            "{case}: {what}[{index}] is {got:e}, PyTorch says {want:e}, off by {off:e}"
        );
    }
}

fn cases() -> Option<Vec<Case>> {
    let text = std::fs::read_to_string(common::golden("optimizers_torch.json")?).unwrap();
    let goldens: Goldens = serde_json::from_str(&text).unwrap();
    assert_eq!(goldens.cases.len(), 37);
    Some(goldens.cases)
}

#[test]
fn trajectories_are_those_of_pytorch() {
    let Some(cases) = cases() else { return };
    let device = Device::flex().autodiff();
    for case in &cases {
        let mut model = Three::new(&case.init, &device);
        let mut optimizer = optimizer(case);
        let scales: Vec<f64> = (0..3)
            .map(|t| largest(case.params.iter().flat_map(|step| &step[t])))
            .collect();
        for step in 0..case.lr.len() {
            let grads = model.grads(&case.grads[step]);
            let report;
            (model, report) = optimizer.step(&hyper(case, step), model, grads).unwrap();
            for (t, values) in model.values().iter().enumerate() {
                let what = format!("tensor {t} after step {step}");
                assert_close(&case.name, &what, values, &case.params[step][t], scales[t]);
            }
            if let Some(clip) = &case.clip {
                let want = clip.total_norm[step];
                assert_close(
                    &case.name,
                    "norm",
                    &[report.grad_norm.unwrap()],
                    &[want],
                    want,
                );
            }
        }
        assert_final_state(case, &optimizer);
    }
}

/// PyTorch's names for what an optimizer keeps, and ours.
const STATE_NAMES: [(&str, &str); 5] = [
    ("momentum_buffer", "velocity"),
    ("exp_avg", "mean"),
    ("grad_avg", "mean"),
    ("exp_avg_sq", "square"),
    ("square_avg", "square"),
];

fn assert_final_state(case: &Case, optimizer: &Optimizer) {
    let state = optimizer.state();
    for (theirs, ours) in STATE_NAMES {
        let Some(tensors) = case.final_state.get(theirs) else {
            continue;
        };
        for (name, want) in ["a", "b", "c"].iter().zip(tensors.as_array().unwrap()) {
            let want: Vec<f64> = want
                .as_array()
                .unwrap()
                .iter()
                .map(|v| v.as_f64().unwrap())
                .collect();
            let got: Vec<f64> = state[&format!("{name}/{ours}")].iter::<f64>().collect();
            assert_close(&case.name, theirs, &got, &want, largest(want.iter()));
        }
    }
}

/// Saved after half of the steps and restored into a new optimizer, a run ends with the same bits.
#[test]
fn restored_state_goes_on_with_the_same_bits() {
    let Some(cases) = cases() else { return };
    let device = Device::flex().autodiff();
    for case in &cases {
        let run = |interrupted: bool| {
            let mut model = Three::new(&case.init, &device);
            let mut current = optimizer(case);
            for step in 0..case.lr.len() {
                if interrupted && step == case.lr.len() / 2 {
                    let saved = current.state();
                    current = optimizer(case);
                    current.load_state(saved, &device).unwrap();
                    let weights = state::weights(&model);
                    model = state::load_weights(Three::new(&case.init, &device), weights).unwrap();
                }
                let grads = model.grads(&case.grads[step]);
                (model, _) = current.step(&hyper(case, step), model, grads).unwrap();
            }
            model.values()
        };
        assert_eq!(run(false), run(true), "{}", case.name);
    }
}

/// With a beta1 that varies, the mean of equal gradients must be that gradient, whatever beta1 did: the product
/// of the betas gives exactly that, PyTorch's power of the current one does not.
#[test]
fn exact_bias_correction_keeps_a_constant_gradient() {
    let device = Device::flex().autodiff();
    let ones = [vec![1.0; 3], vec![1.0; 8], vec![1.0; 24]];
    let last_step = |bias_correction| {
        let adam = Adam {
            bias_correction,
            eps: 1e-300,
            ..Adam::default()
        };
        let mut optimizer = Optimizer::new(OptimizerConfig::Adam(adam)).unwrap();
        let mut model = Three::new(&ones, &device);
        let mut before = 0.0;
        for beta1 in [0.95, 0.9, 0.85] {
            before = model.values()[0][0];
            let hyper = Hyper {
                lr: 0.1,
                momentum: Some(beta1),
                weight_decay: None,
                batch_size: None,
            };
            let grads = model.grads(&ones);
            (model, _) = optimizer.step(&hyper, model, grads).unwrap();
        }
        before - model.values()[0][0]
    };
    assert!((last_step(BiasCorrection::Exact) - 0.1).abs() < 1e-12);
    assert!((last_step(BiasCorrection::Torch) - 0.1).abs() > 1e-3);
}
