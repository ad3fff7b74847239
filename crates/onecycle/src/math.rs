//! The few functions of real numbers that `core` lacks, from the C library or from libm.

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
    floor(x) => floor / floor;
    ceil(x) => ceil / ceil;
    round(x) => round / round;
}

/// How far from a whole number a product of decimal fractions may land by rounding alone.
const SLACK: f64 = 1e-9;

fn snap(x: f64, otherwise: fn(f64) -> f64) -> f64 {
    let whole = round(x);
    if (x - whole).abs() <= SLACK * whole.abs().max(1.0) {
        whole
    } else {
        otherwise(x)
    }
}

/// The floor, where 4.999999999999999 (`100 * (1 - 0.9) / 2`) counts as the 5 that was meant.
pub(crate) fn floor_decimal(x: f64) -> f64 {
    snap(x, floor)
}

/// The ceiling, where 98.00000000000001 counts as 98.
pub(crate) fn ceil_decimal(x: f64) -> f64 {
    snap(x, ceil)
}

#[cfg(test)]
mod tests {
    use super::{ceil_decimal, floor_decimal};

    #[test]
    fn decimal_fractions_do_not_lose_a_step() {
        assert_eq!(floor_decimal(100.0 * (1.0 - 0.9) / 2.0), 5.0);
        assert_eq!(floor_decimal(4.99), 4.0);
        assert_eq!(ceil_decimal(98.00000000000001), 98.0);
        assert_eq!(ceil_decimal(97.65625), 98.0);
    }
}
