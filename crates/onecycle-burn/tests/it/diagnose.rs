//! Diagnoses of modules with known answers, and that diagnoses leave modules bit-identical.

use burn::{
    module::{Module, Param},
    optim::GradientsParams,
    tensor::{Device, Int, Tensor, TensorData},
};
use onecycle::Hyper;
use onecycle_burn::{
    BurnError, Optimizer, OptimizerConfig,
    diagnose::{HessianVerdict, Objective, Subject},
    nn::{BatchNorm2d, Conv2d, Conv2dShape, ConvNorm, Init, Linear, cross_entropy},
    state,
};
use onecycle_stats::{Ascent, SharpnessVerdict, Spectrum, StatsError, slice_points};
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

fn rng() -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(5)
}

/// Six weights in two tensors, with the loss `Σ λ w² / 2`.
#[derive(Module, Debug)]
struct Quadratic {
    matrix: Param<Tensor<2>>,
    vector: Param<Tensor<1>>,
}

const LAMBDA: [f32; 6] = [9.0, 4.0, 2.0, 1.0, 0.5, -1.0];

impl Quadratic {
    fn new(weights: [f32; 6], device: &Device) -> Self {
        let (matrix, vector) = weights.split_at(4);
        Quadratic {
            matrix: Param::from_data(TensorData::new(matrix.to_vec(), [2, 2]), device),
            vector: Param::from_data(TensorData::new(vector.to_vec(), [2]), device),
        }
    }

    fn loss(&self) -> Tensor<1> {
        let all = Tensor::cat(vec![self.matrix.val().reshape([4]), self.vector.val()], 0);
        let lambda = Tensor::<1>::from_data(LAMBDA, &all.device());
        (all.square() * lambda * 0.5).sum()
    }
}

fn loss(model: &Quadratic) -> Result<Tensor<1>, BurnError> {
    Ok(model.loss())
}

#[test]
fn the_spectrum_of_a_quadratic() {
    let device = Device::flex().autodiff();
    let weights = [0.3, -1.0, 2.0, 0.1, -0.4, 0.7];
    let subject = Subject::new(&Quadratic::new(weights, &device)).unwrap();
    let all = Spectrum {
        eigenvalues: 6,
        products: 6,
        tolerance: 1e-3,
    };
    let found = subject.hessian(&all, &mut rng(), &mut loss).unwrap();
    assert_eq!(found.verdict, HessianVerdict::Ok);
    assert_eq!(found.gradients, 6 + 2 * 6);
    assert!(found.step_error < 1e-3, "{found:?}");
    for (one, known) in found.curvature.eigenvalues.iter().zip(LAMBDA) {
        assert!(
            (one.value - f64::from(known)).abs() < 5e-3,
            "{one:?} for {known}"
        );
    }
}

/// Burn would keep a tracked pass in memory, because no backward pass follows.
#[test]
fn a_loss_without_gradient_is_not_tracked() {
    let device = Device::flex().autodiff();
    let subject = Subject::new(&Quadratic::new([1.0; 6], &device)).unwrap();
    let mut tracked = Vec::new();
    let mut loss = |model: &Quadratic| -> Result<Tensor<1>, BurnError> {
        tracked.push(model.vector.val().is_require_grad());
        Ok(model.loss())
    };
    subject.loss(subject.weights(), &mut loss).unwrap();
    subject.gradient(subject.weights(), &mut loss).unwrap();
    assert_eq!(tracked, [false, true]);
}

/// Loss and gradient through a convolution with fixed normalisation, against values computed by hand.
#[test]
fn gradients_through_a_folded_norm() {
    #[derive(Module, Debug)]
    struct Normed {
        conv: Conv2d,
        norm: BatchNorm2d,
    }
    let device = Device::flex().autodiff();
    let shape = Conv2dShape {
        bias: false,
        ..Conv2dShape::same(2, 1, 1)
    };
    let conv = Conv2d::new(shape, Init::KaimingFanOut, &mut rng(), &device);
    let model = Normed {
        conv,
        norm: BatchNorm2d::new(1, &device),
    };
    // Pixels (3, 0) and (0, 1). The initial statistics, mean 0 and variance 1, do not change them.
    let x = TensorData::new(vec![3.0f32, 0.0, 0.0, 1.0], [2, 2, 1, 1]);
    let x = Tensor::<4>::from_data(x, &device);
    let mut objective = |model: &Normed| -> Result<Tensor<1>, BurnError> {
        let layer = ConvNorm {
            conv: &model.conv,
            norm: &model.norm,
        };
        let output = layer.forward(x.clone());
        Ok(output.square().mean())
    };
    let subject = Subject::new(&model).unwrap();
    // Four weights: two of the kernel, scale γ and shift β. The loss is
    // ((3 a γ + β)² + (b γ + β)²) / 2.
    let [a, b, gamma, beta]: [f64; 4] = [0.5, -2.0, 1.5, 0.25];
    let known = (3.0 * a * gamma + beta).powi(2) / 2.0 + (b * gamma + beta).powi(2) / 2.0;
    let weights = [a, b, gamma, beta];
    let (loss, gradient) = subject.gradient(&weights, &mut objective).unwrap();
    assert!((loss - known).abs() < 1e-4, "{loss} for {known}");
    let (first, second) = (3.0 * a * gamma + beta, b * gamma + beta);
    let expected = [
        3.0 * gamma * first,
        gamma * second,
        3.0 * a * first + b * second,
        first + second,
    ];
    for (got, expected) in gradient.iter().zip(expected) {
        assert!((got - expected).abs() < 1e-3, "{gradient:?}");
    }
    assert_eq!(
        subject
            .blocks()
            .iter()
            .map(|b| b.filter)
            .collect::<Vec<_>>(),
        [2, 0, 0]
    );
}

#[test]
fn the_sharpness_of_a_quadratic() {
    let device = Device::flex().autodiff();
    // At the saddle: the loss rises along five weights and falls along the last.
    let subject = Subject::new(&Quadratic::new([0.0; 6], &device)).unwrap();
    let ascent = Ascent {
        epsilon: 0.01,
        steps: 10,
    };
    let found = subject.sharpness(&ascent, &mut rng(), &mut loss).unwrap();
    let uphill: f64 = LAMBDA[..5].iter().map(|l| f64::from(*l)).sum();
    // The ascent does not move along the last weight: the gradient undoes its random first step.
    let low = 100.0 * (uphill - 1.0) * 1e-4 / 2.0;
    let high = 100.0 * uphill * 1e-4 / 2.0;
    assert!(
        (low * 0.999..=high * 1.001).contains(&found.sharpness),
        "{found:?}"
    );
    assert_eq!((found.loss, found.gradients), (0.0, 11));
    assert_ne!(found.verdict, SharpnessVerdict::NoRise);
}

#[test]
fn slices_of_a_quadratic() {
    let device = Device::flex().autodiff();
    let weights = [0.3, -1.0, 2.0, 0.1, -0.4, 0.7];
    let subject = Subject::new(&Quadratic::new(weights, &device)).unwrap();
    let direction = subject.direction(&mut rng()).unwrap();
    // Filters of the matrix are its rows; the vector is excluded.
    let length = |v: &[f64]| v.iter().map(|v| v * v).sum::<f64>().sqrt();
    for row in 0..2 {
        let d = length(&direction[2 * row..][..2]);
        let w = length(&subject.weights()[2 * row..][..2]);
        assert!((d - w).abs() < 1e-6);
    }
    assert_eq!(direction[4..], [0.0, 0.0]);
    let alphas = slice_points(11, 1.0).unwrap();
    let losses = subject.slice(&direction, &alphas, &mut loss).unwrap();
    for (alpha, loss) in alphas.iter().zip(losses) {
        let known: f64 = (0..6)
            .map(|i| {
                f64::from(LAMBDA[i]) * (subject.weights()[i] + alpha * direction[i]).powi(2) / 2.0
            })
            .sum();
        assert!(
            (loss - known).abs() < 1e-5 * known.abs().max(1.0),
            "{loss} for {known}"
        );
    }
    let short = subject
        .slice(&direction[1..], &alphas, &mut loss)
        .unwrap_err();
    assert!(matches!(
        short,
        BurnError::Diagnosis(StatsError::Count { found: 5, .. })
    ));
}

/// Convolution, batch norm and a linear layer.
#[derive(Module, Debug)]
struct Net {
    conv: Conv2d,
    norm: BatchNorm2d,
    fc: Linear,
}

impl Net {
    fn forward(&self, x: Tensor<4>) -> Tensor<2> {
        let layer = ConvNorm {
            conv: &self.conv,
            norm: &self.norm,
        };
        self.fc.forward(layer.forward_relu(x).reshape([-1, 12]))
    }
}

/// Micro-batches of 8 images of 2 x 2 pixels.
struct Images(Device);

impl Images {
    fn batch(&self, index: usize) -> (Tensor<4>, Tensor<1, Int>) {
        let value = |i: usize| ((index * 31 + i) as f32 * 0.7).sin();
        let x: Vec<f32> = (0..8 * 4).map(value).collect();
        let y: Vec<i64> = (0..8).map(|i| i64::from(x[4 * i] > 0.0)).collect();
        let x = Tensor::<1>::from_data(x.as_slice(), &self.0).reshape([8, 1, 2, 2]);
        (x, Tensor::<1, Int>::from_data(y.as_slice(), &self.0))
    }
}

impl Objective<Net> for Images {
    type Error = BurnError;

    fn batches(&self) -> usize {
        6
    }

    fn loss(&mut self, model: &Net, batch: usize) -> Result<Tensor<1>, BurnError> {
        let (x, y) = self.batch(batch);
        Ok(cross_entropy(model.forward(x), y, 0.0))
    }
}

/// A network after six steps, and the images.
fn trained() -> (Net, Images) {
    let device = Device::flex().autodiff();
    let mut images = Images(device.clone());
    let shape = Conv2dShape::same(1, 3, 3);
    let mut model = Net {
        conv: Conv2d::new(shape, Init::KaimingFanOut, &mut rng(), &device),
        norm: BatchNorm2d::new(3, &device),
        fc: Linear::new(12, 2, &mut rng(), &device),
    };
    let mut optimizer = Optimizer::new(OptimizerConfig::sgd()).unwrap();
    let hyper = Hyper {
        lr: 0.05,
        momentum: Some(0.9),
        weight_decay: None,
        batch_size: None,
    };
    for step in 0..6 {
        let loss = images.loss(&model, step).unwrap();
        let grads = GradientsParams::from_grads(loss.backward(), &model);
        (model, _) = optimizer.step(&hyper, model, grads).unwrap();
    }
    (model, images)
}

/// Runs all diagnoses.
fn diagnose(model: &Net, objective: &mut impl Objective<Net, Error = BurnError>) {
    let subject = Subject::new(model).unwrap();
    let noise = subject.noise(8, 3, objective).unwrap();
    assert_eq!(noise.count(), 6);
    let top = Spectrum::largest(1);
    subject.hessian(&top, &mut rng(), objective).unwrap();
    let ascent = Ascent::default();
    subject.sharpness(&ascent, &mut rng(), objective).unwrap();
    let direction = subject.direction(&mut rng()).unwrap();
    let alphas = slice_points(5, 1.0).unwrap();
    subject.slice(&direction, &alphas, objective).unwrap();
}

/// Records what is evaluated.
struct Watched<'a> {
    images: Images,
    original: &'a Net,
    other_weights: usize,
    statistics: Vec<TensorData>,
}

impl Objective<Net> for Watched<'_> {
    type Error = BurnError;

    fn batches(&self) -> usize {
        self.images.batches()
    }

    fn loss(&mut self, model: &Net, batch: usize) -> Result<Tensor<1>, BurnError> {
        let weights = state::weights(model);
        if weights["fc.weight"] != state::weights(self.original)["fc.weight"] {
            self.other_weights += 1;
        }
        let loss = self.images.loss(model, batch)?;
        self.statistics
            .push(state::weights(model)["norm.running_var"].clone());
        Ok(loss)
    }
}

#[test]
fn the_module_stays_bit_identical() {
    let (model, images) = trained();
    let before = state::weights(&model);
    let flag = model.norm.training.is_enabled();
    let mut watched = Watched {
        images,
        original: &model,
        other_weights: 0,
        statistics: Vec::new(),
    };
    diagnose(&model, &mut watched);
    // It did evaluate at other weights, and never with statistics of the batch.
    assert!(watched.other_weights > 100, "{}", watched.other_weights);
    assert!(
        watched
            .statistics
            .iter()
            .all(|seen| *seen == before["norm.running_var"])
    );
    assert_eq!(state::weights(&model), before);
    assert_eq!((flag, model.norm.training.is_enabled()), (true, true));
    // The module can still train.
    let mut images = Images(Device::flex().autodiff());
    images.loss(&model, 0).unwrap();
    assert_ne!(
        state::weights(&model)["norm.running_var"],
        before["norm.running_var"]
    );
}

/// An error of the objective ends the diagnosis and is returned.
#[test]
fn errors_of_the_objective_are_returned() {
    #[derive(Debug, PartialEq)]
    enum Fault {
        Burn(BurnError),
        Disk,
    }
    impl From<BurnError> for Fault {
        fn from(error: BurnError) -> Self {
            Fault::Burn(error)
        }
    }
    let (model, _) = trained();
    let subject = Subject::new(&model).unwrap();
    let mut calls = 0;
    let mut failing = |model: &Net| -> Result<Tensor<1>, Fault> {
        calls += 1;
        match calls {
            5 => Err(Fault::Disk),
            _ => Ok(model.fc.weight.val().square().sum()),
        }
    };
    let top = Spectrum::largest(1);
    let error = subject.hessian(&top, &mut rng(), &mut failing).unwrap_err();
    assert_eq!(error, Fault::Disk);
    let mut nan = |model: &Net| -> Result<Tensor<1>, BurnError> {
        Ok(model.fc.weight.val().square().sum() * f32::NAN)
    };
    let error = subject.hessian(&top, &mut rng(), &mut nan).unwrap_err();
    assert!(
        matches!(error, BurnError::Diagnosis(StatsError::NotFinite { .. })),
        "{error}"
    );
    let error = subject.noise(8, 2, &mut nan).unwrap_err();
    assert!(error.to_string().contains("groups"), "{error}");
}

/// The loss of the fork equals that of an evaluation, and its noise agrees with the mean gradient.
#[test]
fn the_fork_is_in_evaluation_mode() {
    let (model, mut images) = trained();
    let subject = Subject::new(&model).unwrap();
    let loss = subject.loss(subject.weights(), &mut images).unwrap();
    let valid = model.valid();
    let plain = Images(Device::flex());
    let evaluated: f64 = (0..6)
        .map(|batch| {
            let (x, y) = plain.batch(batch);
            let loss = cross_entropy(valid.forward(x), y, 0.0);
            f64::from(loss.into_scalar::<f32>()) / 6.0
        })
        .sum();
    assert!((loss - evaluated).abs() < 1e-5, "{loss} for {evaluated}");

    let noise = subject.noise(8, 3, &mut images).unwrap();
    let whole = subject.gradient(subject.weights(), &mut images).unwrap().1;
    let mean: f64 = whole.iter().map(|g| g * g).sum();
    let estimate = noise.over_micro_batches().unwrap();
    // |G|² + tr Σ / 48 is the squared length of the gradient over all 48 images.
    let sum = estimate.gradient.value + estimate.trace.value / 48.0;
    assert!((sum / mean - 1.0).abs() < 1e-5, "{sum} for {mean}");
    assert!(estimate.trace.value > 0.0);
}

#[test]
fn a_module_without_gradients_is_refused() {
    let (model, _) = trained();
    // A module from `valid()` can still train.
    let subject = Subject::new(&model.valid()).unwrap();
    assert_eq!(subject.weights(), Subject::new(&model).unwrap().weights());
    let error = Subject::new(&model.freeze()).unwrap_err();
    assert_eq!(error, BurnError::NothingTrainable);
}
