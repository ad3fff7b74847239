//! Compares the networks for photos with torchvision and timm: logits, gradients of weights and
//! images, and running statistics, in training and evaluation.
//!
//! `scripts/goldens/imagenet_parity.py` describes numbers and recorded quantities. Everything must agree
//! to 1e-9 in float64 and to 1e-4 in float32, relative to the norm of the quantity.

use burn::{
    module::{Flag, Module, ModuleMapper, ModuleVisitor, Param},
    optim::GradientsParams,
    tensor::{DType, Device, Tensor, TensorData},
};
use onecycle_burn::state::{self, TensorMap};
use onecycle_test_support::{golden, list, number, numbers, text};
use onecycle_vision::{
    ImageShape,
    models::{Architecture, Model},
    random,
};
use serde_json::Value;
use std::collections::BTreeMap;

use crate::parity::{Convert, l2, norm, values};
use crate::random_numbers::{projection, uniform};

const CLASSES: usize = 10;

/// Weights, affine parameters and running statistics, as float64 numbers that float32 holds exactly.
fn numbers_of(salt: &str, weights: &TensorMap) -> TensorMap {
    let tensor = |(key, data): (&String, &TensorData)| {
        let shape: &[usize] = data.shape();
        let count: usize = shape.iter().product();
        let stream = format!("{salt}.{key}");
        let values = if shape.len() > 1 {
            let fan_in = count / shape[0];
            uniform(&stream, count, (6.0 / fan_in as f64).sqrt())
        } else if key.ends_with("weight") {
            shifted(uniform(&stream, count, 0.2), |_| 0.6)
        } else if key.ends_with("running_var") {
            shifted(uniform(&stream, count, 0.5), |_| 1.5)
        } else if key.ends_with("running_mean") {
            uniform(&stream, count, 0.5)
        } else {
            // Far from 0 and 6, so that few pre-activations are within rounding of a kink.
            shifted(uniform(&stream, count, 2.0), |value| 2.0 * value.signum())
        };
        (key.clone(), TensorData::new(values, shape.to_vec()))
    };
    weights.iter().map(tensor).collect()
}

/// Adds `shift` to each number, in float32.
fn shifted(numbers: Vec<f64>, shift: impl Fn(f32) -> f32) -> Vec<f64> {
    let shifted = numbers.iter().map(|value| {
        let value = *value as f32;
        f64::from(value + shift(value))
    });
    shifted.collect()
}

/// The gradients of all parameters by path.
struct Gradients<'a> {
    grads: &'a GradientsParams,
    path: Vec<String>,
    found: BTreeMap<String, Vec<f64>>,
}

impl ModuleVisitor for Gradients<'_> {
    fn enter_module(&mut self, name: &str, container: &str) {
        if !container.starts_with("Enum:") {
            self.path.push(name.to_owned());
        }
    }

    fn exit_module(&mut self, _name: &str, container: &str) {
        if !container.starts_with("Enum:") {
            self.path.pop();
        }
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.grads.get::<D>(param.id) {
            self.found
                .insert(self.path.join("."), values(&gradient.into_data()));
        }
    }
}

/// Turns training flags off, so that batch norms evaluate. Unlike `freeze`, it keeps gradients.
struct FlagsOff;

impl ModuleMapper for FlagsOff {
    fn map_flag(&mut self, flag: Param<Flag>) -> Param<Flag> {
        flag.with_value(false)
    }
}

/// Upper bound of the relative deviation of a vector, from its projections. With 32 of them it is
/// exceeded with a probability of 1e-3.
fn projected(got: &[f64], want: &Value) -> f64 {
    let wanted = numbers(&want["projections"]);
    assert_eq!(wanted.len(), 32);
    let differences: Vec<f64> = (wanted.into_iter().enumerate())
        .map(|(k, want)| projection(k, got) - want)
        .collect();
    let root_mean_square = norm(differences.iter().copied()) / (differences.len() as f64).sqrt();
    1.65 * root_mean_square / number(&want["norm"])
}

fn concatenated(tensors: impl Iterator<Item = Vec<f64>>) -> Vec<f64> {
    tensors.flatten().collect()
}

/// Compares a network with images of one size.
fn compare(network: &str, size: [usize; 2], dtype: DType) {
    let goldens = golden(env!("CARGO_MANIFEST_DIR"), "imagenet_parity");
    let [height, width] = size;
    let mut cases = list(&goldens, "cases").iter();
    let case = cases
        .find(|case| {
            text(case, "network") == network
                && numbers(&case["size"]) == [height as f64, width as f64]
        })
        .unwrap();
    let batch = case["batch"].as_u64().unwrap() as usize;
    let tolerance = match dtype {
        DType::F64 => 1e-9,
        _ => 1e-4,
    };
    let device = Device::flex().autodiff();
    let mut model = Model::new(
        network.parse::<Architecture>().unwrap(),
        ImageShape::new(3, height, width),
        CLASSES,
        &mut random::stream(1, "unused", 0),
        &device,
    )
    .unwrap()
    .map(&mut Convert(dtype));
    let salt = text(case, "salt");
    let start = numbers_of(salt, &state::weights(&model));
    let names: Vec<&str> = start.keys().map(String::as_str).collect();
    let tensors = list(case, "tensors").iter();
    assert_eq!(
        names,
        tensors.map(|t| t.as_str().unwrap()).collect::<Vec<_>>()
    );

    let tensor = |stream: &str, dims: &[usize]| {
        let count = dims.iter().product();
        TensorData::new(
            uniform(&format!("{salt}.{stream}"), count, 3.0_f64.sqrt()),
            dims.to_vec(),
        )
    };
    let mut failures = Vec::new();
    let mut check = |what: String, off: f64| {
        if off.is_nan() || off > tolerance {
            failures.push(format!("{what}: off by {off:e}"));
        }
    };
    for mode in ["train", "eval"] {
        model = state::load_weights(model, start.clone()).unwrap();
        let want = &case[mode];
        let network_in_mode = match mode {
            "train" => model.clone(),
            _ => model.clone().map(&mut FlagsOff),
        };
        let images = Tensor::<4>::from_data(
            tensor("images", &[batch, 3, height, width]),
            (&device, dtype),
        )
        .require_grad();
        let logits = network_in_mode.forward(images.clone());
        // The loss is linear, so that its gradient does not depend on the logits.
        let slopes = Tensor::<2>::from_data(tensor("slopes", &[batch, CLASSES]), (&device, dtype));
        let mut grads = (logits.clone() * slopes).sum().backward();
        let off = l2(&values(&logits.into_data()), &numbers(&want["logits"]));
        check(format!("{mode} logits"), off);
        let of_images = values(&images.grad_remove(&mut grads).unwrap().into_data());
        check(
            format!("{mode} image gradient"),
            projected(&of_images, &want["image_gradient"]),
        );
        let grads = GradientsParams::from_grads(grads, &network_in_mode);
        let mut gradients = Gradients {
            grads: &grads,
            path: Vec::new(),
            found: BTreeMap::new(),
        };
        network_in_mode.visit(&mut gradients);
        let found = gradients.found;
        let largest = number(&want["gradient"]["norm"]);
        for (name, known) in want["gradient_norms"].as_object().unwrap() {
            let off = (norm(found[name].iter().copied()) - number(known)).abs() / largest;
            check(format!("{mode} gradient of {name}"), off);
        }
        let all = concatenated(found.into_values());
        check(
            format!("{mode} gradient"),
            projected(&all, &want["gradient"]),
        );
        if mode == "eval" {
            // Evaluation without gradients takes other paths.
            let plain = Device::flex();
            let images = tensor("images", &[batch, 3, height, width]);
            let images = Tensor::<4>::from_data(images, (&plain, dtype));
            let logits = values(&model.valid().forward(images).into_data());
            check(
                "valid logits".to_owned(),
                l2(&logits, &numbers(&want["logits"])),
            );
        } else {
            let statistics = state::weights(&network_in_mode);
            let statistics = statistics
                .iter()
                .filter(|(name, _)| name.contains("running_"));
            let statistics = concatenated(statistics.map(|(_, data)| values(data)));
            check(
                "statistics".to_owned(),
                projected(&statistics, &want["statistics"]),
            );
        }
    }
    assert!(
        failures.is_empty(),
        "{network}, {size:?}, {dtype:?}: {failures:#?}"
    );
}

#[test]
fn resnet18_in_float32() {
    compare("resnet18", [64, 64], DType::F32);
    compare("resnet18", [75, 51], DType::F32);
}

#[test]
fn resnet18_in_float64() {
    compare("resnet18", [75, 51], DType::F64);
}

#[test]
fn resnet34_in_float32() {
    compare("resnet34", [64, 64], DType::F32);
    compare("resnet34", [75, 51], DType::F32);
}

#[test]
fn resnet50_in_float32() {
    compare("resnet50", [64, 64], DType::F32);
    compare("resnet50", [75, 51], DType::F32);
}

#[test]
fn resnet50_in_float64() {
    compare("resnet50", [75, 51], DType::F64);
}

#[test]
fn efficientnet_lite0_in_float32() {
    compare("efficientnet-lite0", [64, 64], DType::F32);
    compare("efficientnet-lite0", [75, 51], DType::F32);
}

#[test]
fn efficientnet_lite0_in_float64() {
    compare("efficientnet-lite0", [75, 51], DType::F64);
}
