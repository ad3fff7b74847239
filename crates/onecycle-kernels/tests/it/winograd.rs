//! The rounding error of Winograd's algorithm, compared with a direct sum in single precision.

use crate::common::conv::{conv_forward, each_product};
use crate::common::*;
use onecycle_kernels::{Conv2d, Epilogue};

/// Norm of the difference divided by the norm of the reference.
fn distance(actual: &[f32], exact: &[f64]) -> f64 {
    let off: f64 = (actual.iter().zip(exact))
        .map(|(a, e)| (f64::from(*a) - e).powi(2))
        .sum();
    (off / exact.iter().map(|e| e * e).sum::<f64>()).sqrt()
}

#[test]
fn the_error_is_at_most_four_times_that_of_a_direct_sum() {
    let shape = Conv2d {
        batch: 2,
        in_channels: 64,
        out_channels: 32,
        height: 8,
        width: 8,
        kernel: [3, 3],
        stride: [1, 1],
        padding: [[1; 2]; 2],
        groups: 1,
    };
    let x: Vec<f32> = numbers(1, shape.input_len())
        .into_iter()
        .map(|x| x.max(0.0))
        .collect();
    let w = numbers(2, shape.weight_len());
    let exact = conv_forward(&shape, &doubles(&x), &doubles(&w), None);
    let mut direct = vec![0.0f32; exact.len()];
    each_product(&shape, |out, input, weight| {
        direct[out] += x[input] * w[weight];
    });
    let direct = distance(&direct, &exact);
    for kernels in all_kernels() {
        let isa = kernels.isa();
        let mut y = vec![f32::NAN; exact.len()];
        kernels
            .conv2d_forward(&shape, &x, &w, Epilogue::default(), &mut y)
            .unwrap();
        let winograd = distance(&y, &exact);
        println!("{isa:?}: Winograd {winograd:.1e}, direct sum {direct:.1e}");
        assert!(winograd < 4.0 * direct && winograd < 2e-6, "{isa:?}");
    }
}
