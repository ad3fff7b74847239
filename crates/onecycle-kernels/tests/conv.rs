//! Convolutions against a double-precision reference over random shapes, on every path of the machine.
#![allow(clippy::unwrap_used)] // A failed call fails the test.

mod common;

use common::*;
use onecycle_kernels::{
    Conv2d, Epilogue, Path, Workspace, conv2d_backward_data, conv2d_backward_weights,
    conv2d_forward,
};
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

/// All three passes of a shape on a path.
fn passes(
    path: Path,
    shape: &Conv2d,
    x: &[f32],
    w: &[f32],
    epilogue: Epilogue,
    g: &[f32],
) -> [Vec<f32>; 3] {
    let workspace = Workspace::new();
    // What was there before must not matter.
    let mut y = vec![f32::NAN; g.len()];
    let mut dx = vec![f32::NAN; x.len()];
    let mut dw = vec![f32::NAN; w.len()];
    conv2d_forward(&workspace, path, shape, x, w, epilogue, &mut y).unwrap();
    conv2d_backward_data(&workspace, path, shape, g, w, &mut dx).unwrap();
    conv2d_backward_weights(&workspace, path, shape, x, g, &mut dw).unwrap();
    [y, dx, dw]
}

fn check(shape: &Conv2d, seed: u64) {
    let x = numbers(seed, shape.input_len());
    let w = numbers(seed + 1, shape.weight_len());
    let g = numbers(seed + 2, shape.output_len().unwrap());
    let bias = numbers(seed + 3, shape.out_channels);
    let with_bias = seed.is_multiple_of(2);
    let bias = with_bias.then_some(&bias[..]);
    let (x64, w64, g64) = (doubles(&x), doubles(&w), doubles(&g));
    let b64 = bias.map(doubles);
    let relu = seed.is_multiple_of(3);
    let mut y64 = conv_forward(shape, &x64, &w64, b64.as_deref());
    if relu {
        y64.iter_mut().for_each(|y| *y = y.max(0.0));
    }
    let dx64 = conv_backward_data(shape, &g64, &w64);
    let dw64 = conv_backward_weights(shape, &x64, &g64);
    let window = shape.kernel[0] * shape.kernel[1];
    for path in Path::ALL.into_iter().filter(|path| path.is_available()) {
        let [y, dx, dw] = passes(path, shape, &x, &w, Epilogue { bias, relu }, &g);
        assert_close(
            &format!("output, {path:?}"),
            &y,
            &y64,
            shape.in_channels * window + 1,
        );
        assert_close(
            &format!("input gradient, {path:?}"),
            &dx,
            &dx64,
            shape.out_channels * window,
        );
        assert_close(
            &format!("weight gradient, {path:?}"),
            &dw,
            &dw64,
            g.len() / shape.out_channels,
        );
    }
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
