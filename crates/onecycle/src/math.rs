//! Real functions that `core` lacks, from the C library or from libm.

macro_rules! choose {
    ($($name:ident($($arg:ident),*) => $std:ident / $libm:ident;)*) => {$(
        #[inline]
        pub(crate) fn $name($($arg: f64),*) -> f64 {
            #[cfg(feature = "std")]
            return f64::$std($($arg),*);
            #[cfg(not(feature = "std"))]
            return libm::$libm($($arg),*);
        }
    )*};
}

choose! {
    cos(x) => cos / cos;
    pow(x, y) => powf / pow;
    sqrt(x) => sqrt / sqrt;
    exp(x) => exp / exp;
    fma(x, y, z) => mul_add / fma;
    ln(x) => ln / log;
    hypot(x, y) => hypot / hypot;
    floor(x) => floor / floor;
    round(x) => round / round;
}

/// A number of steps as a float. Processors convert signed integers several times faster than
/// unsigned ones.
#[inline]
pub(crate) fn real(steps: u64) -> f64 {
    match i64::try_from(steps) {
        Ok(steps) => steps as f64,
        Err(_) => steps as f64,
    }
}

/// Half a cosine wave, `(1 - cos(pi t)) / 2` for `t` from 0 to 1.
///
/// Computed from the Taylor series, which is faster than a general cosine and gives the same bits
/// on every platform. Ten terms suffice because the eleventh is below 1e-17 for `t` up to 1/2; the
/// second half follows by symmetry.
#[inline]
pub(crate) fn half_wave(t: f64) -> f64 {
    if t <= 0.5 {
        rise(t)
    } else {
        1.0 - rise(1.0 - t)
    }
}

/// `(-1)^(k + 1) pi^(2 k) / (2 (2 k)!)` for k from 1.
const WAVE: [f64; 10] = [
    2.4674011002723395,
    -2.0293560632083842,
    0.6676313844272947,
    -0.1176653151794466,
    0.01290344569500703,
    -0.0009647871547019616,
    5.231905246242285e-05,
    -2.1515347935164736e-06,
    6.939476231106886e-08,
    -1.8023653987312506e-09,
];

#[inline]
fn rise(t: f64) -> f64 {
    let c = &WAVE;
    // Small terms are grouped in pairs that a processor can compute in parallel. The two large
    // terms come last, for precision.
    let z = t * t;
    let (z2, z4) = (z * z, z * z * (z * z));
    let middle = (c[2] + c[3] * z) + z2 * (c[4] + c[5] * z);
    let small = (c[6] + c[7] * z) + z2 * (c[8] + c[9] * z);
    z * (c[0] + z * (c[1] + z * (middle + z4 * small)))
}

/// Largest relative distance from a whole number that counts as rounding error of decimal
/// fractions.
const SLACK: f64 = 1e-9;

/// The floor, except that 4.999999999999999 (`100 * (1 - 0.9) / 2`) gives the intended 5.
pub(crate) fn floor_decimal(x: f64) -> f64 {
    let whole = round(x);
    if (x - whole).abs() <= SLACK * whole.abs().max(1.0) {
        whole
    } else {
        floor(x)
    }
}

#[cfg(test)]
mod tests {
    use super::{cos, floor_decimal, half_wave};

    #[test]
    fn half_a_wave_is_that_of_the_cosine() {
        let mut before = 0.0;
        for i in 0..=100_000 {
            let t = f64::from(i) / 100_000.0;
            let wave = half_wave(t);
            let known = (1.0 - cos(core::f64::consts::PI * t)) / 2.0;
            assert!((wave - known).abs() <= 3e-16, "{t}: {wave} for {known}");
            assert!(wave >= before, "{t}");
            before = wave;
        }
        assert_eq!([0.0, 1.0].map(half_wave), [0.0, 1.0]);
    }

    #[test]
    fn decimal_fractions_do_not_lose_a_step() {
        assert_eq!(floor_decimal(100.0 * (1.0 - 0.9) / 2.0), 5.0);
        assert_eq!(floor_decimal(4.99), 4.0);
        assert_eq!(floor_decimal(97.99999999999999), 98.0);
    }
}
