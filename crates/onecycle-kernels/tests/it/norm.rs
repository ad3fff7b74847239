//! Batch norm, also fused with a convolution, and per-channel sums.

use crate::common::*;
use onecycle_kernels::{
    Activation, AffineGradient, BatchNorm, Conv2d, Conv2dGradients, Derivative, Epilogue,
    InputGradient, Kernels, NormEpilogue, Pixels, Statistics,
};
use proptest::prelude::*;
use std::fmt::Debug;

const EPSILON: f64 = 1e-5;
const EPS32: f64 = f32::EPSILON as f64;
/// Relative error of a sum. At most 64 terms are added in single precision before they join a sum
/// in double precision.
const SUM: f64 = 32.0 * EPS32;

/// The formulas in double precision. All slices are `[count, channels]` or `[channels]`.
mod reference {
    pub(crate) fn channel_sums(channels: usize, x: impl Iterator<Item = f64>) -> Vec<f64> {
        let mut sums = vec![0.0; channels];
        for (i, x) in x.enumerate() {
            sums[i % channels] += x;
        }
        sums
    }

    /// Mean and biased variance.
    pub(crate) fn statistics(channels: usize, x: &[f64]) -> [Vec<f64>; 2] {
        let n = (x.len() / channels) as f64;
        let mean = channel_sums(channels, x.iter().map(|x| x / n));
        let squares = x.iter().enumerate();
        let squares = squares.map(|(i, x)| (x - mean[i % channels]).powi(2) / n);
        let variance = channel_sums(channels, squares);
        [mean, variance]
    }

    pub(crate) fn normalised([mean, variance]: &[Vec<f64>; 2], x: &[f64]) -> Vec<f64> {
        let channels = mean.len();
        x.iter()
            .enumerate()
            .map(|(i, x)| {
                let c = i % channels;
                (x - mean[c]) / (variance[c] + super::EPSILON).sqrt()
            })
            .collect()
    }

    /// The output before the activation.
    pub(crate) fn forward(
        statistics: &[Vec<f64>; 2],
        weight: &[f64],
        bias: &[f64],
        x: &[f64],
        residual: Option<&[f64]>,
    ) -> Vec<f64> {
        let mut y = normalised(statistics, x);
        for (i, y) in y.iter_mut().enumerate() {
            let c = i % weight.len();
            *y = *y * weight[c] + bias[c] + residual.map_or(0.0, |r| r[i]);
        }
        y
    }

    /// Gradients of weight and bias from the gradient of the activation's argument.
    pub(crate) fn backward_sums(statistics: &[Vec<f64>; 2], x: &[f64], g: &[f64]) -> [Vec<f64>; 2] {
        let channels = statistics[0].len();
        let terms = normalised(statistics, x).into_iter().zip(g);
        [
            channel_sums(channels, terms.map(|(x, g)| x * g)),
            channel_sums(channels, g.iter().copied()),
        ]
    }

    pub(crate) fn backward_input(
        statistics: &[Vec<f64>; 2],
        weight: &[f64],
        [dweight, dbias]: &[Vec<f64>; 2],
        x: &[f64],
        g: &[f64],
    ) -> Vec<f64> {
        let channels = weight.len();
        let n = (x.len() / channels) as f64;
        normalised(statistics, x)
            .into_iter()
            .zip(g)
            .enumerate()
            .map(|(i, (x, g))| {
                let c = i % channels;
                let a = weight[c] / (statistics[1][c] + super::EPSILON).sqrt();
                a * (g - dbias[c] / n - x * dweight[c] / n)
            })
            .collect()
    }
}

fn rounded(x: &[f64]) -> Vec<f32> {
    x.iter().map(|&x| x as f32).collect()
}

/// Inputs of a layer. Kernels and reference get the same single-precision numbers, so that they
/// differ only by the kernel's own rounding.
struct Layer {
    pixels: Pixels,
    x: Vec<f32>,
    residual: Vec<f32>,
    gradient: Vec<f32>,
    weight: Vec<f32>,
    bias: Vec<f32>,
    statistics: Statistics,
}

impl Layer {
    fn new(count: usize, channels: usize, seed: u64) -> Layer {
        let len = count * channels;
        let x = numbers(seed, len);
        let [mean, variance] = reference::statistics(channels, &doubles(&x));
        Layer {
            pixels: Pixels { count, channels },
            x,
            residual: numbers(seed + 1, len),
            gradient: numbers(seed + 2, len),
            weight: numbers(seed + 3, channels),
            bias: numbers(seed + 4, channels),
            statistics: Statistics { mean, variance },
        }
    }

    fn norm(&self) -> BatchNorm<'_> {
        BatchNorm {
            pixels: self.pixels,
            statistics: &self.statistics,
            weight: &self.weight,
            bias: &self.bias,
            epsilon: EPSILON,
        }
    }

    fn statistics64(&self) -> [Vec<f64>; 2] {
        let Statistics { mean, variance } = &self.statistics;
        [mean.clone(), variance.clone()]
    }

    /// `1 / sqrt(variance + epsilon)`.
    fn root(&self, channel: usize) -> f64 {
        1.0 / (self.statistics.variance[channel] + EPSILON).sqrt()
    }

    /// Magnitude of the terms `x` and `mean` of element `i` after normalisation; they cancel.
    fn size(&self, i: usize) -> f64 {
        let c = i % self.pixels.channels;
        self.root(c) * (f64::from(self.x[i]).abs() + self.statistics.mean[c].abs())
    }

    fn check(&self) {
        self.check_sums();
        for residual in [None, Some(&self.residual[..])] {
            for activation in [Activation::Identity, Activation::Relu, Activation::Gelu] {
                self.check_passes(residual, activation);
            }
        }
    }

    fn check_sums(&self) {
        let channels = self.pixels.channels;
        let n = self.pixels.count as f64;
        let x64 = doubles(&self.x);
        let sums = reference::channel_sums(channels, x64.iter().copied());
        let sizes = reference::channel_sums(channels, x64.iter().map(|x| x.abs()));
        let [mean, variance] = reference::statistics(channels, &x64);
        // The kernel sums distances from the first value.
        let distances = x64
            .iter()
            .enumerate()
            .map(|(i, x)| (x - x64[i % channels]).powi(2) / n);
        let distances = reference::channel_sums(channels, distances);
        for kernels in all_kernels() {
            let isa = kernels.isa();
            let what = format!("{isa:?}, {:?}", self.pixels);
            let actual = kernels.channel_sums(&self.pixels, &self.x).unwrap();
            assert_within(&format!("sums, {what}"), &actual, &sums, |c| SUM * sizes[c]);
            let actual = kernels
                .batch_norm_statistics(&self.pixels, &self.x)
                .unwrap();
            let means = rounded(&actual.mean);
            assert_within(&format!("mean, {what}"), &means, &mean, |c| {
                EPS32 * mean[c].abs() + SUM * distances[c].sqrt()
            });
            let variances = rounded(&actual.variance);
            assert_within(&format!("variance, {what}"), &variances, &variance, |c| {
                EPS32 * variance[c] + 3.0 * SUM * distances[c]
            });
            if self.pixels.count == 1 {
                assert_eq!(bits(&means), bits(&self.x));
                assert!(variances.iter().all(|&v| v == 0.0));
            }
        }
    }

    fn check_passes(&self, residual: Option<&[f32]>, activation: Activation) {
        let channels = self.pixels.channels;
        let norm = self.norm();
        let statistics = self.statistics64();
        let (x, weight) = (doubles(&self.x), doubles(&self.weight));
        let residual64 = residual.map(doubles);
        let bias = doubles(&self.bias);
        let z = reference::forward(&statistics, &weight, &bias, &x, residual64.as_deref());
        // Rounding of the activation's argument.
        let rounding = |i: usize| {
            let c = i % channels;
            4.0 * EPS32 * (weight[c].abs() * self.size(i) + bias[c].abs() + 1.0)
        };
        let y: Vec<f64> = z.iter().map(|z| gelu::activated(activation, *z)).collect();
        for kernels in all_kernels() {
            let what = self.what(&kernels, activation, residual);
            let mut actual = vec![f32::NAN; x.len()];
            let epilogue = NormEpilogue {
                residual,
                activation,
            };
            kernels
                .batch_norm_forward(&norm, &self.x, epilogue, &mut actual)
                .unwrap();
            assert_within(
                &format!("output, {what}"),
                &actual,
                &y,
                |i| match activation {
                    Activation::Gelu => 1.13 * rounding(i) + gelu::ERROR * z[i].abs().max(1.0),
                    _ => rounding(i),
                },
            );
        }
        // The derivative of ReLU depends on the output in single precision.
        let output = rounded(&y);
        let gradient = doubles(&self.gradient);
        let (derivative, g): (_, Vec<f64>) = match (activation, residual) {
            (Activation::Identity, _) => (Derivative::One, gradient),
            (Activation::Relu, _) => {
                let masked = gradient.iter().zip(&output);
                let masked = masked.map(|(g, y)| if *y > 0.0 { *g } else { 0.0 });
                (Derivative::OfReluOutput(&output), masked.collect())
            }
            (Activation::Gelu, None) => {
                let products = gradient.iter().zip(&z);
                let products = products.map(|(g, z)| g * gelu::derivative(*z));
                (Derivative::OfGelu, products.collect())
            }
            // Would need the residual in the backward pass.
            (Activation::Gelu, Some(_)) => return,
            (Activation::Relu6, _) => unreachable!("tested with larger numbers, in `relu6`"),
        };
        // Error of `g`: that of the derivative, whose own derivative is below 0.8, and of the
        // product.
        let error = |i: usize| match activation {
            Activation::Gelu => {
                f64::from(self.gradient[i]).abs() * (gelu::ERROR + 0.8 * rounding(i) + EPS32)
            }
            _ => 0.0,
        };
        self.check_backward(derivative, &g, error, residual.is_some());
    }

    fn what(&self, kernels: &Kernels, derivative: impl Debug, residual: impl Debug) -> String {
        let (isa, pixels) = (kernels.isa(), self.pixels);
        let [derivative, residual] = [format!("{derivative:?}"), format!("{residual:?}")];
        format!("{isa:?}, {pixels:?}, {derivative:.20}, residual {residual:.5}")
    }

    /// Checks the backward pass. `g` is the gradient of the activation's argument in double
    /// precision; that of the kernels may differ from it by `error`.
    fn check_backward(
        &self,
        derivative: Derivative,
        g: &[f64],
        error: impl Fn(usize) -> f64,
        residual: bool,
    ) {
        let channels = self.pixels.channels;
        let norm = self.norm();
        let statistics = self.statistics64();
        let (x, weight) = (doubles(&self.x), doubles(&self.weight));
        let sums64 = reference::backward_sums(&statistics, &x, g);
        let per_channel =
            |term: &dyn Fn(usize) -> f64| reference::channel_sums(channels, (0..g.len()).map(term));
        let product_size = per_channel(&|i| g[i].abs() * self.size(i));
        let product_error = per_channel(&|i| error(i) * self.size(i));
        let sum_size = per_channel(&|i| g[i].abs());
        let sum_error = per_channel(&error);
        let sums = AffineGradient {
            weight: rounded(&sums64[0]),
            bias: rounded(&sums64[1]),
        };
        let sums64 = [doubles(&sums.weight), doubles(&sums.bias)];
        let dx = reference::backward_input(&statistics, &weight, &sums64, &x, g);
        let n = self.pixels.count as f64;
        // What the first call leaves in the gradient.
        let kept = match derivative {
            Derivative::OfReluOutput(_) => rounded(g),
            _ => self.gradient.clone(),
        };
        for kernels in all_kernels() {
            let what = self.what(&kernels, derivative, residual);
            let mut gradient = self.gradient.clone();
            let actual = kernels
                .batch_norm_backward_sums(&norm, &self.x, derivative, &mut gradient)
                .unwrap();
            assert_eq!(bits(&gradient), bits(&kept), "kept, {what}");
            assert_within(&format!("bias, {what}"), &actual.bias, &sums64[1], |c| {
                EPS32 * sums64[1][c].abs() + SUM * sum_size[c] + sum_error[c]
            });
            assert_within(
                &format!("weight, {what}"),
                &actual.weight,
                &sums64[0],
                |c| EPS32 * sums64[0][c].abs() + SUM * product_size[c] + product_error[c],
            );

            let input_gradient = |derivative, gradient: &[f32], target: &mut [f32]| {
                InputGradient::new(&norm, &sums, &self.x, derivative, gradient)
                    .and_then(|lazy| lazy.write(&kernels, target))
                    .unwrap();
            };
            let in_place = |derivative, gradient: &mut [f32]| {
                InputGradient::new(&norm, &sums, &self.x, derivative, gradient)
                    .unwrap()
                    .overwrite(&kernels)
                    .unwrap();
            };
            let mut separate = vec![f32::NAN; x.len()];
            input_gradient(derivative, &gradient, &mut separate);
            assert_eq!(bits(&gradient), bits(&kept), "kept, {what}");
            assert_within(&format!("input gradient, {what}"), &separate, &dx, |i| {
                let c = i % channels;
                let a = weight[c].abs() * self.root(c);
                let constants = sums64[1][c].abs() + sums64[0][c].abs() * self.size(i);
                4.0 * EPS32 * a * (g[i].abs() + constants / n) + a * error(i)
            });
            in_place(derivative, &mut gradient);
            assert_eq!(bits(&gradient), bits(&separate), "in place, {what}");

            if matches!(derivative, Derivative::OfReluOutput(_)) && !residual {
                let mut gradient = self.gradient.clone();
                let derivative = Derivative::OfRelu;
                let again = kernels
                    .batch_norm_backward_sums(&norm, &self.x, derivative, &mut gradient)
                    .unwrap();
                assert_eq!(again, actual, "recomputed, {what}");
                assert_eq!(gradient, self.gradient, "unchanged, {what}");
                let mut beside = vec![f32::NAN; x.len()];
                input_gradient(derivative, &gradient, &mut beside);
                assert_eq!(bits(&beside), bits(&separate), "recomputed, {what}");
                in_place(derivative, &mut gradient);
                assert_eq!(bits(&gradient), bits(&separate), "recomputed, {what}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn random_shapes_agree_with_the_reference(
        channels in prop_oneof![1usize..=130, Just(16), Just(64)],
        count in 1usize..=300,
        seed in 0u64..1000,
    ) {
        Layer::new(count, channels, seed).check();
    }
}

/// Channels below, at and above the length of the inner loops; pixels below, at and above a chunk
/// of work.
#[test]
fn chosen_shapes_agree_with_the_reference() {
    for channels in [1, 3, 10, 16, 17, 64, 100] {
        for count in [1, 2, 63, 64, 65, 777] {
            Layer::new(count, channels, 5).check();
        }
        // Three chunks, the last of one pixel.
        let chunk = (1 << 14) / channels;
        for count in [chunk, chunk + 1, 2 * chunk + 1] {
            Layer::new(count, channels, 6).check();
        }
    }
    // More channels than a chunk has floats.
    Layer::new(3, 20_000, 7).check();
}

/// With a mean of 1000, sums of squares in single precision would lose all digits of a variance of
/// 1.
#[test]
fn statistics_are_precise_for_a_mean_far_from_zero() {
    for (count, channels) in [(4096, 16), (9001, 3)] {
        // Uniform numbers with standard deviation 1.
        let x: Vec<f32> = numbers(3, count * channels)
            .into_iter()
            .map(|x| 1000.0 + x * 3f32.sqrt())
            .collect();
        let pixels = Pixels { count, channels };
        let [mean, variance] = reference::statistics(channels, &doubles(&x));
        for kernels in all_kernels() {
            let actual = kernels.batch_norm_statistics(&pixels, &x).unwrap();
            assert_within("mean", &rounded(&actual.mean), &mean, |_| 1000.0 * EPS32);
            let variances = rounded(&actual.variance);
            assert_within("variance", &variances, &variance, |_| 1e-5);
        }
    }
}

/// With a mean of 300 deviations and a gradient that is nearly constant, as below an average over a map,
/// the gradients are what little is left after large terms cancel.
#[test]
fn gradients_are_precise_for_a_mean_far_from_zero() {
    let (count, channels) = (96, 8);
    let pixels = Pixels { count, channels };
    let noise = numbers(5, count * channels);
    let x: Vec<f32> = noise.iter().map(|x| 300.0 + x * 3f32.sqrt()).collect();
    let others = numbers(6, count * channels);
    let gradient: Vec<f32> = noise
        .iter()
        .zip(&others)
        .map(|(x, other)| 30.0 + 10.0 * x + other)
        .collect();
    let (x64, g) = (doubles(&x), doubles(&gradient));
    let [mean, variance] = reference::statistics(channels, &x64);
    let centred = |i: usize| {
        let c = i % channels;
        (x64[i] - mean[c]) / (variance[c] + EPSILON).sqrt()
    };
    let weight = vec![1.0; channels];
    let statistics = [mean.clone(), variance.clone()];
    let sums = reference::backward_sums(&statistics, &x64, &g);
    let dx = reference::backward_input(&statistics, &weight, &sums, &x64, &g);
    let sizes = (0..g.len()).map(|i| (g[i] * centred(i)).abs());
    let sizes = reference::channel_sums(channels, sizes);
    let statistics = Statistics {
        mean: mean.clone(),
        variance: variance.clone(),
    };
    let (weight, bias) = (rounded(&weight), vec![0.0; channels]);
    let norm = BatchNorm {
        pixels,
        statistics: &statistics,
        weight: &weight,
        bias: &bias,
        epsilon: EPSILON,
    };
    let exact = AffineGradient {
        weight: rounded(&sums[0]),
        bias: rounded(&sums[1]),
    };
    for kernels in all_kernels() {
        let mut kept = gradient.clone();
        let actual = kernels
            .batch_norm_backward_sums(&norm, &x, Derivative::One, &mut kept)
            .unwrap();
        assert_within("weight", &actual.weight, &sums[0], |c| SUM * sizes[c]);
        let mut actual = vec![f32::NAN; x.len()];
        InputGradient::new(&norm, &exact, &x, Derivative::One, &gradient[..])
            .and_then(|lazy| lazy.write(&kernels, &mut actual))
            .unwrap();
        assert_within("input", &actual, &dx, |i| {
            let c = i % channels;
            let slope = sums[0][c].abs() / count as f64;
            let terms = g[i].abs() + sums[1][c].abs() / count as f64 + slope * centred(i).abs();
            2.0 * EPS32 * terms / (variance[c] + EPSILON).sqrt()
        });
    }
}

/// The variance of a constant channel is exactly 0, not a small or negative number.
#[test]
fn a_constant_channel_has_variance_zero() {
    let pixels = Pixels {
        count: 1001,
        channels: 3,
    };
    let x: Vec<f32> = (0..3003).map(|i| [0.0, 1234.567, -0.1][i % 3]).collect();
    for kernels in all_kernels() {
        let actual = kernels.batch_norm_statistics(&pixels, &x).unwrap();
        assert_eq!(actual.mean, [0.0_f32, 1234.567, -0.1].map(f64::from));
        assert_eq!(actual.variance, [0.0; 3]);
    }
}

/// The activations keep NaN, so that a diverging training is noticed.
#[test]
fn nan_passes_through_the_activations() {
    let layer = Layer::new(5, 3, 1);
    let mut x = layer.x.clone();
    x[4] = f32::NAN;
    for kernels in all_kernels() {
        let isa = kernels.isa();
        for activation in [Activation::Relu, Activation::Relu6, Activation::Gelu] {
            for residual in [None, Some(&layer.residual[..])] {
                let mut y = vec![0.0; 15];
                let epilogue = NormEpilogue {
                    residual,
                    activation,
                };
                kernels
                    .batch_norm_forward(&layer.norm(), &x, epilogue, &mut y)
                    .unwrap();
                for (i, y) in y.iter().enumerate() {
                    assert_eq!(y.is_nan(), i == 4, "{isa:?}, {activation:?}, {i}");
                }
            }
        }
    }
}

/// Checks the gradients of the reference, including those through the statistics, against finite
/// differences.
#[test]
fn the_reference_is_a_gradient() {
    for (count, channels) in [(7, 3), (12, 1), (2, 5)] {
        let layer = Layer::new(count, channels, 11);
        let x = doubles(&layer.x);
        let (weight, bias) = (doubles(&layer.weight), doubles(&layer.bias));
        let residual = doubles(&layer.residual);
        let g = doubles(&layer.gradient);
        let output = |x: &[f64], weight: &[f64], bias: &[f64], residual: &[f64]| {
            let statistics = reference::statistics(channels, x);
            let mut y = reference::forward(&statistics, weight, bias, x, Some(residual));
            y.iter_mut().for_each(|y| *y = y.max(0.0));
            y
        };
        let loss = |x: &[f64], weight: &[f64], bias: &[f64], residual: &[f64]| {
            dot(&g, &output(x, weight, bias, residual))
        };
        let y = output(&x, &weight, &bias, &residual);
        let masked = y
            .iter()
            .zip(&g)
            .map(|(y, g)| if *y > 0.0 { *g } else { 0.0 });
        let masked: Vec<f64> = masked.collect();
        let statistics = reference::statistics(channels, &x);
        let sums = reference::backward_sums(&statistics, &x, &masked);
        let dx = reference::backward_input(&statistics, &weight, &sums, &x, &masked);
        assert_gradient("input", |x| loss(x, &weight, &bias, &residual), &x, &dx);
        assert_gradient(
            "weight",
            |w| loss(&x, w, &bias, &residual),
            &weight,
            &sums[0],
        );
        assert_gradient("bias", |b| loss(&x, &weight, b, &residual), &bias, &sums[1]);
        assert_gradient(
            "residual",
            |r| loss(&x, &weight, &bias, r),
            &residual,
            &masked,
        );
    }
}

/// Convolutions that are fused with batch norm agree with separate calls: the outputs and gradients
/// bit by bit, the statistics up to rounding because their chunks differ.
#[test]
fn fused_convolutions_agree_with_separate_calls() {
    let layer =
        |batch, in_channels, out_channels, size: usize, kernel: usize, stride: usize| Conv2d {
            batch,
            in_channels,
            out_channels,
            height: size,
            width: size,
            kernel: [kernel; 2],
            stride: [stride; 2],
            padding: [[kernel / 2; 2]; 2],
            groups: 1,
        };
    for shape in [
        // Winograd's algorithm: several groups; tiles that reach beyond the image.
        layer(19, 16, 32, 16, 3, 1),
        layer(3, 32, 16, 7, 3, 1),
        // The direct algorithm.
        layer(5, 3, 16, 12, 3, 1),
        layer(5, 16, 32, 12, 3, 2),
        layer(4, 16, 20, 9, 1, 2),
        // Windows of one pixel: few channels, many blocks of them, and more weights than one pass allows.
        layer(5, 16, 24, 12, 1, 1),
        layer(40, 70, 150, 11, 1, 1),
        layer(3, 1100, 160, 4, 1, 1),
        layer(2, 16, 96, 31, 1, 1),
        layer(2, 96, 24, 13, 1, 1),
        layer(2, 480, 112, 5, 1, 1),
        // Depthwise, with several groups of rows.
        Conv2d {
            groups: 40,
            ..layer(7, 40, 40, 33, 3, 1)
        },
        Conv2d {
            groups: 19,
            ..layer(4, 19, 19, 9, 5, 2)
        },
    ] {
        for kernels in all_kernels() {
            for derivative in [Derivative::OfRelu, Derivative::OfRelu6, Derivative::OfGelu] {
                check_fused(&kernels, &shape, derivative);
            }
        }
    }
}

fn check_fused(kernels: &Kernels, shape: &Conv2d, derivative: Derivative) {
    let what = format!("{:?}, {derivative:?}, {shape:?}", kernels.isa());
    let (x, w) = (
        numbers(1, shape.input_len()),
        numbers(2, shape.weight_len()),
    );
    let len = shape.output_len().unwrap();
    let (weight, bias) = (
        numbers(3, shape.out_channels),
        numbers(4, shape.out_channels),
    );
    let (mut z, mut plain) = (vec![f32::NAN; len], vec![f32::NAN; len]);
    let fused = kernels
        .conv2d_forward_statistics(shape, &x, &w, &mut z)
        .unwrap();
    let epilogue = Epilogue::default();
    kernels
        .conv2d_forward(shape, &x, &w, epilogue, &mut plain)
        .unwrap();
    assert_eq!(bits(&z), bits(&plain), "{what}");
    let pixels = Pixels {
        count: len / shape.out_channels,
        channels: shape.out_channels,
    };
    let separate = kernels.batch_norm_statistics(&pixels, &z).unwrap();
    for (a, b) in
        (fused.mean.iter().zip(&separate.mean)).chain(fused.variance.iter().zip(&separate.variance))
    {
        assert!((a - b).abs() <= 1e-5 * (1.0 + b.abs()), "{a} {b} {what}");
    }

    let norm = BatchNorm {
        pixels,
        statistics: &separate,
        weight: &weight,
        bias: &bias,
        epsilon: EPSILON,
    };
    let mut g = numbers(5, len);
    let sums = kernels
        .batch_norm_backward_sums(&norm, &z, derivative, &mut g)
        .unwrap();
    let kept = || InputGradient::new(&norm, &sums, &z, derivative, &g[..]).unwrap();
    let mut dz = vec![f32::NAN; len];
    kept().write(kernels, &mut dz).unwrap();
    let (mut dx, mut dw) = (vec![f32::NAN; x.len()], vec![f32::NAN; w.len()]);
    kernels
        .conv2d_backward_data(shape, &dz, &w, &mut dx)
        .unwrap();
    kernels
        .conv2d_backward_weights(shape, &x, &dz, &mut dw)
        .unwrap();
    let mut copies = [(); 3].map(|()| g.clone());
    let spent = copies
        .each_mut()
        .map(|g| InputGradient::new(&norm, &sums, &z, derivative, &mut g[..]).unwrap());
    let all_kept = [(); 3].map(|()| kept());
    for (case, [both, weights_only, input_only]) in [("kept", all_kept), ("spent", spent)] {
        let (mut fused_dx, mut fused_dw) = (vec![f32::NAN; x.len()], vec![f32::NAN; w.len()]);
        let targets = Conv2dGradients {
            weights: Some(&mut fused_dw),
            input: Some(&mut fused_dx),
        };
        kernels
            .conv2d_backward_normalised(shape, &x, &w, both, targets)
            .unwrap();
        assert_eq!(bits(&fused_dx), bits(&dx), "input, {case}, {what}");
        assert_eq!(bits(&fused_dw), bits(&dw), "weights, {case}, {what}");
        let mut alone = vec![f32::NAN; w.len()];
        let targets = Conv2dGradients {
            weights: Some(&mut alone),
            input: None,
        };
        kernels
            .conv2d_backward_normalised(shape, &x, &w, weights_only, targets)
            .unwrap();
        assert_eq!(bits(&alone), bits(&dw), "weights only, {case}, {what}");
        let mut alone = vec![f32::NAN; x.len()];
        let targets = Conv2dGradients {
            weights: None,
            input: Some(&mut alone),
        };
        kernels
            .conv2d_backward_normalised(shape, &x, &w, input_only, targets)
            .unwrap();
        assert_eq!(bits(&alone), bits(&dx), "input only, {case}, {what}");
    }
}
