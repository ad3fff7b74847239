//! The LR range test over several seeds, then one cycle, without a tensor library: a network with
//! one hidden layer learns the sine function by SGD with momentum.
//!
//! ```text
//! cargo run -p onecycle --example range_test
//! ```

use onecycle::{
    OneCycle, PolicyError, Run,
    range_test::{LrSweep, RangeTest, Rule, over_seeds},
};

const HIDDEN: usize = 24;
const BATCH: usize = 16;
const STEPS: usize = 2000;

fn main() -> Result<(), PolicyError> {
    let plan = |lr_max| OneCycle::new(lr_max).plan(&Run::steps(STEPS));

    // Three seeds with the same sweep and with the momentum of the plan's peak. Each test trains a
    // new network, which is then discarded.
    let mut curves = Vec::new();
    for seed in 1..=3 {
        let mut network = Network::new(seed);
        let test = RangeTest::for_plan(&plan(1.0)?, LrSweep::exponential(1e-4, 10.0, 200)?);
        curves.push(test.run(|hyper| network.update(hyper.lr, hyper.momentum.unwrap_or(0.0))));
    }
    for rule in Rule::ALL {
        println!("{rule:16} {}", over_seeds(&curves, rule));
    }

    // One cycle with the suggested rate as its peak.
    let found = over_seeds(&curves, Rule::OneCycleMax);
    let Some(lr_max) = found.lr else {
        println!("{}", found.verdict.advice());
        return Ok(());
    };
    let mut network = Network::new(4);
    let mut losses = Vec::new();
    for (_, hyper) in plan(lr_max)?.iter() {
        losses.push(network.update(hyper.lr, hyper.momentum.unwrap_or(0.0)));
    }
    let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
    println!(
        "one cycle up to {lr_max:.3}: mean loss {:.4} of the first 100 steps, {:.5} of the last",
        mean(&losses[..100]),
        mean(&losses[STEPS - 100..])
    );
    Ok(())
}

/// `sum_h out_h tanh(in_h x + bias_h)`, trained by SGD with momentum.
struct Network {
    weights: [[f64; HIDDEN]; 3],
    velocity: [[f64; HIDDEN]; 3],
    random: u64,
}

impl Network {
    fn new(seed: u64) -> Self {
        let mut network = Network {
            weights: [[0.0; HIDDEN]; 3],
            velocity: [[0.0; HIDDEN]; 3],
            random: seed,
        };
        for i in 0..3 * HIDDEN {
            network.weights[i / HIDDEN][i % HIDDEN] = network.uniform();
        }
        network
    }

    /// A number between -1 and 1.
    fn uniform(&mut self) -> f64 {
        // Knuth's MMIX generator.
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
    }

    /// Mean squared error on a fresh batch, and its gradient.
    fn loss_and_gradient(&mut self) -> (f64, [[f64; HIDDEN]; 3]) {
        let mut loss = 0.0;
        let mut gradient = [[0.0; HIDDEN]; 3];
        for _ in 0..BATCH {
            let x = 3.0 * self.uniform();
            let [input, bias, output] = &self.weights;
            let hidden: Vec<f64> = (0..HIDDEN)
                .map(|h| (input[h] * x + bias[h]).tanh())
                .collect();
            let y: f64 = hidden.iter().zip(output).map(|(a, w)| a * w).sum();
            let error = y - x.sin();
            loss += error * error / BATCH as f64;
            for h in 0..HIDDEN {
                let outer = 2.0 * error / BATCH as f64;
                let inner = outer * output[h] * (1.0 - hidden[h] * hidden[h]);
                gradient[0][h] += inner * x;
                gradient[1][h] += inner;
                gradient[2][h] += outer * hidden[h];
            }
        }
        (loss, gradient)
    }

    /// One update on a fresh batch. Returns the loss before it.
    fn update(&mut self, lr: f64, momentum: f64) -> f64 {
        let (loss, gradient) = self.loss_and_gradient();
        let velocity = self.velocity.iter_mut().flatten();
        let weights = self.weights.iter_mut().flatten();
        for ((weight, velocity), gradient) in weights.zip(velocity).zip(gradient.iter().flatten()) {
            *velocity = momentum * *velocity + gradient;
            *weight -= lr * *velocity;
        }
        loss
    }
}
