//! Smith & Topin: one cycle against a piecewise constant rate with many times as many steps, and
//! fewer images.

use std::path::Path;

use onecycle::{Clr, Momentum, Preset, Span};

use super::{
    Budget, Claim, ClaimVerdict, Protocol, Published, Reproduction, Results, StudySize,
    baseline::{ONE_CYCLE, images, one_cycle, piecewise},
    usual_figures,
};
use crate::{
    StudyError,
    study::{Part, RunResult, RunSpec, Variant, XAxis},
};
use onecycle_plot::{Axis, Colour, Figure, Series, Style, format::significant};
use onecycle_train::{Config, observer::Observer};

const PAPER: &str =
    "Smith & Topin, \"Super-Convergence\" (2018), figure 1 and the logs published with it";
const CLR: &str = "clr";
const SHORT: &str = "piecewise";
const LONG: &str = "piecewise-long";

/// Start and peak of the paper's CLR run.
const PAPER_CLR: (f64, f64) = (0.1, 3.0);

/// `super-convergence`.
pub(super) struct SuperConvergence;

impl SuperConvergence {
    /// Updates of one cycle on all images.
    fn steps(protocol: &Protocol) -> u64 {
        let budget = &protocol.budget;
        let a_epoch = images(protocol).div_ceil(budget.batch_size);
        ((budget.epochs * a_epoch as f64).round() as u64).max(3)
    }

    /// A run with a policy, a number of steps and a fraction of the images.
    fn config(protocol: &Protocol, policy: impl Into<Preset>, steps: u64, share: f64) -> Config {
        let mut config = protocol.config(policy);
        (config.steps, config.epochs) = (Some(steps), None);
        if share < 1.0 {
            config.data.limit = ((share * images(protocol) as f64).round() as usize).max(1);
        }
        config
    }

    /// Label of a variant that trains on a fraction of the images.
    fn label(protocol: &Protocol, label: &str, share: f64) -> String {
        let label = protocol.label(label);
        match share < 1.0 {
            true => format!("{label}-{}-images", significant(share)),
            false => label,
        }
    }

    /// One triangle, with the paper's ratio of peak to start.
    fn clr(protocol: &Protocol, steps: u64) -> Clr {
        let (min, max) = match (protocol.size, protocol.budget.lr_max) {
            (StudySize::Paper, _) => PAPER_CLR,
            (_, peak) => (peak * PAPER_CLR.0 / PAPER_CLR.1, peak),
        };
        Clr {
            momentum: Momentum::Constant(0.9),
            ..Clr::new(min, max, Span::Steps(steps.div_ceil(2)))
        }
    }
}

impl Reproduction for SuperConvergence {
    fn name(&self) -> &'static str {
        "super-convergence"
    }

    fn title(&self) -> &'static str {
        "Super-convergence: one cycle against many times as many steps"
    }

    fn budget<'a>(&self, common: &'a Budget) -> &'a Budget {
        common.super_convergence.as_deref().unwrap_or(common)
    }

    fn notes(&self, protocol: &Protocol) -> Vec<String> {
        let budget = &protocol.budget;
        let lengths = match budget.longer {
            0 => "for as many steps as one cycle".to_owned(),
            times => format!("once for as many steps as one cycle, once for {times} times as many"),
        };
        let mut notes = vec![format!(
            "Piecewise constant: {}, dropping to a tenth after 62.5 % and a hundredth after 87.5 % of the \
             run, momentum 0.9; {lengths}. All images are flipped at random. The momentum of batch norm's \
             running statistics is the same in all runs (a new batch weighs 0.1); in the original, it \
             differed between the baseline and CLR.",
            budget.lr_piecewise
        )];
        if budget.longer == 0 {
            return notes;
        }
        notes.push(
            "CLR: one triangle, momentum 0.9. With fewer images, the number of steps stays the same.".to_owned(),
        );
        if budget.long_runs() == 1 && budget.seeds > 1 {
            notes.push(
                "The long runs have one seed. Differences from them are not paired: the spread of the short \
                 runs stands for theirs."
                    .to_owned(),
            );
        }
        notes
    }

    fn variants(&self, protocol: &Protocol) -> Result<Vec<(String, Config)>, StudyError> {
        let (budget, steps) = (&protocol.budget, SuperConvergence::steps(protocol));
        let constant = piecewise(budget.lr_piecewise);
        let config = |policy: &Preset, steps, share| {
            SuperConvergence::config(protocol, policy.clone(), steps, share)
        };
        let (clr, constant) = (
            SuperConvergence::clr(protocol, steps).into(),
            constant.into(),
        );
        let mut variants = vec![
            one_cycle(protocol)?,
            (protocol.label(SHORT), config(&constant, steps, 1.0)),
        ];
        if budget.longer == 0 {
            return Ok(variants);
        }
        let long = steps * u64::from(budget.longer);
        for share in [1.0].iter().chain(&budget.fewer) {
            for (label, policy, steps) in [(CLR, &clr, steps), (LONG, &constant, long)] {
                let label = SuperConvergence::label(protocol, label, *share);
                variants.push((label, config(policy, steps, *share)));
            }
        }
        Ok(variants)
    }

    fn prepare(
        &self,
        protocol: &Protocol,
        _: (&Path, Part),
        _: &mut dyn Observer,
    ) -> Result<Option<Vec<RunSpec>>, StudyError> {
        let budget = &protocol.budget;
        let long = protocol.label(LONG);
        // The short runs of all seeds come first: they show whether a long run is worth its time.
        let (long, short): (Vec<_>, Vec<_>) = self
            .variants(protocol)?
            .into_iter()
            .partition(|(label, _)| label.starts_with(&long));
        let specs = short.iter().map(|variant| (variant, budget.seeds));
        let specs = specs.chain(long.iter().map(|variant| (variant, budget.long_runs())));
        let specs = specs.flat_map(|((label, config), seeds)| {
            (1..=seeds as u64).map(move |seed| RunSpec::new(label.clone(), config.clone(), seed))
        });
        Ok(Some(specs.collect()))
    }

    fn claims(
        &self,
        protocol: &Protocol,
        _: &Path,
        results: &[Variant],
    ) -> Result<Vec<Claim>, StudyError> {
        let found = Found {
            protocol,
            results: Results(results.to_vec()),
        };
        let claim = |text, numbers| Published {
            text,
            source: PAPER,
            numbers,
        };
        let against_long = |published: Published, label: &str, share| {
            if protocol.budget.longer == 0 {
                return Ok(published.needs_longer_runs());
            }
            let (short, long) = (found.of(label, share)?, found.of(LONG, share)?);
            Ok::<_, StudyError>(published.more_accurate(short, long, 0.0))
        };
        let mut claims = vec![
            against_long(
                claim(
                    "CLR ends more accurate than a piecewise constant rate with many times as many steps",
                    "92.44 % in 10 000 steps against 90.32 % in 80 000",
                ),
                CLR,
                1.0,
            )?,
            against_long(
                claim(
                    "One cycle ends more accurate than a piecewise constant rate with many times as many steps",
                    "93.53 % in 9 310 steps (Gugger) against 91.25 % in 64 000 (He et al., ResNet-20)",
                ),
                ONE_CYCLE,
                1.0,
            )?,
            claim(
                "One cycle ends more accurate than a piecewise constant rate with the same number of steps",
                "figure 1: the curves at 10 000 steps",
            )
            .more_accurate(found.of(ONE_CYCLE, 1.0)?, found.of(SHORT, 1.0)?, 0.0),
            ratio(&found)?,
        ];
        let published = [
            (0.8, "91.1 against 90.4 %"),
            (0.6, "89.6 against 86.4 %"),
            (0.4, "87.9 against 62.3 %"),
            (0.2, "80.6 against 71.2 %"),
        ];
        // 40, 30, 20 and 10 thousand of 50 thousand images; the last one where nothing is trained.
        let shares = match protocol.budget.longer {
            0 => &[0.2][..],
            _ => &protocol.budget.fewer,
        };
        for share in shares {
            let known = published.iter().find(|(known, _)| known == share);
            let numbers = known.map_or(
                "80.6 against 71.2 % with 10 000 of 50 000 images",
                |(_, numbers)| numbers,
            );
            let text = "With fewer images, CLR ends more accurate than a piecewise constant rate with many times as many steps";
            let mut fewer_images = against_long(claim(text, numbers), CLR, *share)?;
            fewer_images.text += &format!(" ({} % of the images)", significant(100.0 * share));
            claims.push(fewer_images);
        }
        claims.push(gain(&found)?);
        Ok(claims)
    }

    fn figures(
        &self,
        protocol: &Protocol,
        _: &Path,
        results: &[Variant],
    ) -> Result<Vec<(Figure, String)>, StudyError> {
        let whole: Vec<Variant> = results
            .iter()
            .filter(|variant| !variant.label.ends_with("-images"))
            .cloned()
            .collect();
        let mut shown = usual_figures(self.name(), XAxis::Steps, &whole);
        if protocol.budget.longer > 0 && !protocol.budget.fewer.is_empty() {
            let results = Results(results.to_vec());
            shown.push(by_images(&Found { protocol, results })?);
        }
        Ok(shown)
    }
}

/// The variants of this experiment, found by policy and fraction of the images.
struct Found<'a> {
    protocol: &'a Protocol,
    results: Results,
}

impl Found<'_> {
    fn of(&self, label: &str, share: f64) -> Result<&Variant, StudyError> {
        self.results
            .get(&SuperConvergence::label(self.protocol, label, share))
    }
}

/// Shows how many times the steps of one cycle the long runs need for its final accuracy. Tests that they
/// need more, by the difference between the final accuracy of one cycle and the best accuracy of the long
/// runs within as many steps.
fn ratio(found: &Found) -> Result<Claim, StudyError> {
    let published = Published {
        text: "The piecewise constant rate needs more steps to reach the final accuracy of one cycle, or never reaches it",
        source: PAPER,
        numbers: "more than 8 times: 90.32 % after 80 000 steps, 92.44 % after 10 000",
    };
    if found.protocol.budget.longer == 0 {
        return Ok(published.needs_longer_runs());
    }
    let (cycle, long) = (found.of(ONE_CYCLE, 1.0)?, found.of(LONG, 1.0)?);
    let accuracy = cycle.estimate(|run| run.final_accuracy).mean;
    let steps = cycle.runs.iter().map(|run| run.steps).max().unwrap_or(1) as f64;
    let ratios: Vec<f64> = long
        .runs
        .iter()
        .filter_map(|run| Some(run.time_to_accuracy(accuracy)?.steps as f64 / steps))
        .collect();
    let percent = format!("{:.2} %", 100.0 * accuracy);
    let all = long.runs.len();
    let reached = match onecycle_stats::SampleMean::of(&ratios) {
        None => {
            let times = long.runs.iter().map(|run| run.steps).max().unwrap_or(0) as f64 / steps;
            format!(
                "none of {all} runs reached {percent} within {} times the steps",
                significant(times)
            )
        }
        Some(ratio) => format!(
            "{percent} after {} times the steps, in {} of {all} runs",
            super::claim::interval(&ratio, significant),
            ratios.len()
        ),
    };
    let up_to_then = |run: &RunResult| {
        let early = run
            .epochs
            .iter()
            .filter(|epoch| epoch.steps as f64 <= steps);
        early
            .map(|epoch| epoch.val_accuracy)
            .fold(f64::NEG_INFINITY, f64::max)
    };
    let best: Vec<f64> = long.runs.iter().map(up_to_then).collect();
    let ends: Vec<f64> = cycle.runs.iter().map(|run| run.final_accuracy).collect();
    let verdict = onecycle_stats::SampleMean::of_independent_difference(&ends, &best)
        .filter(|lead| lead.mean.is_finite())
        .map_or(ClaimVerdict::NotDecided, |lead| {
            super::claim::above(lead, 0.0)
        });
    Ok(published.with(reached, verdict))
}

/// Tests that the lead of CLR is larger on few images than on all.
fn gain(found: &Found) -> Result<Claim, StudyError> {
    let published = Published {
        text: "The fewer images, the larger the lead of CLR",
        source: PAPER,
        numbers: "2.1 points with 50 000 images, 9.4 with 10 000",
    };
    let budget = &found.protocol.budget;
    let fewest = budget.fewer.iter().copied().reduce(f64::min);
    let (Some(share), 1..) = (fewest, budget.longer) else {
        return Ok(published.needs_longer_runs());
    };
    let accuracies = |label, share| -> Result<Vec<f64>, StudyError> {
        let runs = &found.of(label, share)?.runs;
        Ok(runs.iter().map(|run| run.final_accuracy).collect())
    };
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let lead = |share| -> Result<Vec<f64>, StudyError> {
        let (clr, long) = (accuracies(CLR, share)?, accuracies(LONG, share)?);
        // Paired by seed, unless there are fewer long runs: then their mean is the same for all.
        let paired = clr.len() == long.len();
        let other = |seed: usize| if paired { long[seed] } else { mean(&long) };
        let leads = clr.iter().enumerate();
        Ok(leads
            .map(|(seed, accuracy)| accuracy - other(seed))
            .collect())
    };
    let (few, all) = (lead(share)?, lead(1.0)?);
    let Some(mut difference) = onecycle_stats::SampleMean::of_difference(&few, &all) else {
        return Ok(published.with("no seed in common".to_owned(), ClaimVerdict::NotDecided));
    };
    let long_runs = budget.long_runs();
    // The long runs vary, too: their spread is taken to be that of the short ones.
    let widened = (1.0 + budget.seeds as f64 / long_runs as f64).sqrt();
    if long_runs < budget.seeds {
        difference.half_width = difference.half_width.map(|half| half * widened);
    }
    let points = |values: &[f64]| significant(100.0 * mean(values));
    let ours = format!(
        "{} points with all images, {} with {} % of them; difference {} points",
        points(&all),
        points(&few),
        significant(100.0 * share),
        super::claim::interval(&difference, |share| significant(100.0 * share))
    );
    Ok(published.with(ours, super::claim::above(difference, 0.0)))
}

/// Final accuracy over the number of images.
fn by_images(found: &Found) -> Result<(Figure, String), StudyError> {
    let protocol = found.protocol;
    let mut figure = Figure::new(
        "super-convergence-images",
        "Final accuracy over the number of training images",
        Axis::linear("training images"),
        Axis::linear("final validation accuracy (%)"),
    );
    let all = images(protocol) as f64;
    let names = [
        (CLR, "CLR", Colour::Blue),
        (
            LONG,
            "piecewise constant, many times as many steps",
            Colour::Vermillion,
        ),
    ];
    for (label, name, colour) in names {
        let (mut x, mut mean, mut low, mut high) = (vec![], vec![], vec![], vec![]);
        let mut shares = protocol.budget.fewer.clone();
        shares.push(1.0);
        shares.sort_by(f64::total_cmp);
        for share in shares {
            let variant = found.of(label, share)?;
            let finals = variant.runs.iter().map(|run| 100.0 * run.final_accuracy);
            x.push(share * all);
            mean.push(variant.estimate(|run| 100.0 * run.final_accuracy).mean);
            low.push(finals.clone().fold(f64::INFINITY, f64::min));
            high.push(finals.fold(f64::NEG_INFINITY, f64::max));
        }
        let band = Series::line(format!("{name}, lowest to highest seed"), x.clone(), low);
        figure
            .series
            .push(band.style(Style::Band { upper: high }).colour(colour));
        figure.series.push(
            Series::line(name, x, mean)
                .style(Style::LinePoints)
                .colour(colour),
        );
    }
    let caption = "Final validation accuracy with all and with fewer training images, at the same number of steps.";
    Ok((figure, caption.to_owned()))
}
