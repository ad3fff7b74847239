//! Twelve training steps of ResNet-8 and ResNet-20 against PyTorch.
//!
//! The reference's README says what was run; in PyTorch it is
//! ```python
//! for k in range(12):
//!     for group in opt.param_groups: group["lr"], group["momentum"] = lr[k], momentum[k]
//!     loss = F.cross_entropy(model(images[k % 4]), labels[k % 4])
//!     opt.zero_grad(); loss.backward(); opt.step()      # SGD, weight_decay=1e-4
//! ```
//! Once in float64, where all quantities must agree to 1e-9, and once in float32, within the tolerances that
//! stand in the reference file.

// A test that cannot read its data should say where.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use burn::{
    module::{Module, ModuleMapper, Param},
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
use onecycle_vision::{
    ImageShape,
    models::{Architecture, Model},
    random,
};
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

/// Relative; the reference's own second float64 run is within 3e-15.
const FLOAT64: f64 = 1e-9;

fn folder() -> Option<PathBuf> {
    let shared = std::env::var_os("ONECYCLE_SHARED").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    let folder = shared.join("goldens/train_parity");
    if !folder.exists() {
        eprintln!("skipped: no reference data; set ONECYCLE_SHARED to the folder that holds them");
        return None;
    }
    Some(folder)
}

/// All floating-point tensors of a safetensors file, widened to float64.
fn read(path: PathBuf) -> TensorMap {
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    file.iter()
        .map(|(name, view)| {
            let data = view.data();
            let values: Vec<f64> = match view.dtype() {
                Dtype::F32 => data
                    .as_chunks()
                    .0
                    .iter()
                    .map(|c| f64::from(f32::from_le_bytes(*c)))
                    .collect(),
                Dtype::F64 => data
                    .as_chunks()
                    .0
                    .iter()
                    .map(|c| f64::from_le_bytes(*c))
                    .collect(),
                Dtype::I64 => data
                    .as_chunks()
                    .0
                    .iter()
                    .map(|c| i64::from_le_bytes(*c) as f64)
                    .collect(),
                other => panic!("{name} is {other:?}"),
            };
            let shape = view.shape().to_vec();
            (name.to_owned(), TensorData::new(values, shape))
        })
        .collect()
}

fn numbers(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(items) => items.iter().flat_map(numbers).collect(),
        number => vec![number.as_f64().unwrap()],
    }
}

fn values(data: &TensorData) -> Vec<f64> {
    data.iter::<f64>().collect()
}

fn norm(values: impl IntoIterator<Item = f64>) -> f64 {
    values.into_iter().map(|v| v * v).sum::<f64>().sqrt()
}

/// Norm of the difference over the norm of the reference.
fn l2(got: &[f64], want: &[f64]) -> f64 {
    assert_eq!(got.len(), want.len());
    norm(got.iter().zip(want).map(|(g, w)| g - w)) / norm(want.iter().copied())
}

fn relative(got: f64, want: f64) -> f64 {
    ((got - want) / want).abs()
}

/// Brings all tensors of a module to one element type.
struct Convert(DType);

impl ModuleMapper for Convert {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, tensor, mapper) = param.consume();
        let required = tensor.is_require_grad();
        let mut tensor = tensor.without_autodiff().cast(self.0).autodiff();
        if required {
            tensor = tensor.require_grad();
        }
        Param::from_mapped_value(id, tensor, mapper)
    }
}

/// Gathers measured deviations and compares each with its tolerance.
struct Judge<'a> {
    name: String,
    tolerances: Option<&'a Value>,
    failures: Vec<String>,
}

impl Judge<'_> {
    fn tolerance(&self, quantity: &str, step: Option<usize>) -> f64 {
        match (self.tolerances, step) {
            (None, _) => FLOAT64,
            (Some(all), None) => all[quantity].as_f64().unwrap(),
            (Some(all), Some(step)) => all[quantity][step].as_f64().unwrap(),
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

fn statistics_of(weights: &TensorMap) -> Vec<f64> {
    (weights.iter())
        .filter(|(name, _)| name.contains("running_"))
        .flat_map(|(_, data)| values(data))
        .collect()
}

fn parameters_of(weights: &TensorMap) -> Vec<f64> {
    (weights.iter())
        .filter(|(name, _)| !name.contains("running_"))
        .flat_map(|(_, data)| values(data))
        .collect()
}

/// Trains the twelve steps and compares everything that the reference holds.
fn compare(name: &str, blocks: usize, dtype: DType) {
    let Some(folder) = folder() else { return };
    let text = std::fs::read_to_string(folder.join(format!("{name}.json"))).unwrap();
    let reference: Value = serde_json::from_str(&text).unwrap();
    let want = &reference["f64"];
    let mut judge = Judge {
        name: format!("{name} in {dtype:?}"),
        tolerances: (dtype == DType::F32).then(|| &reference["tolerance_float32"]),
        failures: Vec::new(),
    };
    let batches = read(folder.join("batches.safetensors"));
    let plain = Device::flex();
    let device = plain.clone().autodiff();
    let images = |k: usize, device: &Device| {
        Tensor::<4>::from_data(batches[&format!("images.{k}")].clone(), (device, dtype))
    };
    let labels = |k: usize| {
        let labels: Vec<i64> = values(&batches[&format!("labels.{k}")])
            .iter()
            .map(|v| *v as i64)
            .collect();
        Tensor::<1, Int>::from_data(TensorData::new(labels, [32]), &device)
    };

    let mut model = Model::new(
        Architecture::ResNet { blocks },
        ImageShape::new(3, 32, 32),
        10,
        &mut random::stream(1, "unused", 0),
        &device,
    )
    .unwrap()
    .map(&mut Convert(dtype));
    model = state::load_weights(
        model,
        read(folder.join(format!("{name}.initial.safetensors"))),
    )
    .unwrap();
    let eval_logits = |model: &Model| values(&model.valid().forward(images(0, &plain)).into_data());
    judge.check(
        "first_train_logits_l2",
        None,
        l2(&eval_logits(&model), &numbers(&want["initial_eval_logits"])),
    );

    let sgd = Sgd {
        weight_decay: 1e-4,
        ..Sgd::default()
    };
    let mut optimizer = Optimizer::new(OptimizerConfig::Sgd(sgd)).unwrap();
    let (lr, momentum) = (numbers(&reference["lr"]), numbers(&reference["momentum"]));
    for step in 0..lr.len() {
        let logits = model.forward(images(step % 4, &device));
        let loss = cross_entropy(logits.clone(), labels(step % 4), 0.0);
        let loss_value = values(&loss.clone().into_data())[0];
        let grads = GradientsParams::from_grads(loss.backward(), &model);
        judge.check(
            "loss_per_step",
            Some(step),
            relative(loss_value, want["loss"][step].as_f64().unwrap()),
        );
        judge.check(
            "grad_norm_per_step",
            Some(step),
            relative(
                grad_norm(&model, &grads),
                want["grad_norm"][step].as_f64().unwrap(),
            ),
        );
        let hyper = Hyper {
            lr: lr[step],
            momentum: Some(momentum[step]),
            weight_decay: None,
            batch_size: None,
        };
        (model, _) = optimizer.step(&hyper, model, grads).unwrap();
        let weights = state::weights(&model);
        if step == 0 {
            let off = l2(
                &values(&logits.into_data()),
                &numbers(&want["first_train_logits"]),
            );
            judge.check("first_train_logits_l2", None, off);
            check_first_gradients(&mut judge, &folder, name, &optimizer);
        }
        check_norms(&mut judge, &weights, &want["norms_after_step"], step);
    }

    let reached = state::weights(&model);
    let expected = read(folder.join(format!("{name}.final.f64.safetensors")));
    assert_eq!(
        reached.keys().collect::<Vec<_>>(),
        expected.keys().collect::<Vec<_>>()
    );
    let off = l2(&parameters_of(&reached), &parameters_of(&expected));
    judge.check("final_parameters_l2", None, off);
    let off = l2(&statistics_of(&reached), &statistics_of(&expected));
    judge.check("final_statistics_l2", None, off);
    let off = l2(&eval_logits(&model), &numbers(&want["final_eval_logits"]));
    judge.check("final_eval_logits_l2", None, off);
    judge.verdict();
}

/// After the first step the velocity is the gradient with weight decay; ResNet-8's gradients are on file.
fn check_first_gradients(judge: &mut Judge<'_>, folder: &Path, name: &str, optimizer: &Optimizer) {
    let path = folder.join(format!("{name}.first_gradients.f64.safetensors"));
    if !path.exists() {
        return;
    }
    let initial = read(folder.join(format!("{name}.initial.safetensors")));
    let velocity = optimizer.state();
    let (mut got, mut want) = (Vec::new(), Vec::new());
    for (parameter, gradient) in read(path) {
        let start = values(&initial[&parameter]);
        let velocity = values(&velocity[&format!("{parameter}/velocity")]);
        got.extend(velocity.iter().zip(&start).map(|(v, w)| v - 1e-4 * w));
        want.extend(values(&gradient));
    }
    judge.check("first_gradients_l2", None, l2(&got, &want));
}

/// Norms of convolution and `fc` weights after every step, of running statistics after the first.
fn check_norms(judge: &mut Judge<'_>, weights: &TensorMap, want: &Value, step: usize) {
    for (name, series) in want.as_object().unwrap() {
        let off = relative(norm(values(&weights[name])), series[step].as_f64().unwrap());
        let is_weight = weights[name].shape().len() > 1;
        if is_weight {
            judge.check("weight_norms_worst", None, off);
        } else if name.contains("running_") && step == 0 {
            judge.check("first_statistics_norms_worst", None, off);
        }
    }
}

#[test]
fn resnet8_in_float64() {
    compare("resnet8", 1, DType::F64);
}

#[test]
fn resnet20_in_float64() {
    compare("resnet20", 3, DType::F64);
}

#[test]
fn resnet8_in_float32() {
    compare("resnet8", 1, DType::F32);
}

#[test]
fn resnet20_in_float32() {
    compare("resnet20", 3, DType::F32);
}
