//! A training loop of your own over a module of your own: a range test finds the learning rate, the
//! 1cycle policy trains.
//!
//! `cargo run --release -p onecycle-burn --example custom_module`

use onecycle::{
    OneCycle, Run,
    range_test::{LrSweep, RangeTest, Rule},
};
use onecycle_burn::{
    BurnError, Optimizer, OptimizerConfig,
    burn::{
        self,
        module::Module,
        tensor::{Device, Int, Tensor},
    },
    nn::{Linear, cross_entropy},
    range_test, training_step,
};

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
    let mut rng = onecycle_burn::rng(1);
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
    let suggestion = Rule::OneCycleMax.apply(&tested.curve);
    println!("range test: {suggestion}");
    let lr_max = suggestion.lr.ok_or(suggestion.verdict.advice())?;

    let plan = OneCycle::new(lr_max).plan(&Run::steps(500))?;
    for (step, hyper) in plan.iter() {
        let outcome;
        (model, outcome) = training_step(model, &mut optimizer, &hyper, |model| {
            Ok::<_, BurnError>(loss(model))
        })?;
        if step % 100 == 99 {
            println!("step {step}: {hyper}, loss {:.4}", outcome.loss);
        }
    }
    Ok(())
}
