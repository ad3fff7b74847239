//! A module of your own: a range test finds the learning rate, the 1cycle policy trains.
//!
//! `cargo run --release -p onecycle-burn --example custom_module`

use burn::{
    module::Module,
    tensor::{Device, Int, Tensor},
};
use onecycle::{
    OneCycle, Run,
    range_test::{LrSweep, RangeTest, Rule},
};
use onecycle_burn::{
    BurnError, Optimizer, OptimizerConfig,
    nn::{Linear, cross_entropy},
    range_test, training_step,
};
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

/// Points `[batch, 2]` to logits `[batch, 2]`.
#[derive(Module, Debug)]
struct Perceptron {
    hidden: Linear,
    out: Linear,
}

impl Perceptron {
    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        self.out.forward(self.hidden.forward_relu(x))
    }
}

/// Two classes: points inside and outside of the circle of radius 0.8.
fn circle(device: &Device) -> (Tensor<2>, Tensor<1, Int>) {
    let points: Vec<[f32; 2]> = (0..400)
        .map(|i| [(i % 20) as f32 / 10.0 - 0.95, (i / 20) as f32 / 10.0 - 0.95])
        .collect();
    let inside = |[x, y]: &[f32; 2]| i64::from(x * x + y * y < 0.64);
    let labels: Vec<i64> = points.iter().map(inside).collect();
    let points: Tensor<1> = Tensor::from_data(points.concat().as_slice(), device);
    let labels = Tensor::from_data(labels.as_slice(), device);
    (points.reshape([400, 2]), labels)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let device = Device::flex().autodiff();
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut model = Perceptron {
        hidden: Linear::new(2, 32, &mut rng, &device),
        out: Linear::new(32, 2, &mut rng, &device),
    };
    let mut optimizer = Optimizer::new(OptimizerConfig::sgd())?;
    let (x, labels) = circle(&device);
    let loss = |model: &Perceptron| cross_entropy(model.forward(x.clone()), labels.clone(), 0.0);

    // The range test trains copies. Model and optimizer stay as they are.
    let test = RangeTest::new(LrSweep::exponential(1e-3, 100.0, 100)?);
    let mut feed = |model: &Perceptron| Ok::<_, BurnError>(Some(loss(model)));
    let tested = range_test(&model, &optimizer, test, &mut feed)?;
    let answer = Rule::OneCycleMax.apply(&tested.curve);
    let lr_max = answer.lr.ok_or("the range test found no learning rate")?;
    println!("learning rate {lr_max:.3}");

    let plan = OneCycle::new(lr_max).policy()?.resolve(&Run::steps(500))?;
    for step in 0..plan.steps() {
        let hyper = plan.at(step);
        let outcome;
        (model, outcome) = training_step(model, &mut optimizer, &hyper, |model| {
            Ok::<_, BurnError>(loss(model))
        })?;
        if step % 100 == 99 {
            println!("step {step}: lr {:.4}, loss {:.4}", hyper.lr, outcome.loss);
        }
    }
    Ok(())
}
