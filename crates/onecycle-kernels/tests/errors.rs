//! What does not fit is refused with the argument's name, and nothing is written.
#![allow(clippy::unwrap_used)] // A failed call fails the test.

mod common;

use onecycle_kernels::*;

/// Fills every slice before a call: what it must still hold after an error.
const BEFORE: f32 = 7.0;

type Result = std::result::Result<(), KernelError>;

/// A function with its slices: name and length of each, and a call with slices of given lengths, in this order.
struct Function {
    name: &'static str,
    slices: Vec<(&'static str, usize)>,
    call: Box<dyn Fn(&mut [Vec<f32>]) -> Result>,
}

fn function(
    name: &'static str,
    slices: &[(&'static str, usize)],
    call: impl Fn(&mut [Vec<f32>]) -> Result + 'static,
) -> Function {
    Function {
        name,
        slices: slices.to_vec(),
        call: Box::new(call),
    }
}

impl Function {
    /// Calls it with slices of these lengths, and checks that an error leaves them alone.
    fn run(&self, lengths: &[usize]) -> Result {
        let mut slices: Vec<Vec<f32>> = lengths.iter().map(|&len| vec![BEFORE; len]).collect();
        let result = (self.call)(&mut slices);
        if result.is_err() {
            for (slice, (name, _)) in slices.iter().zip(&self.slices) {
                let kept = slice.iter().all(|&x| x == BEFORE);
                assert!(kept, "{}: wrote to `{name}`", self.name);
            }
        }
        result
    }
}

/// As [`BEFORE`], for indices.
const CHOSEN: u16 = 3;

/// `chosen` of the length of a slice of floats that stands for it.
fn with_chosen(len: usize, call: impl FnOnce(&mut [u16]) -> Result) -> Result {
    let mut chosen = vec![CHOSEN; len];
    let result = call(&mut chosen);
    if result.is_err() {
        assert!(chosen.iter().all(|&x| x == CHOSEN), "wrote to `chosen`");
    }
    result
}

fn convolutions(shape: Conv2d, [x, w, b, y]: [usize; 4]) -> Vec<Function> {
    let path = Path::detect();
    vec![
        function(
            "conv2d_forward",
            &[("input", x), ("weights", w), ("bias", b), ("output", y)],
            move |slices| {
                let [x, w, b, y] = slices else { unreachable!() };
                let bias = Some(&b[..]);
                let epilogue = Epilogue { bias, relu: true };
                conv2d_forward(&Workspace::new(), path, &shape, x, w, epilogue, y)
            },
        ),
        function(
            "conv2d_backward_data",
            &[
                ("output_gradient", y),
                ("weights", w),
                ("input_gradient", x),
            ],
            move |slices| {
                let [g, w, dx] = slices else { unreachable!() };
                conv2d_backward_data(&Workspace::new(), path, &shape, g, w, dx)
            },
        ),
        function(
            "conv2d_backward_weights",
            &[("input", x), ("output_gradient", y), ("weight_gradient", w)],
            move |slices| {
                let [x, g, dw] = slices else { unreachable!() };
                conv2d_backward_weights(&Workspace::new(), path, &shape, x, g, dw)
            },
        ),
    ]
}

fn pools(shape: Pool2d, [x, y]: [usize; 2]) -> Vec<Function> {
    let path = Path::detect();
    vec![
        function(
            "max_pool2d_forward",
            &[("input", x), ("output", y), ("chosen", y)],
            move |slices| {
                let [x, y, chosen] = slices else {
                    unreachable!()
                };
                with_chosen(chosen.len(), |c| max_pool2d_forward(path, &shape, x, y, c))
            },
        ),
        function(
            "max_pool2d_backward",
            &[("output_gradient", y), ("chosen", y), ("input_gradient", x)],
            move |slices| {
                let [g, chosen, dx] = slices else {
                    unreachable!()
                };
                with_chosen(chosen.len(), |c| {
                    max_pool2d_backward(path, &shape, g, c, dx)
                })
            },
        ),
        function(
            "average_pool2d_forward",
            &[("input", x), ("output", y)],
            move |slices| {
                let [x, y] = slices else { unreachable!() };
                average_pool2d_forward(path, &shape, x, y)
            },
        ),
        function(
            "average_pool2d_backward",
            &[("output_gradient", y), ("input_gradient", x)],
            move |slices| {
                let [g, dx] = slices else { unreachable!() };
                average_pool2d_backward(path, &shape, g, dx)
            },
        ),
    ]
}

fn statistics(mean: &[f32], variance: &[f32]) -> Statistics {
    Statistics {
        mean: mean.to_vec(),
        variance: variance.to_vec(),
    }
}

fn norms(shape: Pixels, [n, c]: [usize; 2]) -> Vec<Function> {
    let path = Path::detect();
    let epsilon = 1e-5;
    vec![
        function("channel_sums", &[("input", n)], move |slices| {
            channel_sums(path, &shape, &slices[0]).map(|_| ())
        }),
        function("batch_norm_statistics", &[("input", n)], move |slices| {
            batch_norm_statistics(path, &shape, &slices[0]).map(|_| ())
        }),
        function(
            "batch_norm_forward",
            &[
                ("mean", c),
                ("variance", c),
                ("weight", c),
                ("bias", c),
                ("input", n),
                ("residual", n),
                ("output", n),
            ],
            move |slices| {
                let [mean, variance, weight, bias, x, r, y] = slices else {
                    unreachable!()
                };
                let statistics = statistics(mean, variance);
                let affine = Affine {
                    weight,
                    bias,
                    epsilon,
                };
                batch_norm_forward(path, &shape, &statistics, affine, x, Some(r), true, y)
            },
        ),
        function(
            "batch_norm_backward_sums",
            &[
                ("mean", c),
                ("variance", c),
                ("input", n),
                ("output", n),
                ("gradient", n),
            ],
            move |slices| {
                let [mean, variance, x, y, g] = slices else {
                    unreachable!()
                };
                let statistics = statistics(mean, variance);
                batch_norm_backward_sums(path, &shape, &statistics, epsilon, x, Some(y), g)
                    .map(|_| ())
            },
        ),
        function(
            "batch_norm_backward_input",
            &[
                ("mean", c),
                ("variance", c),
                ("weight", c),
                ("sums", c),
                ("sums", c),
                ("input", n),
                ("gradient", n),
                ("input_gradient", n),
            ],
            move |slices| {
                let [mean, variance, weight, dw, db, x, g, dx] = slices else {
                    unreachable!()
                };
                let statistics = statistics(mean, variance);
                let affine = Affine {
                    weight,
                    bias: &[],
                    epsilon,
                };
                let sums = AffineGradient {
                    weight: dw.clone(),
                    bias: db.clone(),
                };
                let target = Some(&mut dx[..]);
                batch_norm_backward_input(path, &shape, &statistics, affine, &sums, x, g, target)
            },
        ),
    ]
}

const SGD: Sgd = Sgd {
    lr: 0.1,
    momentum: 0.9,
    dampening: 0.0,
    weight_decay: 0.0,
    decoupled: false,
    nesterov: false,
    gradient_scale: 1.0,
};

const ADAM: Adam = Adam {
    lr_corrected: 0.1,
    beta1: 0.9,
    beta2: 0.999,
    root_correction: 1.0,
    eps: 1e-8,
    weight_decay: 0.0,
    shrink: 1.0,
    gradient_scale: 1.0,
};

/// Functions without a shape of their own: the length of one slice sets the others'.
fn shapeless() -> Vec<Function> {
    let path = Path::detect();
    vec![
        function("relu_forward", &[("output", 9)], move |slices| {
            relu_forward(path, &[1.0; 9], &mut slices[0])
        }),
        function("relu_backward", &[("output", 9)], move |slices| {
            let mut gradient = [BEFORE; 9];
            let result = relu_backward(path, &slices[0], &mut gradient);
            assert_eq!(gradient, [BEFORE; 9]);
            result
        }),
        function("add", &[("other", 9)], move |slices| {
            let mut target = [BEFORE; 9];
            let result = add(path, &mut target, &slices[0]);
            assert_eq!(result.is_err(), target == [BEFORE; 9]);
            result
        }),
        function(
            "cross_entropy",
            &[("logits", 12), ("gradient", 12)],
            move |slices| {
                let [logits, gradient] = slices else {
                    unreachable!()
                };
                cross_entropy(path, 4, 0.1, logits, &[0, 1, 2], gradient).map(|_| ())
            },
        ),
        function("sgd", &[("velocity", 9), ("gradient", 9)], move |slices| {
            let [velocity, gradient] = slices else {
                unreachable!()
            };
            let mut w = [BEFORE; 9];
            let result = sgd(path, &SGD, false, &mut w, velocity, gradient);
            assert_eq!(result.is_err(), w == [BEFORE; 9]);
            result
        }),
        function(
            "adam",
            &[("mean", 9), ("square", 9), ("gradient", 9)],
            move |slices| {
                let [mean, square, gradient] = slices else {
                    unreachable!()
                };
                let mut w = [BEFORE; 9];
                let result = adam(path, &ADAM, &mut w, mean, square, gradient);
                assert_eq!(result.is_err(), w == [BEFORE; 9]);
                result
            },
        ),
    ]
}

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
    let too_large = (1 << 15) + 1;
    let dimension = Refusal::Dimension;
    for (shape, refusal) in [
        (Conv2d { batch: 0, ..CONV }, dimension("batch", 0)),
        (
            Conv2d {
                in_channels: 0,
                ..CONV
            },
            dimension("in_channels", 0),
        ),
        (
            Conv2d {
                out_channels: 0,
                ..CONV
            },
            dimension("out_channels", 0),
        ),
        (Conv2d { height: 0, ..CONV }, dimension("height", 0)),
        (Conv2d { width: 0, ..CONV }, dimension("width", 0)),
        (
            Conv2d {
                kernel: [0, 2],
                ..CONV
            },
            dimension("kernel", 0),
        ),
        (
            Conv2d {
                kernel: [3, 0],
                ..CONV
            },
            dimension("kernel", 0),
        ),
        (
            Conv2d {
                stride: [0, 1],
                ..CONV
            },
            dimension("stride", 0),
        ),
        (
            Conv2d {
                stride: [2, 0],
                ..CONV
            },
            dimension("stride", 0),
        ),
        (
            Conv2d {
                kernel: [9, 2],
                ..CONV
            },
            Refusal::Window(9, 8),
        ),
        (
            Conv2d {
                kernel: [3, 8],
                ..CONV
            },
            Refusal::Window(8, 7),
        ),
        (
            Conv2d {
                height: too_large,
                ..CONV
            },
            dimension("size", too_large),
        ),
        (
            Conv2d {
                width: usize::MAX,
                ..CONV
            },
            dimension("size", usize::MAX),
        ),
        (
            Conv2d {
                kernel: [too_large, 2],
                ..CONV
            },
            dimension("kernel", too_large),
        ),
        (
            Conv2d {
                stride: [2, too_large],
                ..CONV
            },
            dimension("stride", too_large),
        ),
        (
            Conv2d {
                padding: [usize::MAX, 0],
                ..CONV
            },
            dimension("padding", usize::MAX),
        ),
        (
            Conv2d {
                batch: usize::MAX,
                ..CONV
            },
            Refusal::Size("batch"),
        ),
        (
            Conv2d {
                in_channels: usize::MAX / 2,
                ..CONV
            },
            Refusal::Size("batch"),
        ),
        (
            Conv2d {
                out_channels: usize::MAX,
                ..CONV
            },
            Refusal::Size("batch"),
        ),
        (
            Conv2d {
                in_channels: 1 << 30,
                out_channels: 1 << 30,
                ..CONV
            },
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
    let dimension = Refusal::Dimension;
    for (shape, refusal) in [
        (Pool2d { batch: 0, ..POOL }, dimension("batch", 0)),
        (
            Pool2d {
                channels: 0,
                ..POOL
            },
            dimension("channels", 0),
        ),
        (Pool2d { height: 0, ..POOL }, dimension("height", 0)),
        (Pool2d { width: 0, ..POOL }, dimension("width", 0)),
        (
            Pool2d {
                kernel: [0, 2],
                ..POOL
            },
            dimension("kernel", 0),
        ),
        (
            Pool2d {
                kernel: [3, 0],
                ..POOL
            },
            dimension("kernel", 0),
        ),
        (
            Pool2d {
                stride: [0, 1],
                ..POOL
            },
            dimension("stride", 0),
        ),
        (
            Pool2d {
                stride: [2, 0],
                ..POOL
            },
            dimension("stride", 0),
        ),
        (
            Pool2d {
                kernel: [7, 2],
                ..POOL
            },
            Refusal::Window(7, 6),
        ),
        (
            Pool2d {
                kernel: [3, usize::MAX],
                ..POOL
            },
            Refusal::Window(usize::MAX, 7),
        ),
        (Pool2d::global(1, 1, 257, 256), dimension("kernel", 257)),
        (
            Pool2d {
                batch: usize::MAX,
                ..POOL
            },
            Refusal::Size("batch"),
        ),
        (
            Pool2d {
                channels: usize::MAX / 3,
                ..POOL
            },
            Refusal::Size("batch"),
        ),
        (
            Pool2d {
                width: usize::MAX,
                ..POOL
            },
            Refusal::Size("batch"),
        ),
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
