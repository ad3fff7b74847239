//! Convolution layers of common networks: milliseconds, GFLOP/s, percentage of the measured peak.
//!
//! ```text
//! cargo bench -p onecycle-kernels --bench layers -- \
//!     [--threads N] [--batch N] [--isa avx2] [--only TEXT] [--ms N] [--maps N]
//! ```
//!
//! With `--maps N`, calls cycle through N inputs and outputs. With enough of them they are no
//! longer in cache, as between the layers of a network.
//!
//! The peak is the rate of independent multiply-adds on registers, measured in the same process on
//! one thread; percentages are per thread. `best` is the fastest of many repetitions, `median`
//! their median. A median peak far below the best means that another process uses the same core.
#![allow(clippy::unwrap_used)] // A bench that cannot run stops.

mod common;

use std::time::Duration;

use common::{argument, instruction_set, peak, time};
use onecycle_kernels::{Conv2d, Epilogue, Kernels};

struct Layer {
    name: &'static str,
    shape: Conv2d,
}

fn layers(batch: usize) -> Vec<Layer> {
    let layer = |name,
                 in_channels,
                 out_channels,
                 size: usize,
                 kernel: usize,
                 stride: usize,
                 padding: usize| Layer {
        name,
        shape: Conv2d {
            batch,
            in_channels,
            out_channels,
            height: size,
            width: size,
            kernel: [kernel; 2],
            stride: [stride; 2],
            padding: [[padding; 2]; 2],
            groups: 1,
        },
    };
    let depthwise = |name, channels, size, kernel: usize, stride| {
        let mut layer = layer(name, channels, channels, size, kernel, stride, kernel / 2);
        layer.shape.groups = channels;
        layer
    };
    vec![
        layer("resnet20 3x3 3>16 @32", 3, 16, 32, 3, 1, 1),
        layer("resnet20 3x3 16>16 @32", 16, 16, 32, 3, 1, 1),
        layer("resnet20 3x3 16>32 @32 s2", 16, 32, 32, 3, 2, 1),
        layer("resnet20 1x1 16>32 @32 s2", 16, 32, 32, 1, 2, 0),
        layer("resnet20 3x3 32>32 @16", 32, 32, 16, 3, 1, 1),
        layer("resnet20 3x3 32>64 @16 s2", 32, 64, 16, 3, 2, 1),
        layer("resnet20 1x1 32>64 @16 s2", 32, 64, 16, 1, 2, 0),
        layer("resnet20 3x3 64>64 @8", 64, 64, 8, 3, 1, 1),
        layer("small 3x3 1>32 @28 s2", 1, 32, 28, 3, 2, 1),
        layer("small 3x3 32>32 @14", 32, 32, 14, 3, 1, 1),
        layer("small 3x3 32>64 @14 s2", 32, 64, 14, 3, 2, 1),
        layer("small 1x1 32>64 @14 s2", 32, 64, 14, 1, 2, 0),
        layer("small 3x3 64>64 @7", 64, 64, 7, 3, 1, 1),
        layer("small 3x3 64>128 @7 s2", 64, 128, 7, 3, 2, 1),
        layer("small 1x1 64>128 @7 s2", 64, 128, 7, 1, 2, 0),
        layer("small 3x3 128>128 @4", 128, 128, 4, 3, 1, 1),
        layer("resnet9 3x3 64>128 @32", 64, 128, 32, 3, 1, 1),
        layer("resnet9 3x3 512>512 @4", 512, 512, 4, 3, 1, 1),
        layer("airbench 2x2 3>24 @32", 3, 24, 32, 2, 1, 0),
        layer("airbench 3x3 24>64 @31", 24, 64, 31, 3, 1, 1),
        layer("airbench 3x3 64>64 @15", 64, 64, 15, 3, 1, 1),
        layer("airbench 3x3 64>256 @15", 64, 256, 15, 3, 1, 1),
        layer("airbench 3x3 256>256 @7", 256, 256, 7, 3, 1, 1),
        layer("airbench 3x3 256>256 @3", 256, 256, 3, 3, 1, 1),
        layer("lenet 5x5 1>6 @28", 1, 6, 28, 5, 1, 2),
        layer("lenet 5x5 6>16 @14", 6, 16, 14, 5, 1, 2),
        layer("caffe 5x5 1>20 @28", 1, 20, 28, 5, 1, 0),
        layer("caffe 5x5 20>50 @12", 20, 50, 12, 5, 1, 0),
        layer("resnet18 7x7 3>64 @128 s2", 3, 64, 128, 7, 2, 3),
        layer("mobile 1x1 16>96 @64", 16, 96, 64, 1, 1, 0),
        layer("mobile 1x1 144>24 @32", 144, 24, 32, 1, 1, 0),
        layer("mobile 1x1 480>112 @8", 480, 112, 8, 1, 1, 0),
        layer("mobile 1x1 1152>192 @4", 1152, 192, 4, 1, 1, 0),
        depthwise("mobile dw 3x3 96 @64 s2", 96, 64, 3, 2),
        depthwise("mobile dw 3x3 144 @32", 144, 32, 3, 1),
        depthwise("mobile dw 5x5 240 @16", 240, 16, 5, 1),
        depthwise("mobile dw 5x5 672 @8 s2", 672, 8, 5, 2),
        depthwise("mobile dw 5x5 1152 @4", 1152, 4, 5, 1),
    ]
}

fn main() {
    let threads: usize = argument("--threads").map_or(1, |n| n.parse().unwrap());
    let batch: usize = argument("--batch").map_or(128, |n| n.parse().unwrap());
    let budget = Duration::from_millis(argument("--ms").map_or(150, |n| n.parse().unwrap()));
    let maps: usize = argument("--maps").map_or(1, |n| n.parse().unwrap());
    let only = argument("--only").unwrap_or_default();
    let isa = instruction_set();
    let (peak, median) = peak(isa);
    println!(
        "{isa:?}, {threads} thread(s), peak of one {peak:.1} (median {median:.1}) GFLOP/s; \
         batch {batch}; best (median) ms, GFLOP/s of the best, percentage of the peak"
    );
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .unwrap()
        .install(|| {
            for layer in layers(batch)
                .iter()
                .filter(|layer| layer.name.contains(&only))
            {
                let shape = &layer.shape;
                let kernels = Kernels::with_isa(isa);
                let x: Vec<f32> = (0..shape.input_len())
                    .map(|i| (i % 13) as f32 - 6.0)
                    .collect();
                let y = vec![1.0; shape.output_len().unwrap()];
                let xs = vec![x; maps];
                let mut ys = vec![y; maps];
                let mut turn = (0..maps).cycle();
                let mut next = || turn.next().unwrap();
                let w: Vec<f32> = (0..shape.weight_len())
                    .map(|i| (i % 7) as f32 - 3.0)
                    .collect();
                let (mut dxs, mut dw) = (xs.clone(), w.clone());
                let forward = time(budget, || {
                    let (i, epilogue) = (next(), Epilogue::default());
                    kernels
                        .conv2d_forward(shape, &xs[i], &w, epilogue, &mut ys[i])
                        .unwrap()
                });
                let data = time(budget, || {
                    let i = next();
                    kernels
                        .conv2d_backward_data(shape, &ys[i], &w, &mut dxs[i])
                        .unwrap()
                });
                let weights = time(budget, || {
                    let i = next();
                    kernels
                        .conv2d_backward_weights(shape, &xs[i], &ys[i], &mut dw)
                        .unwrap()
                });
                let show = |(best, median): (f64, f64)| {
                    let rate = shape.flops().unwrap() / best / 1e9;
                    format!(
                        "{:7.3} ({:7.3}) {rate:6.1} {:4.0} %",
                        best * 1e3,
                        median * 1e3,
                        100.0 * rate / peak / threads as f64
                    )
                };
                println!(
                    "{:27} | {} | {} | {}",
                    layer.name,
                    show(forward),
                    show(data),
                    show(weights)
                );
            }
        });
}
