use onecycle_stats::{SampleMean, Sign};
use serde::{Deserialize, Serialize};

use crate::{
    StudyError,
    study::{RunResult, Variant},
};
use onecycle_plot::format::{percent, significant};
use onecycle_train::ConfigError;

/// A published claim with our measurement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Claim {
    /// The claim.
    pub text: String,
    /// Who made it, and where.
    pub source: String,
    /// The published numbers.
    pub published: String,
    /// The numbers measured here.
    pub ours: String,
    /// The verdict on the claim.
    #[serde(rename = "seen")]
    pub verdict: ClaimVerdict,
}

/// Verdict on a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClaimVerdict {
    /// The whole 95 % confidence interval lies on the claimed side.
    Seen,
    /// The whole interval lies on the other side.
    NotSeenHere,
    /// The interval contains both sides. Deciding takes more seeds or a larger experiment.
    NotDecided,
}

impl ClaimVerdict {
    /// The verdict as text.
    pub fn words(self) -> &'static str {
        match self {
            ClaimVerdict::Seen => "seen",
            ClaimVerdict::NotSeenHere => "not seen here",
            ClaimVerdict::NotDecided => "not decided",
        }
    }
}

/// A claim with its source and the published numbers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Published {
    pub(super) text: &'static str,
    pub(super) source: &'static str,
    pub(super) numbers: &'static str,
}

impl Published {
    /// Completes the claim with our measurement.
    pub(super) fn with(self, ours: String, verdict: ClaimVerdict) -> Claim {
        Claim {
            text: self.text.to_owned(),
            source: self.source.to_owned(),
            published: self.numbers.to_owned(),
            ours,
            verdict,
        }
    }

    /// Tests that the final accuracy of `a` is above that of `b`, or at most `margin` (a fraction)
    /// below it.
    pub(super) fn more_accurate(self, a: &Variant, b: &Variant, margin: f64) -> Claim {
        let difference = a.difference(b, |run| run.final_accuracy);
        let verdict = difference.map_or(ClaimVerdict::NotDecided, |difference| {
            above(difference, -margin)
        });
        self.with(against(a, b, difference), verdict)
    }

    /// Tests that a number is larger for `a` than for `b`. Diverged runs do not count.
    pub(super) fn larger(
        self,
        a: &Variant,
        b: &Variant,
        name: &str,
        value: impl Fn(&RunResult) -> f64 + Copy,
    ) -> Claim {
        let (a, b) = (sound(a), sound(b));
        match a.difference(&b, value) {
            None => self.with("the runs diverged".to_owned(), ClaimVerdict::NotDecided),
            Some(difference) => {
                let [own, other] = [&a, &b].map(|v| significant(v.estimate(value).mean));
                let interval = interval(&difference, significant);
                let ours = format!("{name} {own} against {other}; difference {interval}");
                self.with(ours, above(difference, 0.0))
            }
        }
    }

    /// Tests that a positive number, `what`, is larger for `a` than for `b`, by the ratios paired
    /// by seed. Diverged runs do not count.
    pub(super) fn times_larger(
        self,
        a: &Variant,
        b: &Variant,
        what: &str,
        value: impl Fn(&RunResult) -> f64,
    ) -> Claim {
        let (a, b) = (sound(a), sound(b));
        let twins = a.runs.iter().filter_map(|run| {
            let twin = b.runs.iter().find(|twin| twin.seed == run.seed)?;
            Some((value(run), value(twin)))
        });
        self.larger_ratio(what, &twins.collect::<Vec<_>>())
    }

    /// Tests that the first number of each pair is the larger one, by the mean log ratio. The claim
    /// stays undecided if a number is not positive, or NaN because it was not measured.
    pub(super) fn larger_ratio(self, what: &str, pairs: &[(f64, f64)]) -> Claim {
        let estimate = |of: fn(&(f64, f64)) -> f64| {
            let logs: Vec<f64> = pairs.iter().map(|pair| of(pair).ln()).collect();
            SampleMean::of(&logs).filter(|log| log.mean.is_finite())
        };
        let times = |log: f64| significant(log.exp());
        match (
            estimate(|(a, _)| *a),
            estimate(|(_, b)| *b),
            estimate(|(a, b)| a / b),
        ) {
            (Some(own), Some(other), Some(ratio)) => {
                let [own, other] = [own, other].map(|log| times(log.mean));
                let ours = format!(
                    "{what} {own} against {other}; ratio {}",
                    interval(&ratio, times)
                );
                self.with(ours, above(ratio, 0.0))
            }
            _ => self.with(
                format!("{what} not measured in every run"),
                ClaimVerdict::NotDecided,
            ),
        }
    }

    /// Tests that the final accuracies of `a` and `b` are equal: their difference lies within
    /// `margin` (a fraction) of 0.
    pub(super) fn alike(self, a: &Variant, b: &Variant, margin: f64) -> Claim {
        let difference = a.difference(b, |run| run.final_accuracy);
        let verdict = difference.map_or(ClaimVerdict::NotDecided, |difference| {
            within(difference, margin)
        });
        self.with(against(a, b, difference), verdict)
    }
}

/// The variant without its diverged runs.
pub(super) fn sound(variant: &Variant) -> Variant {
    Variant {
        label: variant.label.clone(),
        runs: variant
            .runs
            .iter()
            .filter(|run| run.diverged.is_none())
            .cloned()
            .collect(),
    }
}

/// Tests whether a mean lies above a bound.
pub(super) fn above(estimate: SampleMean, bound: f64) -> ClaimVerdict {
    let shifted = SampleMean {
        mean: estimate.mean - bound,
        ..estimate
    };
    match shifted.sign() {
        Sign::Above => ClaimVerdict::Seen,
        Sign::Below => ClaimVerdict::NotSeenHere,
        Sign::Open => ClaimVerdict::NotDecided,
    }
}

/// Tests whether a mean lies within `margin` of 0.
pub(super) fn within(estimate: SampleMean, margin: f64) -> ClaimVerdict {
    match estimate.interval() {
        Some((low, high)) if low > -margin && high < margin => ClaimVerdict::Seen,
        Some((low, high)) if low > margin || high < -margin => ClaimVerdict::NotSeenHere,
        _ => ClaimVerdict::NotDecided,
    }
}

/// `91.2 % against 90.4 %; difference 0.8 (0.1 to 1.5) points`.
fn against(a: &Variant, b: &Variant, difference: Option<SampleMean>) -> String {
    let [own, other] = [a, b].map(|variant| {
        let diverged = variant
            .runs
            .iter()
            .filter(|run| run.diverged.is_some())
            .count();
        let note = match diverged {
            0 => String::new(),
            n => format!(" ({n} of {} diverged)", variant.runs.len()),
        };
        percent(variant.estimate(|run| run.final_accuracy).mean) + &note
    });
    let points = |share: f64| significant(100.0 * share);
    let difference = difference.map_or_else(
        || "no seed in common".to_owned(),
        |difference| format!("difference {} points", interval(&difference, points)),
    );
    format!("{own} against {other}; {difference}")
}

/// `0.8 (0.1 to 1.5)`, or `0.8 (one seed)`.
pub(super) fn interval(estimate: &SampleMean, number: impl Fn(f64) -> String) -> String {
    let mean = number(estimate.mean);
    match estimate.interval() {
        None => format!("{mean} (one seed)"),
        Some((low, high)) => format!("{mean} ({} to {})", number(low), number(high)),
    }
}

/// The variants of an experiment, found by label.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Results(pub(super) Vec<Variant>);

impl Results {
    /// The variant with this label.
    pub(super) fn get(&self, label: &str) -> Result<&Variant, StudyError> {
        let found = self.0.iter().find(|variant| variant.label == label);
        Ok(found
            .ok_or_else(|| ConfigError::setting("variant", label, "a label of this experiment"))?)
    }

    /// All variants with their labels, for figures.
    pub(super) fn named(&self) -> Vec<(&str, &Variant)> {
        self.0
            .iter()
            .map(|variant| (variant.label.as_str(), variant))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn estimate(mean: f64, half: Option<f64>) -> SampleMean {
        SampleMean {
            mean,
            half_width: half,
            n: 3,
        }
    }

    #[test]
    fn only_a_confidence_interval_decides() {
        let cases = [
            (0.02, Some(0.01), 0.0, ClaimVerdict::Seen),
            (0.02, Some(0.03), 0.0, ClaimVerdict::NotDecided),
            (-0.02, Some(0.01), 0.0, ClaimVerdict::NotSeenHere),
            (-0.002, Some(0.001), -0.01, ClaimVerdict::Seen),
            (0.5, None, 0.0, ClaimVerdict::NotDecided),
        ];
        for (mean, half, bound, verdict) in cases {
            assert_eq!(
                above(estimate(mean, half), bound),
                verdict,
                "{mean} {half:?}"
            );
        }
        let cases = [
            (0.001, Some(0.002), ClaimVerdict::Seen),
            (0.02, Some(0.005), ClaimVerdict::NotSeenHere),
            (-0.02, Some(0.005), ClaimVerdict::NotSeenHere),
            (0.01, Some(0.005), ClaimVerdict::NotDecided),
            (0.0, None, ClaimVerdict::NotDecided),
        ];
        for (mean, half, verdict) in cases {
            assert_eq!(
                within(estimate(mean, half), 0.01),
                verdict,
                "{mean} {half:?}"
            );
        }
    }

    #[test]
    fn a_ratio_is_tested_by_its_logarithm() {
        let published = Published {
            text: "",
            source: "",
            numbers: "",
        };
        let claim = |pairs: &[(f64, f64)]| published.larger_ratio("x", pairs);
        // Factors 2, 4 and 8: the mean is 4, and the interval spans a factor of 2^(4.303 / sqrt 3)
        // on either side.
        let found = claim(&[(2.0, 1.0), (8.0, 2.0), (8.0, 1.0)]);
        assert_eq!(found.ours, "x 5.04 against 1.26; ratio 4 (0.7149 to 22.38)");
        assert_eq!(found.verdict, ClaimVerdict::NotDecided);
        assert_eq!(
            claim(&[(2.0, 1.0), (4.2, 2.0), (8.0, 3.9)]).verdict,
            ClaimVerdict::Seen
        );
        assert_eq!(
            claim(&[(1.0, 2.0), (2.0, 4.2), (3.9, 8.0)]).verdict,
            ClaimVerdict::NotSeenHere
        );
        for gone in [f64::NAN, 0.0, -1.0, f64::INFINITY] {
            let found = claim(&[(2.0, 1.0), (gone, 1.0), (2.0, 1.0)]);
            assert_eq!(found.verdict, ClaimVerdict::NotDecided);
            assert_eq!(found.ours, "x not measured in every run");
        }
        assert_eq!(claim(&[]).verdict, ClaimVerdict::NotDecided);
    }
}
