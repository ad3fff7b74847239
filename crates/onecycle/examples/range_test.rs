//! The LR range test in a hand-written training loop: a network with one hidden layer learns the
//! sine function, without a tensor library. The test gives the next learning rate, and the loop
//! reports the loss.
//!
//! ```text
//! cargo run -p onecycle --example range_test
//! ```

use onecycle::{
    OneCycle, Policy, PolicyError, Run,
    range_test::{LrSweep, RangeTest, Rule, over_seeds},
};

const HIDDEN: usize = 24;
const BATCH: usize = 16;

fn main() -> Result<(), PolicyError> {
    // Three seeds with the same sweep. Each test trains a new network, which is then discarded.
    let mut curves = Vec::new();
    for seed in 1..=3 {
        let mut network = Network::new(seed);
        let mut test = RangeTest::new(LrSweep::exponential(1e-4, 10.0, 200)?);
        while let Some(hyper) = test.next_hyper() {
            let (loss, gradient) = network.loss_and_gradient();
            if test.record(loss).is_break() {
                break;
            }
            network.update(hyper.lr, &gradient);
        }
        println!("seed {seed}: {:?}", test.stop_reason());
        curves.push(test.into_curve());
    }
    for rule in Rule::ALL {
        let found = over_seeds(&curves, rule);
        let interval = found.interval.map_or(String::new(), |(low, high)| {
            format!("{low:.4} to {high:.4}")
        });
        println!("{rule:16} {:?} {interval} ({})", found.lr, found.verdict);
    }

    // One cycle with the suggested rate as its peak.
    let found = over_seeds(&curves, Rule::OneCycleMax);
    let Some(lr_max) = found.lr else {
        println!("{}", found.verdict.advice());
        return Ok(());
    };
    let plan = Policy::from_preset(OneCycle::new(lr_max).into())?.resolve(&Run::steps(2000))?;
    let mut network = Network::new(4);
    let mut first = None;
    let mut last = 0.0;
    for step in 0..plan.steps() {
        let (loss, gradient) = network.loss_and_gradient();
        network.update(plan.at(step).lr, &gradient);
        first.get_or_insert(loss);
        last = loss;
    }
    println!(
        "one cycle up to {lr_max:.3}: loss {:.4} to {last:.5}",
        first.unwrap_or(last)
    );
    Ok(())
}

/// `sum_h out_h tanh(in_h x + bias_h)`, trained with plain SGD.
struct Network {
    weights: [[f64; HIDDEN]; 3],
    random: u64,
}

impl Network {
    fn new(seed: u64) -> Self {
        let mut network = Network {
            weights: [[0.0; HIDDEN]; 3],
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

    fn update(&mut self, lr: f64, gradient: &[[f64; HIDDEN]; 3]) {
        for (weights, gradient) in self
            .weights
            .iter_mut()
            .flatten()
            .zip(gradient.iter().flatten())
        {
            *weights -= lr * gradient;
        }
    }
}
