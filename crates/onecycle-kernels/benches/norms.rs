//! Batch norm with ReLU over feature maps that do not fit into a core's cache, as between the convolutions of a step.
//!
//! ```text
//! cargo bench -p onecycle-kernels --bench norms -- [--threads N] [--batch N] [--maps N] [--rounds N]
//! ```
//!
//! The passes go over `--maps` feature maps in turn, so that what they read and write was last used long ago. Milliseconds a
//! map, best and median of the rounds; gigabytes a second as read and written by the program, at the median.
#![allow(clippy::unwrap_used)] // A bench that cannot run stops.

use std::hint::black_box;
use std::time::Instant;

use onecycle_kernels::{
    Affine, Path, Pixels, ReluMask, Statistics, batch_norm_backward_sums, batch_norm_forward,
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
    println!("{threads} thread(s), batch {batch}, {maps} maps; best (median) ms a map, GB/s");
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    pool.unwrap().install(|| {
        // Those of ResNet-20.
        for (channels, size) in [(16, 32), (32, 16), (64, 8)] {
            let shape = Pixels {
                count: batch * size * size,
                channels,
            };
            let [forward, sums, masked] = measure(&shape, maps, rounds);
            let bytes = (size_of::<f32>() * shape.elements().unwrap()) as f64;
            // With the maps that are read and written.
            let show = |(best, median): (f64, f64), moved: f64| {
                let rate = moved * bytes / median / 1e9;
                format!("{:6.3} ({:6.3}) {rate:5.1}", best * 1e3, median * 1e3)
            };
            println!(
                "{channels:3} channels, {size} x {size} | forward {} | sums of the backward pass {} | behind a residual {}",
                show(forward, 2.0),
                show(sums, 2.0),
                show(masked, 4.0)
            );
        }
    });
}

/// Goes over a layer's input, output and gradient.
type Walk<'a> = &'a mut dyn FnMut(&mut [Vec<f32>; 3]);

/// Best and median seconds a map of the forward pass, and of the sums of the backward pass with the ReLU's mask computed again
/// and read from the output.
fn measure(shape: &Pixels, maps: usize, rounds: usize) -> [(f64, f64); 3] {
    let path = Path::detect();
    let channels = shape.channels;
    let (weight, bias) = (vec![1.0; channels], vec![0.1; channels]);
    let affine = Affine {
        weight: &weight,
        bias: &bias,
        epsilon: 1e-5,
    };
    let statistics = Statistics {
        mean: vec![0.1; channels],
        variance: vec![1.0; channels],
    };
    let map = || -> Vec<f32> {
        (0..shape.elements().unwrap())
            .map(|i| (i % 13) as f32 - 6.0)
            .collect()
    };
    // Inputs, outputs and gradients.
    let mut layers: Vec<_> = (0..maps.div_ceil(3))
        .map(|_| [map(), map(), map()])
        .collect();
    let sums = |x: &[f32], relu: ReluMask, g: &mut [f32]| {
        black_box(batch_norm_backward_sums(path, shape, &statistics, affine, x, relu, g).unwrap());
    };
    let mut times = [const { Vec::new() }; 3];
    for _ in 0..rounds {
        let mut walks: [Walk; 3] = [
            &mut |[x, y, _]| {
                batch_norm_forward(path, shape, &statistics, affine, x, None, true, y).unwrap();
            },
            &mut |[x, _, g]| sums(x, ReluMask::Recomputed, g),
            &mut |[x, y, g]| sums(x, ReluMask::Output(y), g),
        ];
        for (walk, times) in walks.iter_mut().zip(&mut times) {
            let start = Instant::now();
            layers.iter_mut().for_each(&mut **walk);
            times.push(start.elapsed().as_secs_f64() / layers.len() as f64);
        }
    }
    times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        (times[0], times[times.len() / 2])
    })
}
