//! Batch norm with ReLU on feature maps that exceed the cache, as between the convolutions of a
//! step.
//!
//! ```text
//! cargo bench -p onecycle-kernels --bench norms -- \
//!     [--threads N] [--batch N] [--maps N] [--rounds N]
//! ```
//!
//! Each pass cycles through `--maps` feature maps, so that they have left the cache. Reported are
//! milliseconds per map (best and median of the rounds) and the gigabytes per second that the
//! program reads and writes, at the median.
#![allow(clippy::unwrap_used)] // A bench that cannot run stops.

use std::hint::black_box;
use std::time::Instant;

use onecycle_kernels::{
    Activation, BatchNorm, Derivative, Kernels, NormEpilogue, Pixels, Statistics,
};

/// The number after `--name`.
fn number(name: &str, default: usize) -> usize {
    let arguments: Vec<String> = std::env::args().collect();
    let value = arguments
        .iter()
        .position(|a| a == name)
        .and_then(|i| arguments.get(i + 1));
    value.map_or(default, |value| value.parse().unwrap())
}

fn main() {
    let (threads, batch) = (number("--threads", 1), number("--batch", 128));
    let (maps, rounds) = (number("--maps", 32), number("--rounds", 15));
    println!("{threads} thread(s), batch {batch}, {maps} maps; best (median) ms per map, GB/s");
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    pool.unwrap().install(|| {
        // The feature maps of ResNet-20.
        for (channels, size) in [(16, 32), (32, 16), (64, 8)] {
            let pixels = Pixels {
                count: batch * size * size,
                channels,
            };
            let [forward, sums, masked] = measure(pixels, maps, rounds);
            let bytes = (size_of::<f32>() * pixels.elements().unwrap()) as f64;
            // `moved` is the number of maps that are read and written.
            let show = |(best, median): (f64, f64), moved: f64| {
                let rate = moved * bytes / median / 1e9;
                format!("{:6.3} ({:6.3}) {rate:5.1}", best * 1e3, median * 1e3)
            };
            println!(
                "{channels:3} channels, {size} x {size} | forward {} | backward sums {} | \
                 backward sums with residual {}",
                show(forward, 2.0),
                show(sums, 2.0),
                show(masked, 4.0)
            );
        }
    });
}

/// A pass over a layer's input, output and gradient.
type Pass<'a> = &'a mut dyn FnMut(&mut [Vec<f32>; 3]);

/// Best and median seconds per map of the forward pass, and of the sums of the backward pass with
/// the ReLU mask recomputed and read from the output.
fn measure(pixels: Pixels, maps: usize, rounds: usize) -> [(f64, f64); 3] {
    let kernels = Kernels::new();
    let channels = pixels.channels;
    let (weight, bias) = (vec![1.0; channels], vec![0.1; channels]);
    let statistics = Statistics {
        mean: vec![0.1; channels],
        variance: vec![1.0; channels],
    };
    let norm = BatchNorm {
        pixels,
        statistics: &statistics,
        weight: &weight,
        bias: &bias,
        epsilon: 1e-5,
    };
    let relu = NormEpilogue {
        residual: None,
        activation: Activation::Relu,
    };
    let map = || -> Vec<f32> {
        (0..pixels.elements().unwrap())
            .map(|i| (i % 13) as f32 - 6.0)
            .collect()
    };
    // Inputs, outputs and gradients.
    let mut layers: Vec<_> = (0..maps.div_ceil(3))
        .map(|_| [map(), map(), map()])
        .collect();
    let sums = |x: &[f32], mask: Derivative, g: &mut [f32]| {
        black_box(kernels.batch_norm_backward_sums(&norm, x, mask, g).unwrap());
    };
    let mut times = [const { Vec::new() }; 3];
    for _ in 0..rounds {
        let mut passes: [Pass; 3] = [
            &mut |[x, y, _]| {
                kernels.batch_norm_forward(&norm, x, relu, y).unwrap();
            },
            &mut |[x, _, g]| sums(x, Derivative::OfRelu, g),
            &mut |[x, y, g]| sums(x, Derivative::OfReluOutput(y), g),
        ];
        for (pass, times) in passes.iter_mut().zip(&mut times) {
            let start = Instant::now();
            layers.iter_mut().for_each(&mut **pass);
            times.push(start.elapsed().as_secs_f64() / layers.len() as f64);
        }
    }
    times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        (times[0], times[times.len() / 2])
    })
}
