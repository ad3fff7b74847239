//! Speed of this machine: [`run`] times whole training steps, or evaluations.

use std::{sync::Arc, time::Instant};

use onecycle::{Constant, Hyper, Run};
use onecycle_vision::{
    Augment, ImageShape, Loader, Split, Statistics,
    models::{Architecture, Model},
    random,
};
use serde::Serialize;

use crate::{
    RunError, TrainError,
    config::OptimizerSection,
    device,
    trainer::{Shards, Trainer, TrainingData},
};

/// What to measure.
#[derive(Debug, Clone, PartialEq)]
pub struct BenchConfig {
    /// The network.
    pub architecture: Architecture,
    /// Shape of an image.
    pub shape: ImageShape,
    /// Number of classes.
    pub classes: usize,
    /// Images per step.
    pub batch_size: usize,
    /// Label smoothing of the loss.
    pub label_smoothing: f64,
    /// The optimizer.
    pub optimizer: OptimizerSection,
    /// Where to compute.
    pub device: device::Device,
    /// Whether to time the network in evaluation mode, without gradients, instead of training steps.
    pub evaluation: bool,
    /// Steps before the measured ones.
    pub warm_up: usize,
    /// Measured steps.
    pub steps: usize,
}

/// Medians over the measured steps.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BenchResult {
    /// Name of the network.
    pub model: String,
    /// Whether evaluations were measured instead of training steps.
    pub evaluation: bool,
    /// Images per step.
    pub batch_size: usize,
    /// CPU threads.
    pub threads: usize,
    /// Images per second over whole steps, or in evaluation.
    pub images_per_second: f64,
    /// Forward pass, and in training the loss, in milliseconds.
    pub forward_ms: f64,
    /// Gradients of all parameters, in milliseconds; `None` in evaluation.
    pub backward_ms: Option<f64>,
    /// Update of all parameters, in milliseconds; `None` in evaluation.
    pub update_ms: Option<f64>,
    /// Peak resident memory of this process so far, in bytes; 0 if the system does not report it.
    pub peak_memory_bytes: u64,
}

impl BenchResult {
    /// Estimates the seconds of `epochs` epochs, each with `train` training images and an
    /// evaluation of `test` images.
    pub fn seconds(&self, epochs: f64, train: usize, test: usize) -> f64 {
        let evaluation = 1e-3 * self.forward_ms / self.batch_size as f64;
        epochs * (train as f64 / self.images_per_second + test as f64 * evaluation)
    }
}

/// Times whole training steps on random images: forward, backward, update. Or evaluations: forward passes in
/// evaluation mode, up to the logits on the host.
///
/// # Errors
/// The device is not available, or the images are too small for the network.
pub fn run(bench: &BenchConfig) -> Result<BenchResult, TrainError> {
    device::on_pool_thread(|| measure(bench))
}

fn measure(bench: &BenchConfig) -> Result<BenchResult, TrainError> {
    let trainer = trainer(bench)?;
    let times = match bench.evaluation {
        true => evaluations(bench, trainer)?,
        false => training_steps(bench, trainer)?,
    };
    let median = |pick: fn(&[f64; 3]) -> f64| {
        let mut values: Vec<f64> = times.iter().map(pick).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
    };
    let trained = |milliseconds: f64| (!bench.evaluation).then_some(milliseconds);
    Ok(BenchResult {
        model: bench.architecture.to_string(),
        evaluation: bench.evaluation,
        batch_size: bench.batch_size,
        threads: rayon::current_num_threads(),
        images_per_second: bench.batch_size as f64 / median(|t| t.iter().sum()),
        forward_ms: 1e3 * median(|t| t[0]),
        backward_ms: trained(1e3 * median(|t| t[1])),
        update_ms: trained(1e3 * median(|t| t[2])),
        peak_memory_bytes: peak_memory(),
    })
}

/// Seconds of forward pass, backward pass and update of each measured step.
fn training_steps(bench: &BenchConfig, mut trainer: Trainer) -> Result<Vec<[f64; 3]>, TrainError> {
    let device = device::open(bench.device)?.autodiff();
    let hyper = Hyper {
        lr: 1e-3,
        momentum: Some(0.9),
        weight_decay: Some(5e-4),
        batch_size: None,
    };
    let mut times = Vec::new();
    for step in 0..bench.warm_up + bench.steps {
        let batch = trainer.next_batch()?;
        let start = Instant::now();
        let loss = trainer.forward(batch).loss;
        wait(&device)?;
        let forward = start.elapsed().as_secs_f64();
        let gradients = trainer.backward(&loss);
        wait(&device)?;
        let backward = start.elapsed().as_secs_f64();
        trainer.update(&hyper, gradients)?;
        wait(&device)?;
        let update = start.elapsed().as_secs_f64();
        if step >= bench.warm_up {
            times.push([forward, backward - forward, update - backward]);
        }
    }
    Ok(times)
}

/// Seconds of each measured evaluation, as those of a forward pass: from a batch on the device to logits
/// on the host.
fn evaluations(bench: &BenchConfig, mut trainer: Trainer) -> Result<Vec<[f64; 3]>, TrainError> {
    let device = device::open(bench.device)?;
    let network = trainer.network();
    let (images, _) = trainer.next_batch()?.tensors(&device);
    let mut times = Vec::new();
    for step in 0..bench.warm_up + bench.steps {
        let start = Instant::now();
        network
            .forward(images.clone())
            .try_into_data()
            .map_err(RunError::compute)?;
        if step >= bench.warm_up {
            times.push([start.elapsed().as_secs_f64(), 0.0, 0.0]);
        }
    }
    Ok(times)
}

/// A trainer for one batch of random images.
fn trainer(bench: &BenchConfig) -> Result<Trainer, TrainError> {
    let device = device::open(bench.device)?;
    let shape = bench.shape;
    let mut rng = random::stream(0, "bench", 0);
    let model = Model::new(
        bench.architecture,
        shape,
        bench.classes,
        &mut rng,
        &device.clone().autodiff(),
    )?;
    let pixels = (0..bench.batch_size * shape.len())
        .map(|_| random::below(&mut rng, 256) as u8)
        .collect();
    let labels = (0..bench.batch_size)
        .map(|image| (image % bench.classes) as u32)
        .collect();
    let images = Split::new(shape, pixels, labels)?;
    let statistics = Statistics {
        mean: vec![0.5; shape.channels],
        std: vec![0.5; shape.channels],
    };
    let data = TrainingData {
        // Batches are made between the timed steps, not beside them.
        loader: Loader::new(images, &statistics, Augment::default(), 0)?.prefetch(false),
        device,
        batch_size: bench.batch_size,
        drop_last: false,
        shards: Shards::all(1),
        image_sizes: None,
        label_smoothing: bench.label_smoothing,
        class_weights: None,
    };
    let steps = (bench.warm_up + bench.steps) as u64;
    let plan = Constant::new(1e-3).policy()?.resolve(&Run::steps(steps))?;
    let optimizer = bench.optimizer.build()?;
    Ok(Trainer::new(model, optimizer, Arc::new(plan), data))
}

/// Waits until the accelerator has finished its work.
fn wait(device: &burn::tensor::Device) -> Result<(), TrainError> {
    Ok(device.sync().map_err(RunError::compute)?)
}

/// Peak resident memory of this process so far, from `/proc/self/status`.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|rest| rest.trim().strip_suffix("kB"))
        .and_then(|number| number.trim().parse::<u64>().ok())
        .map_or(0, |kibibytes| kibibytes * 1024)
}
