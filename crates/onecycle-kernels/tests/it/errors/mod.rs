//! Wrong shapes and lengths are errors that name the argument, and nothing is written.

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
    padding: [[1; 2], [0; 2]],
    groups: 1,
};

const POOL: Pool2d = Pool2d {
    batch: 2,
    channels: 3,
    height: 6,
    width: 7,
    kernel: [3, 2],
    stride: [2, 1],
    padding: [0, 0],
};

const PIXELS: Pixels = Pixels {
    count: 10,
    channels: 3,
};

#[test]
fn every_wrong_length_is_an_error() {
    // The output of the convolution is 3 x 6, that of the pooling 2 x 6.
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

/// The expected error for an impossible shape.
#[derive(Clone, Copy, Debug)]
enum Expected {
    Dimension(&'static str, usize),
    Window(usize, usize),
    /// More elements than fit into the address space.
    Size(&'static str),
}

fn assert_error(function: &Function, shape: &dyn std::fmt::Debug, expected: Expected) {
    let lengths = vec![4; function.slices.len()];
    let got = function.run(&lengths);
    let matches = match (&got, expected) {
        (Err(KernelError::Dimension { name, value, .. }), Expected::Dimension(n, v)) => {
            (*name, *value) == (n, v)
        }
        (Err(KernelError::Window { window, padded }), Expected::Window(w, p)) => {
            (*window, *padded) == (w, p)
        }
        (Err(KernelError::Dimension { name, expected, .. }), Expected::Size(n)) => {
            *name == n && expected.contains("memory")
        }
        _ => false,
    };
    assert!(
        matches,
        "{}, {shape:?}: {got:?}, expected {expected:?}",
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
    let dimension = Expected::Dimension;
    for (shape, expected) in [
        (with(|s| s.batch = 0), dimension("batch", 0)),
        (with(|s| s.in_channels = 0), dimension("in_channels", 0)),
        (with(|s| s.out_channels = 0), dimension("out_channels", 0)),
        (with(|s| s.height = 0), dimension("height", 0)),
        (with(|s| s.width = 0), dimension("width", 0)),
        (with(|s| s.kernel = [0, 2]), dimension("kernel", 0)),
        (with(|s| s.kernel = [3, 0]), dimension("kernel", 0)),
        (with(|s| s.stride = [0, 1]), dimension("stride", 0)),
        (with(|s| s.stride = [2, 0]), dimension("stride", 0)),
        (with(|s| s.kernel = [9, 2]), Expected::Window(9, 8)),
        (with(|s| s.kernel = [3, 8]), Expected::Window(8, 7)),
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
            with(|s| s.padding = [[usize::MAX, 0], [0; 2]]),
            dimension("padding", usize::MAX),
        ),
        (
            with(|s| s.padding = [[0; 2], [0, 1 << 16]]),
            dimension("padding", 1 << 16),
        ),
        (with(|s| s.batch = usize::MAX), Expected::Size("batch")),
        (
            with(|s| s.in_channels = usize::MAX / 2),
            Expected::Size("batch"),
        ),
        (
            with(|s| s.out_channels = usize::MAX),
            Expected::Size("batch"),
        ),
        (
            with(|s| (s.in_channels, s.out_channels) = (1 << 30, 1 << 30)),
            Expected::Size("kernel"),
        ),
    ] {
        for function in convolutions(shape, [0; 4]) {
            assert_error(&function, &shape, expected);
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
    let dimension = Expected::Dimension;
    for (shape, expected) in [
        (with(|s| s.batch = 0), dimension("batch", 0)),
        (with(|s| s.channels = 0), dimension("channels", 0)),
        (with(|s| s.height = 0), dimension("height", 0)),
        (with(|s| s.width = 0), dimension("width", 0)),
        (with(|s| s.kernel = [0, 2]), dimension("kernel", 0)),
        (with(|s| s.kernel = [3, 0]), dimension("kernel", 0)),
        (with(|s| s.stride = [0, 1]), dimension("stride", 0)),
        (with(|s| s.stride = [2, 0]), dimension("stride", 0)),
        (with(|s| s.kernel = [7, 2]), Expected::Window(7, 6)),
        (
            with(|s| s.kernel = [3, usize::MAX]),
            Expected::Window(usize::MAX, 7),
        ),
        (with(|s| s.padding = [0, 2]), dimension("padding", 2)),
        (with(|s| s.padding = [2, 0]), dimension("padding", 2)),
        (Pool2d::global(1, 1, 257, 256), dimension("kernel", 257)),
        (with(|s| s.batch = usize::MAX), Expected::Size("batch")),
        (
            with(|s| s.channels = usize::MAX / 3),
            Expected::Size("batch"),
        ),
        (with(|s| s.width = usize::MAX), Expected::Size("batch")),
    ] {
        for function in pools(shape, [0; 2]) {
            assert_error(&function, &shape, expected);
        }
        assert!(shape.output().is_err() && shape.output_len().is_err());
    }
}

#[test]
fn impossible_pixels_are_errors() {
    for (count, channels, expected) in [
        (0, 3, Expected::Dimension("count", 0)),
        (10, 0, Expected::Dimension("channels", 0)),
        (usize::MAX, 3, Expected::Size("count")),
        (3, usize::MAX / 2, Expected::Size("count")),
    ] {
        let shape = Pixels { count, channels };
        for function in norms(shape, [0; 2]) {
            assert_error(&function, &shape, expected);
        }
        assert!(shape.elements().is_err());
    }
}

#[test]
fn a_loss_without_classes_or_labels_is_an_error() {
    for (classes, labels, expected) in [
        (0, vec![0, 1], "classes"),
        (3, vec![], "batch"),
        (usize::MAX, vec![0, 1], "batch"),
    ] {
        let loss = CrossEntropy {
            classes,
            label_smoothing: 0.0,
        };
        match Kernels::new().cross_entropy(loss, &[], &labels, &mut []) {
            Err(KernelError::Dimension { name, .. }) => assert_eq!(name, expected),
            other => panic!("{classes} classes: {other:?}"),
        }
    }
}

/// Messages contain the argument, its value and what is expected.
#[test]
fn messages_carry_the_values() {
    let message = |error: KernelError| error.to_string();
    let shape = Conv2d {
        kernel: [9, 2],
        ..CONV
    };
    let groups = Conv2d { groups: 3, ..CONV };
    let groups = message(groups.output().unwrap_err());
    assert!(groups.contains("`groups` is 3"), "{groups}");
    let window = message(shape.output().unwrap_err());
    assert!(window.contains('9') && window.contains('8'), "{window}");
    let length = Kernels::new().add(&mut [0.0; 3], &[0.0; 4]).unwrap_err();
    let length = message(length);
    assert!(
        length.contains("`other`") && length.contains('3') && length.contains('4'),
        "{length}"
    );
    let loss = CrossEntropy {
        classes: 3,
        label_smoothing: 0.0,
    };
    let value = Kernels::new().cross_entropy(loss, &[0.0; 3], &[5], &mut [0.0; 3]);
    let value = message(value.unwrap_err());
    assert!(value.contains("`labels`") && value.contains('5'), "{value}");
}
