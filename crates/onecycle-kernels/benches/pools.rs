//! Max pooling 2 x 2 of the feature maps of small networks, in cache: microseconds for 16 images, best of many.
//!
//! ```text
//! cargo bench -p onecycle-kernels --bench pools
//! ```
#![allow(clippy::unwrap_used)] // A bench that cannot run stops.

use onecycle_kernels::{Path, Pool2d, max_pool2d_backward, max_pool2d_forward};
use std::time::Instant;
fn main() {
    for (c, s) in [(6, 28), (16, 10), (20, 24), (32, 28), (64, 14)] {
        let shape = Pool2d {
            batch: 16,
            channels: c,
            height: s,
            width: s,
            kernel: [2, 2],
            stride: [2, 2],
        };
        let x: Vec<f32> = (0..shape.input_len())
            .map(|i| ((i * 7919) % 1013) as f32)
            .collect();
        let n = shape.output_len().unwrap();
        let (mut y, mut k, mut dx) = (vec![0.0; n], vec![0u16; n], x.clone());
        let mut best = [f64::MAX; 2];
        for _ in 0..300 {
            let t = Instant::now();
            max_pool2d_forward(Path::detect(), &shape, &x, &mut y, &mut k).unwrap();
            let u = Instant::now();
            max_pool2d_backward(Path::detect(), &shape, &y, &k, &mut dx).unwrap();
            best[0] = best[0].min((u - t).as_secs_f64());
            best[1] = best[1].min(u.elapsed().as_secs_f64());
        }
        println!(
            "{c} @{s}: forward {:.1} us, backward {:.1} us",
            best[0] * 1e6,
            best[1] * 1e6
        );
    }
}
