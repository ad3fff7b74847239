//! GELU alone and after a convolution.

use crate::common::gelu::{ERROR, density, derivative, distribution, gelu};
use crate::common::*;
use onecycle_kernels::{Activation, Conv2d, Epilogue, Pixels};

/// Values of the normal distribution from Abramowitz & Stegun (1964), table 26.1, and the limits.
#[test]
fn the_reference_is_the_normal_distribution() {
    for (x, known) in [
        (0.0, 0.5),
        (0.5, 0.691462461274013),
        (1.0, 0.841344746068543),
        (2.0, 0.977249868051821),
        (3.0, 0.998650101968370),
        (-1.0, 1.0 - 0.841344746068543),
        (30.0, 1.0),
        (-30.0, 0.0),
    ] {
        let found = distribution(x);
        assert!((found - known).abs() < 1e-14, "{x}: {found} for {known}");
    }
    assert!((density(1.0) - 0.241970724519143).abs() < 1e-15);
    let x: Vec<f64> = (-40..=40).map(|i| f64::from(i) / 8.0).collect();
    let sum = |x: &[f64]| x.iter().map(|x| gelu(*x)).sum();
    let slopes: Vec<f64> = x.iter().map(|x| derivative(*x)).collect();
    assert_gradient("GELU", sum, &x, &slopes);
}

/// A dense grid around 0, and some magnitudes up to the largest.
#[test]
fn gelu_and_its_derivative_agree_with_double_precision() {
    let mut x: Vec<f32> = (-80_000..=80_000).map(|i| i as f32 / 10_000.0).collect();
    for size in [1e-40, 1e-20, 1e-6, 9.0, 30.0, 1e5, 1e20, f32::MAX] {
        x.extend([size, -size]);
    }
    let x64 = doubles(&x);
    let values: Vec<f64> = x64.iter().map(|x| gelu(*x)).collect();
    let g = numbers(3, x.len());
    let gradients: Vec<f64> = x64
        .iter()
        .zip(&g)
        .map(|(x, g)| f64::from(*g) * derivative(*x))
        .collect();
    for kernels in all_kernels() {
        let isa = kernels.isa();
        let mut y = vec![f32::NAN; x.len()];
        kernels.gelu_forward(&x, &mut y).unwrap();
        assert_within(&format!("GELU, {isa:?}"), &y, &values, |i| {
            ERROR * x64[i].abs().max(1.0)
        });
        let mut dx = g.clone();
        kernels.gelu_backward(&x, &mut dx).unwrap();
        assert_within(&format!("derivative, {isa:?}"), &dx, &gradients, |i| {
            ERROR * f64::from(g[i]).abs()
        });
    }
}

#[test]
fn special_values() {
    let x = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0];
    for kernels in all_kernels() {
        let mut y = [7.0; 4];
        kernels.gelu_forward(&x, &mut y).unwrap();
        assert!(y[0].is_nan() && y[1] == f32::INFINITY, "{y:?}");
        assert!(y[2].abs() < 2e-6 && y[3] == 0.0, "{y:?}");
        let mut slope = [1.0; 4];
        kernels.gelu_backward(&x, &mut slope).unwrap();
        assert!(slope[0].is_nan(), "{slope:?}");
        assert!(
            (slope[1] - 1.0).abs() < 1e-6 && slope[2].abs() < 1e-6,
            "{slope:?}"
        );
        assert_eq!(slope[3], 0.5);
    }
}

/// Fused with a convolution, GELU gives the same bits as separate calls: for small and large direct
/// convolutions, Winograd's algorithm and a linear layer.
#[test]
fn fused_with_a_convolution_it_agrees_with_separate_calls() {
    let layer = |batch, in_channels, out_channels, size: usize, kernel: usize| Conv2d {
        batch,
        in_channels,
        out_channels,
        height: size,
        width: size,
        kernel: [kernel; 2],
        stride: [1; 2],
        padding: [[kernel / 2 * (kernel % 2); 2]; 2],
        groups: 1,
    };
    for shape in [
        layer(5, 3, 24, 32, 2),
        layer(3, 2, 7, 60, 3),
        layer(7, 16, 32, 15, 3),
        layer(9, 20, 11, 1, 1),
        Conv2d {
            groups: 40,
            ..layer(5, 40, 40, 33, 3)
        },
    ] {
        let (x, w) = (
            numbers(1, shape.input_len()),
            numbers(2, shape.weight_len()),
        );
        let len = shape.output_len().unwrap();
        let (bias, g) = (numbers(3, shape.out_channels), numbers(4, len));
        let pixels = Pixels {
            count: len / shape.out_channels,
            channels: shape.out_channels,
        };
        for kernels in all_kernels() {
            let what = format!("{:?}, {shape:?}", kernels.isa());
            for bias in [Some(&bias[..]), None] {
                let forward = |activation| {
                    let mut y = vec![f32::NAN; len];
                    let epilogue = Epilogue { bias, activation };
                    kernels
                        .conv2d_forward(&shape, &x, &w, epilogue, &mut y)
                        .unwrap();
                    y
                };
                let plain = forward(Activation::Identity);
                let mut separate = vec![f32::NAN; len];
                kernels.gelu_forward(&plain, &mut separate).unwrap();
                let fused = forward(Activation::Gelu);
                assert_eq!(bits(&fused), bits(&separate), "output, {what}");

                let mut separate = g.clone();
                kernels.gelu_backward(&plain, &mut separate).unwrap();
                let mut fused = g.clone();
                let sums = kernels
                    .conv2d_gelu_backward(&shape, &x, &w, bias, &mut fused)
                    .unwrap();
                assert_eq!(bits(&fused), bits(&separate), "gradient, {what}");
                // Chunks differ, so the sums differ by rounding.
                let known = kernels.channel_sums(&pixels, &separate).unwrap();
                assert_within(&format!("sums, {what}"), &sums, &doubles(&known), |_| {
                    1e-6 * pixels.count as f64
                });
            }
        }
    }
}
