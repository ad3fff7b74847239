//! A module of one's own, trained by the 1cycle policy.
//!
//! `cargo run --release -p onecycle-burn --example custom_module`

use burn::{
    module::Module,
    optim::GradientsParams,
    tensor::{Device, Int, Tensor, activation::relu},
};
use onecycle::{OneCycle, Run};
use onecycle_burn::{
    Optimizer, OptimizerConfig,
    nn::{Linear, cross_entropy},
};
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

#[derive(Module, Debug)]
struct Perceptron {
    hidden: Linear,
    out: Linear,
}

impl Perceptron {
    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        self.out.forward(relu(self.hidden.forward(x)))
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
    let (x, labels) = circle(&device);
    let plan = OneCycle::new(1.0).policy()?.resolve(&Run::steps(500))?;
    let mut optimizer = Optimizer::new(OptimizerConfig::sgd())?;
    for step in 0..plan.steps() {
        let hyper = plan.at(step);
        let loss = cross_entropy(model.forward(x.clone()), labels.clone(), 0.0);
        if step % 100 == 99 {
            println!(
                "{step}: {:.4} -> {:.4}",
                hyper.lr,
                loss.clone().into_scalar::<f32>()
            );
        }
        let grads = GradientsParams::from_grads(loss.backward(), &model);
        (model, _) = optimizer.step(&hyper, model, grads)?;
    }
    Ok(())
}
