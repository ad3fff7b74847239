use std::sync::Arc;

use burn::module::Module;
use onecycle::{Constant, Run};
use onecycle_burn::{
    Optimizer, OptimizerConfig,
    optim::{Ignorable, Sgd},
};
use onecycle_vision::{Batch, Curriculum, models::Model};

use super::Experiment;
use crate::{
    TrainError,
    config::CurriculumConfig,
    device,
    logits::to_host,
    metrics::MetricSums,
    trainer::{StepResult, Trainer, TrainingData},
};

/// Sorts the training images by difficulty if the configuration asks for a curriculum.
pub(super) fn apply(experiment: &mut Experiment) -> Result<(), TrainError> {
    let Some(config) = experiment.config.data.curriculum else {
        return Ok(());
    };
    let losses = device::on_pool_thread(|| losses(experiment, &config))?;
    let mut easiest_first: Vec<u32> = (0..losses.len() as u32).collect();
    // NaN sorts as the hardest. The sort is stable: on ties, the first image comes first.
    easiest_first.sort_by(|a, b| losses[*a as usize].total_cmp(&losses[*b as usize]));
    let curriculum = Curriculum {
        easiest_first,
        start: config.start,
        epochs: config.epochs,
    };
    let train = experiment.data.train.clone();
    experiment.data.train = train.with_curriculum(curriculum)?;
    Ok(())
}

/// The loss of each training image, without augmentation, after a short training.
fn losses(experiment: &Experiment, config: &CurriculumConfig) -> Result<Vec<f64>, TrainError> {
    let model = scorer(experiment, config)?.valid();
    let data = &experiment.data;
    let mut losses = vec![f64::NAN; data.train.len()];
    let batch_size = experiment.config.eval_batch_size;
    for batch in data.train.evaluation(batch_size) {
        let batch = batch?;
        let (indices, labels) = (batch.indices.clone(), batch.labels.clone());
        let logits = logits(experiment, &model, batch)?;
        let classes = logits.len() / labels.len();
        for (i, logits) in logits.chunks_exact(classes).enumerate() {
            losses[indices[i] as usize] = MetricSums::of(logits, &labels[i..=i]).loss;
        }
    }
    Ok(losses)
}

fn logits(experiment: &Experiment, model: &Model, batch: Batch) -> Result<Vec<f32>, TrainError> {
    let (images, _) = batch.tensors(&experiment.device);
    to_host(model.forward(images))
}

/// Trains the network for `scoring_epochs` with plain SGD at a constant learning rate.
fn scorer(experiment: &Experiment, config: &CurriculumConfig) -> Result<Model, TrainError> {
    let optimizer =
        Optimizer::new(OptimizerConfig::Sgd(Sgd::default()))?.ignore(Ignorable::BatchSize);
    let data = TrainingData {
        image_sizes: None,
        ..experiment.training_data()?
    };
    let run = Run::epochs(
        config.scoring_epochs as f64,
        data.loader.len() as u64,
        data.batch_size as u64,
    );
    let plan = Constant::new(config.scoring_lr).policy()?.resolve(&run)?;
    let mut trainer = Trainer::new(
        experiment.untrained_model()?,
        optimizer,
        Arc::new(plan),
        data,
    );
    while !trainer.is_finished() {
        if let StepResult::NotFinite = trainer.step()? {
            break;
        }
    }
    Ok(trainer.model)
}
