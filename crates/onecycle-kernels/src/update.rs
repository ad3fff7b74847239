//! Updates of parameters, each in one pass over memory: weight, gradient and state are read once and written once.
//!
//! The formulas are PyTorch's, in its order. Rates are given in double precision and rounded once.

use crate::error::{KernelError, check_len};
use crate::parallel::{for_chunk_pairs, for_chunks};
use crate::simd::{Loops, Path, vectorised};

/// Floats that are worked on together.
const PIECE: usize = 1 << 14;

/// One step of SGD: see [`sgd`].
#[derive(Clone, Copy, Debug)]
pub struct Sgd {
    /// Learning rate.
    pub lr: f64,
    /// Momentum; with 0 the velocity is left as it is.
    pub momentum: f64,
    /// Share of the new gradient that does not enter the velocity.
    pub dampening: f64,
    /// Factor of the weights that joins the gradient.
    pub weight_decay: f64,
    /// Whether the weights shrink by `lr * weight_decay` instead.
    pub decoupled: bool,
    /// Whether the step looks ahead (Sutskever et al. 2013).
    pub nesterov: bool,
    /// Factor on the gradient, from clipping; 1 leaves it.
    pub gradient_scale: f64,
}

/// ```text
/// g' = scale g + weight_decay w                       (decoupled: w' = w (1 - lr weight_decay), g' = scale g)
/// v  = momentum v + (1 - dampening) g'                (first step: v = g')
/// w  = w' - lr (nesterov: g' + momentum v, else v)    (momentum 0: g')
/// ```
/// `first` says that there is no velocity yet; `velocity` is overwritten then.
///
/// # Errors
/// Slices of different lengths.
pub fn sgd(
    path: Path,
    step: &Sgd,
    first: bool,
    weights: &mut [f32],
    velocity: &mut [f32],
    gradient: &[f32],
) -> Result<(), KernelError> {
    check_len("gradient", gradient, weights.len())?;
    if step.momentum != 0.0 {
        check_len("velocity", velocity, weights.len())?;
    }
    let scale = step.gradient_scale as f32;
    let (decay, shrink) = if step.decoupled {
        (0.0, (1.0 - step.lr * step.weight_decay) as f32)
    } else {
        (step.weight_decay as f32, 1.0)
    };
    let lr = step.lr as f32;
    let momentum = step.momentum as f32;
    let (keep, take) = if first {
        (0.0, 1.0)
    } else {
        (momentum, (1.0 - step.dampening) as f32)
    };
    // Nesterov's step is g + momentum v, the plain one v.
    let (on_gradient, on_velocity) = if step.nesterov {
        (1.0, momentum)
    } else {
        (0.0, 1.0)
    };
    let factors = SgdFactors {
        scale,
        decay,
        shrink,
        lr,
        keep,
        take,
        on_gradient,
        on_velocity,
    };
    if step.momentum == 0.0 {
        for_chunks(weights, PIECE, |index, weights| {
            let gradient = &gradient[index * PIECE..];
            vectorised(
                path,
                Plain {
                    factors,
                    weights,
                    gradient,
                },
            );
        });
        return Ok(());
    }
    if first {
        velocity.fill(0.0);
    }
    for_chunk_pairs(
        (weights, velocity),
        [PIECE; 2],
        |index, weights, velocity| {
            let gradient = &gradient[index * PIECE..];
            vectorised(
                path,
                WithVelocity {
                    factors,
                    weights,
                    velocity,
                    gradient,
                },
            );
        },
    );
    Ok(())
}

/// One step of Adam or AdamW: see [`adam`].
#[derive(Clone, Copy, Debug)]
pub struct Adam {
    /// Learning rate, divided by the mean's bias correction.
    pub lr_corrected: f64,
    /// Decay of the running mean.
    pub beta1: f64,
    /// Decay of the running mean of squares.
    pub beta2: f64,
    /// Root of the squares' bias correction.
    pub root_correction: f64,
    /// Added to the denominator.
    pub eps: f64,
    /// Factor of the weights that joins the gradient (Adam).
    pub weight_decay: f64,
    /// Factor by which the weights shrink (AdamW); 1 leaves them.
    pub shrink: f64,
    /// Factor on the gradient, from clipping; 1 leaves it.
    pub gradient_scale: f64,
}

/// ```text
/// g' = scale g + weight_decay w
/// m  = beta1 m + (1 - beta1) g'
/// q  = beta2 q + (1 - beta2) g'²
/// w  = shrink w - lr_corrected m / (√q / root_correction + eps)
/// ```
/// Mean and square start at 0.
///
/// # Errors
/// Slices of different lengths.
pub fn adam(
    path: Path,
    step: &Adam,
    weights: &mut [f32],
    mean: &mut [f32],
    square: &mut [f32],
    gradient: &[f32],
) -> Result<(), KernelError> {
    check_len("gradient", gradient, weights.len())?;
    check_len("mean", mean, weights.len())?;
    check_len("square", square, weights.len())?;
    let [scale, decay, shrink] =
        [step.gradient_scale, step.weight_decay, step.shrink].map(|x| x as f32);
    let [beta1, rest1, beta2, rest2] =
        [step.beta1, 1.0 - step.beta1, step.beta2, 1.0 - step.beta2].map(|x| x as f32);
    let [lr, root, eps] = [step.lr_corrected, step.root_correction, step.eps].map(|x| x as f32);
    let factors = AdamFactors {
        scale,
        decay,
        shrink,
        beta1,
        rest1,
        beta2,
        rest2,
        lr,
        root,
        eps,
    };
    // Three slices change; mean and square are taken as one list of pairs of pieces.
    let mut state: Vec<(&mut [f32], &mut [f32])> = mean
        .chunks_mut(PIECE)
        .zip(square.chunks_mut(PIECE))
        .collect();
    for_chunk_pairs(
        (weights, &mut state),
        [PIECE, 1],
        |index, weights, state| {
            let gradient = &gradient[index * PIECE..];
            let [(mean, square)] = state else { return };
            vectorised(
                path,
                AdamPiece {
                    factors,
                    weights,
                    mean,
                    square,
                    gradient,
                },
            );
        },
    );
    Ok(())
}

/// The numbers of a step of SGD, rounded.
#[derive(Clone, Copy)]
struct SgdFactors {
    scale: f32,
    decay: f32,
    shrink: f32,
    lr: f32,
    /// Of the velocity, and of the gradient that joins it.
    keep: f32,
    take: f32,
    /// What the step takes of either.
    on_gradient: f32,
    on_velocity: f32,
}

/// A piece of a step without momentum.
struct Plain<'a> {
    factors: SgdFactors,
    weights: &'a mut [f32],
    gradient: &'a [f32],
}

impl Loops for Plain<'_> {
    #[inline(always)]
    fn run(self) {
        let f = self.factors;
        for (w, g) in self.weights.iter_mut().zip(self.gradient) {
            *w = *w * f.shrink - f.lr * (g * f.scale + f.decay * *w);
        }
    }
}

/// A piece of a step with momentum.
struct WithVelocity<'a> {
    factors: SgdFactors,
    weights: &'a mut [f32],
    velocity: &'a mut [f32],
    gradient: &'a [f32],
}

impl Loops for WithVelocity<'_> {
    #[inline(always)]
    fn run(self) {
        let f = self.factors;
        let state = self.weights.iter_mut().zip(self.velocity);
        for ((w, v), g) in state.zip(self.gradient) {
            let g = g * f.scale + f.decay * *w;
            *v = *v * f.keep + g * f.take;
            *w = *w * f.shrink - f.lr * (g * f.on_gradient + *v * f.on_velocity);
        }
    }
}

/// The numbers of a step of Adam, rounded.
#[derive(Clone, Copy)]
struct AdamFactors {
    scale: f32,
    decay: f32,
    shrink: f32,
    beta1: f32,
    rest1: f32,
    beta2: f32,
    rest2: f32,
    lr: f32,
    root: f32,
    eps: f32,
}

/// A piece of [`adam`].
struct AdamPiece<'a> {
    factors: AdamFactors,
    weights: &'a mut [f32],
    mean: &'a mut [f32],
    square: &'a mut [f32],
    gradient: &'a [f32],
}

impl Loops for AdamPiece<'_> {
    #[inline(always)]
    fn run(self) {
        let f = self.factors;
        let state = self.mean.iter_mut().zip(self.square);
        for ((w, (m, q)), g) in self.weights.iter_mut().zip(state).zip(self.gradient) {
            let g = g * f.scale + f.decay * *w;
            *m = *m * f.beta1 + g * f.rest1;
            *q = *q * f.beta2 + g * g * f.rest2;
            *w = *w * f.shrink - f.lr * (*m / (q.sqrt() / f.root + f.eps));
        }
    }
}
