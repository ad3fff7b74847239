//! Convolutions against a double-precision reference, on every path of the machine: random shapes, and shapes chosen to
//! reach each branch of the code.
#![allow(clippy::unwrap_used)] // A failed call fails the test.

mod common;

use common::conv::*;
use common::*;
use onecycle_kernels::{Conv2d, Epilogue, Workspace};
use proptest::prelude::*;

fn shapes() -> impl Strategy<Value = Conv2d> {
    let small = (
        1usize..=5,
        1usize..=20,
        1usize..=20,
        1usize..=12,
        1usize..=21,
    );
    // Many small images, which are worked on in groups.
    let many = (6usize..=37, 1usize..=4, 1usize..=9, 1usize..=9, 1usize..=9);
    let window = (
        (1usize..=7, 1usize..=7),
        (1usize..=3, 1usize..=3),
        (0usize..=3, 0usize..=3),
    );
    (prop_oneof![2 => small, 1 => many], window).prop_filter_map(
        "the window fits",
        |((batch, i, o, height, width), (k, s, p))| {
            let shape = Conv2d {
                batch,
                in_channels: i,
                out_channels: o,
                height,
                width,
                kernel: [k.0, k.1],
                stride: [s.0, s.1],
                padding: [p.0, p.1],
            };
            (shape.output().is_ok()).then_some(shape)
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

/// The layers that networks are made of, small batches.
#[test]
fn common_layers_agree_with_the_reference() {
    let layer =
        |batch, in_channels, out_channels, size: usize, kernel: usize, stride: usize| Conv2d {
            batch,
            in_channels,
            out_channels,
            height: size,
            width: size,
            kernel: [kernel; 2],
            stride: [stride; 2],
            padding: [kernel / 2; 2],
        };
    for shape in [
        layer(2, 3, 16, 32, 3, 1),
        layer(2, 16, 16, 32, 3, 1),
        layer(3, 16, 32, 32, 3, 2),
        layer(17, 32, 32, 8, 3, 1),
        layer(2, 16, 32, 32, 1, 2),
        layer(5, 1, 16, 28, 3, 2),
        layer(33, 24, 40, 4, 3, 1),
        layer(3, 1, 6, 28, 5, 1),
        // Weights that do not fit the cache.
        layer(2, 160, 200, 5, 3, 1),
    ] {
        check(&shape, 7);
    }
}

/// Input of `size`, a window of `kernel` pixels.
fn square(
    [batch, in_channels, out_channels]: [usize; 3],
    size: [usize; 2],
    kernel: usize,
    stride: usize,
    padding: usize,
) -> Conv2d {
    Conv2d {
        batch,
        in_channels,
        out_channels,
        height: size[0],
        width: size[1],
        kernel: [kernel; 2],
        stride: [stride; 2],
        padding: [padding; 2],
    }
}

/// Output channels below, at and above one and two vectors of each path, and several blocks with a remainder.
#[test]
fn output_channels_around_the_vectors() {
    for out_channels in [
        1, 3, 4, 5, 7, 8, 9, 15, 16, 17, 24, 31, 32, 33, 40, 63, 64, 65,
    ] {
        check(&square([3, 5, out_channels], [4, 5], 3, 1, 1), 0);
        check(&square([3, out_channels, 6], [4, 5], 3, 2, 1), 6);
    }
}

/// Row lengths around the tiles' rows, for every remainder of the division into pieces.
#[test]
fn widths_around_the_tiles() {
    for width in 1..=30 {
        check(&square([1, 2, 9], [2, width], 3, 1, 1), 2);
        check(&square([1, 2, 20], [2, width], 1, 1, 0), 3);
    }
}

/// Few output channels: two to sixteen neighbours of a row share a vector, where the row has a multiple of so many; and
/// their bias.
#[test]
fn few_output_channels() {
    for out_channels in [1, 2, 3, 5, 6, 8] {
        for (width, kernel, stride, padding) in [
            (6, 3, 1, 1),
            (14, 5, 1, 2),
            (16, 3, 2, 1),
            (13, 4, 3, 0),
            (5, 1, 1, 0),
            (9, 9, 1, 0),
        ] {
            let size = [9, width];
            check(
                &square([3, 2, out_channels], size, kernel, stride, padding),
                8,
            );
            check(
                &square([3, out_channels, 4], size, kernel, stride, padding),
                8,
            );
        }
    }
}

#[test]
fn strides_and_windows() {
    for stride in [1, 2, 3] {
        for kernel in [1, 3, 5] {
            for size in [[5, 5], [6, 9], [11, 7]] {
                for padding in 0..=kernel / 2 {
                    check(&square([2, 3, 10], size, kernel, stride, padding), 4);
                }
            }
        }
    }
}

/// Strides beyond the window and beyond the image: pixels that no window sees, phases without an output.
#[test]
fn strides_beyond_window_and_image() {
    for (size, kernel, stride, padding) in [
        ([7, 7], 2, 5, 0),
        ([2, 9], 1, 4, 0),
        ([3, 3], 3, 7, 1),
        ([1, 1], 1, 9, 0),
        ([1, 1], 1, 1 << 15, 0),
        ([2, 3], 2, 1 << 15, 3),
    ] {
        check(&square([2, 3, 5], size, kernel, stride, padding), 1);
    }
}

/// Whole windows within the padding, and images smaller than the window.
#[test]
fn padding_beyond_need() {
    for (size, kernel, stride, padding) in [
        ([3, 3], 1, 1, 2),
        ([4, 2], 3, 1, 5),
        ([4, 5], 3, 2, 6),
        ([2, 2], 2, 3, 7),
        ([1, 1], 3, 1, 1),
        ([2, 1], 5, 1, 2),
        ([3, 2], 5, 2, 3),
        ([1, 4], 7, 3, 3),
    ] {
        check(&square([2, 3, 5], size, kernel, stride, padding), 0);
        check(&square([9, 2, 17], size, kernel, stride, padding), 5);
    }
}

/// Windows, strides and paddings that differ between the directions.
#[test]
fn unequal_directions() {
    let shape = |kernel, stride, padding| Conv2d {
        batch: 3,
        in_channels: 4,
        out_channels: 11,
        height: 8,
        width: 9,
        kernel,
        stride,
        padding,
    };
    for shape in [
        shape([1, 7], [1, 1], [0, 3]),
        shape([7, 1], [1, 1], [3, 0]),
        shape([3, 2], [1, 3], [0, 2]),
        shape([2, 3], [3, 1], [2, 0]),
        shape([8, 9], [1, 1], [0, 0]),
        shape([1, 1], [2, 1], [0, 0]),
        shape([5, 1], [1, 4], [4, 0]),
    ] {
        check(&shape, 8);
    }
}

/// The weight gradient divides its sums: into parts where the weights are large, into groups of images where there are
/// many, into rows and into runs of images that stay in the cache.
#[test]
fn divisions_of_the_weight_gradient() {
    for shape in [
        // Several parts, the last of them not full, on each path.
        square([2, 520, 100], [3, 3], 3, 1, 1),
        square([3, 300, 70], [2, 3], 5, 1, 2),
        // Groups of unequal size: the last has an image less, or only one.
        square([33, 4, 20], [5, 5], 3, 1, 1),
        square([47, 2, 3], [2, 3], 3, 1, 1),
        square([131, 3, 4], [1, 2], 1, 1, 0),
        // Few groups, since the gradient is large; runs of several images.
        square([19, 64, 48], [3, 3], 3, 1, 1),
        // Runs of rows, the last shorter.
        square([2, 16, 16], [23, 50], 3, 1, 1),
        square([1, 40, 3], [9, 70], 3, 2, 1),
    ] {
        check(&shape, 9);
    }
}

/// The weight gradient of many channels by Winograd's algorithm, a point at a time: a last piece that is not full, two
/// slices of a batch, the second of them not full either, images that tiles reach beyond; and too few tiles for it.
#[test]
fn weight_gradients_of_many_channels() {
    for shape in [
        square([100, 64, 80], [4, 4], 3, 1, 1),
        square([27, 16, 512], [8, 8], 3, 1, 1),
        square([25, 80, 64], [7, 5], 3, 1, 1),
        square([23, 96, 64], [8, 6], 3, 1, 1),
    ] {
        check(&shape, 13);
    }
}

/// Padded images are worked on in groups; the last is not full.
#[test]
fn groups_of_images() {
    check(&square([70, 3, 4], [28, 28], 1, 1, 1), 12);
    check(&square([5, 16, 3], [40, 40], 3, 2, 1), 12);
}

/// Gradients of the double-precision reference itself against its finite differences.
#[test]
fn the_reference_is_a_gradient() {
    for shape in [
        square([2, 3, 4], [5, 4], 3, 1, 1),
        square([2, 2, 3], [5, 6], 3, 2, 1),
        square([1, 2, 2], [4, 4], 2, 3, 2),
        square([3, 2, 2], [3, 2], 1, 1, 0),
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

/// A diverging run must show: NaN reaches every output whose window sees it. (Where there are few output channels, also
/// those beside it that are computed with it.)
#[test]
fn nan_reaches_what_sees_it_and_nothing_else() {
    let shape = square([2, 3, 9], [6, 6], 3, 1, 1);
    let mut x = numbers(1, shape.input_len());
    let w = numbers(2, shape.weight_len());
    // The first channel of the first image's first pixel: four windows see it.
    x[0] = f32::NAN;
    for path in paths() {
        let mut y = vec![0.0; shape.output_len().unwrap()];
        let workspace = Workspace::new();
        let epilogue = Epilogue::default();
        onecycle_kernels::conv2d_forward(&workspace, path, &shape, &x, &w, epilogue, &mut y)
            .unwrap();
        for (i, y) in y.iter().enumerate() {
            let pixel = i / shape.out_channels;
            let sees = [0, 1, 6, 7].contains(&pixel);
            assert_eq!(y.is_nan(), sees, "{path:?}, output {i}");
        }
    }
}
