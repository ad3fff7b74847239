//! A training loop of your own: trains a network in memory with a policy of your choice, step by
//! step.
//!
//! `cargo run --release -p onecycle-train --example train_in_memory`
//!
//! The images are those of `data/fashion-mnist` in the repository. On two cores it takes a few
//! seconds.

use onecycle::{Cosine, Span, Warmup};
use onecycle_train::{Config, Experiment, TrainError, metrics::MetricSums, trainer::StepResult};

const STEPS: u64 = 300;

fn main() -> Result<(), TrainError> {
    // Any preset can stand here: a linear warm-up to 0.1, then cosine decay.
    let policy = Warmup::new(Span::Steps(30), Cosine::new(0.1));
    let experiment = Experiment::prepare(Config {
        model: "lenet5".to_owned(),
        epochs: None,
        steps: Some(STEPS),
        policy: policy.into(),
        ..Config::default()
    })?;
    let mut trainer = experiment.trainer()?;

    let mut recent = MetricSums::default();
    while !trainer.is_finished() {
        let StepResult::Updated(update) = trainer.step()? else {
            println!("the loss is not finite: the learning rate is too large");
            return Ok(());
        };
        recent.add(update.metrics);
        let step = update.step + 1;
        if step.is_multiple_of(50) {
            let lr = experiment.plan.at(update.step).lr;
            let (loss, accuracy) = (recent.mean_loss(), 100.0 * recent.accuracy());
            println!(
                "step {step:3}: lr {lr:.4}, training loss {loss:.3}, accuracy {accuracy:.1} %"
            );
            recent = MetricSums::default();
        }
    }

    let batch_size = experiment.config.eval_batch_size;
    let test = trainer.evaluate(experiment.data.test.evaluation(batch_size))?;
    println!(
        "test: loss {:.3}, accuracy {:.1} % of {} images",
        test.mean_loss(),
        100.0 * test.accuracy(),
        test.images
    );
    Ok(())
}
