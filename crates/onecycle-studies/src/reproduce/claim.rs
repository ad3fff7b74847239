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
    /// Only runs of the length of `--scale cpu` can decide it. This scale trains nothing for it.
    NeedsCpu,
    /// Only the originals' network, data and length can decide it. The numbers of this scale are shown
    /// for comparison.
    NeedsPaper,
}

impl ClaimVerdict {
    /// The verdict as text.
    pub fn words(self) -> &'static str {
        match self {
            ClaimVerdict::Seen => "seen",
            ClaimVerdict::NotSeenHere => "not seen here",
            ClaimVerdict::NotDecided => "not decided",
            ClaimVerdict::NeedsCpu => "needs --scale cpu",
            ClaimVerdict::NeedsPaper => "needs --scale paper",
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

    /// A claim that this scale trains nothing for, because only longer runs can decide it.
    pub(super) fn needs_longer_runs(self) -> Claim {
        self.with(
            "not trained at this scale".to_owned(),
            ClaimVerdict::NeedsCpu,
        )
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
        self.larger_ratio(what, &twins(a, b, value))
    }

    /// Tests that the first number of each pair is the larger one, by the mean log ratio. The claim
    /// stays undecided if a number is not positive, or NaN because it was not measured.
    pub(super) fn larger_ratio(self, what: &str, pairs: &[(f64, f64)]) -> Claim {
        self.ratio(what, pairs, |log| above(log, 0.0))
    }

    /// Tests that a positive number, `what`, is equal for `a` and `b`: the mean ratio, paired by seed,
    /// is at most `1 + margin` either way. Diverged runs do not count.
    pub(super) fn same_ratio(
        self,
        (a, b): (&Variant, &Variant),
        margin: f64,
        what: &str,
        value: impl Fn(&RunResult) -> f64,
    ) -> Claim {
        let bound = margin.ln_1p();
        self.ratio(what, &twins(a, b, value), |log| within(log, bound))
    }

    /// Shows the mean log ratio of the pairs and judges it.
    fn ratio(
        self,
        what: &str,
        pairs: &[(f64, f64)],
        verdict: impl Fn(SampleMean) -> ClaimVerdict,
    ) -> Claim {
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
                self.with(ours, verdict(ratio))
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

/// A number of the runs of `a` with the same number of the run of `b` with the same seed, without
/// diverged runs.
fn twins(a: &Variant, b: &Variant, value: impl Fn(&RunResult) -> f64) -> Vec<(f64, f64)> {
    let (a, b) = (sound(a), sound(b));
    let pairs = a.runs.iter().filter_map(|run| {
        let twin = b.runs.iter().find(|twin| twin.seed == run.seed)?;
        Some((value(run), value(twin)))
    });
    pairs.collect()
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

    /// Runs with seeds 1, 2, ... and these final accuracies.
    fn variant(accuracies: &[f64]) -> Variant {
        let run = |(seed, final_accuracy): (u64, &f64)| RunResult {
            label: String::new(),
            seed,
            final_accuracy: *final_accuracy,
            best_accuracy: *final_accuracy,
            generalisation_gap: 0.0,
            steps: 1,
            seconds: 1.0,
            diverged: None,
            epochs: Vec::new(),
            diagnoses: Vec::new(),
            run: Default::default(),
        };
        Variant {
            label: String::new(),
            runs: (1..).zip(accuracies).map(run).collect(),
        }
    }

    #[test]
    fn one_long_run_decides_with_the_spread_of_the_short_ones() {
        let claim = |short: &[f64], long: &[f64]| {
            let published = Published {
                text: "",
                source: "",
                numbers: "",
            };
            published.more_accurate(&variant(short), &variant(long), 0.0)
        };
        // s = 0.001; 4.303 s sqrt(1 + 1/3) = 0.00497.
        let short = [0.921, 0.922, 0.923];
        let found = claim(&short, &[0.915]);
        assert_eq!(found.verdict, ClaimVerdict::Seen);
        assert!(
            found
                .ours
                .contains("difference 0.7 (0.2032 to 1.197) points"),
            "{}",
            found.ours
        );
        assert_eq!(claim(&short, &[0.918]).verdict, ClaimVerdict::NotDecided);
        assert_eq!(claim(&short, &[0.928]).verdict, ClaimVerdict::NotSeenHere);
        // As many runs are paired: the differences are 0.01 each.
        assert_eq!(
            claim(&short, &[0.911, 0.912, 0.9131]).verdict,
            ClaimVerdict::Seen
        );
        assert_eq!(claim(&[0.9], &[0.8]).verdict, ClaimVerdict::NotDecided);
    }

    #[test]
    fn equal_ratios_stay_within_the_margin_either_way() {
        let published = Published {
            text: "",
            source: "",
            numbers: "",
        };
        let claim = |a: &[f64], b: &[f64]| {
            let value = |run: &RunResult| run.final_accuracy;
            published
                .same_ratio((&variant(a), &variant(b)), 0.1, "x", value)
                .verdict
        };
        assert_eq!(
            claim(&[1.0, 1.02, 1.01], &[1.0, 1.0, 1.0]),
            ClaimVerdict::Seen
        );
        assert_eq!(
            claim(&[1.0, 1.0, 1.0], &[1.0, 1.02, 1.01]),
            ClaimVerdict::Seen
        );
        assert_eq!(
            claim(&[1.2, 1.21, 1.2], &[1.0, 1.0, 1.0]),
            ClaimVerdict::NotSeenHere
        );
        assert_eq!(
            claim(&[1.0, 1.0, 1.0], &[1.2, 1.21, 1.2]),
            ClaimVerdict::NotSeenHere
        );
        assert_eq!(
            claim(&[1.0, 1.2, 1.1], &[1.0, 1.0, 1.0]),
            ClaimVerdict::NotDecided
        );
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
