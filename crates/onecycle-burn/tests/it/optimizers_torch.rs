//! Compares the optimizers with trajectories that PyTorch computed in float64.
//!
//! We compute them in double precision, and in single precision, which takes another path on the CPU
//! (one pass over memory). `scripts/goldens/optimizers_torch.py` records them like this:
//!
//! ```python
//! opt = torch.optim.SGD([a, b, c], lr=lr[0], momentum=momentum[0], nesterov=True)
//! for n in range(40):
//!     for group in opt.param_groups: group["lr"], group["momentum"] = lr[n], momentum[n]
//!     for p, g in zip([a, b, c], gradients[n]): p.grad = g
//!     torch.nn.utils.clip_grad_norm_([a, b, c], max_norm)     # cases with `clip` only
//!     opt.step()
//! ```

use std::collections::BTreeMap;

use burn::{
    module::{Module, Param},
    optim::GradientsParams,
    tensor::{DType, Device, Tensor, TensorData},
};
use onecycle::Hyper;
use onecycle_burn::{
    Optimizer, OptimizerConfig,
    optim::{Adam, BiasCorrection, ParamGroup, RmsProp, Sgd},
    state,
};
use onecycle_test_support::{Tolerance, assert_series, golden_as, numbers};
use serde::Deserialize;
use serde_json::{Map, Value};

/// Element types, and the allowed deviation relative to the largest magnitude in a tensor's
/// trajectory.
const PRECISIONS: [(DType, f64); 2] = [(DType::F64, 1e-12), (DType::F32, 2e-6)];

#[derive(Deserialize)]
struct Goldens {
    init: [Vec<f64>; 3],
    /// By kind; per step, for each of the three tensors.
    gradients: BTreeMap<String, Vec<[Vec<f64>; 3]>>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    optimizer: String,
    kwargs: Value,
    lr: Vec<f64>,
    momentum: Vec<f64>,
    weight_decay: Vec<f64>,
    clip: Option<Clip>,
    /// The kind of gradients.
    gradients: String,
    params: Vec<[Vec<f64>; 3]>,
    final_state: Map<String, Value>,
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

pub(crate) fn tensor<const D: usize>(
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
        other => panic!("{other} is not covered"),
    }
}

/// The weight decay of all updates is 1; each tensor multiplies it by its own weight decay.
fn optimizer(case: &Case) -> Optimizer {
    let groups = ["a", "b", "c"]
        .iter()
        .zip(&case.weight_decay)
        .map(|(name, decay)| ParamGroup::prefix(*name, 1.0, *decay))
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

fn goldens() -> Goldens {
    let goldens: Goldens = golden_as(env!("CARGO_MANIFEST_DIR"), "optimizers_torch");
    assert_eq!(goldens.cases.len(), 37);
    for case in &goldens.cases {
        let steps = [case.lr.len(), case.momentum.len(), case.params.len()];
        assert_eq!(steps, [goldens.gradients[&case.gradients].len(); 3]);
    }
    goldens
}

#[test]
fn trajectories_are_those_of_pytorch() {
    let goldens = goldens();
    for case in &goldens.cases {
        for (dtype, tolerance) in PRECISIONS {
            assert_trajectory(&goldens, case, dtype, tolerance);
        }
    }
}

fn assert_trajectory(goldens: &Goldens, case: &Case, dtype: DType, tolerance: f64) {
    let mut model = Three::new(&goldens.init, dtype);
    let mut optimizer = optimizer(case);
    let tolerances = [0, 1, 2].map(|t| {
        let trajectory = case.params.iter().flat_map(|step| &step[t]);
        Tolerance::Absolute(tolerance * largest(trajectory))
    });
    let name = format!("{} in {dtype:?}", case.name);
    for (step, gradients) in goldens.gradients[&case.gradients].iter().enumerate() {
        let grads = model.grads(gradients);
        let report;
        (model, report) = optimizer.step(&hyper(case, step), model, grads).unwrap();
        for (t, values) in model.values().iter().enumerate() {
            let what = format!("{name}: tensor {t} after step {step}");
            assert_series(&what, values, &case.params[step][t], tolerances[t]);
        }
        if let Some(clip) = &case.clip {
            let what = format!("{name}: norm at step {step}");
            let (got, want) = (report.grad_norm.unwrap(), clip.total_norm[step]);
            assert_series(&what, &[got], &[want], Tolerance::OfLargest(tolerance));
        }
    }
    assert_final_state(case, &optimizer, tolerance);
}

/// PyTorch's and our names for the state of an optimizer.
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
            let got: Vec<f64> = state[&format!("{name}/{ours}")].iter::<f64>().collect();
            let what = format!("{}: {theirs} of {name}", case.name);
            assert_series(&what, &got, &numbers(want), Tolerance::OfLargest(tolerance));
        }
    }
}

/// A run that is saved halfway and restored into a new optimizer ends with the same bits.
#[test]
fn a_restored_run_ends_with_the_same_bits() {
    let goldens = goldens();
    let device = Device::flex().autodiff();
    let cases = goldens.cases.iter();
    for (case, (dtype, _)) in cases.flat_map(|case| PRECISIONS.map(|p| (case, p))) {
        let run = |interrupted: bool| {
            let mut model = Three::new(&goldens.init, dtype);
            let mut current = optimizer(case);
            for (step, gradients) in goldens.gradients[&case.gradients].iter().enumerate() {
                if interrupted && step == case.lr.len() / 2 {
                    let saved = current.state();
                    current = optimizer(case);
                    current.load_state(saved, &device).unwrap();
                    let (weights, new) = (state::weights(&model), Three::new(&goldens.init, dtype));
                    model = state::load_weights(new, weights).unwrap();
                }
                let grads = model.grads(gradients);
                (model, _) = current.step(&hyper(case, step), model, grads).unwrap();
            }
            model.values()
        };
        assert_eq!(run(false), run(true), "{} in {dtype:?}", case.name);
    }
}

/// The bias-corrected mean of equal gradients must be that gradient, even if beta1 varies. Dividing by
/// 1 minus the product of all betas achieves this; PyTorch's power of the current beta1 does not.
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
