//! 2 x 2 max pooling of the feature maps of small networks, in cache: microseconds for 16 images,
//! the best of many repetitions.
//!
//! ```text
//! RAYON_NUM_THREADS=1 cargo bench -p onecycle-kernels --bench pools
//! ```
#![allow(clippy::unwrap_used)] // A bench that cannot run stops.

use std::time::Instant;

use onecycle_kernels::{Kernels, Pool2d};

const ROUNDS: usize = 300;

fn main() {
    let kernels = Kernels::new();
    for (channels, size) in [(6, 28), (16, 10), (20, 24), (32, 28), (64, 14)] {
        let shape = Pool2d {
            batch: 16,
            channels,
            height: size,
            width: size,
            kernel: [2, 2],
            stride: [2, 2],
            padding: [0, 0],
        };
        let x: Vec<f32> = (0..shape.input_len())
            .map(|i| (i * 7919 % 1013) as f32)
            .collect();
        let len = shape.output_len().unwrap();
        let (mut y, mut argmax, mut dx) = (vec![0.0; len], vec![0; len], x.clone());
        let [mut forward, mut backward] = [f64::INFINITY; 2];
        for _ in 0..ROUNDS {
            let start = Instant::now();
            kernels
                .max_pool2d_forward(&shape, &x, &mut y, &mut argmax)
                .unwrap();
            let middle = Instant::now();
            kernels
                .max_pool2d_backward(&shape, &y, &argmax, &mut dx)
                .unwrap();
            forward = forward.min((middle - start).as_secs_f64());
            backward = backward.min(middle.elapsed().as_secs_f64());
        }
        println!(
            "{channels} channels, {size} x {size}: forward {:.1}, backward {:.1}",
            forward * 1e6,
            backward * 1e6
        );
    }
}
