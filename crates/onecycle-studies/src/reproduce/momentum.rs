//! Smith: momentum that moves opposite to the learning rate, against constant momentum and the
//! reverse phase.

use std::path::Path;

use onecycle::{Curve, Momentum as Track, OneCycle, Span};

use super::{
    Claim, Protocol, Published, Reproduction, Results,
    baseline::{ONE_CYCLE, images, one_cycle, one_cycle_policy},
    usual_figures,
};
use crate::{
    StudyError,
    study::{Variant, XAxis},
};
use onecycle_plot::Figure;
use onecycle_train::{
    Config,
    experiment::plan,
    figures::{self, Tracks},
    plan_view::PlanView,
};

const PAPER: &str = "Smith, \"A disciplined approach\" (2018), section 4.3";
const OPPOSITE: &str = "momentum-opposite";
/// Constant momenta, each with the published accuracies: cyclical momentum against the constant.
const CONSTANTS: [(f64, &str); 3] = [
    (0.85, "92.0 against 90.8 % (±0.1 to 0.3)"),
    (0.90, "92.0 against 91.4 % (±0.1 to 0.3)"),
    (0.95, "92.0 against 92.1 % (±0.1 to 0.3)"),
];
/// Bounds of the momentum cycle.
const HIGH: f64 = 0.95;
const LOW: f64 = 0.85;
/// Final accuracies count as equal within this fraction.
const MARGIN: f64 = 0.01;

fn constant_label(momentum: f64) -> String {
    format!("momentum-{momentum:.2}")
}

/// `momentum`.
pub(super) struct Momentum;

impl Momentum {
    /// Momentum that rises and falls with the learning rate.
    fn opposite(protocol: &Protocol) -> Config {
        let policy = one_cycle_policy(&protocol.budget);
        // The two legs share what annihilation leaves.
        let leg = match policy.annihilation {
            Span::Fraction(share) => Span::Fraction((1.0 - share) / 2.0),
            span => span,
        };
        let mut config = protocol.config(policy);
        config.policy.momentum_curve = Some(Curve::sequence([
            (leg, Curve::linear(LOW, HIGH)),
            (leg, Curve::linear(HIGH, LOW)),
        ]));
        config
    }
}

impl Reproduction for Momentum {
    fn name(&self) -> &'static str {
        "momentum"
    }

    fn title(&self) -> &'static str {
        "Cyclical momentum against constant momentum and the reverse phase"
    }

    fn notes(&self, _: &Protocol) -> Vec<String> {
        vec!["All runs use the same cycle of the learning rate: with momentum from 0.95 to 0.85 and back, with \
              three constants, and with momentum that rises and falls with the learning rate."
            .to_owned()]
    }

    fn variants(&self, protocol: &Protocol) -> Result<Vec<(String, Config)>, StudyError> {
        let mut variants = vec![one_cycle(protocol)?];
        for (momentum, _) in CONSTANTS {
            let policy = OneCycle {
                momentum: Track::Constant(momentum),
                ..one_cycle_policy(&protocol.budget)
            };
            variants.push((constant_label(momentum), protocol.config(policy)));
        }
        variants.push((OPPOSITE.to_owned(), Momentum::opposite(protocol)));
        Ok(variants)
    }

    fn claims(
        &self,
        _: &Protocol,
        _: &Path,
        results: &[Variant],
    ) -> Result<Vec<Claim>, StudyError> {
        let results = Results(results.to_vec());
        let cyclical = results.get(ONE_CYCLE)?;
        let mut claims = Vec::new();
        for (momentum, numbers) in CONSTANTS {
            let constant = results.get(&constant_label(momentum))?;
            let published = |text| Published {
                text,
                source: PAPER,
                numbers,
            };
            claims.push(match momentum {
                0.85 => published("Cyclical momentum ends more accurate than a constant 0.85").more_accurate(cyclical, constant, 0.0),
                0.90 => published("Cyclical momentum ends more accurate than a constant 0.90").more_accurate(cyclical, constant, 0.0),
                _ => published("Cyclical momentum is as accurate as a constant 0.95 (within 1 point), over a wider range of rates").alike(cyclical, constant, MARGIN),
            });
        }
        let published = Published {
            text: "Momentum in phase with the learning rate ends less accurate",
            source: PAPER,
            numbers: "stated without a number",
        };
        claims.push(published.more_accurate(cyclical, results.get(OPPOSITE)?, 0.0));
        Ok(claims)
    }

    fn figures(
        &self,
        protocol: &Protocol,
        _: &Path,
        results: &[Variant],
    ) -> Result<Vec<(Figure, String)>, StudyError> {
        let images = images(protocol);
        let (_, cyclical) = one_cycle(protocol)?;
        let mut shown = vec![
            (
                schedule_figure("momentum-schedule", &cyclical, images)?,
                "Learning rate and momentum: momentum is lowest at the highest rate.".to_owned(),
            ),
            (
                schedule_figure(
                    "momentum-opposite-schedule",
                    &Momentum::opposite(protocol),
                    images,
                )?,
                "The reverse phase: momentum rises and falls with the rate.".to_owned(),
            ),
        ];
        shown.extend(usual_figures(self.name(), XAxis::Steps, results));
        Ok(shown)
    }
}

/// Learning rate and momentum of a configuration over the steps.
fn schedule_figure(name: &str, config: &Config, images: usize) -> Result<Figure, StudyError> {
    let view = PlanView::new(&plan(config, Some(images))?);
    let mut figure = figures::schedule(&Tracks {
        phases: view.marks().to_vec(),
        ..view.tracks().clone()
    });
    figure.name = name.to_owned();
    Ok(figure)
}
