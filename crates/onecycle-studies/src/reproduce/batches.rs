//! Large batches: growing batches at the start of a run, warm-up, linear scaling, ghost batches.

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

/// Final accuracies count as equal within this fraction.
const MARGIN: f64 = 0.01;
/// Fraction of the run in which the batches or the rate grow.
const GROWTH: f64 = 0.25;
/// Fraction of the run that is warm-up. The paper uses 5 of 90 epochs; short runs use a tenth, so
/// that it has several steps.
const WARM_UP: f64 = 0.1;

fn large_batch(protocol: &Protocol) -> usize {
    protocol.budget.batch_size * protocol.budget.large as usize
}

/// `batch-warm-start`: batch size growing over the first epochs, against the learning rate growing.
pub(super) struct BatchWarmStart;

impl BatchWarmStart {
    /// The rate is constant, then falls linearly.
    fn late(protocol: &Protocol) -> Sequence {
        let lr = protocol.budget.lr_max;
        let stay = Linear { lr, lr_final: lr };
        Sequence::new([(Span::Fraction(GROWTH), stay.into())], Linear::new(lr))
    }

    /// The rate rises, then falls linearly.
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
        "Growing batches against a growing learning rate over the first epochs"
    }

    fn notes(&self, protocol: &Protocol) -> Vec<String> {
        vec![format!(
            "All runs use large batches of {}. Growing batches: an eighth, a quarter and a half of that \
             over the first quarter of the epochs. Growing rate: from a tenth of the peak over the same \
             time. Then the rate falls linearly to 0. All runs see the same number of images; the run \
             with growing batches makes more steps.",
            large_batch(protocol)
        )]
    }

    fn variants(&self, protocol: &Protocol) -> Result<Vec<(String, Config)>, StudyError> {
        let large = large_batch(protocol) as u64;
        let growth_span = |share: f64| Span::Epochs(share * GROWTH * protocol.budget.epochs);
        let mut growing = BatchWarmStart::config(protocol, BatchWarmStart::late(protocol));
        growing.policy.batch_size = Some(BatchSizes::Piecewise(vec![
            (Span::Epochs(0.0), (large / 8).max(1)),
            (growth_span(1.0 / 3.0), (large / 4).max(1)),
            (growth_span(2.0 / 3.0), (large / 2).max(1)),
            (growth_span(1.0), large),
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
            numbers: "figure 5 (two other networks): no gain after a few epochs of small batches, a gain after more",
        };
        Ok(vec![
            claim("Growing batches end more accurate than large batches from the start")
                .more_accurate(growing, results.get("large-batches")?, 0.0),
            claim("Growing batches are as accurate as a growing rate (within 1 point)").alike(
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
            "Small batches of {}; large batches of {} with {} times the rate ({}), warm-up over a tenth \
             of the run (5 of 90 epochs in the paper) and ghost batches of {}. The rate drops to a tenth \
             at 62.5 % and 87.5 % of the run.",
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
            // Shared with other experiments.
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
                "Large batches with linear scaling, warm-up and ghost batches are as accurate as small ones (within 1 point)",
                "76.26 % with batches of 8192, 76.40 % with 256 (±0.09, ±0.12; ResNet-50 on ImageNet)",
            )
            .alike(ghosts, small, MARGIN),
            claim(
                "With a scaled rate, warm-up makes the result more accurate",
                "76.26 % against 75.16 % without (±0.09, ±0.37)",
            )
            .more_accurate(
                results.get("large-warm-up")?,
                results.get("large-scaled")?,
                0.0,
            ),
            claim(
                "Large batches end less accurate without scaling the rate than with scaling and warm-up",
                "58.33 % against 76.26 % (±0.10, ±0.09)",
            )
            .more_accurate(ghosts, results.get("large-not-scaled")?, 0.0),
            claim(
                "Batch norm over ghost batches is as accurate as over the whole batch (at most 1 point less)",
                "all runs use statistics over 32 images per worker; no comparison",
            )
            .more_accurate(ghosts, results.get("large-warm-up")?, MARGIN),
        ])
    }
}
