//! Depthwise convolutions with random shapes, and with shapes that reach each branch of the code.

use crate::common::conv::*;
use crate::common::*;
use onecycle_kernels::{Conv2d, Epilogue};
use proptest::prelude::*;

fn depthwise(
    [batch, channels]: [usize; 2],
    size: [usize; 2],
    kernel: usize,
    stride: usize,
    padding: usize,
) -> Conv2d {
    Conv2d {
        batch,
        in_channels: channels,
        out_channels: channels,
        height: size[0],
        width: size[1],
        kernel: [kernel; 2],
        stride: [stride; 2],
        padding: [[padding; 2]; 2],
        groups: channels,
    }
}

fn shapes() -> impl Strategy<Value = Conv2d> {
    let pair = |least: usize, most: usize| (least..=most, least..=most);
    let image = (1usize..=5, 1usize..=50, pair(1, 26));
    let padding = [[0usize..=3, 0..=3], [0..=3, 0..=3]];
    let window = (pair(1, 6), pair(1, 3), padding);
    (image, window).prop_filter_map(
        "the window fits",
        |((batch, channels, size), (kernel, stride, padding))| {
            let shape = Conv2d {
                kernel: [kernel.0, kernel.1],
                stride: [stride.0, stride.1],
                padding,
                ..depthwise([batch, channels], [size.0, size.1], 1, 1, 0)
            };
            shape.output().is_ok().then_some(shape)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn random_shapes_agree_with_the_reference(shape in shapes(), seed in 0u64..1000) {
        check(&shape, seed);
    }
}

/// The windows of mobile networks, with channels below, at and above one and two vectors of each
/// instruction set, and rows around the length of a register tile.
#[test]
fn windows_of_mobile_networks() {
    for kernel in [3, 5] {
        for stride in [1, 2] {
            for channels in [1, 3, 4, 7, 8, 15, 16, 17, 32, 33] {
                let size = [6, 11];
                check(
                    &depthwise([2, channels], size, kernel, stride, kernel / 2),
                    5,
                );
            }
            for width in 1..=35 {
                let size = [5, width];
                check(&depthwise([1, 20], size, kernel, stride, kernel / 2), 6);
            }
            for height in 1..=9 {
                let size = [height, 7];
                check(&depthwise([2, 16], size, kernel, stride, kernel / 2), 7);
            }
        }
    }
}

/// Windows that differ between the directions, that lie entirely in the padding, and strides larger
/// than window and image.
#[test]
fn unusual_windows() {
    let shape = depthwise([3, 19], [8, 9], 3, 1, 1);
    for (kernel, stride, padding) in [
        ([1, 7], [1, 1], [0, 3]),
        ([5, 3], [2, 1], [2, 1]),
        ([3, 5], [1, 2], [0, 2]),
        ([3, 3], [2, 2], [5, 6]),
        ([5, 5], [1, 1], [7, 4]),
        ([1, 1], [4, 5], [0, 0]),
        ([2, 2], [5, 5], [0, 1]),
        ([3, 3], [1 << 15, 1 << 15], [1, 1]),
        ([8, 9], [1, 1], [0, 0]),
    ] {
        let shape = Conv2d {
            kernel,
            stride,
            padding: padding.map(|zeros| [zeros; 2]),
            ..shape
        };
        check(&shape, 8);
    }
}

/// Several groups of rows, of which some contain rows of two images; sums of many pixels.
#[test]
fn groups_of_rows() {
    check(&depthwise([3, 48], [60, 56], 3, 1, 1), 9);
    check(&depthwise([2, 32], [65, 112], 5, 2, 2), 10);
    check(&depthwise([40, 16], [9, 9], 3, 1, 1), 11);
}

#[test]
fn the_reference_is_a_gradient() {
    for shape in [
        depthwise([2, 3], [5, 4], 3, 1, 1),
        depthwise([2, 2], [5, 6], 5, 2, 2),
    ] {
        let x = doubles(&numbers(1, shape.input_len()));
        let w = doubles(&numbers(2, shape.weight_len()));
        let g = doubles(&numbers(3, shape.output_len().unwrap()));
        let loss = |x: &[f64], w: &[f64]| dot(&g, &conv_forward(&shape, x, w, None));
        let dx = conv_backward_data(&shape, &g, &w);
        assert_gradient("input", |x| loss(x, &w), &x, &dx);
        let dw = conv_backward_weights(&shape, &x, &g);
        assert_gradient("weights", |w| loss(&x, w), &w, &dw);
    }
}

/// NaN reaches exactly the outputs of its channel whose window contains it.
#[test]
fn nan_stays_in_its_channel_and_windows() {
    for channels in [16, 21] {
        let shape = depthwise([2, channels], [6, 20], 3, 1, 1);
        let mut x = numbers(1, shape.input_len());
        let w = numbers(2, shape.weight_len());
        // The first pixel of the first image lies in four windows.
        x[2] = f32::NAN;
        for kernels in all_kernels() {
            let mut y = vec![0.0; shape.output_len().unwrap()];
            let epilogue = Epilogue::default();
            kernels
                .conv2d_forward(&shape, &x, &w, epilogue, &mut y)
                .unwrap();
            for (i, y) in y.iter().enumerate() {
                let (pixel, channel) = (i / channels, i % channels);
                let contains = channel == 2 && [0, 1, 20, 21].contains(&pixel);
                assert_eq!(y.is_nan(), contains, "{:?}, output {i}", kernels.isa());
            }
        }
    }
}
