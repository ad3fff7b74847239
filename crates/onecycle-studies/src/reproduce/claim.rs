use onecycle_stats::{SampleMean, Sign};
use serde::{Deserialize, Serialize};

use crate::{
    StudyError,
    study::{RunResult, Variant},
};
use onecycle_plot::format::{percent, significant};
use onecycle_train::ConfigError;

/// A claim of the literature beside what was measured here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Claim {
    /// What is claimed.
    pub text: String,
    /// By whom, and where.
    pub source: String,
    /// The numbers published for it.
    pub published: String,
    /// Those measured here.
    pub ours: String,
    /// What follows from them.
    #[serde(rename = "seen")]
    pub verdict: ClaimVerdict,
}

/// Whether a claim shows in the results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClaimVerdict {
    /// The 95 % interval lies wholly on the claimed side.
    Seen,
    /// It lies wholly on the other side.
    NotSeenHere,
    /// It holds both: more seeds, or a larger experiment, would have to decide.
    NotDecided,
}

impl ClaimVerdict {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            ClaimVerdict::Seen => "seen",
            ClaimVerdict::NotSeenHere => "not seen here",
            ClaimVerdict::NotDecided => "not decided",
        }
    }
}

/// Where a claim stands, and its numbers there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Published {
    pub(super) text: &'static str,
    pub(super) source: &'static str,
    pub(super) numbers: &'static str,
}

impl Published {
    /// The claim with what was measured.
    pub(super) fn with(self, ours: String, verdict: ClaimVerdict) -> Claim {
        Claim {
            text: self.text.to_owned(),
            source: self.source.to_owned(),
            published: self.numbers.to_owned(),
            ours,
            verdict,
        }
    }

    /// A claim that the final accuracy of `a` is above that of `b`, or at most `margin` (a share of 1) below it.
    pub(super) fn more_accurate(self, a: &Variant, b: &Variant, margin: f64) -> Claim {
        let difference = a.difference(b, |run| run.final_accuracy);
        let verdict = difference.map_or(ClaimVerdict::NotDecided, |difference| {
            above(difference, -margin)
        });
        self.with(against(a, b, difference), verdict)
    }

    /// A claim that a number of the runs is larger for `a` than for `b`. Runs that diverged do not count.
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

    /// A claim that a positive number, `what`, is larger for `a` than for `b`, by the ratios seed by seed. Runs that diverged do
    /// not count.
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

    /// A claim that the first number of each pair is the larger one, by the ratios. Numbers that are not positive, and NaN for
    /// one that was not measured, leave it open.
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

    /// A claim that `a` and `b` end alike: their difference lies within `margin` (a share of 1) of 0.
    pub(super) fn alike(self, a: &Variant, b: &Variant, margin: f64) -> Claim {
        let difference = a.difference(b, |run| run.final_accuracy);
        let verdict = difference.map_or(ClaimVerdict::NotDecided, |difference| {
            within(difference, margin)
        });
        self.with(against(a, b, difference), verdict)
    }
}

/// The variant without the runs that diverged.
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

/// Whether an estimate lies above a bound.
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

/// Whether an estimate lies within `margin` of 0.
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

/// The variants of an experiment by their labels.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Results(pub(super) Vec<Variant>);

impl Results {
    /// The variant of this label.
    pub(super) fn get(&self, label: &str) -> Result<&Variant, StudyError> {
        let found = self.0.iter().find(|variant| variant.label == label);
        Ok(found
            .ok_or_else(|| ConfigError::setting("variant", label, "one of the experiment's own"))?)
    }

    /// All of them under their labels, for figures.
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
    fn only_an_interval_decides() {
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
    fn a_ratio_is_told_by_its_factor() {
        let published = Published {
            text: "",
            source: "",
            numbers: "",
        };
        let claim = |pairs: &[(f64, f64)]| published.larger_ratio("x", pairs);
        // Factors 2, 4 and 8: the mean is 4, the interval 4 times or by 2^(4.303 / sqrt 3).
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
