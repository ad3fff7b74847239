//! A range test leaves module and optimizer bit-identical, however it ends.

use burn::{
    module::Module,
    optim::GradientsParams,
    tensor::{Device, Int, Tensor},
};
use onecycle::{
    Hyper,
    range_test::{LrSweep, RangeTest, StopReason},
};
use onecycle_burn::{
    BurnError, Optimizer, OptimizerConfig,
    nn::{BatchNorm2d, Linear, cross_entropy},
    range_test,
    range_test::{Feed, ValidationScore},
    state::{self, TensorMap},
};
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

/// Batch norm over four channels of one pixel, then a linear layer.
#[derive(Module, Debug)]
struct Net {
    norm: BatchNorm2d,
    fc: Linear,
}

impl Net {
    fn new(device: &Device) -> Net {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        Net {
            norm: BatchNorm2d::new(4, device),
            fc: Linear::new(4, 3, &mut rng, device),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<2> {
        self.fc.forward(self.norm.forward(x).reshape([-1, 4]))
    }
}

/// Batches that are a pure function of their position.
struct Batches {
    device: Device,
    position: u64,
}

impl Batches {
    fn new() -> Batches {
        let device = Device::flex().autodiff();
        Batches {
            device,
            position: 0,
        }
    }

    fn loss(&mut self, model: &Net) -> Tensor<1> {
        let n = 8;
        let value = |i: u64| ((self.position * 31 + i) as f32 * 0.7).sin();
        let x: Vec<f32> = (0..4 * n).map(value).collect();
        let y: Vec<i64> = (0..n).map(|i| i64::from(x[4 * i as usize] > 0.0)).collect();
        self.position += 1;
        let x = Tensor::<1>::from_data(x.as_slice(), &self.device).reshape([n as i64, 4, 1, 1]);
        let y = Tensor::<1, Int>::from_data(y.as_slice(), &self.device);
        cross_entropy(model.forward(x), y, 0.0)
    }
}

/// A network after five steps, so that running statistics and optimizer state differ from their
/// initial values.
fn trained(config: OptimizerConfig) -> (Net, Optimizer) {
    let mut batches = Batches::new();
    let mut model = Net::new(&batches.device);
    let mut optimizer = Optimizer::new(config).unwrap();
    let hyper = Hyper {
        lr: 0.05,
        momentum: Some(0.9),
        weight_decay: Some(1e-3),
        batch_size: None,
    };
    for _ in 0..5 {
        let grads = GradientsParams::from_grads(batches.loss(&model).backward(), &model);
        (model, _) = optimizer.step(&hyper, model, grads).unwrap();
    }
    (model, optimizer)
}

/// FNV-1a over names, shapes and bits of weights, running statistics and optimizer state.
fn hash(model: &Net, optimizer: &Optimizer) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut add = |bytes: &[u8]| {
        for byte in bytes {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        }
    };
    let mut all = |map: TensorMap| {
        for (name, data) in map {
            add(name.as_bytes());
            add(format!("{:?} {:?}", data.shape(), data.dtype()).as_bytes());
            add(data.as_bytes());
        }
    };
    all(state::weights(model));
    all(optimizer.state());
    hash
}

fn sweep() -> LrSweep {
    LrSweep::exponential(1e-3, 1e4, 60).unwrap()
}

#[derive(Debug, PartialEq)]
enum Failure {
    Burn(BurnError),
    Disk,
}

impl From<BurnError> for Failure {
    fn from(error: BurnError) -> Self {
        Failure::Burn(error)
    }
}

#[test]
fn model_and_optimizer_stay_bit_identical_however_the_test_ends() {
    for config in [OptimizerConfig::sgd(), OptimizerConfig::adamw()] {
        let (model, optimizer) = trained(config);
        let before = hash(&model, &optimizer);
        let weights = state::weights(&model);
        let mut seen = Vec::new();
        let mut run = |test: RangeTest, end: Option<Result<(), Failure>>| {
            let mut batches = Batches::new();
            let mut calls = 0;
            let mut feed = |model: &Net| {
                calls += 1;
                seen.push(hash(model, &optimizer));
                match (&end, calls) {
                    (Some(Ok(())), 21) => Ok(None),
                    (Some(Err(_)), 21) => Err(Failure::Disk),
                    _ => Ok(Some(batches.loss(model))),
                }
            };
            let tested = range_test(&model, &optimizer, test, &mut feed);
            assert_eq!(hash(&model, &optimizer), before, "{end:?}");
            tested
        };
        let normal = run(RangeTest::new(sweep()).to_the_end(), None).unwrap();
        assert_eq!(
            (normal.stop, normal.curve.len()),
            (Some(StopReason::Finished), 60)
        );
        assert_eq!(normal.timing.updates, 60);
        let diverged = run(RangeTest::new(sweep()), None).unwrap();
        assert!(matches!(
            diverged.stop,
            Some(StopReason::Diverged | StopReason::NotFinite)
        ));
        let interrupted = run(RangeTest::new(sweep()), Some(Ok(()))).unwrap();
        assert_eq!((interrupted.stop, interrupted.curve.len()), (None, 20));
        let error = run(RangeTest::new(sweep()), Some(Err(Failure::Disk))).unwrap_err();
        assert_eq!(error, Failure::Disk);
        // The test did train its copies, and the hash detects it.
        assert!(seen.iter().filter(|other| **other != before).count() > 20);
        assert_eq!(state::weights(&model), weights);
    }
}

/// The recorded losses equal those of a training with the same rates.
#[test]
fn losses_are_those_of_a_training() {
    let (model, optimizer) = trained(OptimizerConfig::sgd());
    let base = Hyper {
        lr: 0.0,
        momentum: Some(0.8),
        weight_decay: Some(1e-2),
        batch_size: Some(8),
    };
    let sweep = LrSweep::exponential(1e-3, 0.1, 12).unwrap();
    let mut batches = Batches::new();
    let mut feed = |model: &Net| -> Result<_, BurnError> { Ok(Some(batches.loss(model))) };
    let test = RangeTest::new(sweep).with_base(base);
    let tested = range_test(&model, &optimizer, test, &mut feed).unwrap();

    let (mut model, mut optimizer) = (model, optimizer);
    let mut batches = Batches::new();
    for (step, lr) in sweep.iter().enumerate() {
        let loss = batches.loss(&model);
        let value = f64::from(loss.clone().into_scalar::<f32>());
        assert_eq!(value, tested.curve.loss()[step], "{step}");
        let grads = GradientsParams::from_grads(loss.backward(), &model);
        let hyper = Hyper {
            lr,
            batch_size: None,
            ..base
        };
        (model, _) = optimizer.step(&hyper, model, grads).unwrap();
    }
    assert_eq!(tested.curve.conditions().batch_size, Some(8));
}

/// Accumulating two micro-batches of the same images equals one batch.
#[test]
fn accumulated_micro_batches_equal_one_batch() {
    let (model, optimizer) = trained(OptimizerConfig::sgd());
    let sweep = LrSweep::exponential(1e-3, 0.1, 6).unwrap();
    let run = |accumulation: u32| {
        let mut batches = Batches::new();
        let mut calls = 0;
        let mut feed = |model: &Net| -> Result<_, BurnError> {
            batches.position = calls / u64::from(accumulation);
            calls += 1;
            Ok(Some(batches.loss(model)))
        };
        let test = RangeTest::new(sweep)
            .with_accumulation(accumulation)
            .with_warm_up(2);
        range_test(&model, &optimizer, test, &mut feed).unwrap()
    };
    let (one, two) = (run(1), run(2));
    assert_eq!((one.timing.updates, two.timing.updates), (8, 8));
    for (one, two) in one.curve.loss().iter().zip(two.curve.loss()) {
        assert!((one - two).abs() < 1e-5, "{one} {two}");
    }
}

#[test]
fn validations_during_the_test_are_recorded() {
    struct Watched(Batches);
    impl Feed<Net> for Watched {
        type Error = BurnError;
        fn loss(&mut self, model: &Net) -> Result<Option<Tensor<1>>, BurnError> {
            Ok(Some(self.0.loss(model)))
        }
        fn validate(&mut self, _: &Net, updates: usize) -> Result<ValidationScore, BurnError> {
            let accuracy = updates.is_multiple_of(3).then_some(0.5);
            Ok(ValidationScore {
                loss: None,
                accuracy,
            })
        }
    }
    let (model, optimizer) = trained(OptimizerConfig::sgd());
    let test = RangeTest::new(LrSweep::linear(0.0, 0.1, 10).unwrap()).with_warm_up(4);
    let tested = range_test(&model, &optimizer, test, &mut Watched(Batches::new())).unwrap();
    let after: Vec<_> = tested
        .curve
        .validation()
        .iter()
        .map(|one| one.after)
        .collect();
    assert_eq!(after, [3, 6, 9]);
}

#[test]
fn a_fork_shares_nothing() {
    let (model, _) = trained(OptimizerConfig::sgd());
    let before = state::weights(&model);
    let fork = state::fork(&model);
    assert_eq!(state::weights(&fork), before);
    let mut batches = Batches::new();
    batches.loss(&fork);
    assert_ne!(
        state::weights(&fork)["norm.running_mean"],
        before["norm.running_mean"]
    );
    assert_eq!(state::weights(&model), before);
}
