//! Every kernel, with the names and lengths of its slices.

use crate::common::doubles;
use onecycle_kernels::*;

/// Content of every slice before a call, which an error must leave unchanged.
const BEFORE: f32 = 7.0;

pub type Result = std::result::Result<(), KernelError>;

type Call = dyn Fn(&mut [Vec<f32>]) -> Result;

/// A kernel with the name and correct length of each slice.
pub struct Function {
    pub name: &'static str,
    pub slices: Vec<(&'static str, usize)>,
    call: Box<Call>,
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
    /// Calls it with slices of these lengths, and checks that an error leaves them unchanged.
    pub fn run(&self, lengths: &[usize]) -> Result {
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

/// Like [`BEFORE`], for positions.
const ARGMAX: u16 = 3;

/// Calls with an `argmax` slice of this length.
fn with_argmax(len: usize, call: impl FnOnce(&mut [u16]) -> Result) -> Result {
    let mut argmax = vec![ARGMAX; len];
    let result = call(&mut argmax);
    if result.is_err() {
        assert!(argmax.iter().all(|&x| x == ARGMAX), "wrote to `argmax`");
    }
    result
}

pub fn convolutions(shape: Conv2d, [x, w, b, y]: [usize; 4]) -> Vec<Function> {
    vec![
        function(
            "conv2d_forward",
            &[("input", x), ("weights", w), ("bias", b), ("output", y)],
            move |slices| {
                let [x, w, b, y] = slices else { unreachable!() };
                let bias = Some(&b[..]);
                let epilogue = Epilogue {
                    bias,
                    activation: Activation::Relu,
                };
                Kernels::new().conv2d_forward(&shape, x, w, epilogue, y)
            },
        ),
        function(
            "conv2d_gelu_backward",
            &[("input", x), ("weights", w), ("bias", b), ("gradient", y)],
            move |slices| {
                let [x, w, b, g] = slices else { unreachable!() };
                Kernels::new()
                    .conv2d_gelu_backward(&shape, x, w, Some(b), g)
                    .map(|_| ())
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
                Kernels::new().conv2d_backward_data(&shape, g, w, dx)
            },
        ),
        function(
            "conv2d_backward_weights",
            &[("input", x), ("output_gradient", y), ("weight_gradient", w)],
            move |slices| {
                let [x, g, dw] = slices else { unreachable!() };
                Kernels::new().conv2d_backward_weights(&shape, x, g, dw)
            },
        ),
        function(
            "conv2d_backward_activated",
            &[
                ("input", x),
                ("weights", w),
                ("gradient", y),
                ("output", y),
                ("weight_gradient", w),
                ("input_gradient", x),
                ("bias", b),
            ],
            move |slices| {
                let [x, w, g, y, dw, dx, db] = slices else {
                    unreachable!()
                };
                let gradient = ActivatedGradient {
                    values: IncomingGradient::Spent(g),
                    mask: Mask::OfReluOutput(y),
                };
                let targets = Conv2dGradients {
                    weights: Some(dw),
                    input: Some(dx),
                };
                Kernels::new().conv2d_backward_activated(&shape, x, w, gradient, targets, Some(db))
            },
        ),
    ]
}

pub fn pools(shape: Pool2d, [x, y]: [usize; 2]) -> Vec<Function> {
    vec![
        function(
            "max_pool2d_forward",
            &[("input", x), ("output", y), ("argmax", y)],
            move |slices| {
                let [x, y, argmax] = slices else {
                    unreachable!()
                };
                with_argmax(argmax.len(), |a| {
                    Kernels::new().max_pool2d_forward(&shape, x, y, a)
                })
            },
        ),
        function(
            "max_pool2d_backward",
            &[("output_gradient", y), ("argmax", y), ("input_gradient", x)],
            move |slices| {
                let [g, argmax, dx] = slices else {
                    unreachable!()
                };
                with_argmax(argmax.len(), |a| {
                    Kernels::new().max_pool2d_backward(&shape, g, a, dx)
                })
            },
        ),
        function(
            "average_pool2d_forward",
            &[("input", x), ("output", y)],
            move |slices| {
                let [x, y] = slices else { unreachable!() };
                Kernels::new().average_pool2d_forward(&shape, x, y)
            },
        ),
        function(
            "average_pool2d_backward",
            &[("output_gradient", y), ("input_gradient", x)],
            move |slices| {
                let [g, dx] = slices else { unreachable!() };
                Kernels::new().average_pool2d_backward(&shape, g, dx)
            },
        ),
    ]
}

fn statistics(mean: &[f32], variance: &[f32]) -> Statistics {
    Statistics {
        mean: doubles(mean),
        variance: doubles(variance),
    }
}

pub fn norms(pixels: Pixels, [n, c]: [usize; 2]) -> Vec<Function> {
    let epsilon = 1e-5;
    vec![
        function("channel_sums", &[("input", n)], move |slices| {
            Kernels::new().channel_sums(&pixels, &slices[0]).map(|_| ())
        }),
        function("batch_norm_statistics", &[("input", n)], move |slices| {
            Kernels::new()
                .batch_norm_statistics(&pixels, &slices[0])
                .map(|_| ())
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
                let norm = BatchNorm {
                    pixels,
                    statistics: &statistics,
                    weight,
                    bias,
                    epsilon,
                };
                let epilogue = NormEpilogue {
                    residual: Some(r),
                    activation: Activation::Relu,
                };
                Kernels::new().batch_norm_forward(&norm, x, epilogue, y)
            },
        ),
        function(
            "batch_norm_backward_sums",
            &[
                ("mean", c),
                ("variance", c),
                ("weight", c),
                ("bias", c),
                ("input", n),
                ("output", n),
                ("gradient", n),
            ],
            move |slices| {
                let [mean, variance, weight, bias, x, y, g] = slices else {
                    unreachable!()
                };
                let statistics = statistics(mean, variance);
                let norm = BatchNorm {
                    pixels,
                    statistics: &statistics,
                    weight,
                    bias,
                    epsilon,
                };
                let mask = Derivative::OfReluOutput(y);
                Kernels::new()
                    .batch_norm_backward_sums(&norm, x, mask, g)
                    .map(|_| ())
            },
        ),
        function(
            "InputGradient::write",
            &[
                ("mean", c),
                ("variance", c),
                ("weight", c),
                ("bias", c),
                ("sums", c),
                ("sums", c),
                ("input", n),
                ("gradient", n),
                ("input_gradient", n),
            ],
            move |slices| {
                let [mean, variance, weight, bias, dw, db, x, g, dx] = slices else {
                    unreachable!()
                };
                let statistics = statistics(mean, variance);
                let norm = BatchNorm {
                    pixels,
                    statistics: &statistics,
                    weight,
                    bias,
                    epsilon,
                };
                let sums = AffineGradient {
                    weight: dw.clone(),
                    bias: db.clone(),
                };
                let mask = Derivative::One;
                InputGradient::new(&norm, &sums, x, mask, &g[..])?.write(&Kernels::new(), dx)
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

/// Kernels without a shape: the length of one slice determines the others.
pub fn shapeless() -> Vec<Function> {
    vec![
        function("relu_forward", &[("output", 9)], move |slices| {
            Kernels::new().relu_forward(&[1.0; 9], &mut slices[0])
        }),
        function("relu_backward", &[("output", 9)], move |slices| {
            let mut gradient = [BEFORE; 9];
            let result = Kernels::new().relu_backward(&slices[0], &mut gradient);
            assert_eq!(gradient, [BEFORE; 9]);
            result
        }),
        function("gelu_forward", &[("output", 9)], move |slices| {
            Kernels::new().gelu_forward(&[1.0; 9], &mut slices[0])
        }),
        function("relu6_backward", &[("output", 9)], move |slices| {
            let mut gradient = [BEFORE; 9];
            let result = Kernels::new().relu6_backward(&slices[0], &mut gradient);
            assert!(result.is_ok() || gradient == [BEFORE; 9]);
            result
        }),
        function("gelu_backward", &[("input", 9)], move |slices| {
            let mut gradient = [BEFORE; 9];
            let result = Kernels::new().gelu_backward(&slices[0], &mut gradient);
            assert!(result.is_ok() || gradient == [BEFORE; 9]);
            result
        }),
        function("add", &[("other", 9)], move |slices| {
            let mut target = [BEFORE; 9];
            let result = Kernels::new().add(&mut target, &slices[0]);
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
                let loss = CrossEntropy {
                    classes: 4,
                    label_smoothing: 0.1,
                };
                Kernels::new()
                    .cross_entropy(loss, logits, &[0, 1, 2], gradient)
                    .map(|_| ())
            },
        ),
        function(
            "weighted_cross_entropy",
            &[("weights", 4), ("logits", 12), ("gradient", 12)],
            move |slices| {
                let [weights, logits, gradient] = slices else {
                    unreachable!()
                };
                let loss = CrossEntropy {
                    classes: 4,
                    label_smoothing: 0.1,
                };
                let weights = vec![1.0; weights.len()];
                Kernels::new()
                    .weighted_cross_entropy(loss, &weights, logits, &[0, 1, 2], gradient)
                    .map(|_| ())
            },
        ),
        function(
            "sgd",
            &[("momentum_buffer", 9), ("gradient", 9)],
            move |slices| {
                let [buffer, gradient] = slices else {
                    unreachable!()
                };
                let mut w = [BEFORE; 9];
                let buffer = MomentumBuffer::Previous(buffer);
                let result = Kernels::new().sgd(&SGD, &mut w, buffer, gradient);
                assert_eq!(result.is_err(), w == [BEFORE; 9]);
                result
            },
        ),
        function(
            "adam",
            &[("exp_avg", 9), ("exp_avg_sq", 9), ("gradient", 9)],
            move |slices| {
                let [exp_avg, exp_avg_sq, gradient] = slices else {
                    unreachable!()
                };
                let mut w = [BEFORE; 9];
                let state = AdamState {
                    exp_avg,
                    exp_avg_sq,
                };
                let result = Kernels::new().adam(&ADAM, &mut w, state, gradient);
                assert_eq!(result.is_err(), w == [BEFORE; 9]);
                result
            },
        ),
    ]
}
