//! A convolution layer, forward and backward, on plain slices, checked against naive loops.
//!
//! ```text
//! cargo run -p onecycle-kernels --example conv_layer
//! ```

use std::error::Error;

use onecycle_kernels::{Activation, Conv2d, Epilogue, Kernels, Pixels};

fn main() -> Result<(), Box<dyn Error>> {
    let kernels = Kernels::new();
    println!("instruction set: {:?}", kernels.isa());

    // 3 x 3 windows with stride 1 and 16 channels, which Winograd's algorithm computes.
    let shape = Conv2d {
        batch: 2,
        in_channels: 16,
        out_channels: 32,
        height: 12,
        width: 10,
        kernel: [3, 3],
        stride: [1, 1],
        padding: [[1; 2]; 2],
        groups: 1,
    };
    let [rows, columns] = shape.output()?;
    // Images are [batch, height, width, channels], weights [out, in, kernel height, kernel width].
    let input = numbers(1, shape.input_len());
    let weights = numbers(2, shape.weight_len());
    let bias = numbers(3, shape.out_channels);
    // In training, this is the gradient of the loss with respect to the output.
    let output_gradient = numbers(4, shape.output_len()?);

    // Forward.
    let mut output = vec![0.0; shape.output_len()?];
    let epilogue = Epilogue {
        bias: Some(&bias),
        activation: Activation::Identity,
    };
    kernels.conv2d_forward(&shape, &input, &weights, epilogue, &mut output)?;

    // Backward: gradients of input, weights and bias.
    let mut input_gradient = vec![0.0; shape.input_len()];
    kernels.conv2d_backward_data(&shape, &output_gradient, &weights, &mut input_gradient)?;
    let mut weight_gradient = vec![0.0; shape.weight_len()];
    kernels.conv2d_backward_weights(&shape, &input, &output_gradient, &mut weight_gradient)?;
    let pixels = Pixels {
        count: shape.batch * rows * columns,
        channels: shape.out_channels,
    };
    let bias_gradient = kernels.channel_sums(&pixels, &output_gradient)?;

    // The same with naive loops.
    let mut naive = Naive {
        output: (0..output.len()).map(|i| bias[i % bias.len()]).collect(),
        input_gradient: vec![0.0; input.len()],
        weight_gradient: vec![0.0; weights.len()],
        bias_gradient: vec![0.0; bias.len()],
    };
    for (i, g) in output_gradient.iter().enumerate() {
        naive.bias_gradient[i % bias.len()] += g;
    }
    for_each_product(&shape, [rows, columns], |o, i, w| {
        naive.output[o] += input[i] * weights[w];
        naive.input_gradient[i] += output_gradient[o] * weights[w];
        naive.weight_gradient[w] += input[i] * output_gradient[o];
    });

    compare("output", &output, &naive.output)?;
    compare("input gradient", &input_gradient, &naive.input_gradient)?;
    compare("weight gradient", &weight_gradient, &naive.weight_gradient)?;
    compare("bias gradient", &bias_gradient, &naive.bias_gradient)?;
    Ok(())
}

/// Results of the naive loops.
struct Naive {
    output: Vec<f32>,
    input_gradient: Vec<f32>,
    weight_gradient: Vec<f32>,
    bias_gradient: Vec<f32>,
}

/// Calls `visit` with the indices of output, input and weight for each product of the convolution.
fn for_each_product(
    shape: &Conv2d,
    [rows, columns]: [usize; 2],
    mut visit: impl FnMut(usize, usize, usize),
) {
    let &Conv2d {
        batch,
        in_channels,
        out_channels,
        height,
        width,
        kernel: [kernel_rows, kernel_columns],
        stride,
        padding,
        groups: _,
    } = shape;
    for n in 0..batch {
        for i in 0..rows {
            for j in 0..columns {
                for r in 0..kernel_rows {
                    for s in 0..kernel_columns {
                        let y = (i * stride[0] + r).wrapping_sub(padding[0][0]);
                        let x = (j * stride[1] + s).wrapping_sub(padding[1][0]);
                        if y >= height || x >= width {
                            continue; // In the padding.
                        }
                        for o in 0..out_channels {
                            for c in 0..in_channels {
                                visit(
                                    ((n * rows + i) * columns + j) * out_channels + o,
                                    ((n * height + y) * width + x) * in_channels + c,
                                    ((o * in_channels + c) * kernel_rows + r) * kernel_columns + s,
                                );
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Prints the largest difference, and returns an error if it exceeds rounding.
fn compare(name: &str, kernel: &[f32], naive: &[f32]) -> Result<(), String> {
    let differences = kernel.iter().zip(naive).map(|(a, b)| (a - b).abs());
    let largest = differences.fold(0.0, f32::max);
    println!("{name}: largest difference {largest:.1e}");
    // Sums of up to 288 products of numbers below 1, rounded to 2^-24 of their size.
    if largest < 1e-3 {
        Ok(())
    } else {
        Err(format!("{name} differs from the naive loops by {largest}"))
    }
}

/// Pseudo-random numbers in [-1, 1).
fn numbers(seed: u64, len: usize) -> Vec<f32> {
    let mut state = seed;
    (0..len)
        .map(|_| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1);
            (state >> 40) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect()
}
