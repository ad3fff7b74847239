//! The noise of stochastic gradients: the ratio of learning rate to batch size, and what small and large batches find.

use std::path::Path;

use onecycle::Constant;

use super::{Claim, Published, Reproduction, Results, Setting, cycle};
use crate::{Config, LabError, number::significant, study::Variant};

const JASTRZEBSKI: &str = "Jastrzębski et al., \"Three factors influencing minima in SGD\" (2018)";
const KESKAR: &str = "Keskar et al., \"On large-batch training\" (2017)";

/// Constant rate of the budget's batch size, as a share of the peak of one cycle.
const RATE: f64 = 0.25;
/// What counts as equal, a share of 1.
const MARGIN: f64 = 0.01;
/// Factors on learning rate and batch size. The first is the reference; the next two hold the ratio, the last quarters it.
const PAIRS: [(f64, f64); 4] = [(1.0, 1.0), (0.5, 0.5), (2.0, 2.0), (0.5, 2.0)];

/// `noise-scale`.
pub(super) struct NoiseScale;

impl NoiseScale {
    /// A constant rate and a batch size.
    fn variant(setting: &Setting, (of_lr, of_batch): (f64, f64)) -> (String, Config) {
        let lr = of_lr * RATE * setting.budget.lr_max;
        let mut config = setting.config(Constant::new(lr));
        config.batch_size = ((of_batch * setting.budget.batch_size as f64) as usize).max(1);
        let label = format!("lr-{}-batch-{}", significant(lr), config.batch_size);
        (label, config)
    }

    fn labels(setting: &Setting) -> [String; 4] {
        PAIRS.map(|pair| NoiseScale::variant(setting, pair).0)
    }
}

impl Reproduction for NoiseScale {
    fn name(&self) -> &'static str {
        "noise-scale"
    }

    fn title(&self) -> &'static str {
        "The ratio of learning rate to batch size"
    }

    fn notes(&self, _: &Setting) -> Vec<String> {
        vec!["Constant rates and momentum 0.9; all runs see the same number of images, so curves are drawn over epochs. The last \
              variant has a quarter of the others' ratio."
            .to_owned()]
    }

    fn variants(&self, setting: &Setting) -> Result<Vec<(String, Config)>, LabError> {
        Ok(PAIRS.map(|pair| NoiseScale::variant(setting, pair)).into())
    }

    fn claims(
        &self,
        setting: &Setting,
        _: &Path,
        results: &[Variant],
    ) -> Result<Vec<Claim>, LabError> {
        let results = Results(results.to_vec());
        let labels = NoiseScale::labels(setting);
        let [reference, half, double, quarter] = [0, 1, 2, 3].map(|i| results.get(&labels[i]));
        let claim = |text| Published {
            text,
            source: JASTRZEBSKI,
            numbers: "figures: curves of equal ratio lie on one another",
        };
        let reference = reference?;
        Ok(vec![
            claim("Half the rate with half the batch ends alike (within 1 point)")
                .alike(half?, reference, MARGIN),
            claim("Twice the rate with twice the batch ends alike (within 1 point)")
                .alike(double?, reference, MARGIN),
            claim("A quarter of the ratio ends with a larger training loss after as many epochs")
                .larger(quarter?, reference, "training loss", |run| {
                    run.epochs.last().map_or(f64::NAN, |epoch| epoch.train_loss)
                }),
        ])
    }
}

/// `flat-minima`: small and large batches, one cycle and a piecewise constant rate.
pub(super) struct FlatMinima;

const SMALL: &str = "small-batch";
const LARGE: &str = "large-batch-same-rate";
const PIECEWISE: &str = "piecewise-epochs";

impl Reproduction for FlatMinima {
    fn name(&self) -> &'static str {
        "flat-minima"
    }

    fn title(&self) -> &'static str {
        "What small and large batches find"
    }

    fn notes(&self, setting: &Setting) -> Vec<String> {
        vec![format!(
            "Small batches of {}, large ones {} times that, under the same constant rate and for the same epochs. Keskar et al. \
             trained to convergence; these runs do not.",
            setting.budget.batch_size / 2,
            2 * setting.budget.large
        )]
    }

    fn variants(&self, setting: &Setting) -> Result<Vec<(String, Config)>, LabError> {
        let budget = &setting.budget;
        let constant = |batch: usize| {
            let mut config = setting.config(Constant::new(RATE * budget.lr_max));
            config.batch_size = batch.max(1);
            config
        };
        let small = budget.batch_size / 2;
        let piecewise = super::super_convergence::piecewise(budget.lr_piecewise);
        Ok(vec![
            (SMALL.to_owned(), constant(small)),
            (
                LARGE.to_owned(),
                constant(small * 2 * budget.large as usize),
            ),
            (PIECEWISE.to_owned(), setting.config(piecewise)),
            cycle::one_cycle(setting),
        ])
    }

    fn claims(&self, _: &Setting, _: &Path, results: &[Variant]) -> Result<Vec<Claim>, LabError> {
        let results = Results(results.to_vec());
        let claim = |text| Published {
            text,
            source: KESKAR,
            numbers: "figures and tables of other networks",
        };
        let (small, large) = (results.get(SMALL)?, results.get(LARGE)?);
        Ok(vec![
            claim("Small batches end more accurate than large ones at the same rate")
                .more_accurate(small, large, 0.0),
        ])
    }
}
