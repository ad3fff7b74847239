//! Results do not depend on the number of threads: every kernel gives the same bits in pools of 1,
//! 2, 3 and 7 threads and in rayon's global pool.

use crate::common::conv::Layer;
use crate::common::*;
use onecycle_kernels::*;

/// Compares the bits of `results` in all pools. Each result must consist of several chunks of work.
fn check(kernel: &str, results: impl Fn(&Kernels) -> Vec<Vec<f32>> + Sync) {
    for kernels in all_kernels() {
        let isa = kernels.isa();
        let all = || -> Vec<Vec<u32>> { results(&kernels).iter().map(|r| bits(r)).collect() };
        let expected = all();
        for threads in [1, 2, 3, 7] {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            // Threads get different chunks each time.
            for _ in 0..3 {
                assert!(
                    pool.install(all) == expected,
                    "{kernel}, {isa:?}: different bits with {threads} threads"
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
        padding: [[1; 2]; 2],
        groups: 1,
    };
    // Many images; strides; one pixel; large weights in several parts, and point by point; depthwise.
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
            padding: [[0; 2]; 2],
            ..shape
        },
        Conv2d {
            batch: 60,
            in_channels: 70,
            out_channels: 150,
            kernel: [1, 1],
            padding: [[0; 2]; 2],
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
        Conv2d {
            batch: 11,
            in_channels: 40,
            out_channels: 40,
            groups: 40,
            height: 30,
            stride: [2, 2],
            ..shape
        },
    ] {
        let x = numbers(1, shape.input_len());
        let w = numbers(2, shape.weight_len());
        let g = numbers(3, shape.output_len().unwrap());
        let bias = numbers(4, shape.out_channels);
        let epilogue = Epilogue {
            bias: Some(&bias),
            activation: Activation::Relu,
        };
        let layer = Layer {
            shape: &shape,
            x: &x,
            w: &w,
            epilogue,
            g: &g,
        };
        check("convolution", |kernels| layer.passes(kernels).to_vec());
        check("convolution with ReLU, all gradients", |kernels| {
            let mut results = [x.len(), w.len(), bias.len()].map(|len| vec![f32::NAN; len]);
            let [dx, dw, sums] = &mut results;
            let gradient = ActivatedGradient {
                values: IncomingGradient::Kept(&g),
                mask: Mask::OfReluOutput(&g),
            };
            let targets = Conv2dGradients {
                weights: Some(dw),
                input: Some(dx),
            };
            kernels
                .conv2d_backward_activated(&shape, &x, &w, gradient, targets, Some(sums))
                .unwrap();
            results.to_vec()
        });
        check("convolution with GELU", |kernels| {
            let mut y = vec![f32::NAN; g.len()];
            let epilogue = Epilogue {
                activation: Activation::Gelu,
                ..epilogue
            };
            kernels
                .conv2d_forward(&shape, &x, &w, epilogue, &mut y)
                .unwrap();
            let mut gradient = g.clone();
            let sums = kernels
                .conv2d_gelu_backward(&shape, &x, &w, epilogue.bias, &mut gradient)
                .unwrap();
            vec![y, gradient, sums]
        });
    }
}

#[test]
fn batch_norm_and_channel_sums() {
    for (count, channels) in [(5000, 17), (40_001, 3), (7, 20_000)] {
        let pixels = Pixels { count, channels };
        let len = count * channels;
        let (x, residual, g) = (numbers(1, len), numbers(2, len), numbers(3, len));
        let (weight, bias) = (numbers(4, channels), numbers(5, channels));
        check("batch norm", |kernels| {
            let mut y = vec![f32::NAN; len];
            let mut gradient = g.clone();
            let mut dx = vec![f32::NAN; len];
            let statistics = kernels.batch_norm_statistics(&pixels, &x).unwrap();
            let norm = BatchNorm {
                pixels,
                statistics: &statistics,
                weight: &weight,
                bias: &bias,
                epsilon: 1e-5,
            };
            let epilogue = NormEpilogue {
                residual: Some(&residual),
                activation: Activation::Relu,
            };
            kernels
                .batch_norm_forward(&norm, &x, epilogue, &mut y)
                .unwrap();
            let mask = Derivative::OfReluOutput(&y);
            let sums = kernels
                .batch_norm_backward_sums(&norm, &x, mask, &mut gradient)
                .unwrap();
            InputGradient::new(&norm, &sums, &x, mask, &gradient[..])
                .and_then(|lazy| lazy.write(kernels, &mut dx))
                .unwrap();
            let masked = gradient.clone();
            let in_place = InputGradient::new(&norm, &sums, &x, mask, &mut gradient[..])
                .unwrap()
                .overwrite(kernels)
                .unwrap()
                .to_vec();
            let channel_sums = kernels.channel_sums(&pixels, &x).unwrap();
            let Statistics { mean, variance } = statistics;
            let statistics = [mean, variance].map(|values| {
                // The bits of a double are those of two floats.
                let halves = |value: f64| [value.to_bits(), value.to_bits() >> 32];
                values
                    .into_iter()
                    .flat_map(halves)
                    .map(|half| f32::from_bits(half as u32))
                    .collect()
            });
            let results = [y, masked, dx, in_place, channel_sums];
            statistics
                .into_iter()
                .chain(results)
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
        padding: [1, 1],
    };
    let x = numbers(1, shape.input_len());
    let len = shape.output_len().unwrap();
    let g = numbers(2, len);
    check("pooling", |kernels| {
        let (mut largest, mut argmax) = (vec![f32::NAN; len], vec![u16::MAX; len]);
        kernels
            .max_pool2d_forward(&shape, &x, &mut largest, &mut argmax)
            .unwrap();
        let mut dx = vec![f32::NAN; x.len()];
        kernels
            .max_pool2d_backward(&shape, &g, &argmax, &mut dx)
            .unwrap();
        let mut average = vec![f32::NAN; len];
        kernels
            .average_pool2d_forward(&shape, &x, &mut average)
            .unwrap();
        let mut average_dx = vec![f32::NAN; x.len()];
        kernels
            .average_pool2d_backward(&shape, &g, &mut average_dx)
            .unwrap();
        let argmax = argmax.into_iter().map(f32::from).collect();
        vec![largest, argmax, dx, average, average_dx]
    });
}

#[test]
fn elementwise() {
    let (x, y) = (numbers(1, 70_001), numbers(2, 70_001));
    check("elementwise", |kernels| {
        let mut relu = vec![f32::NAN; x.len()];
        kernels.relu_forward(&x, &mut relu).unwrap();
        let mut gradient = y.clone();
        kernels.relu_backward(&relu, &mut gradient).unwrap();
        let mut sum = x.clone();
        kernels.add(&mut sum, &y).unwrap();
        let mut gelu = vec![f32::NAN; x.len()];
        kernels.gelu_forward(&x, &mut gelu).unwrap();
        let mut gelu_gradient = y.clone();
        kernels.gelu_backward(&x, &mut gelu_gradient).unwrap();
        let mut relu6_gradient = y.clone();
        kernels.relu6_backward(&x, &mut relu6_gradient).unwrap();
        let factors = &y[..70_001 / 7_777];
        let mut rows = vec![f32::NAN; 7_777 * factors.len()];
        kernels
            .scale_rows(factors, &x[..rows.len()], &mut rows)
            .unwrap();
        let mut products = vec![f32::NAN; factors.len()];
        kernels
            .row_products(&rows, &y[..rows.len()], &mut products)
            .unwrap();
        vec![
            relu,
            gradient,
            sum,
            gelu,
            gelu_gradient,
            relu6_gradient,
            rows,
            products,
        ]
    });
}

#[test]
fn loss() {
    let (batch, classes) = (1001, 37);
    let logits = numbers(1, batch * classes);
    let labels: Vec<i64> = (0..batch as i64).map(|n| n * 7 % classes as i64).collect();
    check("cross-entropy", |kernels| {
        let mut gradient = vec![f32::NAN; logits.len()];
        let loss = CrossEntropy {
            classes,
            label_smoothing: 0.1,
        };
        let loss = kernels
            .cross_entropy(loss, &logits, &labels, &mut gradient)
            .unwrap();
        vec![vec![loss], gradient]
    });
    let weights: Vec<f64> = (0..classes).map(|k| 0.5 + k as f64).collect();
    check("weighted cross-entropy", |kernels| {
        let mut gradient = vec![f32::NAN; logits.len()];
        let loss = CrossEntropy {
            classes,
            label_smoothing: 0.1,
        };
        let loss = kernels
            .weighted_cross_entropy(loss, &weights, &logits, &labels, &mut gradient)
            .unwrap();
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
        check("SGD", |kernels| {
            let (mut w, mut buffer) = (w.clone(), vec![0.0; w.len()]);
            let first = MomentumBuffer::Uninitialised(&mut buffer);
            kernels.sgd(&step, &mut w, first, &g).unwrap();
            let second = MomentumBuffer::Previous(&mut buffer);
            kernels.sgd(&step, &mut w, second, &g).unwrap();
            vec![w, buffer]
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
    check("Adam", |kernels| {
        let (mut w, mut mean, mut square) = (w.clone(), vec![0.0; w.len()], vec![0.0; w.len()]);
        for _ in 0..2 {
            let state = AdamState {
                exp_avg: &mut mean,
                exp_avg_sq: &mut square,
            };
            kernels.adam(&step, &mut w, state, &g).unwrap();
        }
        vec![w, mean, square]
    });
}
