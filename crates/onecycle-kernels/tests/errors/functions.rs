//! Every public function, with the names and lengths of its slices.

use onecycle_kernels::*;

/// Fills every slice before a call: what it must still hold after an error.
const BEFORE: f32 = 7.0;

pub type Result = std::result::Result<(), KernelError>;

type Call = dyn Fn(&mut [Vec<f32>]) -> Result;

/// A function with its slices: name and length of each, and a call with slices of given lengths, in this order.
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
    /// Calls it with slices of these lengths, and checks that an error leaves them alone.
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

pub fn convolutions(shape: Conv2d, [x, w, b, y]: [usize; 4]) -> Vec<Function> {
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

pub fn pools(shape: Pool2d, [x, y]: [usize; 2]) -> Vec<Function> {
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

pub fn norms(shape: Pixels, [n, c]: [usize; 2]) -> Vec<Function> {
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
                let affine = Affine {
                    weight,
                    bias,
                    epsilon,
                };
                let mask = ReluMask::Output(y);
                batch_norm_backward_sums(path, &shape, &statistics, affine, x, mask, g).map(|_| ())
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
                let affine = Affine {
                    weight,
                    bias,
                    epsilon,
                };
                let sums = AffineGradient {
                    weight: dw.clone(),
                    bias: db.clone(),
                };
                let mask = ReluMask::Absent;
                InputGradient::new(&shape, &statistics, affine, &sums, x, mask, &g[..])?
                    .write(path, dx)
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
pub fn shapeless() -> Vec<Function> {
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
