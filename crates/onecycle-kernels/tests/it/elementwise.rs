//! ReLU and the sum of two slices, which must be exact.

use crate::common::*;

/// Lengths 0 and 1, and lengths around the chunk size.
const SIZES: [usize; 7] = [0, 1, 77, 16_383, 16_384, 16_385, 40_000];

/// Numbers that include zeros of both signs, infinities and NaN.
fn special(seed: u64, len: usize) -> Vec<f32> {
    let values = [0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN];
    let mut numbers = numbers(seed, len);
    for (i, value) in numbers.iter_mut().step_by(3).enumerate() {
        *value = values[i % values.len()];
    }
    numbers
}

fn same(a: f32, b: f32) -> bool {
    a == b || (a.is_nan() && b.is_nan())
}

#[test]
fn relu_keeps_positive_numbers_and_nan() {
    for len in SIZES {
        let x = special(1, len);
        for kernels in all_kernels() {
            let isa = kernels.isa();
            let mut y = vec![-7.0; len];
            kernels.relu_forward(&x, &mut y).unwrap();
            for (x, y) in x.iter().zip(&y) {
                let expected = if *x < 0.0 { 0.0 } else { *x };
                assert!(same(*y, expected), "{isa:?}: {x} became {y}");
            }
        }
    }
}

#[test]
fn relu_stops_the_gradient_where_the_output_is_not_positive() {
    for len in SIZES {
        let (y, g) = (special(1, len), numbers(2, len));
        for kernels in all_kernels() {
            let isa = kernels.isa();
            let mut masked = g.clone();
            kernels.relu_backward(&y, &mut masked).unwrap();
            for ((y, g), masked) in y.iter().zip(&g).zip(&masked) {
                let expected = if *y <= 0.0 { 0.0 } else { *g };
                assert_eq!(*masked, expected, "{isa:?}: output {y}, gradient {g}");
            }
        }
    }
}

#[test]
fn add_adds() {
    for len in SIZES {
        let (a, b) = (numbers(1, len), special(2, len));
        for kernels in all_kernels() {
            let isa = kernels.isa();
            let mut sum = a.clone();
            kernels.add(&mut sum, &b).unwrap();
            for ((a, b), sum) in a.iter().zip(&b).zip(&sum) {
                assert!(same(*sum, a + b), "{isa:?}: {a} + {b} became {sum}");
            }
        }
    }
}
