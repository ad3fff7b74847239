//! Naive convolution in double precision.

use super::gelu;
use super::*;
use onecycle_kernels::{Activation, Conv2d, Epilogue};

/// Calls `visit` with the indices of output, input and weight for each product of a convolution.
pub fn each_product(shape: &Conv2d, mut visit: impl FnMut(usize, usize, usize)) {
    let [rows, columns] = shape.output().unwrap();
    let [kh, kw] = shape.kernel;
    for n in 0..shape.batch {
        for o in 0..shape.out_channels {
            // The input channels of the output's group.
            let of_group = shape.in_channels / shape.groups;
            let first = o / (shape.out_channels / shape.groups) * of_group;
            for i in 0..rows {
                for j in 0..columns {
                    let out = ((n * rows + i) * columns + j) * shape.out_channels + o;
                    for c in 0..of_group {
                        for r in 0..kh {
                            for s in 0..kw {
                                let y = (i * shape.stride[0] + r).wrapping_sub(shape.padding[0][0]);
                                let x = (j * shape.stride[1] + s).wrapping_sub(shape.padding[1][0]);
                                if y < shape.height && x < shape.width {
                                    let input = ((n * shape.height + y) * shape.width + x)
                                        * shape.in_channels
                                        + first
                                        + c;
                                    let weight = ((o * of_group + c) * kh + r) * kw + s;
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

/// A convolution layer with its inputs.
pub struct Layer<'a> {
    pub shape: &'a Conv2d,
    pub x: &'a [f32],
    pub w: &'a [f32],
    pub epilogue: Epilogue<'a>,
    /// Gradient of the output.
    pub g: &'a [f32],
}

impl Layer<'_> {
    /// Output, gradient of the input and gradient of the weights.
    pub fn passes(&self, kernels: &Kernels) -> [Vec<f32>; 3] {
        let Layer {
            shape,
            x,
            w,
            epilogue,
            g,
        } = *self;
        // The previous content of the targets must not matter.
        let mut y = vec![f32::NAN; g.len()];
        let mut dx = vec![f32::NAN; x.len()];
        let mut dw = vec![f32::NAN; w.len()];
        kernels
            .conv2d_forward(shape, x, w, epilogue, &mut y)
            .unwrap();
        kernels.conv2d_backward_data(shape, g, w, &mut dx).unwrap();
        kernels
            .conv2d_backward_weights(shape, x, g, &mut dw)
            .unwrap();
        [y, dx, dw]
    }
}

/// Compares all three passes with the reference on every instruction set. `seed` determines the
/// numbers, the activation and whether there is a bias.
pub fn check(shape: &Conv2d, seed: u64) {
    let x = numbers(seed, shape.input_len());
    let w = numbers(seed + 1, shape.weight_len());
    let g = numbers(seed + 2, shape.output_len().unwrap());
    let bias = numbers(seed + 3, shape.out_channels);
    let with_bias = seed.is_multiple_of(2);
    let bias = with_bias.then_some(&bias[..]);
    let (x64, w64, g64) = (doubles(&x), doubles(&w), doubles(&g));
    let b64 = bias.map(doubles);
    let activation = match seed % 4 {
        0 => Activation::Relu,
        1 => Activation::Identity,
        2 => Activation::Relu6,
        _ => Activation::Gelu,
    };
    let mut y64 = conv_forward(shape, &x64, &w64, b64.as_deref());
    y64.iter_mut()
        .for_each(|y| *y = gelu::activated(activation, *y));
    let dx64 = conv_backward_data(shape, &g64, &w64);
    let dw64 = conv_backward_weights(shape, &x64, &g64);
    let window = shape.kernel[0] * shape.kernel[1];
    let nan = |len: usize| vec![f32::NAN; len];
    let (x_nan, w_nan, g_nan) = (nan(x.len()), nan(w.len()), nan(g.len()));
    for kernels in all_kernels() {
        let isa = kernels.isa();
        // Fill the workspace with NaN: what earlier calls left in it must not matter.
        let earlier = Layer {
            shape,
            x: &x_nan,
            w: &w_nan,
            epilogue: Epilogue::default(),
            g: &g_nan,
        };
        earlier.passes(&kernels);
        let layer = Layer {
            shape,
            x: &x,
            w: &w,
            epilogue: Epilogue { bias, activation },
            g: &g,
        };
        let [y, dx, dw] = layer.passes(&kernels);
        // The derivative of GELU is at most 1.13.
        let terms = (shape.in_channels / shape.groups * window + 1) as f64;
        let rounding = 1.13 * 4.0 * f64::from(f32::EPSILON) * terms;
        assert_within(
            &format!("output, {isa:?}, {shape:?}"),
            &y,
            &y64,
            |i| match activation {
                Activation::Gelu => rounding + gelu::ERROR * y64[i].abs().max(1.0),
                _ => rounding / 1.13,
            },
        );
        assert_close(
            &format!("input gradient, {isa:?}, {shape:?}"),
            &dx,
            &dx64,
            shape.out_channels / shape.groups * window,
        );
        assert_close(
            &format!("weight gradient, {isa:?}, {shape:?}"),
            &dw,
            &dw64,
            g.len() / shape.out_channels,
        );
    }
}
