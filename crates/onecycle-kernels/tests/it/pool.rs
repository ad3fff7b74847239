//! Max and average pooling, compared with a reference window by window.

use crate::common::*;
use onecycle_kernels::{Kernels, Pool2d};
use proptest::prelude::*;

fn shapes() -> impl Strategy<Value = Pool2d> {
    let pair = |most: usize| (1..=most, 1..=most);
    let padding = (0usize..=3, 0usize..=3);
    (1usize..=4, 1usize..=35, pair(12), pair(6), pair(5), padding).prop_map(
        |(batch, channels, size, kernel, stride, padding)| Pool2d {
            batch,
            channels,
            height: size.0,
            width: size.1,
            kernel: [kernel.0.min(size.0), kernel.1.min(size.1)],
            stride: [stride.0, stride.1],
            padding: [
                padding.0.min(kernel.0.min(size.0) / 2),
                padding.1.min(kernel.1.min(size.1) / 2),
            ],
        },
    )
}

/// For each output element, the indices of its window's elements in row-major order; `None` in the
/// padding.
fn windows(shape: &Pool2d) -> Vec<Vec<Option<usize>>> {
    let [rows, columns] = shape.output().unwrap();
    let mut windows = Vec::new();
    for n in 0..shape.batch {
        for i in 0..rows {
            for j in 0..columns {
                for c in 0..shape.channels {
                    let mut window = Vec::new();
                    for r in 0..shape.kernel[0] {
                        for s in 0..shape.kernel[1] {
                            let y = (i * shape.stride[0] + r).checked_sub(shape.padding[0]);
                            let x = (j * shape.stride[1] + s).checked_sub(shape.padding[1]);
                            let y = y.filter(|y| *y < shape.height);
                            let x = x.filter(|x| *x < shape.width);
                            window.push(y.zip(x).map(|(y, x)| {
                                let row = n * shape.height + y;
                                (row * shape.width + x) * shape.channels + c
                            }));
                        }
                    }
                    windows.push(window);
                }
            }
        }
    }
    windows
}

/// Position of the largest element in its window: the first on ties, the last NaN if there are any.
fn argmax(window: &[Option<usize>], x: &[f32]) -> usize {
    let mut inside = window
        .iter()
        .enumerate()
        .filter_map(|(tap, at)| Some((tap, x[(*at)?])));
    let first = inside.next().unwrap();
    let larger = |best: (usize, f32), other: (usize, f32)| {
        if other.1 > best.1 || other.1.is_nan() {
            other
        } else {
            best
        }
    };
    inside.fold(first, larger).0
}

fn max_forward(kernels: &Kernels, shape: &Pool2d, x: &[f32]) -> (Vec<f32>, Vec<u16>) {
    let len = shape.output_len().unwrap();
    let (mut y, mut argmax) = (vec![f32::NAN; len], vec![u16::MAX; len]);
    kernels
        .max_pool2d_forward(shape, x, &mut y, &mut argmax)
        .unwrap();
    (y, argmax)
}

fn check_max(shape: &Pool2d, x: &[f32], seed: u64) {
    let windows = windows(shape);
    let g = numbers(seed, windows.len());
    let argmax64: Vec<usize> = windows.iter().map(|w| argmax(w, x)).collect();
    let mut dx64 = vec![0.0; x.len()];
    for ((window, &tap), &g) in windows.iter().zip(&argmax64).zip(&g) {
        dx64[window[tap].unwrap()] += f64::from(g);
    }
    for kernels in all_kernels() {
        let isa = kernels.isa();
        let what = format!("{isa:?}, {shape:?}");
        let (y, positions) = max_forward(&kernels, shape, x);
        for (i, window) in windows.iter().enumerate() {
            let tap = argmax64[i];
            assert_eq!(usize::from(positions[i]), tap, "argmax[{i}], {what}");
            let largest = x[window[tap].unwrap()];
            assert_eq!(y[i].to_bits(), largest.to_bits(), "{i}, {what}");
        }
        let mut dx = vec![f32::NAN; x.len()];
        kernels
            .max_pool2d_backward(shape, &g, &positions, &mut dx)
            .unwrap();
        let window = shape.kernel[0] * shape.kernel[1];
        assert_close(&format!("input gradient, {what}"), &dx, &dx64, window);
    }
}

fn average(windows: &[Vec<Option<usize>>], x: &[f64]) -> Vec<f64> {
    let mean =
        |w: &Vec<Option<usize>>| w.iter().flatten().map(|at| x[*at]).sum::<f64>() / w.len() as f64;
    windows.iter().map(mean).collect()
}

fn average_gradient(windows: &[Vec<Option<usize>>], g: &[f64], inputs: usize) -> Vec<f64> {
    let mut dx = vec![0.0; inputs];
    for (window, g) in windows.iter().zip(g) {
        for at in window.iter().flatten() {
            dx[*at] += g / window.len() as f64;
        }
    }
    dx
}

fn check_average(shape: &Pool2d, seed: u64) {
    let windows = windows(shape);
    let x = numbers(seed, shape.input_len());
    let g = numbers(seed + 1, windows.len());
    let y64 = average(&windows, &doubles(&x));
    let dx64 = average_gradient(&windows, &doubles(&g), x.len());
    let window = shape.kernel[0] * shape.kernel[1];
    for kernels in all_kernels() {
        let isa = kernels.isa();
        let what = format!("{isa:?}, {shape:?}");
        let mut y = vec![f32::NAN; g.len()];
        kernels.average_pool2d_forward(shape, &x, &mut y).unwrap();
        // The division by the window size offsets the number of terms.
        assert_close(&format!("output, {what}"), &y, &y64, 1);
        let mut dx = vec![f32::NAN; x.len()];
        kernels.average_pool2d_backward(shape, &g, &mut dx).unwrap();
        assert_close(
            &format!("input gradient, {what}"),
            &dx,
            &dx64,
            window.min(4),
        );
    }
}

/// Few different values, so that the maximum of many windows is tied.
fn ties(seed: u64, len: usize) -> Vec<f32> {
    let coarse = |x: f32| (x * 2.0).floor();
    numbers(seed, len).into_iter().map(coarse).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn random_shapes_agree_with_the_reference(shape in shapes(), seed in 0u64..1000) {
        check_max(&shape, &numbers(seed, shape.input_len()), seed + 1);
        check_average(&shape, seed);
    }

    #[test]
    fn the_first_of_tied_values_is_the_maximum(shape in shapes(), seed in 0u64..1000) {
        check_max(&shape, &ties(seed, shape.input_len()), seed);
    }

    #[test]
    fn nan_is_the_maximum(shape in shapes(), seed in 0u64..1000) {
        let mut x = ties(seed, shape.input_len());
        for x in x.iter_mut().filter(|x| **x == 0.0) {
            *x = f32::NAN;
        }
        check_max(&shape, &x, seed);
    }
}

fn shape(size: [usize; 2], kernel: [usize; 2], stride: [usize; 2]) -> Pool2d {
    Pool2d {
        batch: 3,
        channels: 19,
        height: size[0],
        width: size[1],
        kernel,
        stride,
        padding: [0, 0],
    }
}

#[test]
fn chosen_shapes_agree_with_the_reference() {
    for shape in [
        // Windows that overlap, touch or leave gaps, and pixels at the end that no window reaches.
        shape([9, 11], [3, 3], [1, 1]),
        shape([9, 11], [3, 3], [2, 2]),
        shape([8, 12], [2, 2], [2, 2]),
        shape([10, 9], [2, 2], [3, 4]),
        shape([9, 9], [1, 1], [5, 5]),
        shape([7, 6], [2, 3], [7, 1]),
        // As large as the image, in one direction or both.
        shape([5, 7], [5, 7], [1, 1]),
        shape([5, 7], [5, 1], [9, 1]),
        shape([1, 1], [1, 1], [1, 1]),
        Pool2d::global(2, 64, 8, 8),
        // The pool after the first convolution of a ResNet, for even and odd sides.
        Pool2d {
            padding: [1, 1],
            ..shape([14, 9], [3, 3], [2, 2])
        },
        // Windows of which the first or last row is padding alone.
        Pool2d {
            padding: [2, 1],
            ..shape([3, 7], [4, 3], [1, 1])
        },
        Pool2d {
            padding: [1, 1],
            ..shape([1, 1], [3, 3], [1, 1])
        },
    ] {
        check_max(&shape, &numbers(3, shape.input_len()), 4);
        check_average(&shape, 3);
    }
}

/// The last pixel of the largest allowed window has the largest position that `u16` can hold.
#[test]
fn the_largest_window() {
    let shape = Pool2d::global(1, 2, 256, 256);
    let mut x = numbers(1, shape.input_len());
    let last = x.len() - 1;
    x[last] = 2.0;
    for kernels in all_kernels() {
        let (y, positions) = max_forward(&kernels, &shape, &x);
        assert_eq!((y[1], positions[1]), (2.0, u16::MAX));
    }
    check_max(&shape, &x, 1);
}

#[test]
fn minus_infinity_everywhere_is_a_maximum() {
    let shape = shape([4, 4], [2, 2], [2, 2]);
    check_max(&shape, &vec![f32::NEG_INFINITY; shape.input_len()], 1);
}

/// Checks the gradients of the references against finite differences. No two numbers of a window
/// are so close that the differences would move the maximum.
#[test]
fn the_references_are_gradients() {
    for shape in [
        shape([5, 4], [3, 2], [1, 1]),
        shape([5, 5], [2, 2], [3, 2]),
        shape([3, 4], [3, 4], [1, 1]),
        Pool2d {
            padding: [1, 1],
            ..shape([5, 4], [3, 3], [2, 2])
        },
    ] {
        let windows = windows(&shape);
        let x = numbers(5, shape.input_len());
        let g = doubles(&numbers(6, windows.len()));
        let dx = average_gradient(&windows, &g, x.len());
        let f = |x: &[f64]| dot(&g, &average(&windows, x));
        assert_gradient("average", f, &doubles(&x), &dx);
        let mut dx = vec![0.0; x.len()];
        for (window, g) in windows.iter().zip(&g) {
            dx[window[argmax(window, &x)].unwrap()] += g;
        }
        let f = |x: &[f64]| {
            let largest = |w: &Vec<Option<usize>>| {
                w.iter().flatten().map(|at| x[*at]).fold(f64::MIN, f64::max)
            };
            dot(&g, &windows.iter().map(largest).collect::<Vec<f64>>())
        };
        assert_gradient("maximum", f, &doubles(&x), &dx);
    }
}
