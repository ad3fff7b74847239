//! Activation functions, and loops that are compiled once for each of them.
//!
//! GELU is `x Φ(x)` with the standard normal distribution `Φ(x) = (1 + erf(x/√2)) / 2` (Hendrycks &
//! Gimpel 2016, arXiv:1606.08415, section 2), not its approximation by a tangent. Its derivative is
//! `Φ(x) + x φ(x)` with the density `φ(x) = exp(-x²/2) / √(2π)`.
//!
//! Both `Φ` and the derivative are 1/2 plus an odd function that is constant far from 0. Each is
//! computed as `1/2 + x p(s)` with a polynomial `p` and `s = 2x²/limit² - 1`, where `x` is clamped
//! to `±limit`. The coefficients minimise the largest error (Lawson's iteration). In this form they
//! are small and `s` lies between -1 and 1, so little is lost to rounding. The absolute error of
//! both is below 5e-7, with or without fused multiply-adds.

use core::marker::PhantomData;

use crate::simd::{Isa, Simd, WithSimd};

/// Function that is applied to each output of a layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Activation {
    /// None.
    #[default]
    Identity,
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, 0), 6)` (Krizhevsky 2010, "Convolutional deep belief networks on CIFAR-10").
    Relu6,
    /// `x Φ(x)`, exact: PyTorch's default for `GELU`.
    Gelu,
}

impl Activation {
    /// Smallest and largest value, if the activation only clamps to them.
    pub(crate) fn limits(self) -> Option<[f32; 2]> {
        match self {
            Activation::Identity | Activation::Gelu => None,
            Activation::Relu => Some([0.0, f32::INFINITY]),
            Activation::Relu6 => Some([0.0, 6.0]),
        }
    }
}

/// `Φ` is computed for `|x|` up to this limit. Beyond it, `Φ(-x)` is below 1e-7.
const DISTRIBUTION_LIMIT: f32 = 5.2;
/// `p` for `Φ(x) = 1/2 + x p(s)`; its error is 6e-8.
const DISTRIBUTION: [f32; 14] = [
    0.13594998,
    -0.06774366,
    0.050024755,
    -0.039930202,
    0.031986438,
    -0.024718944,
    0.017973596,
    -0.012527897,
    8.51545e-3,
    -4.7379276e-3,
    1.8478984e-3,
    -1.2745495e-3,
    1.2495482e-3,
    -4.6068238e-4,
];

/// The derivative is computed for `|x|` up to this limit. Beyond it, it differs from 0 or 1 by less
/// than 2e-7.
const DERIVATIVE_LIMIT: f32 = 5.8;
/// `p` for the derivative `1/2 + x p(s)`; its error is 1.3e-7.
const DERIVATIVE: [f32; 17] = [
    0.12199876,
    -0.06165699,
    0.04863844,
    -0.046221796,
    0.050102435,
    -0.057345457,
    0.06559881,
    -0.07215132,
    0.067570485,
    -0.05156807,
    0.048799913,
    -0.05400186,
    0.028516812,
    1.9147185e-3,
    4.619795e-3,
    -0.014807631,
    6.199905e-3,
];

/// An activation inside of a loop. Methods are `#[inline(always)]`, so that they are compiled with
/// the loop's instructions.
pub(crate) trait Function: Copy {
    /// The activation of `x`.
    fn value(self, x: f32) -> f32;

    /// `gradient`, that of the activation, times the derivative at `x`.
    fn backward(self, gradient: f32, x: f32) -> f32;
}

/// `max(x, floor)`: ReLU if `floor` is 0, the identity if it is minus infinity.
#[derive(Clone, Copy)]
pub(crate) struct Floor(pub f32);

impl Function for Floor {
    /// NaN stays NaN, so that a diverging training is noticed.
    #[inline(always)]
    fn value(self, x: f32) -> f32 {
        if self.0 > x { self.0 } else { x }
    }

    #[inline(always)]
    fn backward(self, gradient: f32, x: f32) -> f32 {
        if x <= self.0 { 0.0 } else { gradient }
    }
}

/// `min(max(x, 0), 6)`.
#[derive(Clone, Copy)]
pub(crate) struct Relu6;

impl Function for Relu6 {
    /// NaN stays NaN.
    #[inline(always)]
    fn value(self, x: f32) -> f32 {
        let x = if 0.0 > x { 0.0 } else { x };
        if x > 6.0 { 6.0 } else { x }
    }

    /// The derivative is 0 at both limits, as in PyTorch.
    #[inline(always)]
    fn backward(self, gradient: f32, x: f32) -> f32 {
        if (x <= 0.0) | (x >= 6.0) {
            0.0
        } else {
            gradient
        }
    }
}

/// GELU with the multiply-adds of `S`.
#[derive(Clone, Copy)]
pub(crate) struct Gelu<S>(PhantomData<S>);

impl<S: Simd> Gelu<S> {
    /// GELU for this instruction set.
    #[inline(always)]
    pub(crate) fn new() -> Self {
        Gelu(PhantomData)
    }

    /// `1/2 + x p(s)`, see the module's documentation. NaN stays NaN.
    #[inline(always)]
    fn half_plus_odd<const N: usize>(x: f32, limit: f32, coefficients: &[f32; N]) -> f32 {
        let x = if x > limit { limit } else { x };
        let x = if x < -limit { -limit } else { x };
        let s = S::mul_add(x, x * (2.0 / (limit * limit)), -1.0);
        // A plain loop over indices: the compiler unrolls it early enough to vectorise the loop around
        // it, which it does not with an iterator's adaptors.
        let mut p = coefficients[N - 1];
        let mut k = N - 1;
        while k > 0 {
            k -= 1;
            p = S::mul_add(p, s, coefficients[k]);
        }
        S::mul_add(x, p, 0.5)
    }
}

impl<S: Simd> Function for Gelu<S> {
    /// Below the limit the result is that at the limit, about -1e-6, instead of `x` times a
    /// rounding error.
    #[inline(always)]
    fn value(self, x: f32) -> f32 {
        let distribution = Self::half_plus_odd(x, DISTRIBUTION_LIMIT, &DISTRIBUTION);
        let x = if x < -DISTRIBUTION_LIMIT {
            -DISTRIBUTION_LIMIT
        } else {
            x
        };
        x * distribution
    }

    #[inline(always)]
    fn backward(self, gradient: f32, x: f32) -> f32 {
        gradient * Self::half_plus_odd(x, DERIVATIVE_LIMIT, &DERIVATIVE)
    }
}

/// Plain loops that apply an activation. As for [`PlainLoops`](crate::simd::PlainLoops), `run` and
/// everything it calls must be `#[inline(always)]`.
pub(crate) trait ActivatedLoops {
    /// Does the work.
    fn run<F: Function>(self, function: F);
}

/// Runs `work` with `activation`, compiled for `isa`.
#[inline(always)]
pub(crate) fn activated<L: ActivatedLoops>(isa: Isa, activation: Activation, work: L) {
    struct Loops<L>(Activation, L);

    impl<L: ActivatedLoops> WithSimd for Loops<L> {
        type Output = ();

        #[inline(always)]
        unsafe fn run<S: Simd>(self) {
            let Loops(activation, work) = self;
            match activation {
                Activation::Identity => work.run(Floor(f32::NEG_INFINITY)),
                Activation::Relu => work.run(Floor(0.0)),
                Activation::Relu6 => work.run(Relu6),
                Activation::Gelu => work.run(Gelu::<S>::new()),
            }
        }
    }

    isa.run(Loops(activation, work));
}
