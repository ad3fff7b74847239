//! Ranges of axes, and ticks at round numbers.

use super::text::{linear_labels, power_of_ten};
use super::{Axis, Scale};

/// The range of an axis, fitted to its data.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Range {
    lo: f64,
    hi: f64,
    scale: Scale,
}

/// A tick of an axis; one without a label is minor.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tick {
    pub(super) value: f64,
    pub(super) label: Option<String>,
}

impl Range {
    /// The range that `axis` sets, or one that contains all drawable `values` with the fraction
    /// `pad` of the span free at both ends. Without a drawable value it is 0 to 1, or 0.1 to 1 on a
    /// log axis.
    pub(super) fn new(axis: &Axis, values: impl Iterator<Item = f64>, pad: f64) -> Self {
        let scale = axis.scale;
        let drawable = |v: f64| v.is_finite() && (scale == Scale::Linear || v > 0.0);
        if let Some((lo, hi)) = axis.range
            && drawable(lo)
            && drawable(hi)
            && lo < hi
        {
            return Self { lo, hi, scale };
        }
        let (mut lo, mut hi) = values
            .filter(|v| drawable(*v))
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(lo, hi), v| {
                (lo.min(v), hi.max(v))
            });
        match scale {
            Scale::Linear if lo > hi => (lo, hi) = (0.0, 1.0),
            Scale::Linear if is_constant(lo, hi) => {
                let room = if lo == 0.0 { 1.0 } else { 0.1 * lo.abs() };
                let floor = if lo >= 0.0 { 0.0 } else { f64::NEG_INFINITY };
                (lo, hi) = ((lo - room).max(floor), hi + room);
            }
            Scale::Linear => {
                let room = pad * (hi - lo);
                // If the data come close to zero, the axis begins at zero.
                let near_zero = lo >= 0.0 && lo < 0.35 * hi;
                (lo, hi) = (if near_zero { 0.0 } else { lo - room }, hi + room);
            }
            Scale::Log if lo > hi => (lo, hi) = (0.1, 1.0),
            Scale::Log if is_constant(lo, hi) => (lo, hi) = (lo / 2.0, hi * 2.0),
            Scale::Log => {
                let room = (hi / lo).powf(pad);
                (lo, hi) = (lo / room, hi * room);
            }
        }
        Self { lo, hi, scale }
    }

    /// The place of `value`: 0 at the beginning of the axis, 1 at its end; `None` if it cannot be
    /// drawn.
    pub(super) fn place(&self, value: f64) -> Option<f64> {
        let place = match self.scale {
            Scale::Linear => (value - self.lo) / (self.hi - self.lo),
            Scale::Log if value > 0.0 => (value / self.lo).ln() / (self.hi / self.lo).ln(),
            Scale::Log => return None,
        };
        place.is_finite().then_some(place)
    }

    /// About `want` labelled ticks, and minor ones on a log axis.
    pub(super) fn ticks(&self, want: usize) -> Vec<Tick> {
        if self.scale == Scale::Log {
            let ticks = self.log_ticks(want);
            if ticks.iter().filter(|tick| tick.label.is_some()).count() >= 2 {
                return ticks;
            }
        }
        let ticks = self.linear_ticks(want);
        // Two labels are too few for reading values between them.
        if ticks.len() < 3 {
            self.linear_ticks(want + 2)
        } else {
            ticks
        }
    }

    fn linear_ticks(&self, want: usize) -> Vec<Tick> {
        let step = nice_step((self.hi - self.lo) / want.max(1) as f64);
        let slack = 1e-9 * (self.hi - self.lo);
        let first = ((self.lo - slack) / step).ceil();
        let values: Vec<f64> = (0..=2 * want.max(1) + 2)
            .map(|i| (first + i as f64) * step)
            .take_while(|v| *v <= self.hi + slack)
            .collect();
        let labels = linear_labels(&values, step);
        values
            .into_iter()
            .zip(labels)
            .map(|(value, label)| Tick {
                value,
                label: Some(label),
            })
            .collect()
    }

    /// Decades, or every second or third of them if there are many; also 2 and 5 if there are few.
    fn log_ticks(&self, want: usize) -> Vec<Tick> {
        let (first, last) = (
            self.lo.log10().floor() as i32,
            self.hi.log10().ceil() as i32,
        );
        let decades = (self.hi / self.lo).log10();
        let stride = (decades / want.max(1) as f64).ceil().max(1.0) as i32;
        let labelled: &[u32] = match decades {
            d if d < 1.7 => &[1, 2, 5],
            d if d < 3.5 => &[1, 3],
            _ => &[1],
        };
        let plain = first >= -4 && last <= 5;
        let inside = |v: f64| (self.lo * (1.0 - 1e-9)..=self.hi * (1.0 + 1e-9)).contains(&v);
        let mut ticks = Vec::new();
        for exponent in first..=last {
            for digit in 1..=9_u32 {
                let value = f64::from(digit) * 10_f64.powi(exponent);
                if !inside(value) || (digit > 1 && stride > 1) {
                    continue;
                }
                let has_label = labelled.contains(&digit) && exponent.rem_euclid(stride) == 0;
                let label = has_label.then(|| match (plain, digit) {
                    (true, _) => format!("{:.*}", (-exponent).max(0) as usize, value),
                    (false, 1) => power_of_ten(exponent),
                    (false, digit) => format!("{digit}×{}", power_of_ten(exponent)),
                });
                ticks.push(Tick { value, label });
            }
        }
        ticks
    }
}

/// Whether two values differ only by rounding.
fn is_constant(lo: f64, hi: f64) -> bool {
    hi - lo <= 1e-9 * hi.abs().max(lo.abs())
}

/// The smallest of 1, 2, 2.5 and 5 times a power of ten that is at least `raw`, or up to 7 % less.
/// 2.5 itself is excluded, because whole numbers read better on an axis of epochs.
fn nice_step(raw: f64) -> f64 {
    let least = 0.93 * raw;
    let power = 10_f64.powf(least.log10().floor());
    let nice = |digit: &f64| digit * power >= least && digit * power != 2.5;
    [1.0, 2.0, 2.5, 5.0].into_iter().find(nice).unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis, values: &[f64], want: usize) -> Vec<String> {
        let range = Range::new(axis, values.iter().copied(), 0.04);
        range
            .ticks(want)
            .into_iter()
            .filter_map(|tick| tick.label)
            .collect()
    }

    #[test]
    fn linear_ticks_are_round_numbers() {
        let axis = Axis::linear("x");
        assert_eq!(
            labels(&axis, &[0.0, 9310.0], 5),
            ["0", "2000", "4000", "6000", "8000"]
        );
        assert_eq!(
            labels(&axis, &[0.85, 0.95], 5),
            ["0.850", "0.875", "0.900", "0.925", "0.950"]
        );
        assert_eq!(
            labels(&axis, &[-0.1, 0.3], 4),
            ["−0.1", "0.0", "0.1", "0.2", "0.3"]
        );
    }

    #[test]
    fn log_ticks_are_decades_or_finer() {
        let axis = Axis::log("lr");
        assert_eq!(
            labels(&axis, &[1e-7, 10.0], 10),
            [
                "10⁻⁷", "10⁻⁶", "10⁻⁵", "10⁻⁴", "10⁻³", "10⁻²", "10⁻¹", "10⁰", "10¹"
            ]
        );
        assert_eq!(labels(&axis, &[0.08, 0.8], 5), ["0.1", "0.2", "0.5"]);
        assert_eq!(
            labels(&axis, &[0.0008, 0.8], 5),
            ["0.001", "0.003", "0.01", "0.03", "0.1", "0.3", "1"]
        );
        assert_eq!(
            labels(&axis, &[1e-20, 1.0], 5),
            ["10⁻²⁰", "10⁻¹⁵", "10⁻¹⁰", "10⁻⁵", "10⁰"]
        );
        // Within a decade without 1, 2 or 5 the ticks are linear.
        assert!(labels(&axis, &[0.30, 0.31], 5).len() >= 3);
    }

    #[test]
    fn every_range_contains_its_data() {
        let cases: [&[f64]; 8] = [
            &[0.0],
            &[3.0],
            &[-3.0],
            &[1e-9, 1e-9],
            &[f64::NAN],
            &[],
            &[1e300, -1e300],
            &[5.0, 5.0 + 1e-12],
        ];
        for axis in [Axis::linear("y"), Axis::log("y")] {
            for values in cases {
                let range = Range::new(&axis, values.iter().copied(), 0.04);
                assert!(range.lo < range.hi, "{values:?} gave {range:?}");
                for value in values.iter().filter(|v| v.is_finite()) {
                    if let Some(place) = range.place(*value) {
                        assert!(
                            (0.0..=1.0).contains(&place),
                            "{value} lies at {place} of {range:?}"
                        );
                    } else {
                        assert!(axis.scale == Scale::Log && *value <= 0.0 || value.abs() > 1e299);
                    }
                }
            }
        }
    }

    #[test]
    fn every_range_has_a_limited_number_of_ticks() {
        for (lo, hi) in [
            (-1e300, 1e300),
            (1e-300, 1e300),
            (1.0, 1.0 + 1e-8),
            (1e15, 1e15 + 2.0),
        ] {
            for axis in [Axis::linear("x"), Axis::log("x")] {
                let ticks = Range::new(&axis, [lo, hi].into_iter(), 0.0).ticks(6);
                assert!(
                    (1..200).contains(&ticks.len()),
                    "{} ticks for {lo} to {hi}",
                    ticks.len()
                );
            }
        }
    }
}
