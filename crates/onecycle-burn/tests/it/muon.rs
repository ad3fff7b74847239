//! Compares Muon with trajectories in float64 that were computed by singular values
//! (`scripts/goldens/muon.py`), in double precision and, by the CPU kernels, in single precision.

use std::collections::BTreeMap;

use burn::{
    module::{Module, Param},
    optim::GradientsParams,
    tensor::{DType, Device, Tensor},
};
use onecycle::Hyper;
use onecycle_burn::{
    BurnError, Optimizer, OptimizerConfig,
    optim::{Adam, Muon, Select, Sgd},
    state,
};
use onecycle_test_support::{Tolerance, assert_series, golden_as};
use serde::Deserialize;
use serde_json::Value;

use crate::optimizers_torch::tensor;

type Tensors = BTreeMap<String, Vec<f64>>;

#[derive(Deserialize)]
struct Goldens {
    init: Tensors,
    gradients: Vec<Tensors>,
    lr: Vec<f64>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    except: Vec<String>,
    rest: Value,
    momentum: f64,
    nesterov: bool,
    iterations: u32,
    normalise_weights: bool,
    weight_decay: f64,
    params: Vec<Tensors>,
}

#[derive(Module, Debug)]
struct Net {
    vector: Param<Tensor<1>>,
    tall: Param<Tensor<2>>,
    filters: Param<Tensor<4>>,
}

impl Net {
    fn new(values: &Tensors, dtype: DType) -> Self {
        let place = (&Device::flex().autodiff(), dtype);
        Net {
            vector: Param::from_tensor(tensor(&values["vector"], [3], place)),
            tall: Param::from_tensor(tensor(&values["tall"], [5, 2], place)),
            filters: Param::from_tensor(tensor(&values["filters"], [4, 3, 2, 2], place)),
        }
    }

    fn grads(&self, values: &Tensors) -> GradientsParams {
        let place = (&Device::flex(), self.vector.val().dtype());
        let mut grads = GradientsParams::new();
        grads.register(self.vector.id, tensor(&values["vector"], [3], place));
        grads.register(self.tall.id, tensor(&values["tall"], [5, 2], place));
        grads.register(
            self.filters.id,
            tensor(&values["filters"], [4, 3, 2, 2], place),
        );
        grads
    }
}

fn config(case: &Case) -> OptimizerConfig {
    let number = |key: &str| case.rest.get(key).and_then(Value::as_f64).unwrap_or(0.0);
    let others = match case.rest["kind"].as_str() {
        Some("SGD") => OptimizerConfig::Sgd(Sgd {
            momentum: number("momentum"),
            nesterov: case.rest.get("nesterov").is_some(),
            weight_decay: number("weight_decay"),
            ..Sgd::default()
        }),
        Some("AdamW") => OptimizerConfig::AdamW(Adam::default()),
        other => panic!("{other:?} is not covered"),
    };
    OptimizerConfig::Muon(Muon {
        momentum: case.momentum,
        nesterov: case.nesterov,
        iterations: case.iterations,
        normalise_weights: case.normalise_weights,
        weight_decay: case.weight_decay,
        except: case.except.iter().cloned().map(Select::Prefix).collect(),
        others: Box::new(others),
    })
}

#[test]
fn trajectories_are_those_of_the_definition() {
    let goldens: Goldens = golden_as(env!("CARGO_MANIFEST_DIR"), "muon");
    assert_eq!(goldens.cases.len(), 3);
    for case in &goldens.cases {
        for (dtype, tolerance) in [(DType::F64, 1e-11), (DType::F32, 2e-5)] {
            let mut model = Net::new(&goldens.init, dtype);
            let mut optimizer = Optimizer::new(config(case)).unwrap();
            for (step, gradients) in goldens.gradients.iter().enumerate() {
                if step == 6 {
                    // A restored optimizer continues with the same velocities.
                    let saved = optimizer.state();
                    optimizer = Optimizer::new(config(case)).unwrap();
                    optimizer
                        .load_state(saved, &Device::flex().autodiff())
                        .unwrap();
                }
                let grads = model.grads(gradients);
                let hyper = Hyper::new(goldens.lr[step]);
                (model, _) = optimizer.step(&hyper, model, grads).unwrap();
                let weights = state::weights(&model);
                for (name, want) in &case.params[step] {
                    let got: Vec<f64> = weights[name].iter::<f64>().collect();
                    let what = format!("{}, {dtype:?}: {name} after step {step}", case.name);
                    assert_series(&what, &got, want, Tolerance::OfLargest(tolerance));
                }
            }
        }
    }
}

/// Rounding errors of singular values that are 0 must not grow. Without momentum and normalisation, a step
/// is the orthogonalised gradient times the rate.
#[test]
fn a_gradient_of_low_rank_gives_a_finite_step() {
    for iterations in 1..=6 {
        let mut optimizer = Optimizer::new(OptimizerConfig::Muon(Muon {
            iterations,
            momentum: 0.0,
            ..Muon::default()
        }))
        .unwrap();
        let zeros = |len| vec![0.0; len];
        let values = Tensors::from([
            ("vector".to_owned(), zeros(3)),
            ("tall".to_owned(), zeros(10)),
            ("filters".to_owned(), zeros(48)),
        ]);
        // Rank 1, and no gradient at all.
        let row: Vec<f64> = (0..12).map(|i| f64::from(i) - 3.7).collect();
        let mut gradients = values.clone();
        gradients.insert("filters".to_owned(), row.repeat(4));
        let model = Net::new(&values, DType::F32);
        let grads = model.grads(&gradients);
        let (model, _) = optimizer.step(&Hyper::new(1.0), model, grads).unwrap();
        let weights = state::weights(&model);
        let length = |name: &str| {
            let squares = weights[name].iter::<f64>().map(|w| w * w);
            squares.sum::<f64>().sqrt()
        };
        // The singular value 1 is mapped to 0.7, and from there to values around 1.
        assert!(
            (0.3..1.6).contains(&length("filters")),
            "{iterations}: {}",
            length("filters")
        );
        assert_eq!(length("tall"), 0.0);
    }
}

#[test]
fn a_rate_of_0_changes_nothing() {
    let goldens: Goldens = golden_as(env!("CARGO_MANIFEST_DIR"), "muon");
    let mut optimizer = Optimizer::new(OptimizerConfig::Muon(Muon {
        normalise_weights: true,
        ..Muon::default()
    }))
    .unwrap();
    let model = Net::new(&goldens.init, DType::F32);
    let before = state::weights(&model);
    let grads = model.grads(&goldens.gradients[0]);
    let (model, _) = optimizer.step(&Hyper::new(0.0), model, grads).unwrap();
    let after = state::weights(&model);
    assert_eq!(before["filters"], after["filters"]);
}

#[test]
fn a_configuration_names_the_optimizer_of_the_other_parameters() {
    let text = r#"{"kind":"muon","momentum":0.6,"iterations":3,"normalise_weights":true,
        "except":[{"prefix":"head"}],"others":{"kind":"adamw","weight_decay":0.1}}"#;
    let config: OptimizerConfig = serde_json::from_str(text).unwrap();
    let OptimizerConfig::Muon(muon) = &config else {
        panic!("{config:?}");
    };
    assert_eq!((muon.nesterov, muon.others.kind()), (true, "adamw"));
    assert_eq!(config.check(), Ok(()));
    assert_eq!(config.with_weight_decay(0.5).weight_decay(), 0.5);

    let itself = OptimizerConfig::Muon(Muon {
        others: Box::new(OptimizerConfig::Muon(Muon::default())),
        ..Muon::default()
    });
    assert!(matches!(itself.check(), Err(BurnError::Contradiction(_))));
    for iterations in [0, 7] {
        let config = OptimizerConfig::Muon(Muon {
            iterations,
            ..Muon::default()
        });
        assert!(config.check().is_err(), "{iterations}");
    }
    assert!(serde_json::from_str::<OptimizerConfig>(r#"{"kind":"muon","ns_steps":5}"#).is_err());
}
