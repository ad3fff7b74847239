//! Test inputs, comparisons, and naive references in double precision.

pub mod conv;
pub mod gelu;

use onecycle_kernels::{Isa, Kernels};

/// Kernels for each instruction set of this machine.
pub fn all_kernels() -> impl Iterator<Item = Kernels> {
    let available = Isa::ALL.into_iter().filter(|isa| isa.is_available());
    available.map(Kernels::with_isa)
}

/// Pseudo-random numbers in [-1, 1) from a seed (splitmix64).
pub fn numbers(seed: u64, len: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678;
    (0..len)
        .map(|_| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((z ^ (z >> 31)) >> 40) as f32 / (1u32 << 23) as f32 - 1.0
        })
        .collect()
}

pub fn doubles(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&x| f64::from(x)).collect()
}

pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

pub fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

/// Fails if `actual` differs from `expected` by more than the rounding of `terms` products of
/// numbers below 1.
pub fn assert_close(what: &str, actual: &[f32], expected: &[f64], terms: usize) {
    let tolerance = 4.0 * f64::from(f32::EPSILON) * (terms as f64).max(1.0);
    assert_within(what, actual, expected, |_| tolerance);
}

/// Fails if `actual[i]` differs from `expected[i]` by more than `tolerance(i)`, or is NaN.
pub fn assert_within(
    what: &str,
    actual: &[f32],
    expected: &[f64],
    tolerance: impl Fn(usize) -> f64,
) {
    assert_eq!(actual.len(), expected.len(), "{what}: lengths");
    for (i, (&a, &e)) in actual.iter().zip(expected).enumerate() {
        assert!(
            (f64::from(a) - e).abs() <= tolerance(i),
            "{what}[{i}]: {a}, expected {e}, tolerance {:e}",
            tolerance(i)
        );
    }
}

/// Fails if a gradient in double precision differs from the central differences of `f` at `x`. `f`
/// must be smooth around `x`, with values and derivatives of the order of 1.
pub fn assert_gradient(what: &str, f: impl Fn(&[f64]) -> f64, x: &[f64], gradient: &[f64]) {
    const STEP: f64 = 1e-5;
    assert_eq!(x.len(), gradient.len(), "{what}: lengths");
    let mut moved = x.to_vec();
    for (i, (&x, &expected)) in x.iter().zip(gradient).enumerate() {
        let mut at = |x| {
            moved[i] = x;
            f(&moved)
        };
        let slope = (at(x + STEP) - at(x - STEP)) / (2.0 * STEP);
        moved[i] = x;
        // Error of the differences: third derivatives times STEP², and rounding divided by STEP.
        assert!(
            (slope - expected).abs() <= 1e-6 * (1.0 + expected.abs()),
            "{what}[{i}]: slope {slope}, gradient {expected}"
        );
    }
}
