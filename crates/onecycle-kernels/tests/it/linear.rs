//! Linear layers, which are convolutions of images of one pixel, compared with matrix products in
//! double precision.

use crate::common::conv::Layer;
use crate::common::*;
use onecycle_kernels::{Activation, Conv2d, Epilogue, Pixels};
use proptest::prelude::*;

/// The product `[rows, depth] x [depth, columns]` of matrices given as functions of row and column.
fn product(
    [rows, depth, columns]: [usize; 3],
    a: impl Fn(usize, usize) -> f64,
    b: impl Fn(usize, usize) -> f64,
) -> Vec<f64> {
    let mut product = vec![0.0; rows * columns];
    for (i, row) in product.chunks_exact_mut(columns).enumerate() {
        for k in 0..depth {
            let left = a(i, k);
            for (j, value) in row.iter_mut().enumerate() {
                *value += left * b(k, j);
            }
        }
    }
    product
}

fn check(batch: usize, inputs: usize, outputs: usize, seed: u64) {
    let shape = Conv2d {
        batch,
        in_channels: inputs,
        out_channels: outputs,
        height: 1,
        width: 1,
        kernel: [1, 1],
        stride: [1, 1],
        padding: [[0; 2]; 2],
        groups: 1,
    };
    let x = numbers(seed, batch * inputs);
    let w = numbers(seed + 1, outputs * inputs);
    let bias = numbers(seed + 2, outputs);
    let g = numbers(seed + 3, batch * outputs);
    let at = |values: &[f32], i: usize| f64::from(values[i]);
    // y = x wᵀ + bias, dx = g w, dw = gᵀ x.
    let mut y64 = product(
        [batch, inputs, outputs],
        |n, i| at(&x, n * inputs + i),
        |i, o| at(&w, o * inputs + i),
    );
    for (i, y) in y64.iter_mut().enumerate() {
        *y += at(&bias, i % outputs);
    }
    let dx64 = product(
        [batch, outputs, inputs],
        |n, o| at(&g, n * outputs + o),
        |o, i| at(&w, o * inputs + i),
    );
    let dw64 = product(
        [outputs, batch, inputs],
        |o, n| at(&g, n * outputs + o),
        |n, i| at(&x, n * inputs + i),
    );
    let ones = |_, _| 1.0;
    let db64 = product([1, batch, outputs], ones, |n, o| at(&g, n * outputs + o));
    for kernels in all_kernels() {
        let isa = kernels.isa();
        let what = format!("{isa:?}, batch {batch}, {inputs} to {outputs}");
        let epilogue = Epilogue {
            bias: Some(&bias),
            activation: Activation::Identity,
        };
        let layer = Layer {
            shape: &shape,
            x: &x,
            w: &w,
            epilogue,
            g: &g,
        };
        let [y, dx, dw] = layer.passes(&kernels);
        assert_close(&format!("output, {what}"), &y, &y64, inputs + 1);
        assert_close(&format!("input gradient, {what}"), &dx, &dx64, outputs);
        assert_close(&format!("weight gradient, {what}"), &dw, &dw64, batch);
        let pixels = Pixels {
            count: batch,
            channels: outputs,
        };
        let db = kernels.channel_sums(&pixels, &g).unwrap();
        assert_close(&format!("bias gradient, {what}"), &db, &db64, batch);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn random_layers_agree_with_the_reference(
        batch in prop_oneof![Just(1usize), Just(7), Just(127), Just(128), 1usize..=40],
        inputs in 1usize..=600,
        outputs in 1usize..=600,
        seed in 0u64..1000,
    ) {
        check(batch, inputs, outputs, seed);
    }
}

/// Classification layers of networks, and extreme shapes.
#[test]
fn common_layers_agree_with_the_reference() {
    for batch in [1, 7, 127, 128] {
        for (inputs, outputs) in [(1, 1), (64, 10), (600, 1), (1, 600), (84, 10), (65, 33)] {
            check(batch, inputs, outputs, 7);
        }
    }
    check(127, 600, 600, 8);
}
