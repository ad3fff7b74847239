//! The optimizers against trajectories that PyTorch printed, in float64; computed here in double
//! precision and in single, which on the CPU is another path (one pass over memory).
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

/// Types, and what they may be off by, relative to the largest magnitude of a tensor's course as the reference's README
/// advises.
const PRECISIONS: [(DType, f64); 2] = [(DType::F64, 1e-12), (DType::F32, 2e-6)];

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

fn tensor<const D: usize>(
    values: &[f64],
    shape: [usize; D],
    (device, dtype): (&Device, DType),
) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), (device, dtype))
}

impl Three {
    fn new([a, b, c]: &[Vec<f64>; 3], dtype: DType) -> Self {
        let place = (&Device::flex().autodiff(), dtype);
        Three {
            a: Param::from_tensor(tensor(a, [3], place)),
            b: Param::from_tensor(tensor(b, [2, 4], place)),
            c: Param::from_tensor(tensor(c, [2, 3, 2, 2], place)),
        }
    }

    fn grads(&self, [a, b, c]: &[Vec<f64>; 3]) -> GradientsParams {
        let place = (&Device::flex(), self.a.val().dtype());
        let mut grads = GradientsParams::new();
        grads.register(self.a.id, tensor(a, [3], place));
        grads.register(self.b.id, tensor(b, [2, 4], place));
        grads.register(self.c.id, tensor(c, [2, 3, 2, 2], place));
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

/// `tolerance` is relative to `scale`.
fn assert_close(what: &str, got: &[f64], want: &[f64], scale: f64, tolerance: f64) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (index, (got, want)) in got.iter().zip(want).enumerate() {
        let off = (got - want).abs() / scale;
        assert!(
            off <= tolerance,
            "{what}[{index}] is {got:e}, PyTorch says {want:e}, off by {off:e}"
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
    for case in &cases {
        for (dtype, tolerance) in PRECISIONS {
            assert_trajectory(case, dtype, tolerance);
        }
    }
}

fn assert_trajectory(case: &Case, dtype: DType, tolerance: f64) {
    let mut model = Three::new(&case.init, dtype);
    let mut optimizer = optimizer(case);
    let scales: Vec<f64> = (0..3)
        .map(|t| largest(case.params.iter().flat_map(|step| &step[t])))
        .collect();
    let name = format!("{} in {dtype:?}", case.name);
    for step in 0..case.lr.len() {
        let grads = model.grads(&case.grads[step]);
        let report;
        (model, report) = optimizer.step(&hyper(case, step), model, grads).unwrap();
        for (t, values) in model.values().iter().enumerate() {
            let what = format!("{name}: tensor {t} after step {step}");
            assert_close(&what, values, &case.params[step][t], scales[t], tolerance);
        }
        if let Some(clip) = &case.clip {
            let (got, want) = (report.grad_norm.unwrap(), clip.total_norm[step]);
            assert_close(&format!("{name}: norm"), &[got], &[want], want, tolerance);
        }
    }
    assert_final_state(case, &optimizer, tolerance);
}

/// PyTorch's names for what an optimizer keeps, and ours.
const STATE_NAMES: [(&str, &str); 5] = [
    ("momentum_buffer", "velocity"),
    ("exp_avg", "mean"),
    ("grad_avg", "mean"),
    ("exp_avg_sq", "square"),
    ("square_avg", "square"),
];

fn assert_final_state(case: &Case, optimizer: &Optimizer, tolerance: f64) {
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
            let what = format!("{}: {theirs}", case.name);
            assert_close(&what, &got, &want, largest(want.iter()), tolerance);
        }
    }
}

/// Saved after half of the steps and restored into a new optimizer, a run ends with the same bits.
#[test]
fn restored_state_goes_on_with_the_same_bits() {
    let Some(cases) = cases() else { return };
    let device = Device::flex().autodiff();
    for (case, (dtype, _)) in cases.iter().flat_map(|case| PRECISIONS.map(|p| (case, p))) {
        let run = |interrupted: bool| {
            let mut model = Three::new(&case.init, dtype);
            let mut current = optimizer(case);
            for step in 0..case.lr.len() {
                if interrupted && step == case.lr.len() / 2 {
                    let saved = current.state();
                    current = optimizer(case);
                    current.load_state(saved, &device).unwrap();
                    let weights = state::weights(&model);
                    model = state::load_weights(Three::new(&case.init, dtype), weights).unwrap();
                }
                let grads = model.grads(&case.grads[step]);
                (model, _) = current.step(&hyper(case, step), model, grads).unwrap();
            }
            model.values()
        };
        assert_eq!(run(false), run(true), "{} in {dtype:?}", case.name);
    }
}

/// With a beta1 that varies, the mean of equal gradients must be that gradient, whatever beta1 did: the product
/// of the betas gives exactly that, PyTorch's power of the current one does not.
#[test]
fn exact_bias_correction_keeps_a_constant_gradient() {
    let ones = [vec![1.0; 3], vec![1.0; 8], vec![1.0; 24]];
    let last_step = |bias_correction| {
        let adam = Adam {
            bias_correction,
            eps: 1e-300,
            ..Adam::default()
        };
        let mut optimizer = Optimizer::new(OptimizerConfig::Adam(adam)).unwrap();
        let mut model = Three::new(&ones, DType::F64);
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
