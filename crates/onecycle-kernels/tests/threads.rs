//! Results do not depend on the number of threads: the bits of every kernel in pools of 1, 2, 3 and 7 threads, and in no
//! pool of one's own.
#![allow(clippy::unwrap_used)] // A failed call fails the test.

mod common;

use common::conv::passes;
use common::*;
use onecycle_kernels::*;

/// Runs `results` everywhere and compares. Each result is more than one piece of work.
fn check(kernel: &str, results: impl Fn(Path) -> Vec<Vec<f32>> + Sync) {
    for path in paths() {
        let all = || -> Vec<Vec<u32>> { results(path).iter().map(|r| bits(r)).collect() };
        let expected = all();
        for threads in [1, 2, 3, 7] {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            // Who gets which piece is another each time.
            for _ in 0..3 {
                assert!(
                    pool.install(all) == expected,
                    "{kernel}, {path:?}: {threads} threads give other bits"
                );
            }
        }
    }
}

#[test]
fn convolution() {
    let shape = Conv2d {
        batch: 1,
        in_channels: 3,
        out_channels: 20,
        height: 12,
        width: 11,
        kernel: [3, 3],
        stride: [1, 1],
        padding: [1, 1],
    };
    // Many images; strides; large weights in several parts, and point by point.
    for shape in [
        Conv2d { batch: 37, ..shape },
        Conv2d {
            batch: 19,
            stride: [2, 3],
            ..shape
        },
        Conv2d {
            batch: 130,
            height: 1,
            width: 1,
            kernel: [1, 1],
            padding: [0, 0],
            ..shape
        },
        Conv2d {
            batch: 5,
            in_channels: 520,
            out_channels: 100,
            height: 3,
            width: 3,
            ..shape
        },
        Conv2d {
            batch: 50,
            in_channels: 64,
            out_channels: 80,
            height: 8,
            width: 5,
            ..shape
        },
    ] {
        let x = numbers(1, shape.input_len());
        let w = numbers(2, shape.weight_len());
        let g = numbers(3, shape.output_len().unwrap());
        let bias = numbers(4, shape.out_channels);
        let epilogue = Epilogue {
            bias: Some(&bias),
            relu: true,
        };
        // One workspace, so that buffers are met as other calls left them.
        let workspace = Workspace::new();
        check("convolution", |path| {
            passes(&workspace, path, &shape, &x, &w, epilogue, &g).to_vec()
        });
    }
}

#[test]
fn batch_norm_and_channel_sums() {
    for (count, channels) in [(5000, 17), (40_001, 3), (7, 20_000)] {
        let shape = Pixels { count, channels };
        let len = count * channels;
        let (x, residual, g) = (numbers(1, len), numbers(2, len), numbers(3, len));
        let (weight, bias) = (numbers(4, channels), numbers(5, channels));
        let affine = Affine {
            weight: &weight,
            bias: &bias,
            epsilon: 1e-5,
        };
        check("batch norm", |path| {
            let mut y = vec![f32::NAN; len];
            let mut gradient = g.clone();
            let mut dx = vec![f32::NAN; len];
            let stats = batch_norm_statistics(path, &shape, &x).unwrap();
            let residual = Some(&residual[..]);
            batch_norm_forward(path, &shape, &stats, affine, &x, residual, true, &mut y).unwrap();
            let (mask, gradient) = (ReluMask::Output(&y), &mut gradient);
            let sums =
                batch_norm_backward_sums(path, &shape, &stats, affine, &x, mask, gradient).unwrap();
            InputGradient::new(&shape, &stats, affine, &sums, &x, mask, &gradient[..])
                .and_then(|lazy| lazy.write(path, &mut dx))
                .unwrap();
            let masked = gradient.clone();
            let spent = &mut gradient[..];
            let in_place = InputGradient::new(&shape, &stats, affine, &sums, &x, mask, spent)
                .unwrap()
                .overwrite(path)
                .unwrap()
                .to_vec();
            let channel_sums = channel_sums(path, &shape, &x).unwrap();
            let (mean, variance) = (stats.mean, stats.variance);
            let results = [mean, variance, y, masked, dx, in_place, channel_sums];
            results
                .into_iter()
                .chain([sums.weight, sums.bias])
                .collect()
        });
    }
}

#[test]
fn pooling() {
    let shape = Pool2d {
        batch: 13,
        channels: 9,
        height: 11,
        width: 10,
        kernel: [3, 3],
        stride: [2, 2],
    };
    let x = numbers(1, shape.input_len());
    let len = shape.output_len().unwrap();
    let g = numbers(2, len);
    check("pooling", |path| {
        let (mut largest, mut chosen) = (vec![f32::NAN; len], vec![u16::MAX; len]);
        max_pool2d_forward(path, &shape, &x, &mut largest, &mut chosen).unwrap();
        let mut dx = vec![f32::NAN; x.len()];
        max_pool2d_backward(path, &shape, &g, &chosen, &mut dx).unwrap();
        let mut average = vec![f32::NAN; len];
        average_pool2d_forward(path, &shape, &x, &mut average).unwrap();
        let mut average_dx = vec![f32::NAN; x.len()];
        average_pool2d_backward(path, &shape, &g, &mut average_dx).unwrap();
        let chosen = chosen.into_iter().map(f32::from).collect();
        vec![largest, chosen, dx, average, average_dx]
    });
}

#[test]
fn elementwise() {
    let (x, y) = (numbers(1, 70_001), numbers(2, 70_001));
    check("elementwise", |path| {
        let mut relu = vec![f32::NAN; x.len()];
        relu_forward(path, &x, &mut relu).unwrap();
        let mut gradient = y.clone();
        relu_backward(path, &relu, &mut gradient).unwrap();
        let mut sum = x.clone();
        add(path, &mut sum, &y).unwrap();
        vec![relu, gradient, sum]
    });
}

#[test]
fn loss() {
    let (batch, classes) = (1001, 37);
    let logits = numbers(1, batch * classes);
    let labels: Vec<i64> = (0..batch as i64).map(|n| n * 7 % classes as i64).collect();
    check("cross-entropy", |path| {
        let mut gradient = vec![f32::NAN; logits.len()];
        let loss = cross_entropy(path, classes, 0.1, &logits, &labels, &mut gradient).unwrap();
        vec![vec![loss], gradient]
    });
}

#[test]
fn updates() {
    let (w, g) = (numbers(1, 70_001), numbers(2, 70_001));
    for momentum in [0.0, 0.9] {
        let step = Sgd {
            lr: 0.1,
            momentum,
            dampening: 0.1,
            weight_decay: 0.01,
            decoupled: false,
            nesterov: true,
            gradient_scale: 0.7,
        };
        check("SGD", |path| {
            let (mut w, mut velocity) = (w.clone(), vec![0.0; w.len()]);
            sgd(path, &step, true, &mut w, &mut velocity, &g).unwrap();
            sgd(path, &step, false, &mut w, &mut velocity, &g).unwrap();
            vec![w, velocity]
        });
    }
    let step = Adam {
        lr_corrected: 0.01,
        beta1: 0.9,
        beta2: 0.999,
        root_correction: 0.8,
        eps: 1e-8,
        weight_decay: 0.01,
        shrink: 0.99,
        gradient_scale: 0.7,
    };
    check("Adam", |path| {
        let (mut w, mut mean, mut square) = (w.clone(), vec![0.0; w.len()], vec![0.0; w.len()]);
        for _ in 0..2 {
            adam(path, &step, &mut w, &mut mean, &mut square, &g).unwrap();
        }
        vec![w, mean, square]
    });
}
