//! Compares twelve training steps of airbench94 with PyTorch.
//!
//! `scripts/goldens/airbench_parity.py` has the network in PyTorch's layers and the original's
//! optimizer:
//!
//! ```python
//! k = 1024 * (1 + 1 / (1 - 0.85)); lr = 11.5 / k; decay = 0.0153 * 32 / k      # 32 images a batch
//! SGD([{norm biases, lr=64 lr, weight_decay=decay / (64 lr)}, {others, lr=lr, weight_decay=decay / lr}],
//!     momentum=0.85, nesterov=True)
//! loss = F.cross_entropy(model(x), y, label_smoothing=0.2, reduction="none").sum()
//! ```
//!
//! In float64 all quantities must agree to 1e-9. In float32 they may deviate four times as much as
//! float32 runs of PyTorch deviate.

use burn::{
    module::Module,
    optim::GradientsParams,
    tensor::{DType, Device, Int, Tensor, TensorData},
};
use onecycle::{GroupScale, Hyper};
use onecycle_burn::{
    Optimizer, OptimizerConfig,
    nn::cross_entropy,
    optim::{ParamGroup, Select, Sgd},
    state::{self, TensorMap},
};
use onecycle_test_support::{golden, number, numbers};
use onecycle_vision::{
    ImageShape,
    models::{Architecture, Model},
    random,
};
use serde_json::Value;

use crate::parity::{Convert, l2, norm, values};
use crate::random_numbers::{bits, projection, uniform};

const BATCH: usize = 32;
const MOMENTUM: f64 = 0.85;
/// Steps in which the bias of the whitening layer is trained.
const BIAS_STEPS: usize = 6;

/// An estimate of [`l2`] from recorded projections.
fn projected(got: &[f64], want: &Value) -> f64 {
    let projections = numbers(&want["projections"]);
    let differences = (projections.iter().enumerate()).map(|(k, want)| projection(k, got) - want);
    let root_mean_square = norm(differences) / (projections.len() as f64).sqrt();
    root_mean_square / number(&want["norm"])
}

/// PyTorch's default bound for weights, `1 / sqrt(fan_in)`; biases are 0, scales and variances 1.
fn initial(weights: &TensorMap) -> TensorMap {
    let tensor = |(key, data): (&String, &TensorData)| {
        let shape: &[usize] = data.shape();
        let count: usize = shape.iter().product();
        let values = if shape.len() > 1 {
            let fan_in = count / shape[0];
            uniform(
                &format!("airbench.{key}"),
                count,
                1.0 / (fan_in as f64).sqrt(),
            )
        } else {
            let ones = key.ends_with("weight") || key.ends_with("running_var");
            vec![f64::from(ones); count]
        };
        (key.clone(), TensorData::new(values, shape.to_vec()))
    };
    weights.iter().map(tensor).collect()
}

fn compare(dtype: DType) {
    let want = golden(env!("CARGO_MANIFEST_DIR"), "airbench_parity");
    let check = |quantity: &str, off: f64| {
        let allowed = match dtype {
            DType::F64 => 1e-9,
            _ => (4.0 * number(&want["spread_float32"][quantity])).max(1e-5),
        };
        assert!(
            off <= allowed,
            "{quantity} in {dtype:?}: off by {off:e}, allowed {allowed:e}"
        );
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
    let mut rng = random::stream(1, "unused", 0);
    let shape = ImageShape::new(3, 32, 32);
    let model = Model::new(Architecture::Airbench94, shape, 10, &mut rng, &device);
    let model = model.unwrap().map(&mut Convert(dtype));
    let start = initial(&state::weights(&model));
    let mut model = state::load_weights(model, start).unwrap();
    let eval_logits = |model: &Model| values(&model.valid().forward(images(0, &plain)).into_data());
    check(
        "initial_eval_logits",
        l2(&eval_logits(&model), &numbers(&want["initial_eval_logits"])),
    );

    let kilostep = 1024.0 * (1.0 + 1.0 / (1.0 - MOMENTUM));
    let lr = 11.5 / kilostep * BATCH as f64;
    let sgd = Sgd {
        momentum: MOMENTUM,
        nesterov: true,
        weight_decay: 0.0153 / 11.5,
        ..Sgd::default()
    };
    let biases = |group: &str| ParamGroup {
        select: Select::Prefix(format!("{group}.norm")),
        scale: GroupScale {
            lr: 64.0,
            weight_decay: 1.0 / 64.0,
        },
    };
    let groups = ["group1", "group2", "group3"].map(biases).to_vec();
    let optimizer = Optimizer::new(OptimizerConfig::Sgd(sgd)).unwrap();
    let mut optimizer = optimizer.with_groups(groups).unwrap();
    let mut losses = Vec::new();
    for (step, factor) in numbers(&want["factors"]).into_iter().enumerate() {
        if step == BIAS_STEPS {
            model = state::freeze(model, |path, _| path == "whiten.bias");
        }
        let logits = model.forward(images(step % 4, &device));
        let loss = cross_entropy(logits, labels(step % 4), 0.2);
        losses.push(values(&loss.clone().into_data())[0]);
        let grads = GradientsParams::from_grads(loss.backward(), &model);
        let hyper = Hyper {
            lr: lr * factor,
            momentum: None,
            weight_decay: None,
            batch_size: None,
        };
        let before = state::weights(&model);
        (model, _) = optimizer.step(&hyper, model, grads).unwrap();
        if step == 0 {
            // The velocity is the gradient plus the decay of the group.
            let velocity = optimizer.state();
            for (name, want) in want["first_gradient_norms"].as_object().unwrap() {
                let decay = 0.0153 / 11.5
                    * if name.contains("norm") {
                        1.0 / 64.0
                    } else {
                        1.0
                    };
                let velocity = values(&velocity[&format!("{name}/velocity")]);
                let weights = values(&before[name]);
                let gradient = velocity.iter().zip(weights).map(|(v, w)| v - decay * w);
                check(
                    "first_gradient_norms",
                    (norm(gradient) / number(want) - 1.0).abs(),
                );
            }
        }
    }
    check("loss", l2(&losses, &numbers(&want["loss"])));
    let reached = state::weights(&model);
    for (quantity, statistics) in [("parameters", false), ("statistics", true)] {
        let of_kind = reached
            .iter()
            .filter(|(name, _)| name.contains("running_") == statistics);
        let vector: Vec<f64> = of_kind.flat_map(|(_, data)| values(data)).collect();
        check(quantity, projected(&vector, &want[quantity]));
    }
    check(
        "final_eval_logits",
        l2(&eval_logits(&model), &numbers(&want["final_eval_logits"])),
    );
}

#[test]
fn steps_match_pytorch_in_float64() {
    compare(DType::F64);
}

#[test]
fn steps_match_pytorch_in_float32() {
    compare(DType::F32);
}
