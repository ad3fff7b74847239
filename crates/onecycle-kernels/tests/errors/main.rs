//! What does not fit is refused with the argument's name, and nothing is written.
#![allow(unreachable_pub, clippy::unwrap_used)] // A failed call fails the test.

mod functions;

use functions::*;
use onecycle_kernels::*;

const CONV: Conv2d = Conv2d {
    batch: 2,
    in_channels: 3,
    out_channels: 5,
    height: 6,
    width: 7,
    kernel: [3, 2],
    stride: [2, 1],
    padding: [1, 0],
};

const POOL: Pool2d = Pool2d {
    batch: 2,
    channels: 3,
    height: 6,
    width: 7,
    kernel: [3, 2],
    stride: [2, 1],
};

const PIXELS: Pixels = Pixels {
    count: 10,
    channels: 3,
};

#[test]
fn every_wrong_length_is_an_error() {
    // Output of the convolution 3 x 6, of the pooling 2 x 6.
    let functions = convolutions(CONV, [2 * 6 * 7 * 3, 5 * 3 * 3 * 2, 5, 2 * 3 * 6 * 5])
        .into_iter()
        .chain(pools(POOL, [2 * 6 * 7 * 3, 2 * 2 * 6 * 3]))
        .chain(norms(PIXELS, [30, 3]))
        .chain(shapeless());
    for function in functions {
        let right: Vec<usize> = function.slices.iter().map(|(_, len)| *len).collect();
        assert_eq!(function.run(&right), Ok(()), "{}", function.name);
        for (i, &(name, expected)) in function.slices.iter().enumerate() {
            for actual in [0, 1, expected - 1, expected + 1, 2 * expected] {
                let mut lengths = right.clone();
                lengths[i] = actual;
                let wanted = KernelError::Length {
                    name,
                    expected,
                    actual,
                };
                let got = function.run(&lengths);
                assert_eq!(got, Err(wanted), "{}, `{name}`", function.name);
            }
        }
    }
}

/// What an impossible shape is refused with.
#[derive(Clone, Copy, Debug)]
enum Refusal {
    Dimension(&'static str, usize),
    Window(usize, usize),
    /// More elements than there is address space.
    Size(&'static str),
}

fn assert_refused(function: &Function, shape: &dyn std::fmt::Debug, refusal: Refusal) {
    let lengths = vec![4; function.slices.len()];
    let got = function.run(&lengths);
    let fits = match (&got, refusal) {
        (Err(KernelError::Dimension { name, value, .. }), Refusal::Dimension(n, v)) => {
            (*name, *value) == (n, v)
        }
        (Err(KernelError::Window { window, padded }), Refusal::Window(w, p)) => {
            (*window, *padded) == (w, p)
        }
        (Err(KernelError::Dimension { name, expected, .. }), Refusal::Size(n)) => {
            *name == n && expected.contains("memory")
        }
        _ => false,
    };
    assert!(
        fits,
        "{}, {shape:?}: {got:?} for {refusal:?}",
        function.name
    );
}

#[test]
fn impossible_convolutions_are_errors() {
    const TOO_LARGE: usize = (1 << 15) + 1;
    let with = |change: fn(&mut Conv2d)| {
        let mut shape = CONV;
        change(&mut shape);
        shape
    };
    let dimension = Refusal::Dimension;
    for (shape, refusal) in [
        (with(|s| s.batch = 0), dimension("batch", 0)),
        (with(|s| s.in_channels = 0), dimension("in_channels", 0)),
        (with(|s| s.out_channels = 0), dimension("out_channels", 0)),
        (with(|s| s.height = 0), dimension("height", 0)),
        (with(|s| s.width = 0), dimension("width", 0)),
        (with(|s| s.kernel = [0, 2]), dimension("kernel", 0)),
        (with(|s| s.kernel = [3, 0]), dimension("kernel", 0)),
        (with(|s| s.stride = [0, 1]), dimension("stride", 0)),
        (with(|s| s.stride = [2, 0]), dimension("stride", 0)),
        (with(|s| s.kernel = [9, 2]), Refusal::Window(9, 8)),
        (with(|s| s.kernel = [3, 8]), Refusal::Window(8, 7)),
        (with(|s| s.height = TOO_LARGE), dimension("size", TOO_LARGE)),
        (
            with(|s| s.width = usize::MAX),
            dimension("size", usize::MAX),
        ),
        (
            with(|s| s.kernel = [TOO_LARGE, 2]),
            dimension("kernel", TOO_LARGE),
        ),
        (
            with(|s| s.stride = [2, TOO_LARGE]),
            dimension("stride", TOO_LARGE),
        ),
        (
            with(|s| s.padding = [usize::MAX, 0]),
            dimension("padding", usize::MAX),
        ),
        (with(|s| s.batch = usize::MAX), Refusal::Size("batch")),
        (
            with(|s| s.in_channels = usize::MAX / 2),
            Refusal::Size("batch"),
        ),
        (
            with(|s| s.out_channels = usize::MAX),
            Refusal::Size("batch"),
        ),
        (
            with(|s| (s.in_channels, s.out_channels) = (1 << 30, 1 << 30)),
            Refusal::Size("kernel"),
        ),
    ] {
        for function in convolutions(shape, [0; 4]) {
            assert_refused(&function, &shape, refusal);
        }
        assert!(shape.output().is_err() && shape.output_len().is_err() && shape.flops().is_err());
    }
}

#[test]
fn impossible_poolings_are_errors() {
    let with = |change: fn(&mut Pool2d)| {
        let mut shape = POOL;
        change(&mut shape);
        shape
    };
    let dimension = Refusal::Dimension;
    for (shape, refusal) in [
        (with(|s| s.batch = 0), dimension("batch", 0)),
        (with(|s| s.channels = 0), dimension("channels", 0)),
        (with(|s| s.height = 0), dimension("height", 0)),
        (with(|s| s.width = 0), dimension("width", 0)),
        (with(|s| s.kernel = [0, 2]), dimension("kernel", 0)),
        (with(|s| s.kernel = [3, 0]), dimension("kernel", 0)),
        (with(|s| s.stride = [0, 1]), dimension("stride", 0)),
        (with(|s| s.stride = [2, 0]), dimension("stride", 0)),
        (with(|s| s.kernel = [7, 2]), Refusal::Window(7, 6)),
        (
            with(|s| s.kernel = [3, usize::MAX]),
            Refusal::Window(usize::MAX, 7),
        ),
        (Pool2d::global(1, 1, 257, 256), dimension("kernel", 257)),
        (with(|s| s.batch = usize::MAX), Refusal::Size("batch")),
        (
            with(|s| s.channels = usize::MAX / 3),
            Refusal::Size("batch"),
        ),
        (with(|s| s.width = usize::MAX), Refusal::Size("batch")),
    ] {
        for function in pools(shape, [0; 2]) {
            assert_refused(&function, &shape, refusal);
        }
        assert!(shape.output().is_err() && shape.output_len().is_err());
    }
}

#[test]
fn impossible_pixels_are_errors() {
    for (count, channels, refusal) in [
        (0, 3, Refusal::Dimension("count", 0)),
        (10, 0, Refusal::Dimension("channels", 0)),
        (usize::MAX, 3, Refusal::Size("count")),
        (3, usize::MAX / 2, Refusal::Size("count")),
    ] {
        let shape = Pixels { count, channels };
        for function in norms(shape, [0; 2]) {
            assert_refused(&function, &shape, refusal);
        }
        assert!(shape.elements().is_err());
    }
}

#[test]
fn a_loss_over_nothing_is_an_error() {
    for (classes, labels, expected) in [
        (0, vec![0, 1], "classes"),
        (3, vec![], "batch"),
        (usize::MAX, vec![0, 1], "batch"),
    ] {
        match cross_entropy(Path::detect(), classes, 0.0, &[], &labels, &mut []) {
            Err(KernelError::Dimension { name, .. }) => assert_eq!(name, expected),
            other => panic!("{classes} classes: {other:?}"),
        }
    }
}

/// The message says what to look at: the argument, what it is and what is expected.
#[test]
fn messages_carry_the_values() {
    let message = |error: KernelError| error.to_string();
    let shape = Conv2d {
        kernel: [9, 2],
        ..CONV
    };
    let window = message(shape.output().unwrap_err());
    assert!(window.contains('9') && window.contains('8'), "{window}");
    let length = add(Path::detect(), &mut [0.0; 3], &[0.0; 4]).unwrap_err();
    let length = message(length);
    assert!(
        length.contains("`other`") && length.contains('3') && length.contains('4'),
        "{length}"
    );
    let value = cross_entropy(Path::detect(), 3, 0.0, &[0.0; 3], &[5], &mut [0.0; 3]);
    let value = message(value.unwrap_err());
    assert!(value.contains("`labels`") && value.contains('5'), "{value}");
}
