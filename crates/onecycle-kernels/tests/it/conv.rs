//! Convolutions with random shapes, and with shapes that reach each branch of the code.

use crate::common::conv::*;
use crate::common::*;
use onecycle_kernels::{Conv2d, Epilogue};
use proptest::prelude::*;

fn shapes() -> impl Strategy<Value = Conv2d> {
    let small = (
        1usize..=5,
        1usize..=20,
        1usize..=20,
        1usize..=12,
        1usize..=21,
    );
    // Many small images, which are computed in groups.
    let many = (6usize..=37, 1usize..=4, 1usize..=9, 1usize..=9, 1usize..=9);
    let window = (
        (1usize..=7, 1usize..=7),
        (1usize..=3, 1usize..=3),
        [[0usize..=3, 0..=3], [0..=3, 0..=3]],
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
                padding: p,
                groups: 1,
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

/// Typical layers of networks, with small batches.
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
            padding: [[kernel / 2; 2]; 2],
            groups: 1,
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
        // Weights that exceed the cache.
        layer(2, 160, 200, 5, 3, 1),
    ] {
        check(&shape, 7);
    }
}

/// A convolution with the same kernel, stride and padding in both directions.
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
        padding: [[padding; 2]; 2],
        groups: 1,
    }
}

/// Output channels below, at and above one and two vectors of each instruction set, and several
/// blocks with a remainder.
#[test]
fn output_channels_around_the_vectors() {
    for out_channels in [
        1, 3, 4, 5, 7, 8, 9, 15, 16, 17, 24, 31, 32, 33, 40, 63, 64, 65,
    ] {
        check(&square([3, 5, out_channels], [4, 5], 3, 1, 1), 0);
        check(&square([3, out_channels, 6], [4, 5], 3, 2, 1), 6);
    }
}

/// Row lengths around those of the register tiles, with every remainder of the division.
#[test]
fn widths_around_the_tiles() {
    for width in 1..=30 {
        check(&square([1, 2, 9], [2, width], 3, 1, 1), 2);
        check(&square([1, 2, 20], [2, width], 1, 1, 0), 3);
    }
}

/// Few output channels, with bias: two to sixteen neighbouring outputs share a vector if their
/// number divides the row length.
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

/// Strides larger than window and image: some pixels lie in no window, some phases have no output.
#[test]
fn strides_larger_than_window_and_image() {
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

/// Windows that lie entirely in the padding, and images smaller than the window.
#[test]
fn large_padding() {
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

/// Windows, strides and padding that differ between the directions.
#[test]
fn unequal_directions() {
    let shape = |kernel, stride, padding: [usize; 2]| Conv2d {
        batch: 3,
        in_channels: 4,
        out_channels: 11,
        height: 8,
        width: 9,
        kernel,
        stride,
        padding: padding.map(|zeros| [zeros; 2]),
        groups: 1,
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

/// The weight gradient divides its sums into parts if the weights are large, into groups of images
/// if there are many, and into rows and sets of images that stay in the cache.
#[test]
fn divisions_of_the_weight_gradient() {
    for shape in [
        // Several parts, the last of them partial, on each instruction set.
        square([2, 520, 100], [3, 3], 3, 1, 1),
        square([3, 300, 70], [2, 3], 5, 1, 2),
        // Groups of unequal size: the last has one image fewer, or only one.
        square([33, 4, 20], [5, 5], 3, 1, 1),
        square([47, 2, 3], [2, 3], 3, 1, 1),
        square([131, 3, 4], [1, 2], 1, 1, 0),
        // Few groups because the gradient is large; several images at a time.
        square([19, 64, 48], [3, 3], 3, 1, 1),
        // Several rows at a time, fewer at the end.
        square([2, 16, 16], [23, 50], 3, 1, 1),
        square([1, 40, 3], [9, 70], 3, 2, 1),
    ] {
        check(&shape, 9);
    }
}

/// The weight gradient for many channels with Winograd's algorithm, point by point: a partial last
/// piece, two slices of which the second is partial, and tiles that reach beyond the image; finally
/// too few tiles for the algorithm.
#[test]
fn weight_gradients_of_many_channels() {
    for shape in [
        square([100, 64, 80], [4, 4], 3, 1, 1),
        square([27, 16, 512], [8, 8], 3, 1, 1),
        square([25, 80, 64], [7, 5], 3, 1, 1),
        square([23, 96, 64], [8, 6], 3, 1, 1),
        // One tile per image. The image fills little more than half of it.
        square([97, 128, 144], [3, 3], 3, 1, 1),
    ] {
        check(&shape, 13);
    }
}

/// Padded images are computed in groups, of which the last is partial.
#[test]
fn groups_of_images() {
    check(&square([70, 3, 4], [28, 28], 1, 1, 1), 12);
    check(&square([5, 16, 3], [40, 40], 3, 2, 1), 12);
}

/// Windows of one pixel: several images in a row, one image per row, and images that are too large to
/// be flattened.
#[test]
fn windows_of_one_pixel() {
    for shape in [
        square([32, 24, 40], [4, 4], 1, 1, 0),
        square([7, 16, 33], [7, 7], 1, 1, 0),
        square([10, 20, 5], [2, 1], 1, 1, 0),
        square([2, 5, 48], [40, 31], 1, 1, 0),
        square([1, 1, 2], [200, 170], 1, 1, 0),
        square([3, 17, 9], [5, 6], 1, 2, 0),
        // Packed strips: several rows for a thread, more weights than one pass allows, and rows of an
        // image that the stride leaves out.
        square([40, 70, 150], [11, 11], 1, 1, 0),
        square([3, 1100, 160], [4, 4], 1, 1, 0),
        Conv2d {
            stride: [2, 1],
            ..square([4, 64, 128], [2, 8], 1, 1, 0)
        },
        // Odd sizes of maps.
        square([2, 16, 96], [38, 26], 1, 1, 0),
        square([2, 96, 24], [19, 13], 1, 1, 0),
        square([2, 480, 112], [5, 4], 1, 1, 0),
        square([2, 1152, 320], [3, 2], 1, 1, 0),
        square([2, 320, 1280], [3, 2], 1, 1, 0),
        // A prime number of pixels that exceeds the largest row.
        square([32771, 1, 2], [1, 2], 1, 1, 0),
    ] {
        check(&shape, 6);
    }
}

/// Unequal zeros on the two sides, where Winograd's algorithm applies to all passes, to some, and to
/// none.
#[test]
fn unequal_padding() {
    for padding in [
        [[0, 1], [1, 0]],
        [[2, 0], [0, 2]],
        [[1, 1], [1, 3]],
        [[0, 4], [3, 0]],
    ] {
        for size in [[8, 8], [7, 9]] {
            let shape = Conv2d {
                padding,
                ..square([5, 16, 32], size, 3, 1, 0)
            };
            check(&shape, 9);
            check(
                &Conv2d {
                    batch: 40,
                    in_channels: 64,
                    out_channels: 128,
                    ..shape
                },
                9,
            );
        }
    }
}

/// Checks the gradients of the reference against finite differences.
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

/// NaN must reach every output whose window contains it, so that a diverging training is noticed.
/// (With few output channels it also reaches outputs that share its vector.)
#[test]
fn nan_reaches_exactly_the_outputs_whose_window_contains_it() {
    let shape = square([2, 3, 9], [6, 6], 3, 1, 1);
    let mut x = numbers(1, shape.input_len());
    let w = numbers(2, shape.weight_len());
    // The first pixel of the first image lies in four windows.
    x[0] = f32::NAN;
    for kernels in all_kernels() {
        let isa = kernels.isa();
        let mut y = vec![0.0; shape.output_len().unwrap()];
        let epilogue = Epilogue::default();
        kernels
            .conv2d_forward(&shape, &x, &w, epilogue, &mut y)
            .unwrap();
        for (i, y) in y.iter().enumerate() {
            let pixel = i / shape.out_channels;
            let contains = [0, 1, 6, 7].contains(&pixel);
            assert_eq!(y.is_nan(), contains, "{isa:?}, output {i}");
        }
    }
}
