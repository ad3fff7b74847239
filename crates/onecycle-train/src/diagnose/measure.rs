use onecycle_burn::{
    BurnError,
    diagnose::{Objective, Subject},
};
use onecycle_stats::{Ascent, GradientNoise, Spectrum, slice_points};
use onecycle_vision::{Batches, Loader, models::Model, random};

use super::{
    Diagnosis, DiagnosisCost, Gap, Noise, Slice, TrainingPoint, evaluation_mode,
    images::{EPOCH, Images},
};
use crate::{
    Experiment, TrainError,
    config::DiagnoseConfig,
    metrics::{Evaluator, MetricSums},
    observer::Observer,
    record::generalisation_gap,
};

/// Number of groups of micro-batches, each a large batch, for the standard errors.
const GROUPS: usize = 8;
/// Number of points per slice.
const POINTS: usize = 21;
/// Half length of a slice, relative to the length of the filters.
const REACH: f64 = 1.0;

/// Diagnoses `model`, a network of the experiment with gradients, without changing it.
///
/// # Errors
/// The data cannot be read, or options are out of range. A quantity that cannot be measured is one
/// of [`Diagnosis::problems`].
pub fn measure(
    experiment: &Experiment,
    model: &Model,
    point: TrainingPoint,
    options: &DiagnoseConfig,
    observer: &mut dyn Observer,
) -> Result<Diagnosis, TrainError> {
    options.check()?;
    let subject = Subject::new(model)?;
    let mut problems = Vec::new();
    let batch_size = point.batch_size;

    let (mut noise, mut images) = (None, 0);
    // A block of its own, so that the memory of these images is free for the others.
    if options.batches > 0 {
        let (count, size) = (options.batches, options.batch_size);
        let mut batches = Images::augmented(experiment, count, size, observer)?;
        batches.begin("gradient noise", 1);
        let found = gradient_noise(&subject, &mut batches);
        noise = measured("noise scale", found, &mut problems)?;
        images = batches.evaluated * batches.size;
    }

    let mut surface = Images::plain(experiment, options.images, observer)?;
    let seen = surface.images() as u64;
    let mut hessian = None;
    if options.eigenvalues > 0 {
        let spectrum = Spectrum::largest(options.eigenvalues);
        surface.begin("Hessian", 6 + 2 * spectrum.products);
        let mut rng = random::stream(experiment.config.seed, "diagnose hessian", 0);
        let found = subject.hessian(&spectrum, &mut rng, &mut surface);
        hessian = measured("Hessian", found, &mut problems)?;
    }
    let mut sharpness = None;
    if options.epsilon > 0.0 {
        let ascent = Ascent {
            epsilon: options.epsilon,
            ..Ascent::default()
        };
        surface.begin("ε-sharpness", ascent.steps + 1);
        let mut rng = random::stream(experiment.config.seed, "diagnose sharpness", 0);
        let found = subject.sharpness(&ascent, &mut rng, &mut surface);
        sharpness = measured("ε-sharpness", found, &mut problems)?;
    }
    let mut slices = Vec::with_capacity(options.slices);
    surface.begin("loss slices", POINTS * options.slices);
    for index in 0..options.slices {
        let slice = slice(experiment, &subject, index as u64, &mut surface);
        slices.extend(measured("loss slice", slice, &mut problems)?);
    }
    images += surface.evaluated * surface.size;

    let gap = gap(experiment, model, seen)?;
    images += (gap.train_images + gap.val_images) as usize;
    Ok(Diagnosis {
        conditions: point,
        weights: None,
        noise,
        hessian,
        sharpness,
        slices,
        gap,
        cost: DiagnosisCost {
            images: images as u64,
            steps: (images as u64).div_ceil(batch_size.max(1)),
        },
        problems,
    })
}

/// Returns a result, or records why the network does not allow one.
fn measured<T>(
    what: &str,
    found: Result<T, TrainError>,
    problems: &mut Vec<String>,
) -> Result<Option<T>, TrainError> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(TrainError::Burn(BurnError::Diagnosis(error))) => {
            problems.push(format!("{what}: {error}"));
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn gradient_noise(subject: &Subject<Model>, images: &mut Images<'_>) -> Result<Noise, TrainError> {
    // At least two micro-batches per group, if there are as many: then both estimates are possible.
    let groups = (images.batches() / 2).clamp(1, GROUPS);
    let size = images.size as u64;
    let gradients: GradientNoise = subject.noise(size, groups, images)?;
    Ok(Noise {
        micro_batches: gradients.over_micro_batches().map_err(BurnError::from)?,
        two_sizes: gradients.between_batch_sizes().ok(),
        batch_size: size,
        batches: gradients.count(),
    })
}

fn slice(
    experiment: &Experiment,
    subject: &Subject<Model>,
    index: u64,
    images: &mut Images<'_>,
) -> Result<Slice, TrainError> {
    let mut rng = random::stream(experiment.config.seed, "diagnose slice", index);
    let direction = subject.direction(&mut rng)?;
    let alpha = slice_points(POINTS, REACH).map_err(BurnError::from)?;
    let loss = subject.slice(&direction, &alpha, images)?;
    let finite = |loss: f64| loss.is_finite().then_some(loss);
    Ok(Slice {
        alpha,
        loss: loss.into_iter().map(finite).collect(),
    })
}

/// Losses and accuracies on the first `images` training images of the order and as many validation
/// images.
fn gap(experiment: &Experiment, model: &Model, images: u64) -> Result<Gap, TrainError> {
    let data = &experiment.data;
    let model = evaluation_mode(model);
    let metrics = |batches: Batches| -> Result<MetricSums, TrainError> {
        let mut sums = MetricSums::default();
        let evaluator = Evaluator::new(&model, &experiment.device);
        evaluator.add_until(&mut sums, batches, |seen| seen >= images)?;
        Ok(sums)
    };
    let batch_size = experiment.config.eval_batch_size.min(images as usize);
    let batches = |loader: &Loader| {
        let images = loader.order(EPOCH);
        loader.evaluation(batch_size).images(images).batches()
    };
    let train = metrics(batches(&data.train))?;
    let val = metrics(batches(&data.validation))?;
    let (train_loss, val_loss) = (train.mean_loss(), val.mean_loss());
    Ok(Gap {
        train_loss,
        val_loss,
        gap: generalisation_gap(train_loss, val_loss),
        train_accuracy: train.accuracy(),
        val_accuracy: val.accuracy(),
        train_images: train.images,
        val_images: val.images,
    })
}
