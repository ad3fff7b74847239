//! Optimizer updates, each in one pass over memory: weight, gradient and state are read once and
//! written once.
//!
//! The formulas are PyTorch's, evaluated in its order. Hyper-parameters are given in double
//! precision and rounded to single precision once per step.

use crate::error::{KernelError, check_len};
use crate::kernels::Kernels;
use crate::parallel::{for_chunk_pairs, for_chunks};
use crate::simd::{PlainLoops, vectorised};

/// Floats per chunk of work.
const CHUNK: usize = 1 << 14;

/// Hyper-parameters of one step of SGD, see [`Kernels::sgd`].
#[derive(Clone, Copy, Debug)]
pub struct Sgd {
    /// Learning rate.
    pub lr: f64,
    /// Momentum. With 0, the momentum buffer is neither read nor written.
    pub momentum: f64,
    /// Fraction of the new gradient that does not enter the momentum buffer.
    pub dampening: f64,
    /// Weight decay.
    pub weight_decay: f64,
    /// Whether weight decay shrinks the weights by `lr * weight_decay` instead of being added to
    /// the gradient.
    pub decoupled: bool,
    /// Whether to use Nesterov momentum (Sutskever et al. 2013).
    pub nesterov: bool,
    /// Factor on the gradient, from gradient clipping; 1 leaves it unchanged.
    pub gradient_scale: f64,
}

/// The momentum buffer of SGD, as long as the weights.
#[derive(Debug)]
pub enum MomentumBuffer<'a> {
    /// The first step: the content is ignored and overwritten with the gradient.
    Uninitialised(&'a mut [f32]),
    /// A later step: the buffer holds the result of the step before.
    Previous(&'a mut [f32]),
}

/// Hyper-parameters of one step of Adam or AdamW, see [`Kernels::adam`].
#[derive(Clone, Copy, Debug)]
pub struct Adam {
    /// Learning rate divided by the bias correction of the running mean.
    pub lr_corrected: f64,
    /// Decay of the running mean.
    pub beta1: f64,
    /// Decay of the running mean of squares.
    pub beta2: f64,
    /// Square root of the bias correction of the running mean of squares.
    pub root_correction: f64,
    /// Added to the denominator.
    pub eps: f64,
    /// Weight decay that is added to the gradient (Adam).
    pub weight_decay: f64,
    /// Factor by which the weights shrink (AdamW); 1 leaves them unchanged.
    pub shrink: f64,
    /// Factor on the gradient, from gradient clipping; 1 leaves it unchanged.
    pub gradient_scale: f64,
}

/// The running means of Adam, as long as the weights. Both start at 0.
#[derive(Debug)]
pub struct AdamState<'a> {
    /// Running mean of the gradient, `m`.
    pub exp_avg: &'a mut [f32],
    /// Running mean of the squared gradient, `q`.
    pub exp_avg_sq: &'a mut [f32],
}

/// # Optimizer updates
impl Kernels {
    /// Performs one step of SGD on `weights`:
    ///
    /// ```text
    /// g' = scale g + weight_decay w         w' = w
    ///      decoupled: scale g                    decoupled: w (1 - lr weight_decay)
    /// v  = momentum v + (1 - dampening) g'  first step: v = g'
    /// w  = w' - lr v                        nesterov: w' - lr (g' + momentum v)
    ///                                       momentum 0: w' - lr g'
    /// ```
    ///
    /// # Errors
    /// The slices have different lengths.
    pub fn sgd(
        &self,
        step: &Sgd,
        weights: &mut [f32],
        momentum_buffer: MomentumBuffer,
        gradient: &[f32],
    ) -> Result<(), KernelError> {
        let (buffer, is_first) = match momentum_buffer {
            MomentumBuffer::Uninitialised(buffer) => (buffer, true),
            MomentumBuffer::Previous(buffer) => (buffer, false),
        };
        check_len("gradient", gradient, weights.len())?;
        if step.momentum != 0.0 {
            check_len("momentum_buffer", buffer, weights.len())?;
        }
        let factors = SgdFactors::new(step, is_first);
        if step.momentum == 0.0 {
            for_chunks(weights, CHUNK, |index, weights| {
                let work = PlainSgd {
                    factors,
                    weights,
                    gradient: &gradient[index * CHUNK..],
                };
                vectorised(self.isa, work);
            });
            return Ok(());
        }
        if is_first {
            buffer.fill(0.0);
        }
        for_chunk_pairs((weights, buffer), [CHUNK; 2], |index, weights, buffer| {
            let work = MomentumSgd {
                factors,
                weights,
                buffer,
                gradient: &gradient[index * CHUNK..],
            };
            vectorised(self.isa, work);
        });
        Ok(())
    }

    /// Performs one step of Adam or AdamW on `weights`:
    ///
    /// ```text
    /// g' = scale g + weight_decay w
    /// m  = beta1 m + (1 - beta1) g'
    /// q  = beta2 q + (1 - beta2) g'²
    /// w  = shrink w - lr_corrected m / (√q / root_correction + eps)
    /// ```
    ///
    /// # Errors
    /// The slices have different lengths.
    pub fn adam(
        &self,
        step: &Adam,
        weights: &mut [f32],
        state: AdamState,
        gradient: &[f32],
    ) -> Result<(), KernelError> {
        let AdamState {
            exp_avg,
            exp_avg_sq,
        } = state;
        check_len("gradient", gradient, weights.len())?;
        check_len("exp_avg", exp_avg, weights.len())?;
        check_len("exp_avg_sq", exp_avg_sq, weights.len())?;
        let factors = AdamFactors::new(step);
        // `for_chunk_pairs` takes two slices, so both means form one list of pairs of chunks.
        let mut state: Vec<(&mut [f32], &mut [f32])> = exp_avg
            .chunks_mut(CHUNK)
            .zip(exp_avg_sq.chunks_mut(CHUNK))
            .collect();
        for_chunk_pairs(
            (weights, &mut state),
            [CHUNK, 1],
            |index, weights, state| {
                let [(mean, square)] = state else { return };
                let work = AdamChunk {
                    factors,
                    weights,
                    mean,
                    square,
                    gradient: &gradient[index * CHUNK..],
                };
                vectorised(self.isa, work);
            },
        );
        Ok(())
    }
}

/// Hyper-parameters of SGD in single precision.
#[derive(Clone, Copy)]
struct SgdFactors {
    scale: f32,
    decay: f32,
    shrink: f32,
    lr: f32,
    /// Factors of the momentum buffer and of the gradient in the new momentum buffer.
    keep: f32,
    take: f32,
    /// Factors of the gradient and of the new momentum buffer in the step.
    on_gradient: f32,
    on_buffer: f32,
}

impl SgdFactors {
    fn new(step: &Sgd, is_first: bool) -> Self {
        let (decay, shrink) = if step.decoupled {
            (0.0, (1.0 - step.lr * step.weight_decay) as f32)
        } else {
            (step.weight_decay as f32, 1.0)
        };
        let momentum = step.momentum as f32;
        let (keep, take) = if is_first {
            (0.0, 1.0)
        } else {
            (momentum, (1.0 - step.dampening) as f32)
        };
        // Nesterov's step is `g + momentum v`, the plain one `v`.
        let (on_gradient, on_buffer) = if step.nesterov {
            (1.0, momentum)
        } else {
            (0.0, 1.0)
        };
        SgdFactors {
            scale: step.gradient_scale as f32,
            decay,
            shrink,
            lr: step.lr as f32,
            keep,
            take,
            on_gradient,
            on_buffer,
        }
    }
}

/// A chunk of a step without momentum.
struct PlainSgd<'a> {
    factors: SgdFactors,
    weights: &'a mut [f32],
    gradient: &'a [f32],
}

impl PlainLoops for PlainSgd<'_> {
    #[inline(always)]
    fn run(self) {
        let f = self.factors;
        for (w, g) in self.weights.iter_mut().zip(self.gradient) {
            *w = *w * f.shrink - f.lr * (g * f.scale + f.decay * *w);
        }
    }
}

/// A chunk of a step with momentum.
struct MomentumSgd<'a> {
    factors: SgdFactors,
    weights: &'a mut [f32],
    buffer: &'a mut [f32],
    gradient: &'a [f32],
}

impl PlainLoops for MomentumSgd<'_> {
    #[inline(always)]
    fn run(self) {
        let f = self.factors;
        let state = self.weights.iter_mut().zip(self.buffer);
        for ((w, v), g) in state.zip(self.gradient) {
            let g = g * f.scale + f.decay * *w;
            *v = *v * f.keep + g * f.take;
            *w = *w * f.shrink - f.lr * (g * f.on_gradient + *v * f.on_buffer);
        }
    }
}

/// Hyper-parameters of Adam in single precision.
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

impl AdamFactors {
    fn new(step: &Adam) -> Self {
        AdamFactors {
            scale: step.gradient_scale as f32,
            decay: step.weight_decay as f32,
            shrink: step.shrink as f32,
            beta1: step.beta1 as f32,
            rest1: (1.0 - step.beta1) as f32,
            beta2: step.beta2 as f32,
            rest2: (1.0 - step.beta2) as f32,
            lr: step.lr_corrected as f32,
            root: step.root_correction as f32,
            eps: step.eps as f32,
        }
    }
}

/// A chunk of [`Kernels::adam`].
struct AdamChunk<'a> {
    factors: AdamFactors,
    weights: &'a mut [f32],
    mean: &'a mut [f32],
    square: &'a mut [f32],
    gradient: &'a [f32],
}

impl PlainLoops for AdamChunk<'_> {
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
