//! ReLU6 alone, after a convolution and after batch norm. It only clamps, so fused and separate
//! calls must give the same bits.

use crate::common::*;
use onecycle_kernels::{
    Activation, BatchNorm, Conv2d, Derivative, Epilogue, InputGradient, NormEpilogue, Pixels,
};

fn relu6(x: f32) -> f32 {
    // `f32::clamp` keeps NaN.
    x.clamp(0.0, 6.0)
}

/// Numbers below 0, between the limits, and above 6.
fn wide(seed: u64, len: usize) -> Vec<f32> {
    numbers(seed, len).iter().map(|x| 10.0 * x).collect()
}

/// The gradient where `y`, before or after the activation, is between the limits.
fn masked(g: &[f32], y: &[f32]) -> Vec<f32> {
    let pairs = g.iter().zip(y);
    pairs
        .map(|(g, y)| if *y > 0.0 && *y < 6.0 { *g } else { 0.0 })
        .collect()
}

#[test]
fn the_gradient_passes_between_the_limits() {
    for len in [0, 1, 77, 16_385] {
        let (mut y, g) = (wide(1, len), numbers(2, len));
        y.iter_mut().for_each(|y| *y = relu6(*y));
        for kernels in all_kernels() {
            let mut gradient = g.clone();
            kernels.relu6_backward(&y, &mut gradient).unwrap();
            assert_eq!(gradient, masked(&g, &y), "{:?}", kernels.isa());
        }
    }
    for kernels in all_kernels() {
        let mut gradient = [1.0; 5];
        let y = [f32::NAN, 6.0, 0.0, -0.0, 5.999_999_5];
        kernels.relu6_backward(&y, &mut gradient).unwrap();
        assert_eq!(gradient, [1.0, 0.0, 0.0, 0.0, 1.0]);
    }
}

/// Direct convolutions with few and many channels, Winograd's algorithm, and a linear layer.
#[test]
fn after_a_convolution_it_clamps_the_output() {
    let shape = Conv2d {
        batch: 3,
        in_channels: 3,
        out_channels: 5,
        height: 9,
        width: 10,
        kernel: [3, 3],
        stride: [2, 2],
        padding: [[1; 2]; 2],
        groups: 1,
    };
    let winograd = Conv2d {
        in_channels: 32,
        out_channels: 32,
        stride: [1, 1],
        ..shape
    };
    let linear = Conv2d {
        batch: 40,
        in_channels: 70,
        out_channels: 33,
        height: 1,
        width: 1,
        kernel: [1, 1],
        stride: [1, 1],
        padding: [[0; 2]; 2],
        groups: 1,
    };
    for shape in [shape, winograd, linear] {
        let mut x = wide(1, shape.input_len());
        x[7] = f32::NAN;
        let w = numbers(2, shape.weight_len());
        let bias = numbers(3, shape.out_channels);
        for kernels in all_kernels() {
            let output = |activation| {
                let mut y = vec![-7.0; shape.output_len().unwrap()];
                let epilogue = Epilogue {
                    bias: Some(&bias),
                    activation,
                };
                kernels
                    .conv2d_forward(&shape, &x, &w, epilogue, &mut y)
                    .unwrap();
                y
            };
            let plain = output(Activation::Identity);
            let known: Vec<f32> = plain.iter().map(|y| relu6(*y)).collect();
            assert!([0.0, 6.0].iter().all(|limit| known.contains(limit)));
            assert!(known.iter().any(|y| y.is_nan()));
            // The sign of a zero is not specified.
            let clamped = output(Activation::Relu6);
            for (got, known) in clamped.iter().zip(&known) {
                assert!(
                    got == known || (got.is_nan() && known.is_nan()),
                    "{:?}, {shape:?}: {got} for {known}",
                    kernels.isa()
                );
            }
        }
    }
}

#[test]
fn after_batch_norm_it_clamps_output_and_gradient() {
    for (count, channels) in [(1, 3), (77, 1), (200, 19), (700, 64)] {
        let pixels = Pixels { count, channels };
        let len = count * channels;
        let (x, g, residual) = (numbers(1, len), numbers(2, len), wide(3, len));
        let (weight, bias) = (wide(4, channels), numbers(5, channels));
        for kernels in all_kernels() {
            let isa = kernels.isa();
            let statistics = kernels.batch_norm_statistics(&pixels, &x).unwrap();
            let norm = BatchNorm {
                pixels,
                statistics: &statistics,
                weight: &weight,
                bias: &bias,
                epsilon: 1e-5,
            };
            for residual in [None, Some(&residual[..])] {
                let output = |activation| {
                    let mut y = vec![f32::NAN; len];
                    let epilogue = NormEpilogue {
                        residual,
                        activation,
                    };
                    kernels
                        .batch_norm_forward(&norm, &x, epilogue, &mut y)
                        .unwrap();
                    y
                };
                let plain = output(Activation::Identity);
                let known: Vec<f32> = plain.iter().map(|y| relu6(*y)).collect();
                assert_eq!(output(Activation::Relu6), known, "{isa:?}, {pixels:?}");
                if residual.is_some() {
                    continue;
                }
                assert!(len < 1000 || [0.0, 6.0].iter().all(|limit| known.contains(limit)));
                let backward = |derivative, mut gradient: Vec<f32>| {
                    let sums = kernels
                        .batch_norm_backward_sums(&norm, &x, derivative, &mut gradient)
                        .unwrap();
                    let mut written = vec![f32::NAN; len];
                    InputGradient::new(&norm, &sums, &x, derivative, &gradient[..])
                        .and_then(|lazy| lazy.write(&kernels, &mut written))
                        .unwrap();
                    let in_place =
                        InputGradient::new(&norm, &sums, &x, derivative, &mut gradient[..])
                            .unwrap()
                            .overwrite(&kernels)
                            .unwrap()
                            .to_vec();
                    assert_eq!(written, in_place);
                    (sums, written)
                };
                let got = backward(Derivative::OfRelu6, g.clone());
                let known = backward(Derivative::One, masked(&g, &plain));
                assert_eq!(got, known, "{isa:?}, {pixels:?}");
            }
        }
    }
}
