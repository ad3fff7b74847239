//! Large batches: batches that grow at the start of a run, warm-up, linear scaling, ghost batches.

use std::path::Path;

use onecycle::{BatchSizes, Linear, Preset, Scaling, Sequence, Span, Warmup};

use super::{
    Claim, Protocol, Published, Reproduction, Results,
    baseline::{PIECEWISE_EPOCHS, piecewise, piecewise_epochs},
};
use crate::{StudyError, study::Variant};
use onecycle_train::Config;

const KESKAR: &str = "Keskar et al., \"On large-batch training\" (2017), section 3";
const GOYAL: &str = "Goyal et al., \"Accurate, large minibatch SGD\" (2017), tables 1 and 2";

/// What counts as equal, a share of 1.
const MARGIN: f64 = 0.01;
/// Share of the run in which batches grow, or the rate does.
const GROWTH: f64 = 0.25;
/// Share of the run that is warm-up: 5 of 90 epochs; in short runs a tenth, which is then some steps.
const WARM_UP: f64 = 0.1;

fn large_batch(protocol: &Protocol) -> usize {
    protocol.budget.batch_size * protocol.budget.large as usize
}

/// `batch-warm-start`: batch size growing over the first epochs, against the learning rate growing.
pub(super) struct BatchWarmStart;

impl BatchWarmStart {
    /// The rate stays, then falls in a straight line.
    fn late(protocol: &Protocol) -> Sequence {
        let lr = protocol.budget.lr_max;
        let stay = Linear { lr, lr_final: lr };
        Sequence::new([(Span::Fraction(GROWTH), stay.into())], Linear::new(lr))
    }

    /// The rate rises, then falls in a straight line.
    fn rising(protocol: &Protocol) -> Sequence {
        let lr = protocol.budget.lr_max;
        let rise = Linear {
            lr: 0.1 * lr,
            lr_final: lr,
        };
        Sequence::new([(Span::Fraction(GROWTH), rise.into())], Linear::new(lr))
    }

    fn config(protocol: &Protocol, policy: impl Into<Preset>) -> Config {
        let mut config = protocol.config(policy);
        config.batch_size = large_batch(protocol);
        config
    }
}

impl Reproduction for BatchWarmStart {
    fn name(&self) -> &'static str {
        "batch-warm-start"
    }

    fn title(&self) -> &'static str {
        "Batches that grow over the first epochs, against a rate that does"
    }

    fn notes(&self, protocol: &Protocol) -> Vec<String> {
        vec![format!(
            "Large batches of {} in all runs. Growing batches: an eighth, a quarter and half of that over the first quarter of \
             the epochs. Growing rate: from a tenth of the peak in that time. Then the rate falls to 0 in a straight line. \
             All runs see the same number of images; the one with growing batches makes more steps.",
            large_batch(protocol)
        )]
    }

    fn variants(&self, protocol: &Protocol) -> Result<Vec<(String, Config)>, StudyError> {
        let large = large_batch(protocol) as u64;
        let of_the_growth = |share: f64| Span::Epochs(share * GROWTH * protocol.budget.epochs);
        let mut growing = BatchWarmStart::config(protocol, BatchWarmStart::late(protocol));
        growing.policy.batch_size = Some(BatchSizes::Piecewise(vec![
            (Span::Epochs(0.0), (large / 8).max(1)),
            (of_the_growth(1.0 / 3.0), (large / 4).max(1)),
            (of_the_growth(2.0 / 3.0), (large / 2).max(1)),
            (of_the_growth(1.0), large),
        ]));
        Ok(vec![
            ("growing-batches".to_owned(), growing),
            (
                "growing-rate".to_owned(),
                BatchWarmStart::config(protocol, BatchWarmStart::rising(protocol)),
            ),
            (
                "large-batches".to_owned(),
                BatchWarmStart::config(protocol, BatchWarmStart::late(protocol)),
            ),
        ])
    }

    fn claims(
        &self,
        _: &Protocol,
        _: &Path,
        results: &[Variant],
    ) -> Result<Vec<Claim>, StudyError> {
        let results = Results(results.to_vec());
        let growing = results.get("growing-batches")?;
        let claim = |text| Published {
            text,
            source: KESKAR,
            numbers: "figure 5 (two other networks): no gain after a few epochs of small batches, a gain after enough of them",
        };
        Ok(vec![
            claim("Batches that grow end more accurate than large ones from the start")
                .more_accurate(growing, results.get("large-batches")?, 0.0),
            claim("Batches that grow do what a growing rate does (within 1 point)").alike(
                growing,
                results.get("growing-rate")?,
                MARGIN,
            ),
        ])
    }
}

/// `large-batch`: gradual warm-up with linear scaling, and batch norm over ghost batches.
pub(super) struct LargeBatch;

impl Reproduction for LargeBatch {
    fn name(&self) -> &'static str {
        "large-batch"
    }

    fn title(&self) -> &'static str {
        "Large batches: gradual warm-up, linear scaling, ghost batches"
    }

    fn notes(&self, protocol: &Protocol) -> Vec<String> {
        let budget = &protocol.budget;
        vec![format!(
            "Small batches of {}, large ones of {} with {} times the rate ({}), warm-up over a tenth of the run (5 of 90 epochs \
             in the paper), ghost batches of {}. The rate falls to a tenth at 62.5 % and 87.5 % of the run.",
            budget.batch_size,
            large_batch(protocol),
            budget.large,
            budget.lr_piecewise * f64::from(budget.large),
            budget.batch_size
        )]
    }

    fn variants(&self, protocol: &Protocol) -> Result<Vec<(String, Config)>, StudyError> {
        let budget = &protocol.budget;
        let large = |policy: Preset| {
            let mut config = protocol.config(policy);
            config.batch_size = large_batch(protocol);
            config
        };
        let times = f64::from(budget.large);
        let warm_up = Warmup {
            scaling: Scaling::Linear,
            reference_batch: Some(budget.batch_size as u64),
            ..Warmup::new(Span::Fraction(WARM_UP), piecewise(budget.lr_piecewise))
        };
        let mut ghosts = large(warm_up.clone().into());
        ghosts.ghost_batch = budget.batch_size;
        Ok(vec![
            // The same run as in other experiments.
            piecewise_epochs(protocol)?,
            (
                "large-not-scaled".to_owned(),
                large(piecewise(budget.lr_piecewise).into()),
            ),
            (
                "large-scaled".to_owned(),
                large(piecewise(times * budget.lr_piecewise).into()),
            ),
            ("large-warm-up".to_owned(), large(warm_up.into())),
            ("large-warm-up-ghosts".to_owned(), ghosts),
        ])
    }

    fn claims(
        &self,
        _: &Protocol,
        _: &Path,
        results: &[Variant],
    ) -> Result<Vec<Claim>, StudyError> {
        let results = Results(results.to_vec());
        let (small, ghosts) = (
            results.get(PIECEWISE_EPOCHS)?,
            results.get("large-warm-up-ghosts")?,
        );
        let claim = |text, numbers| Published {
            text,
            source: GOYAL,
            numbers,
        };
        Ok(vec![
            claim(
                "Large batches with linear scaling, warm-up and ghost batches end like small ones (within 1 point)",
                "76.26 % with batches of 8192, 76.40 % with 256 (±0.09, ±0.12; ResNet-50 on ImageNet)",
            )
            .alike(ghosts, small, MARGIN),
            claim(
                "Warm-up helps a scaled rate",
                "76.26 % against 75.16 % without (±0.09, ±0.37)",
            )
            .more_accurate(
                results.get("large-warm-up")?,
                results.get("large-scaled")?,
                0.0,
            ),
            claim(
                "Without scaling the rate, large batches end less accurate than with scaling and warm-up",
                "58.33 % against 76.26 % (±0.10, ±0.09)",
            )
            .more_accurate(ghosts, results.get("large-not-scaled")?, 0.0),
            claim(
                "Statistics of ghost batches are at least as good as those of the whole batch (at most 1 point less)",
                "statistics over 32 images a worker in all runs, no comparison",
            )
            .more_accurate(ghosts, results.get("large-warm-up")?, MARGIN),
        ])
    }
}
