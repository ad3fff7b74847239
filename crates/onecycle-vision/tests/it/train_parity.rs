//! Compares twelve training steps of ResNet-8 and ResNet-20 with PyTorch.
//!
//! `scripts/goldens/train_parity.py` describes model, data and recorded quantities. In PyTorch a step is
//!
//! ```python
//! for group in opt.param_groups: group["lr"], group["momentum"] = lr[k], momentum[k]
//! loss = F.cross_entropy(model(images[k % 4]), labels[k % 4])
//! opt.zero_grad(); loss.backward(); opt.step()      # SGD, weight_decay=5e-4
//! ```
//!
//! In float64 all quantities must agree to 1e-9, in float32 within the recorded tolerances.

use std::collections::{BTreeMap, BTreeSet};

use burn::{
    module::Module,
    optim::GradientsParams,
    tensor::{DType, Device, Int, Tensor, TensorData},
};
use onecycle::Hyper;
use onecycle_burn::{
    Optimizer, OptimizerConfig,
    nn::cross_entropy,
    optim::{Sgd, grad_norm},
    state::{self, TensorMap},
};
use onecycle_test_support::{golden, list, number, numbers, text};
use onecycle_vision::{
    ImageShape,
    models::{Architecture, Model},
    random,
};
use serde_json::Value;

use crate::parity::{Convert, l2, norm, values};
use crate::random_numbers::{bits, projection, uniform};

/// Allowed relative deviation in float64. Two float64 runs of PyTorch differ by less than 1e-14.
const FLOAT64: f64 = 1e-9;

/// Least tolerance of a gradient norm in float32. Where a pre-activation is within rounding of 0, one
/// run passes its gradient and another does not; PyTorch's five runs may agree on such a case by
/// chance. Without weight decay the norm would be off by more than 2e-4.
const GRAD_NORM_FLOAT32: f64 = 5e-5;

const BATCH: usize = 32;
const WEIGHT_DECAY: f64 = 5e-4;

fn relative(got: f64, want: f64) -> f64 {
    ((got - want) / want).abs()
}

/// Collects the quantities that deviate by more than their tolerance.
struct Judge<'a> {
    name: String,
    tolerances: Option<&'a Value>,
    failures: Vec<String>,
}

impl Judge<'_> {
    fn tolerance(&self, quantity: &str, step: Option<usize>) -> f64 {
        match (self.tolerances, step) {
            (None, _) => FLOAT64,
            (Some(all), None) => number(&all[quantity]),
            (Some(all), Some(step)) => {
                let recorded = number(&all[quantity][step]);
                match quantity {
                    "grad_norm_per_step" => recorded.max(GRAD_NORM_FLOAT32),
                    _ => recorded,
                }
            }
        }
    }

    fn check(&mut self, quantity: &str, step: Option<usize>, off: f64) {
        let tolerance = self.tolerance(quantity, step);
        if off.is_nan() || off > tolerance {
            self.failures.push(format!(
                "{quantity} {step:?}: off by {off:e}, allowed {tolerance:e}"
            ));
        }
    }

    fn verdict(self) {
        assert!(
            self.failures.is_empty(),
            "{}: {:#?}",
            self.name,
            self.failures
        );
    }
}

/// Concatenates the running statistics (or everything else), in the order of their names.
fn concatenated(weights: &TensorMap, statistics: bool) -> Vec<f64> {
    let sorted: BTreeMap<_, _> = weights.iter().collect();
    (sorted.into_iter())
        .filter(|(name, _)| name.contains("running_") == statistics)
        .flat_map(|(_, data)| values(data))
        .collect()
}

/// The initial weights, as float64 numbers that float32 holds exactly.
fn initial(name: &str, weights: &TensorMap) -> TensorMap {
    let tensor = |(key, data): (&String, &TensorData)| {
        let shape: &[usize] = data.shape();
        let count: usize = shape.iter().product();
        let values = if shape.len() > 1 || key == "fc.bias" {
            // He et al. 2015, by fan out, for convolutions; PyTorch's default 1 / sqrt(64) for fc.
            let fan_out = count / shape.get(1).unwrap_or(&1);
            let bound = if key.starts_with("fc") {
                0.125
            } else {
                (6.0 / fan_out as f64).sqrt()
            };
            uniform(&format!("{name}.{key}"), count, bound)
        } else {
            let ones = key.ends_with("weight") || key.ends_with("running_var");
            vec![f64::from(u8::from(ones)); count]
        };
        (key.clone(), TensorData::new(values, shape.to_vec()))
    };
    weights.iter().map(tensor).collect()
}

/// Deviation of a whole vector: the norm of the difference over the recorded norm.
///
/// The norm of the difference is estimated by the root mean square of its recorded projections. The
/// factor makes the estimate an upper bound, except with a probability of about 1e-3.
fn projected(got: &[f64], want: &Value) -> f64 {
    let differences = (numbers(&want["projections"]).into_iter().enumerate())
        .map(|(k, want)| projection(k, got) - want)
        .collect::<Vec<_>>();
    assert_eq!(differences.len(), 256);
    let root_mean_square = norm(differences.iter().copied()) / (differences.len() as f64).sqrt();
    1.15 * root_mean_square / number(&want["norm"])
}

/// Trains the twelve steps and compares everything that was recorded.
fn compare(name: &str, dtype: DType) {
    let goldens = golden(env!("CARGO_MANIFEST_DIR"), "train_parity");
    let models = list(&goldens, "models").iter();
    let want = models
        .clone()
        .find(|model| text(model, "name") == name)
        .unwrap();
    let mut judge = Judge {
        name: format!("{name} in {dtype:?}"),
        tolerances: (dtype == DType::F32).then(|| &want["tolerance_float32"]),
        failures: Vec::new(),
    };
    let plain = Device::flex();
    let device = plain.clone().autodiff();
    let images = |k: usize, device: &Device| {
        let pixels = uniform(&format!("images.{k}"), BATCH * 3 * 32 * 32, 3.0_f64.sqrt());
        let data = TensorData::new(pixels, [BATCH, 3, 32, 32]);
        Tensor::<4>::from_data(data, (device, dtype))
    };
    let labels = |k: usize| {
        let labels = bits(&format!("labels.{k}")).map(|bits| (bits % 10) as i64);
        let labels: Vec<i64> = labels.take(BATCH).collect();
        Tensor::<1, Int>::from_data(TensorData::new(labels, [BATCH]), &device)
    };

    let blocks = want["blocks"].as_u64().unwrap() as usize;
    let mut model = Model::new(
        Architecture::ResNet { blocks },
        ImageShape::new(3, 32, 32),
        10,
        &mut random::stream(1, "unused", 0),
        &device,
    )
    .unwrap()
    .map(&mut Convert(dtype));
    let weights = state::weights(&model);
    let names: BTreeSet<&str> = weights.keys().map(String::as_str).collect();
    let tensors = list(want, "tensors")
        .iter()
        .map(|name| name.as_str().unwrap());
    assert_eq!(names, tensors.collect());
    let start = initial(name, &weights);
    model = state::load_weights(model, start.clone()).unwrap();
    let eval_logits = |model: &Model| values(&model.valid().forward(images(0, &plain)).into_data());
    judge.check(
        "first_train_logits_l2",
        None,
        l2(&eval_logits(&model), &numbers(&want["initial_eval_logits"])),
    );

    let sgd = Sgd {
        weight_decay: WEIGHT_DECAY,
        ..Sgd::default()
    };
    let mut optimizer = Optimizer::new(OptimizerConfig::Sgd(sgd)).unwrap();
    let (lr, momentum) = (numbers(&want["lr"]), numbers(&want["momentum"]));
    assert_eq!(lr.len(), 12);
    for step in 0..lr.len() {
        let logits = model.forward(images(step % 4, &device));
        let loss = cross_entropy(logits.clone(), labels(step % 4), 0.0);
        let loss_value = values(&loss.clone().into_data())[0];
        let grads = GradientsParams::from_grads(loss.backward(), &model);
        let off = relative(loss_value, number(&want["loss"][step]));
        judge.check("loss_per_step", Some(step), off);
        let off = relative(grad_norm(&model, &grads), number(&want["grad_norm"][step]));
        judge.check("grad_norm_per_step", Some(step), off);
        let hyper = Hyper {
            lr: lr[step],
            momentum: Some(momentum[step]),
            weight_decay: None,
            batch_size: None,
        };
        (model, _) = optimizer.step(&hyper, model, grads).unwrap();
        let weights = state::weights(&model);
        if step == 0 {
            let logits = values(&logits.into_data());
            let off = l2(&logits, &numbers(&want["first_train_logits"]));
            judge.check("first_train_logits_l2", None, off);
            let gradients = first_gradients(&start, &optimizer);
            let off = projected(&gradients, &want["first_gradients"]);
            judge.check("first_gradients_l2", None, off);
            for (name, norm_of) in want["first_statistics_norms"].as_object().unwrap() {
                let off = relative(norm(values(&weights[name])), number(norm_of));
                judge.check("first_statistics_norms_worst", None, off);
            }
        }
        for (name, norms) in want["weight_norms"].as_object().unwrap() {
            let off = relative(norm(values(&weights[name])), number(&norms[step]));
            judge.check("weight_norms_worst", None, off);
        }
    }

    let reached = state::weights(&model);
    for (quantity, statistics) in [("final_parameters", false), ("final_statistics", true)] {
        let off = projected(&concatenated(&reached, statistics), &want[quantity]);
        judge.check(&format!("{quantity}_l2"), None, off);
    }
    let off = l2(&eval_logits(&model), &numbers(&want["final_eval_logits"]));
    judge.check("final_eval_logits_l2", None, off);
    judge.verdict();
}

/// The gradients of the first step. They are the velocity after it, without weight decay.
fn first_gradients(start: &TensorMap, optimizer: &Optimizer) -> Vec<f64> {
    let velocity = optimizer.state();
    let gradient = |(name, data): (&String, &TensorData)| {
        let velocity = values(velocity.get(&format!("{name}/velocity"))?);
        let gradient = velocity
            .iter()
            .zip(values(data))
            .map(|(v, w)| v - WEIGHT_DECAY * w);
        let gradient: Vec<f64> = gradient.collect();
        Some((
            name.clone(),
            TensorData::new(gradient, data.shape().to_vec()),
        ))
    };
    concatenated(&start.iter().filter_map(gradient).collect(), false)
}

#[test]
fn resnet8_in_float64() {
    compare("resnet8", DType::F64);
}

#[test]
fn resnet20_in_float64() {
    compare("resnet20", DType::F64);
}

#[test]
fn resnet8_in_float32() {
    compare("resnet8", DType::F32);
}

#[test]
fn resnet20_in_float32() {
    compare("resnet20", DType::F32);
}
