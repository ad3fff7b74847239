//! Comparing a computed series with a recorded one.

use std::collections::BTreeMap;

/// How far a computed number may be from the recorded one.
#[derive(Clone, Copy, Debug)]
pub enum Tolerance {
    /// This share of the largest finite magnitude in the recorded series. A share of each number
    /// would be too strict where a series passes close to zero.
    OfLargest(f64),
    /// This absolute difference.
    Absolute(f64),
    /// This many representable numbers (units in the last place) apart; 0 demands equal numbers.
    Ulps(u64),
}

/// Compares two series. NaN equals NaN, and an infinity equals only itself.
///
/// Returns the largest deviation, in the unit of the tolerance.
///
/// # Panics
/// If the lengths differ, or a number is farther off than `tolerance`; the message tells which.
pub fn assert_series(what: &str, computed: &[f64], recorded: &[f64], tolerance: Tolerance) -> f64 {
    assert_eq!(computed.len(), recorded.len(), "{what}: lengths");
    let finite = recorded.iter().filter(|number| number.is_finite());
    let largest = finite.fold(0.0, |largest: f64, number| largest.max(number.abs()));
    let mut worst = 0.0;
    for (index, (&ours, &theirs)) in computed.iter().zip(recorded).enumerate() {
        if ours == theirs || (ours.is_nan() && theirs.is_nan()) {
            continue;
        }
        let (deviation, allowed, unit) = match tolerance {
            Tolerance::OfLargest(share) => {
                ((ours - theirs).abs() / largest, share, "of the largest")
            }
            Tolerance::Absolute(allowed) => ((ours - theirs).abs(), allowed, "absolute"),
            Tolerance::Ulps(ulps) => (ulps_apart(ours, theirs), ulps as f64, "ulps"),
        };
        // NaN compares as false: it is never within the tolerance.
        let within = deviation <= allowed;
        assert!(
            within,
            "{what}[{index}] is {ours:e} instead of {theirs:e}: off by {deviation:e}, \
             allowed {allowed:e} ({unit})"
        );
        worst = deviation.max(worst);
    }
    worst
}

/// How many representable numbers lie between two numbers, plus one; NaN unless both are finite.
fn ulps_apart(a: f64, b: f64) -> f64 {
    // Maps the bit patterns onto integers in the order of the numbers, with both zeros at 0.
    let position = |number: f64| {
        let magnitude = (number.to_bits() & !(1 << 63)) as i64;
        if number.is_sign_negative() {
            -magnitude
        } else {
            magnitude
        }
    };
    if a.is_finite() && b.is_finite() {
        position(a).abs_diff(position(b)) as f64
    } else {
        f64::NAN
    }
}

/// The largest deviation of each kind of series, and how many series were compared.
#[derive(Debug, Default)]
pub struct Deviations {
    by_kind: BTreeMap<String, (usize, f64)>,
}

impl Deviations {
    /// Compares a series like [`assert_series`], and counts it under `kind`.
    ///
    /// # Panics
    /// If the series differ by more than `tolerance`.
    pub fn compare(
        &mut self,
        kind: &str,
        name: &str,
        computed: &[f64],
        recorded: &[f64],
        tolerance: Tolerance,
    ) {
        let worst = assert_series(name, computed, recorded, tolerance);
        let entry = self.by_kind.entry(kind.to_owned()).or_default();
        *entry = (entry.0 + 1, entry.1.max(worst));
    }

    /// Prints the table (visible with `--nocapture`). Returns the number of series.
    pub fn report(&self) -> usize {
        for (kind, (series, worst)) in &self.by_kind {
            println!("{kind:32} {series:3} series, deviation {worst:.1e}");
        }
        self.by_kind.values().map(|(series, _)| series).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;

    use super::*;

    fn differs(computed: &[f64], recorded: &[f64], tolerance: Tolerance) -> bool {
        catch_unwind(|| assert_series("series", computed, recorded, tolerance)).is_err()
    }

    #[test]
    fn tolerances() {
        let share = Tolerance::OfLargest(1e-3);
        assert_eq!(assert_series("", &[1.0, 0.0005], &[1.0, 0.0], share), 5e-4);
        assert!(differs(&[1.0, 0.002], &[1.0, 0.0], share));
        assert!(differs(&[1.0], &[1.0, 1.0], share));
        assert!(differs(&[f64::INFINITY, 1.1], &[f64::INFINITY, 1.0], share));

        let next = f64::from_bits(1.0_f64.to_bits() + 1);
        assert_eq!(assert_series("", &[next], &[1.0], Tolerance::Ulps(1)), 1.0);
        assert!(differs(&[next], &[1.0], Tolerance::Ulps(0)));
        assert!(!differs(&[-0.0], &[0.0], Tolerance::Ulps(0)));
        assert!(differs(&[-5e-324], &[5e-324], Tolerance::Ulps(1)));

        assert!(!differs(&[1.5], &[1.0], Tolerance::Absolute(0.5)));
        assert!(differs(&[1.5], &[1.0], Tolerance::Absolute(0.4)));
    }

    #[test]
    fn numbers_that_are_not_finite_equal_only_themselves() {
        let (nan, inf) = (f64::NAN, f64::INFINITY);
        let wide = Tolerance::Absolute(inf);
        assert!(!differs(&[nan, inf], &[nan, inf], wide));
        assert!(differs(&[nan], &[1.0], wide));
        assert!(differs(&[1.0], &[nan], wide));
        assert!(differs(&[1.0], &[inf], Tolerance::Ulps(u64::MAX)));
        assert!(differs(&[-inf], &[inf], Tolerance::Ulps(u64::MAX)));
    }
}
