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

use std::hint::black_box;
use std::time::{Duration, Instant};

use onecycle_kernels::{Conv2d, Epilogue, Isa, Kernels};

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
            padding: [padding; 2],
        },
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
        layer("lenet 5x5 1>6 @28", 1, 6, 28, 5, 1, 2),
        layer("lenet 5x5 6>16 @14", 6, 16, 14, 5, 1, 2),
        layer("caffe 5x5 1>20 @28", 1, 20, 28, 5, 1, 0),
        layer("caffe 5x5 20>50 @12", 20, 50, 12, 5, 1, 0),
    ]
}

/// Best and median seconds of `work`, repeated until `budget` is used up and at least five times.
fn time(budget: Duration, mut work: impl FnMut()) -> (f64, f64) {
    work();
    let mut times = Vec::new();
    let start = Instant::now();
    while start.elapsed() < budget || times.len() < 5 {
        let one = Instant::now();
        work();
        times.push(one.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    (times[0], times[times.len() / 2])
}

/// Best and median GFLOP/s of multiply-adds on twelve registers, on one thread.
fn peak(isa: Isa) -> (f64, f64) {
    const ROUNDS: usize = 4000;
    let (lanes, run): (usize, fn()) = match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => (8, || {
            // SAFETY: the caller checked `is_available`.
            unsafe { peak_avx2(ROUNDS) }
        }),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => (16, || {
            // SAFETY: the caller checked `is_available`.
            unsafe { peak_avx512(ROUNDS) }
        }),
        _ => return (f64::NAN, f64::NAN),
    };
    let (best, median) = time(Duration::from_millis(300), run);
    let rate = |seconds: f64| (ROUNDS * 12 * lanes * 2) as f64 / seconds / 1e9;
    (rate(best), rate(median))
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn peak_avx2(rounds: usize) {
    use std::arch::x86_64::*;
    let mut sums = [_mm256_set1_ps(0.5); 12];
    let (x, y) = (
        _mm256_set1_ps(black_box(0.99)),
        _mm256_set1_ps(black_box(0.01)),
    );
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = _mm256_fmadd_ps(*sum, x, y);
        }
    }
    black_box(sums);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn peak_avx512(rounds: usize) {
    use std::arch::x86_64::*;
    let mut sums = [_mm512_set1_ps(0.5); 12];
    let (x, y) = (
        _mm512_set1_ps(black_box(0.99)),
        _mm512_set1_ps(black_box(0.01)),
    );
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = _mm512_fmadd_ps(*sum, x, y);
        }
    }
    black_box(sums);
}

/// The value after `--name`.
fn argument(name: &str) -> Option<String> {
    let arguments: Vec<String> = std::env::args().collect();
    arguments
        .iter()
        .position(|a| a == name)
        .and_then(|i| arguments.get(i + 1))
        .cloned()
}

fn main() {
    let threads: usize = argument("--threads").map_or(1, |n| n.parse().unwrap());
    let batch: usize = argument("--batch").map_or(128, |n| n.parse().unwrap());
    let budget = Duration::from_millis(argument("--ms").map_or(150, |n| n.parse().unwrap()));
    let maps: usize = argument("--maps").map_or(1, |n| n.parse().unwrap());
    let only = argument("--only").unwrap_or_default();
    let isa = argument("--isa").map_or(Isa::detect(), |name| {
        Isa::ALL
            .into_iter()
            .find(|isa| format!("{isa:?}").eq_ignore_ascii_case(&name))
            .unwrap()
    });
    assert!(isa.is_available(), "this machine has no {isa:?}");
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
