//! How fast this machine trains a network.

use std::time::Instant;

use burn::{
    optim::GradientsParams,
    tensor::{Int, Tensor, TensorData},
};
use onecycle::Hyper;
use onecycle_burn::nn::cross_entropy;
use onecycle_vision::{
    ImageShape,
    models::{Architecture, Model},
    random,
};
use serde::Serialize;

use crate::{LabError, config, config::OptimizerTable, device};

/// What to measure.
#[derive(Debug, Clone, PartialEq)]
pub struct BenchConfig {
    /// The network.
    pub architecture: Architecture,
    /// Shape of an image.
    pub shape: ImageShape,
    /// Number of classes.
    pub classes: usize,
    /// Images a step.
    pub batch_size: usize,
    /// Where to compute.
    pub device: config::Device,
    /// Steps that are not counted.
    pub warm_up: usize,
    /// Steps that are.
    pub steps: usize,
}

/// Medians over the steps of a benchmark.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BenchResult {
    /// Name of the network.
    pub model: String,
    /// Images a step.
    pub batch_size: usize,
    /// CPU threads.
    pub threads: usize,
    /// Images a second over whole steps.
    pub images_per_second: f64,
    /// Forward pass and loss, in milliseconds.
    pub forward_ms: f64,
    /// Gradients of all parameters, in milliseconds.
    pub backward_ms: f64,
    /// Update of all parameters, in milliseconds.
    pub update_ms: f64,
    /// Largest resident memory of this process so far, in bytes; 0 where the system does not tell.
    pub peak_memory_bytes: u64,
}

impl BenchResult {
    /// Seconds that `epochs` epochs take: `train` images each, trained on, then `test` images, evaluated.
    pub fn seconds(&self, epochs: f64, train: usize, test: usize) -> f64 {
        let evaluation = 1e-3 * self.forward_ms / self.batch_size as f64;
        epochs * (train as f64 / self.images_per_second + test as f64 * evaluation)
    }
}

/// Times whole training steps on random images: forward, backward, update by SGD with momentum.
///
/// # Errors
/// A device that is not there, images too small for the network.
pub fn run(bench: &BenchConfig) -> Result<BenchResult, LabError> {
    device::on_a_cpu_thread(|| measure(bench))
}

fn measure(bench: &BenchConfig) -> Result<BenchResult, LabError> {
    let device = device::open(bench.device)?.autodiff();
    let mut rng = random::stream(0, "bench", 0);
    let mut model = Model::new(
        bench.architecture,
        bench.shape,
        bench.classes,
        &mut rng,
        &device,
    )?;
    let mut optimizer = OptimizerTable::default().build()?;
    let batch = bench.batch_size;
    let ImageShape {
        channels,
        height,
        width,
    } = bench.shape;
    let pixels: Vec<f32> = (0..batch * channels * height * width)
        .map(|_| random::below(&mut rng, 256) as f32 / 128.0 - 1.0)
        .collect();
    let labels: Vec<i64> = (0..batch).map(|i| (i % bench.classes) as i64).collect();
    let images = TensorData::new(pixels, [batch, channels, height, width]);
    let labels = TensorData::new(labels, [batch]);
    let hyper = Hyper {
        lr: 1e-3,
        momentum: Some(0.9),
        weight_decay: Some(5e-4),
        batch_size: None,
    };

    let mut times: Vec<[f64; 3]> = Vec::new();
    for step in 0..bench.warm_up + bench.steps {
        let start = Instant::now();
        let logits = model.forward(Tensor::<4>::from_data(images.clone(), &device));
        let labels = Tensor::<1, Int>::from_data(labels.clone(), &device);
        let loss = cross_entropy(logits, labels, 0.0);
        wait(&device)?;
        let forward = start.elapsed().as_secs_f64();
        let grads = GradientsParams::from_grads(loss.backward(), &model);
        wait(&device)?;
        let backward = start.elapsed().as_secs_f64();
        (model, _) = optimizer.step(&hyper, model, grads)?;
        wait(&device)?;
        let update = start.elapsed().as_secs_f64();
        if step >= bench.warm_up {
            times.push([forward, backward - forward, update - backward]);
        }
    }
    let median = |pick: fn(&[f64; 3]) -> f64| {
        let mut values: Vec<f64> = times.iter().map(pick).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
    };
    Ok(BenchResult {
        model: bench.architecture.to_string(),
        batch_size: batch,
        threads: rayon::current_num_threads(),
        images_per_second: batch as f64 / median(|t| t.iter().sum()),
        forward_ms: 1e3 * median(|t| t[0]),
        backward_ms: 1e3 * median(|t| t[1]),
        update_ms: 1e3 * median(|t| t[2]),
        peak_memory_bytes: peak_memory(),
    })
}

/// Waits until an accelerator has done what it was told.
fn wait(device: &burn::tensor::Device) -> Result<(), LabError> {
    device.sync().map_err(|error| LabError::Compute {
        why: format!("{error:?}"),
    })
}

/// Largest resident memory of this process so far, from `/proc/self/status`.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|rest| rest.trim().strip_suffix("kB"))
        .and_then(|number| number.trim().parse::<u64>().ok())
        .map_or(0, |kibibytes| kibibytes * 1024)
}
