//! ReLU and sum of two slices: exact, on every path of the machine.
#![allow(clippy::unwrap_used)] // A failed call fails the test.

mod common;

use common::*;
use onecycle_kernels::{add, relu_backward, relu_forward};

/// None, one, and around the pieces that are worked on together.
const SIZES: [usize; 7] = [0, 1, 77, 16_383, 16_384, 16_385, 40_000];

/// Numbers with zeros of both signs, infinities and NaN among them.
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
fn relu_keeps_what_is_positive_and_nan() {
    for len in SIZES {
        let x = special(1, len);
        for path in paths() {
            let mut y = vec![-7.0; len];
            relu_forward(path, &x, &mut y).unwrap();
            for (x, y) in x.iter().zip(&y) {
                let expected = if *x < 0.0 { 0.0 } else { *x };
                assert!(same(*y, expected), "{path:?}: {x} became {y}");
            }
        }
    }
}

#[test]
fn relu_stops_the_gradient_where_the_output_is_not_positive() {
    for len in SIZES {
        let (y, g) = (special(1, len), numbers(2, len));
        for path in paths() {
            let mut masked = g.clone();
            relu_backward(path, &y, &mut masked).unwrap();
            for ((y, g), masked) in y.iter().zip(&g).zip(&masked) {
                let expected = if *y <= 0.0 { 0.0 } else { *g };
                assert_eq!(*masked, expected, "{path:?}: output {y}, gradient {g}");
            }
        }
    }
}

#[test]
fn add_adds() {
    for len in SIZES {
        let (a, b) = (numbers(1, len), special(2, len));
        for path in paths() {
            let mut sum = a.clone();
            add(path, &mut sum, &b).unwrap();
            for ((a, b), sum) in a.iter().zip(&b).zip(&sum) {
                assert!(same(*sum, a + b), "{path:?}: {a} + {b} became {sum}");
            }
        }
    }
}
