//! The 1cycle policy in a hand-written training loop: logistic regression on two half moons with
//! plain SGD and momentum, without a tensor library. The plan gives learning rate, momentum and
//! weight decay at every step.
//!
//! ```text
//! cargo run -p onecycle --example hand_written_loop
//! ```

use onecycle::{OneCycle, PolicyError, Run};

const SAMPLES: usize = 400;
const BATCH: usize = 20;
const EPOCHS: usize = 10;

fn main() -> Result<(), PolicyError> {
    let plan = OneCycle::new(1.0)
        .weight_decay(1e-4)
        .plan(&Run::epochs(EPOCHS, SAMPLES, BATCH))?;
    for phase in plan.phases() {
        let steps = phase.last_step - phase.first_step + 1;
        println!(
            "{:12} {steps:4} steps, lr {} to {}",
            phase.name, phase.from, phase.to
        );
    }

    let data: Vec<([f64; 3], f64)> = (0..SAMPLES).map(sample).collect();
    let mut weights = [0.0; 3];
    let mut velocity = [0.0; 3];
    for (step, hyper) in plan.iter() {
        let (momentum, decay) = (
            hyper.momentum.unwrap_or(0.0),
            hyper.weight_decay.unwrap_or(0.0),
        );

        let start = step as usize * BATCH % SAMPLES;
        let gradient = gradient(&weights, &data[start..start + BATCH]);
        for i in 0..weights.len() {
            velocity[i] = momentum * velocity[i] + gradient[i] + decay * weights[i];
            weights[i] -= hyper.lr * velocity[i];
        }

        if (step + 1) % 40 == 0 {
            let (loss, accuracy) = evaluate(&weights, &data);
            println!(
                "step {:4}: {hyper}, loss {loss:.4}, accuracy {:.1} %",
                step + 1,
                100.0 * accuracy
            );
        }
    }
    Ok(())
}

/// Points on two interleaved half circles, alternating between the classes. The last entry is the
/// bias.
fn sample(i: usize) -> ([f64; 3], f64) {
    let label = (i % 2) as f64;
    // Multiples of the golden ratio fill the interval evenly.
    let turn = (i as f64 * 0.618_033_988_75).fract() * std::f64::consts::PI;
    let (x, y) = (turn.cos(), turn.sin());
    let point = if label == 0.0 {
        [x, y, 1.0]
    } else {
        [1.0 - x, 0.5 - y, 1.0]
    };
    (point, label)
}

/// Probability of class 1.
fn predict(weights: &[f64; 3], x: &[f64; 3]) -> f64 {
    let logit: f64 = weights.iter().zip(x).map(|(w, x)| w * x).sum();
    1.0 / (1.0 + (-logit).exp())
}

/// Mean gradient of the cross-entropy over a batch.
fn gradient(weights: &[f64; 3], batch: &[([f64; 3], f64)]) -> [f64; 3] {
    let mut gradient = [0.0; 3];
    for (x, label) in batch {
        let error = predict(weights, x) - label;
        for (gradient, x) in gradient.iter_mut().zip(x) {
            *gradient += error * x / batch.len() as f64;
        }
    }
    gradient
}

/// Mean cross-entropy, and the fraction of correctly classified points.
fn evaluate(weights: &[f64; 3], data: &[([f64; 3], f64)]) -> (f64, f64) {
    let mut loss = 0.0;
    let mut right = 0;
    for (x, label) in data {
        let p = predict(weights, x);
        loss -= (if *label == 1.0 { p } else { 1.0 - p }).ln();
        right += usize::from((p > 0.5) == (*label == 1.0));
    }
    (loss / data.len() as f64, right as f64 / data.len() as f64)
}
