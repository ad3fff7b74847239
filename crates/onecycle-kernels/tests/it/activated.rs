//! Gradients of a convolution that is followed by an activation: they are those of separate calls.

use crate::common::*;
use onecycle_kernels::*;

/// Direct, Winograd's, depthwise and linear, and windows of one pixel: few channels, many blocks of
/// them in several groups of several rows, a number of pixels that few lengths divide, and more weights
/// than one pass allows.
fn shapes() -> Vec<Conv2d> {
    let layer = |batch, channels: [usize; 2], size: [usize; 2], kernel: usize, stride| Conv2d {
        batch,
        in_channels: channels[0],
        out_channels: channels[1],
        height: size[0],
        width: size[1],
        kernel: [kernel; 2],
        stride: [stride; 2],
        padding: [[kernel / 2; 2]; 2],
        groups: 1,
    };
    vec![
        layer(5, [3, 16], [12, 12], 3, 2),
        layer(3, [32, 16], [8, 8], 3, 1),
        Conv2d {
            groups: 19,
            ..layer(4, [19, 19], [9, 9], 5, 2)
        },
        layer(40, [70, 33], [1, 1], 1, 1),
        layer(4, [16, 20], [9, 9], 1, 2),
        layer(5, [16, 24], [12, 12], 1, 1),
        layer(40, [70, 150], [11, 11], 1, 1),
        layer(21, [130, 260], [10, 13], 1, 1),
        layer(1, [5, 7], [1, 1009], 1, 1),
        layer(3, [1100, 160], [4, 4], 1, 1),
    ]
}

#[test]
fn gradients_are_those_of_separate_calls() {
    for shape in shapes() {
        let (x, w) = (
            numbers(1, shape.input_len()),
            numbers(2, shape.weight_len()),
        );
        let len = shape.output_len().unwrap();
        let g = numbers(3, len);
        // Outputs below, at and between the limits, and above 6.
        let output: Vec<f32> = numbers(4, len)
            .iter()
            .map(|y| (10.0 * y).max(0.0))
            .collect();
        let clamped: Vec<f32> = output.iter().map(|y| y.min(6.0)).collect();
        for kernels in all_kernels() {
            for mask in [
                Mask::One,
                Mask::OfReluOutput(&output),
                Mask::OfRelu6Output(&clamped),
            ] {
                check(&kernels, &shape, [&x, &w, &g], mask);
            }
        }
    }
}

fn check(kernels: &Kernels, shape: &Conv2d, [x, w, g]: [&[f32]; 3], mask: Mask) {
    let what = format!("{:?}, {shape:?}", kernels.isa());
    let mut masked = g.to_vec();
    match mask {
        Mask::One => {}
        Mask::OfReluOutput(y) => kernels.relu_backward(y, &mut masked).unwrap(),
        Mask::OfRelu6Output(y) => kernels.relu6_backward(y, &mut masked).unwrap(),
    }
    let pixels = Pixels {
        count: g.len() / shape.out_channels,
        channels: shape.out_channels,
    };
    let bias = kernels.channel_sums(&pixels, &masked).unwrap();
    let (mut dx, mut dw) = (vec![f32::NAN; x.len()], vec![f32::NAN; w.len()]);
    kernels
        .conv2d_backward_data(shape, &masked, w, &mut dx)
        .unwrap();
    kernels
        .conv2d_backward_weights(shape, x, &masked, &mut dw)
        .unwrap();

    // Weights, input and bias in every combination that has a gradient, from a gradient that is kept
    // and from one that is spent.
    for wanted in 1..8 {
        for kept in [true, false] {
            let [mut weights, mut input, mut sums] =
                [w.len(), x.len(), bias.len()].map(|len| vec![f32::NAN; len]);
            let mut copy = g.to_vec();
            let gradient = match kept {
                true => IncomingGradient::Kept(g),
                false => IncomingGradient::Spent(&mut copy),
            };
            let targets = Conv2dGradients {
                weights: (wanted & 1 > 0).then_some(&mut weights[..]),
                input: (wanted & 2 > 0).then_some(&mut input[..]),
            };
            let of_bias = (wanted & 4 > 0).then_some(&mut sums[..]);
            let gradient = ActivatedGradient {
                values: gradient,
                mask,
            };
            kernels
                .conv2d_backward_activated(shape, x, w, gradient, targets, of_bias)
                .unwrap();
            if wanted & 1 > 0 {
                assert_eq!(bits(&weights), bits(&dw), "weights, {kept}, {what}");
            }
            if wanted & 2 > 0 {
                assert_eq!(bits(&input), bits(&dx), "input, {kept}, {what}");
            }
            // The sums are divided into other chunks, so their rounding differs.
            for (channel, (sum, known)) in sums.iter().zip(&bias).enumerate() {
                let of_channel = masked.iter().skip(channel).step_by(shape.out_channels);
                let size: f32 = of_channel.map(|g| g.abs()).sum();
                let error = (sum - known).abs();
                assert!(
                    wanted & 4 == 0 || error <= 3e-7 * size,
                    "{sum} for {known}, {what}"
                );
            }
        }
    }
}
