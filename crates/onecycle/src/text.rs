//! Numbers for people.

use alloc::format;
use core::fmt;

/// Shows a number with three significant digits, or all digits before the decimal point if there
/// are more: `0.36`, `1.2e-5`, `5120`.
pub(crate) struct Short(pub(crate) f64);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.0;
        if value == 0.0 || !value.is_finite() {
            return write!(f, "{value}");
        }
        // The exponent of the rounded number counts, so that 9.996 is shown like 10.
        let rounded = format!("{value:.2e}");
        let (digits, exponent) = rounded.split_once('e').unwrap_or((&rounded, "0"));
        let exponent: i32 = exponent.parse().unwrap_or(0);
        if !(-4..6).contains(&exponent) {
            return write!(f, "{}e{exponent}", without_zeros(digits));
        }
        let decimals = usize::try_from(2 - exponent).unwrap_or(0);
        f.write_str(without_zeros(&format!("{value:.decimals$}")))
    }
}

/// The number without zeros at the end of its decimals.
fn without_zeros(number: &str) -> &str {
    match number.contains('.') {
        true => number.trim_end_matches('0').trim_end_matches('.'),
        false => number,
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::Short;

    #[test]
    fn numbers_are_short() {
        let cases = [
            (0.36, "0.36"),
            (0.8, "0.8"),
            (0.0123456, "0.0123"),
            (9.996, "10"),
            (512.0, "512"),
            (123456.0, "123456"),
            (0.0001, "0.0001"),
            (0.0000125, "1.25e-5"),
            (1e-6, "1e-6"),
            (-0.5, "-0.5"),
            (f64::MIN, "-1.8e308"),
            (0.0, "0"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "inf"),
        ];
        for (value, text) in cases {
            assert_eq!(Short(value).to_string(), text);
        }
    }
}
