//! Burn's own `Learner`, driven by a plan: learning rate and momentum.
//!
//! `cargo run --release -p onecycle-burn --example burn_learner`

use std::sync::Arc;

use onecycle::{OneCycle, Run};
use onecycle_burn::{
    Optimizer, OptimizerConfig, PlanDriver,
    burn::{
        self,
        data::{
            dataloader::{DataLoader, DataLoaderBuilder, batcher::Batcher},
            dataset::InMemDataset,
        },
        module::Module,
        nn::{Linear, LinearConfig},
        tensor::{Device, Int, Tensor, activation::relu},
        train::{
            ClassificationOutput, InferenceStep, SupervisedTraining, TrainOutput, TrainStep,
            metric::{AccuracyMetric, LossMetric},
        },
    },
    nn::cross_entropy,
    optim::ParamGroup,
};

const POINTS: usize = 400;
const BATCH: usize = 40;
const EPOCHS: usize = 20;

/// A point of the plane and whether it lies inside of a circle.
type Point = ([f32; 2], i64);
type Batch = (Tensor<2>, Tensor<1, Int>);

#[derive(Module, Debug)]
struct Perceptron {
    hidden: Linear,
    out: Linear,
}

impl Perceptron {
    fn classify(&self, (x, targets): Batch) -> ClassificationOutput {
        let output = self.out.forward(relu(self.hidden.forward(x)));
        let loss = cross_entropy(output.clone(), targets.clone(), 0.0);
        ClassificationOutput::new(loss, output, targets)
    }
}

impl TrainStep for Perceptron {
    type Input = Batch;
    type Output = ClassificationOutput;

    fn step(&self, batch: Batch) -> TrainOutput<ClassificationOutput> {
        let output = self.classify(batch);
        TrainOutput::new(self, output.loss.backward(), output)
    }
}

impl InferenceStep for Perceptron {
    type Input = Batch;
    type Output = ClassificationOutput;

    fn step(&self, batch: Batch) -> ClassificationOutput {
        self.classify(batch)
    }
}

#[derive(Clone)]
struct Points;

impl Batcher<Point, Batch> for Points {
    fn batch(&self, points: Vec<Point>, device: &Device) -> Batch {
        let count = points.len();
        let (x, labels): (Vec<[f32; 2]>, Vec<i64>) = points.into_iter().unzip();
        let x = Tensor::<1>::from_data(x.concat().as_slice(), device).reshape([count, 2]);
        (x, Tensor::from_data(labels.as_slice(), device))
    }
}

fn points() -> Vec<Point> {
    let point = |i| {
        let (x, y) = ((i % 20) as f32 / 10.0 - 0.95, (i / 20) as f32 / 10.0 - 0.95);
        ([x, y], i64::from(x * x + y * y < 0.64))
    };
    (0..POINTS).map(point).collect()
}

fn loader() -> Arc<dyn DataLoader<Batch>> {
    DataLoaderBuilder::new(Points)
        .batch_size(BATCH)
        .shuffle(1)
        .build(InMemDataset::new(points()))
}

/// Fraction of the points that are classified correctly.
fn accuracy(model: &Perceptron) -> f32 {
    let (x, targets) = Points.batch(points(), &Device::flex());
    let logits = model.classify((x, targets.clone())).output;
    let right = logits.argmax(1).reshape([-1]).equal(targets);
    right.float().mean().into_scalar::<f32>()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let device = Device::flex().autodiff();
    let model = Perceptron {
        hidden: LinearConfig::new(2, 32).init(&device),
        out: LinearConfig::new(32, 2).init(&device),
    };
    let plan = OneCycle::new(1.0)
        .weight_decay(1e-4)
        .plan(&Run::epochs(EPOCHS, POINTS, BATCH))?;
    let optimizer = Optimizer::new(OptimizerConfig::sgd())?
        .with_groups(vec![ParamGroup::no_decay_on_bias_and_norm()])?;
    let driver = PlanDriver::new(plan, optimizer)?;
    let folder = std::env::temp_dir().join("onecycle-burn-learner");
    let result = SupervisedTraining::new(folder, loader(), loader())
        .metrics((AccuracyMetric::new(), LossMetric::new()))
        .num_epochs(EPOCHS)
        .summary()
        .launch(driver.learner(model));
    let trained = result.model;
    let accuracy = accuracy(&trained.valid());
    println!("accuracy {:.1} %", 100.0 * accuracy);
    Ok(())
}
