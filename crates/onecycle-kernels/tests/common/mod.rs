//! Straightforward references in double precision.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)] // Each test file uses its part, and a failed call fails the test.

use onecycle_kernels::Conv2d;

/// Numbers in [-1, 1) that depend on the seed alone (splitmix64).
pub fn numbers(seed: u64, len: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678;
    (0..len)
        .map(|_| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((z ^ (z >> 31)) >> 40) as f32 / (1u32 << 23) as f32 - 1.0
        })
        .collect()
}

pub fn doubles(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&x| f64::from(x)).collect()
}

pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Fails where `actual` is further from `expected` than the rounding of `terms` products of numbers below 1 explains.
pub fn assert_close(what: &str, actual: &[f32], expected: &[f64], terms: usize) {
    assert_eq!(actual.len(), expected.len(), "{what}: lengths");
    let tolerance = 4.0 * f64::from(f32::EPSILON) * (terms as f64).max(1.0);
    for (i, (&a, &e)) in actual.iter().zip(expected).enumerate() {
        assert!(
            (f64::from(a) - e).abs() <= tolerance,
            "{what}[{i}]: {a} against {e}, tolerance {tolerance:e}"
        );
    }
}

/// Visits each product of a convolution: indices of output, input and weight.
pub fn each_product(shape: &Conv2d, mut visit: impl FnMut(usize, usize, usize)) {
    let [rows, columns] = shape.output().unwrap();
    let [kh, kw] = shape.kernel;
    for n in 0..shape.batch {
        for o in 0..shape.out_channels {
            for i in 0..rows {
                for j in 0..columns {
                    let out = ((n * rows + i) * columns + j) * shape.out_channels + o;
                    for c in 0..shape.in_channels {
                        for r in 0..kh {
                            for s in 0..kw {
                                let y = (i * shape.stride[0] + r).wrapping_sub(shape.padding[0]);
                                let x = (j * shape.stride[1] + s).wrapping_sub(shape.padding[1]);
                                if y < shape.height && x < shape.width {
                                    let input = ((n * shape.height + y) * shape.width + x)
                                        * shape.in_channels
                                        + c;
                                    let weight = ((o * shape.in_channels + c) * kh + r) * kw + s;
                                    visit(out, input, weight);
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

pub fn conv_forward(shape: &Conv2d, x: &[f64], w: &[f64], bias: Option<&[f64]>) -> Vec<f64> {
    let mut y = vec![0.0; shape.output_len().unwrap()];
    if let Some(bias) = bias {
        for (i, y) in y.iter_mut().enumerate() {
            *y = bias[i % shape.out_channels];
        }
    }
    each_product(shape, |out, input, weight| y[out] += x[input] * w[weight]);
    y
}

pub fn conv_backward_data(shape: &Conv2d, g: &[f64], w: &[f64]) -> Vec<f64> {
    let mut dx = vec![0.0; shape.input_len()];
    each_product(shape, |out, input, weight| dx[input] += g[out] * w[weight]);
    dx
}

pub fn conv_backward_weights(shape: &Conv2d, x: &[f64], g: &[f64]) -> Vec<f64> {
    let mut dw = vec![0.0; shape.weight_len()];
    each_product(shape, |out, input, weight| dw[weight] += x[input] * g[out]);
    dw
}
