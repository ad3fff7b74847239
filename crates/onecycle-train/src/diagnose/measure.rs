use onecycle_burn::{
    BurnError,
    diagnose::{Objective, Subject},
};
use onecycle_stats::{Ascent, GradientNoise, Spectrum, slice_points};
use onecycle_vision::{Batches, Loader, models::Model, random};

use super::{
    Diagnosis, DiagnosisCost, Gap, Noise, Slice, TrainingPoint, evaluated,
    images::{EPOCH, Images},
};
use crate::{
    Experiment, TrainError,
    config::DiagnoseConfig,
    metrics::{Evaluator, MetricSums},
    observer::Observer,
    record::generalisation_gap,
};

/// Groups of micro-batches, each a big batch, by which standard errors are told.
const GROUPS: usize = 8;
/// Points of a slice.
const POINTS: usize = 21;
/// How far a slice goes, in lengths of the filters.
const REACH: f64 = 1.0;

/// Diagnoses `model`, a network of the experiment with gradients, and leaves it as it is.
///
/// # Errors
/// Data that cannot be read, options out of range. What cannot be measured is one of [`Diagnosis::problems`].
pub fn measure(
    experiment: &Experiment,
    model: &Model,
    conditions: TrainingPoint,
    options: &DiagnoseConfig,
    observer: &mut dyn Observer,
) -> Result<Diagnosis, TrainError> {
    options.check()?;
    let subject = Subject::new(model)?;
    let mut problems = Vec::new();
    let batch_size = conditions.batch_size;

    let (mut noise, mut images) = (None, 0);
    // Their memory is better used for the others: they go out of scope here.
    if options.batches > 0 {
        let (count, size) = (options.batches, options.batch_size);
        let mut batches = Images::augmented(experiment, count, size, observer)?;
        batches.begin("gradient noise", 1);
        let found = gradient_noise(&subject, &mut batches);
        noise = worth("noise scale", found, &mut problems)?;
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
        hessian = worth("Hessian", found, &mut problems)?;
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
        sharpness = worth("ε-sharpness", found, &mut problems)?;
    }
    let mut slices = Vec::with_capacity(options.slices);
    surface.begin("loss slices", POINTS * options.slices);
    for index in 0..options.slices {
        let slice = slice(experiment, &subject, index as u64, &mut surface);
        slices.extend(worth("loss slice", slice, &mut problems)?);
    }
    images += surface.evaluated * surface.size;

    let gap = gap(experiment, model, seen)?;
    images += (gap.train_images + gap.val_images) as usize;
    Ok(Diagnosis {
        conditions,
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

/// A result, or what kept it from being one where that is the network's fault.
fn worth<T>(
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
    // Two micro-batches a group, where there are as many: then both ways can be gone.
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

/// Losses on the first `images` training images of the order and on as many validation images.
fn gap(experiment: &Experiment, model: &Model, images: u64) -> Result<Gap, TrainError> {
    let data = &experiment.data;
    let model = evaluated(model);
    let tally = |batches: Batches| -> Result<MetricSums, TrainError> {
        let mut sums = MetricSums::default();
        Evaluator::new(&model, data.shape, &experiment.device).add_until(
            &mut sums,
            batches,
            |seen| seen >= images,
        )?;
        Ok(sums)
    };
    let batch_size = experiment.config.eval_batch_size.min(images as usize);
    let of = |loader: &Loader| {
        loader
            .evaluation()
            .images(loader.order(EPOCH))
            .batch_size(batch_size)
            .batches()
    };
    let (trained, validated) = (tally(of(&data.train))?, tally(of(&data.validation))?);
    let (train_loss, val_loss) = (trained.mean_loss(), validated.mean_loss());
    Ok(Gap {
        train_loss,
        val_loss,
        gap: generalisation_gap(train_loss, val_loss),
        train_accuracy: trained.accuracy(),
        val_accuracy: validated.accuracy(),
        train_images: trained.images,
        val_images: validated.images,
    })
}
