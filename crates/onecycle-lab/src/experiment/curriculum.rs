use burn::{module::Module, optim::GradientsParams};
use onecycle::Hyper;
use onecycle_burn::{
    Optimizer, OptimizerConfig,
    optim::{Ignorable, Sgd},
};
use onecycle_vision::{Batch, Curriculum, models::Model};

use super::Experiment;
use crate::{
    LabError,
    config::CurriculumConfig,
    device,
    metrics::{self, Tally},
    train,
};

/// Puts the easy images first, where the configuration asks for it.
pub(super) fn apply(experiment: &mut Experiment) -> Result<(), LabError> {
    let Some(config) = experiment.config.data.curriculum else {
        return Ok(());
    };
    let losses = device::on_a_cpu_thread(|| losses(experiment, &config))?;
    let mut easiest_first: Vec<u32> = (0..losses.len() as u32).collect();
    // A loss that is not a number is the hardest; of equals the first image comes first.
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

/// The loss of each training image, as it is without augmentation, after a brief training.
fn losses(experiment: &Experiment, config: &CurriculumConfig) -> Result<Vec<f64>, LabError> {
    let model = scorer(experiment, config)?.valid();
    let data = &experiment.data;
    let mut losses = vec![f64::NAN; data.train.len()];
    for batch in data.train.evaluation(experiment.config.eval_batch_size) {
        let batch = batch?;
        let (indices, labels) = (batch.indices.clone(), batch.labels.clone());
        let logits = logits(experiment, &model, batch)?;
        let classes = logits.len() / labels.len();
        for (i, logits) in logits.chunks_exact(classes).enumerate() {
            losses[indices[i] as usize] = Tally::of(logits, &labels[i..=i]).loss;
        }
    }
    Ok(losses)
}

fn logits(experiment: &Experiment, model: &Model, batch: Batch) -> Result<Vec<f32>, LabError> {
    let images = metrics::images(batch, experiment.data.shape, &experiment.device);
    metrics::host(model.forward(images))
}

/// The network after `scoring_epochs` of plain SGD.
fn scorer(experiment: &Experiment, config: &CurriculumConfig) -> Result<Model, LabError> {
    let mut model = experiment.initial_model()?;
    let mut optimizer =
        Optimizer::new(OptimizerConfig::Sgd(Sgd::default()))?.ignore(Ignorable::BatchSize);
    let hyper = Hyper {
        lr: config.scoring_lr,
        momentum: None,
        weight_decay: None,
        batch_size: None,
    };
    let size = experiment.config.batch_size;
    for epoch in 0..config.scoring_epochs {
        for batch in experiment.data.train.epoch(epoch, move |_| size, 0) {
            let (_, loss) = train::forward(experiment, &model, &mut batch?);
            let grads = GradientsParams::from_grads(loss.backward(), &model);
            (model, _) = optimizer.step(&hyper, model, grads)?;
        }
    }
    Ok(model)
}
