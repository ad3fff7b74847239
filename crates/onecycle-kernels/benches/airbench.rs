//! The kernels of a training step of airbench94 (Jordan 2024, arXiv:2404.00498), one by one, on
//! feature maps of their real size.
//!
//! ```text
//! cargo bench -p onecycle-kernels --bench airbench -- \
//!     [--threads N] [--batch N] [--rounds N] [--isa NAME]
//! ```
//!
//! Reported are milliseconds (best and median of the rounds) of each kernel. For convolutions
//! follows the rate of the best, counted as direct convolutions, and its percentage of the peak of
//! all threads. Winograd's algorithm needs a quarter of the multiplications and can exceed 100 %.
#![allow(clippy::unwrap_used)] // A bench that cannot run stops.

mod common;

use std::hint::black_box;

use common::{instruction_set, number, peak};
use onecycle_kernels::{
    Activation, BatchNorm, Conv2d, Derivative, Epilogue, InputGradient, Kernels, NormEpilogue,
    Pixels, Pool2d,
};

/// Times of the kernels, in the order of the step.
struct Times {
    rounds: usize,
    /// Peak of all threads in GFLOP/s.
    peak: f64,
    best: f64,
    median: f64,
    flops: f64,
}

impl Times {
    fn add(&mut self, name: &str, flops: f64, mut work: impl FnMut()) {
        work();
        let mut times: Vec<f64> = (0..self.rounds)
            .map(|_| {
                let start = std::time::Instant::now();
                work();
                start.elapsed().as_secs_f64()
            })
            .collect();
        times.sort_by(f64::total_cmp);
        let (best, median) = (times[0], times[times.len() / 2]);
        self.best += best;
        self.median += median;
        self.flops += flops;
        self.show(name, flops, best, median);
    }

    fn show(&self, name: &str, flops: f64, best: f64, median: f64) {
        let rate = flops / best / 1e9;
        let rate = match flops {
            0.0 => String::new(),
            _ => format!("{rate:6.1} GFLOP/s {:4.0} %", 100.0 * rate / self.peak),
        };
        println!("{name:40} {:8.2} ({:8.2}) {rate}", best * 1e3, median * 1e3);
    }
}

fn map(len: usize) -> Vec<f32> {
    (0..len)
        .map(|i| ((i * 7919 % 1013) as f32 - 506.0) / 300.0)
        .collect()
}

/// Forward and backward pass of a convolution; returns the output.
fn conv(kernels: &Kernels, times: &mut Times, shape: &Conv2d, x: &[f32]) -> Vec<f32> {
    let name = format!(
        "conv {}x{} {}>{} @{}",
        shape.kernel[0], shape.kernel[1], shape.in_channels, shape.out_channels, shape.height
    );
    let w: Vec<f32> = map(shape.weight_len())
        .into_iter()
        .map(|w| w / 100.0)
        .collect();
    let mut y = map(shape.output_len().unwrap());
    let flops = shape.flops().unwrap();
    if shape.in_channels == 3 {
        let bias = map(shape.out_channels);
        let gelu = Epilogue {
            bias: Some(&bias),
            activation: Activation::Gelu,
        };
        times.add(&format!("{name}, GELU"), flops, || {
            kernels.conv2d_forward(shape, x, &w, gelu, &mut y).unwrap();
        });
        let mut g = y.clone();
        times.add(&format!("{name}, backward to bias"), flops, || {
            let bias = Some(&bias[..]);
            black_box(kernels.conv2d_gelu_backward(shape, x, &w, bias, &mut g)).unwrap();
        });
        return y;
    }
    times.add(&format!("{name}, statistics"), flops, || {
        black_box(kernels.conv2d_forward_statistics(shape, x, &w, &mut y)).unwrap();
    });
    let (mut dx, mut dw) = (x.to_vec(), w.clone());
    times.add(&format!("{name}, input gradient"), flops, || {
        kernels
            .conv2d_backward_data(shape, &y, &w, &mut dx)
            .unwrap();
    });
    times.add(&format!("{name}, weight gradient"), flops, || {
        kernels
            .conv2d_backward_weights(shape, x, &y, &mut dw)
            .unwrap();
    });
    y
}

/// Forward and backward pass of max pooling; returns the output.
fn pool(kernels: &Kernels, times: &mut Times, shape: &Pool2d, x: &[f32]) -> Vec<f32> {
    let name = format!("pool {} @{}", shape.kernel[0], shape.height);
    let mut y = map(shape.output_len().unwrap());
    let mut argmax = vec![0; y.len()];
    times.add(&name, 0.0, || {
        kernels
            .max_pool2d_forward(shape, x, &mut y, &mut argmax)
            .unwrap();
    });
    let mut dx = x.to_vec();
    times.add(&format!("{name}, backward"), 0.0, || {
        kernels
            .max_pool2d_backward(shape, &y, &argmax, &mut dx)
            .unwrap();
    });
    y
}

/// Forward and backward pass of batch norm with GELU; returns the output.
fn norm(kernels: &Kernels, times: &mut Times, pixels: Pixels, size: usize, x: &[f32]) -> Vec<f32> {
    let name = format!("norm {} @{size}", pixels.channels);
    let mut y = map(x.len());
    let statistics = kernels.batch_norm_statistics(&pixels, x).unwrap();
    let (weight, bias) = (vec![1.0; pixels.channels], map(pixels.channels));
    let norm = BatchNorm {
        pixels,
        statistics: &statistics,
        weight: &weight,
        bias: &bias,
        epsilon: 1e-12,
    };
    let gelu = NormEpilogue {
        residual: None,
        activation: Activation::Gelu,
    };
    times.add(&format!("{name}, GELU"), 0.0, || {
        kernels.batch_norm_forward(&norm, x, gelu, &mut y).unwrap();
    });
    let derivative = Derivative::OfGelu;
    let mut g = y.clone();
    times.add(&format!("{name}, backward sums"), 0.0, || {
        black_box(kernels.batch_norm_backward_sums(&norm, x, derivative, &mut g)).unwrap();
    });
    let sums = kernels
        .batch_norm_backward_sums(&norm, x, derivative, &mut g)
        .unwrap();
    times.add(&format!("{name}, backward input"), 0.0, || {
        let mut lazy = InputGradient::new(&norm, &sums, x, derivative, &mut g[..]).unwrap();
        black_box(lazy.overwrite(kernels));
    });
    y
}

fn main() {
    let (threads, batch) = (number("--threads", 2), number("--batch", 1024));
    let isa = instruction_set();
    let (peak, _) = peak(isa);
    println!("{isa:?}, {threads} thread(s), peak of one {peak:.1} GFLOP/s, batch {batch}; ms");
    let pool_of_threads = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    pool_of_threads.unwrap().install(|| {
        let kernels = Kernels::with_isa(isa);
        let mut times = Times {
            rounds: number("--rounds", 5),
            peak: peak * threads as f64,
            best: 0.0,
            median: 0.0,
            flops: 0.0,
        };
        let conv_shape = |channels: [usize; 2], size: usize, kernel: usize| Conv2d {
            batch,
            in_channels: channels[0],
            out_channels: channels[1],
            height: size,
            width: size,
            kernel: [kernel; 2],
            stride: [1; 2],
            padding: [[kernel / 3; 2]; 2],
            groups: 1,
        };
        let pool_shape = |channels, size, kernel| Pool2d {
            batch,
            channels,
            height: size,
            width: size,
            kernel: [kernel; 2],
            stride: [kernel; 2],
            padding: [0, 0],
        };
        let whitening = conv_shape([3, 24], 32, 2);
        let images = map(whitening.input_len());
        let mut x = conv(&kernels, &mut times, &whitening, &images);
        let (mut channels, mut size) = (24, 31);
        for width in [64, 256, 256] {
            let shape = conv_shape([channels, width], size, 3);
            let y = conv(&kernels, &mut times, &shape, &x);
            let y = pool(&kernels, &mut times, &pool_shape(width, size, 2), &y);
            (channels, size) = (width, size / 2);
            let pixels = Pixels {
                count: batch * size * size,
                channels,
            };
            times.add(&format!("norm {channels} @{size}, statistics"), 0.0, || {
                black_box(kernels.batch_norm_statistics(&pixels, &y)).unwrap();
            });
            let y = norm(&kernels, &mut times, pixels, size, &y);
            let shape = conv_shape([channels; 2], size, 3);
            let y = conv(&kernels, &mut times, &shape, &y);
            x = norm(&kernels, &mut times, pixels, size, &y);
        }
        pool(&kernels, &mut times, &pool_shape(channels, size, 3), &x);
        times.show("sum", times.flops, times.best, times.median);
        println!(
            "{:.0} images/s, {:.0} MB of scratch memory",
            batch as f64 / times.median,
            kernels.workspace_bytes() as f64 / 1e6
        );
    });
}
