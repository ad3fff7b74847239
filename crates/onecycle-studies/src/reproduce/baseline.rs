//! Configurations that several experiments share: one cycle, a piecewise constant rate, and the
//! diagnoses that their runs record. Experiments that ask for the same label share its runs.

use onecycle::{OneCycle, PiecewiseConstant, Span};

use super::{Budget, Protocol};
use crate::StudyError;
use onecycle_train::{Config, config::DiagnoseConfig, experiment::plan};

pub(super) const NOTEBOOK: &str = "Gugger's notebook on the 1cycle policy (2018)";
/// Label of the run that most experiments compare with.
pub(super) const ONE_CYCLE: &str = "one-cycle";
/// Label of the piecewise constant rate over the epochs of one cycle.
pub(super) const PIECEWISE_EPOCHS: &str = "piecewise-epochs";

/// Share of the run that is annihilation in the notebook: 13 of 95 epochs.
const ANNIHILATION: f64 = 13.0 / 95.0;
/// Points at which the piecewise constant rate falls to a tenth: 50k and 70k of 80k steps.
const DROPS: [f64; 2] = [0.625, 0.875];
/// Constant learning rate as a fraction of the peak of one cycle.
pub(super) const CONSTANT_RATE: f64 = 0.25;
/// Images of a micro-batch for the noise scale.
pub(super) const MICRO_BATCH: usize = 32;

/// One cycle as in the notebook.
pub(super) fn one_cycle_policy(budget: &Budget) -> OneCycle {
    OneCycle {
        annihilation: Span::Fraction(ANNIHILATION),
        ..OneCycle::new(budget.lr_max)
    }
}

/// The variant that most experiments compare with. Its noise and sharpness are measured along the way, which changes nothing
/// else: so the experiments that look at them share its runs with all others.
pub(super) fn one_cycle(protocol: &Protocol) -> Result<(String, Config), StudyError> {
    let config = protocol.config(one_cycle_policy(&protocol.budget));
    Ok((ONE_CYCLE.to_owned(), with_diagnoses(protocol, config)?))
}

/// A rate that falls to a tenth twice.
pub(super) fn piecewise(lr: f64) -> PiecewiseConstant {
    let [first, second] = DROPS.map(Span::Fraction);
    PiecewiseConstant::new([(Span::Steps(0), lr), (first, 0.1 * lr), (second, 0.01 * lr)])
}

/// For as many epochs as one cycle. The sharpness of its end is measured, for `flat-minima`.
pub(super) fn piecewise_epochs(protocol: &Protocol) -> Result<(String, Config), StudyError> {
    let config = protocol.config(piecewise(protocol.budget.lr_piecewise));
    Ok((
        PIECEWISE_EPOCHS.to_owned(),
        with_final_sharpness(protocol, config)?,
    ))
}

/// Training images of the protocol.
pub(super) fn images(protocol: &Protocol) -> usize {
    let known = onecycle_vision::catalog::find(&protocol.budget.data);
    let all = known.map_or(usize::MAX, |set| set.train);
    match protocol.budget.images {
        0 => all,
        images => images.min(all),
    }
}

/// The same training, which measures noise and sharpness some times along its way and at its end.
///
/// # Errors
/// A policy that does not fit the run.
pub(super) fn with_diagnoses(protocol: &Protocol, config: Config) -> Result<Config, StudyError> {
    let times = protocol.budget.diagnoses.max(1);
    diagnosed(protocol, config, times, protocol.budget.noise_batches)
}

/// The same training, which measures sharpness at its end.
///
/// # Errors
/// A policy that does not fit the run.
pub(super) fn with_final_sharpness(
    protocol: &Protocol,
    config: Config,
) -> Result<Config, StudyError> {
    diagnosed(protocol, config, 1, 0)
}

fn diagnosed(
    protocol: &Protocol,
    config: Config,
    times: u64,
    batches: usize,
) -> Result<Config, StudyError> {
    let steps = plan(&config, Some(images(protocol)))?.steps();
    let diagnose = DiagnoseConfig {
        every: steps.div_ceil(times),
        batches,
        batch_size: MICRO_BATCH,
        images: protocol.budget.surface_images,
        ..DiagnoseConfig::default()
    };
    Ok(Config { diagnose, ..config })
}
