//! Configurations that several experiments share: one cycle, a piecewise constant rate, and the
//! diagnoses that their runs record. Experiments that ask for the same label share its runs.

use onecycle::{OneCycle, PiecewiseConstant, Span};

use super::{Budget, Protocol};
use crate::StudyError;
use onecycle_train::{Config, config::DiagnoseConfig, experiment::plan};

/// Source of the claims of the experiments on Gugger's notebook.
pub(super) const NOTEBOOK: &str = "Gugger's notebook on the 1cycle policy (2018)";
/// Label of the run that most experiments compare with.
pub(super) const ONE_CYCLE: &str = "one-cycle";
/// Label of the piecewise constant rate that is trained for as many epochs as one cycle.
pub(super) const PIECEWISE_EPOCHS: &str = "piecewise-epochs";

/// Fraction of the notebook's run that is annihilation: 13 of 95 epochs.
const ANNIHILATION: f64 = 13.0 / 95.0;
/// Fractions of the run after which the piecewise constant rate drops to a tenth: 50k and 70k of
/// 80k steps.
const DROPS: [f64; 2] = [0.625, 0.875];
/// Constant learning rate as a fraction of the peak of one cycle.
pub(super) const CONSTANT_RATE: f64 = 0.25;
/// Images per micro-batch when the noise scale is measured.
pub(super) const MICRO_BATCH: usize = 32;

/// One cycle as in Gugger's notebook.
pub(super) fn one_cycle_policy(budget: &Budget) -> OneCycle {
    OneCycle {
        annihilation: Span::Fraction(ANNIHILATION),
        ..OneCycle::new(budget.lr_max)
    }
}

/// The variant that most experiments compare with. Its gradient noise and sharpness are measured
/// during the run, which does not change the training. So experiments that need the diagnoses and
/// experiments that do not share the same runs.
pub(super) fn one_cycle(protocol: &Protocol) -> Result<(String, Config), StudyError> {
    let config = protocol.config(one_cycle_policy(&protocol.budget));
    Ok((protocol.label(ONE_CYCLE), with_diagnoses(protocol, config)?))
}

/// A learning rate that drops to a tenth twice.
pub(super) fn piecewise(lr: f64) -> PiecewiseConstant {
    let [first, second] = DROPS.map(Span::Fraction);
    PiecewiseConstant::new([(Span::Steps(0), lr), (first, 0.1 * lr), (second, 0.01 * lr)])
}

/// The piecewise constant rate for as many epochs as one cycle, with the final sharpness for
/// `flat-minima`.
pub(super) fn piecewise_epochs(protocol: &Protocol) -> Result<(String, Config), StudyError> {
    let config = protocol.config(piecewise(protocol.budget.lr_piecewise));
    Ok((
        PIECEWISE_EPOCHS.to_owned(),
        with_final_sharpness(protocol, config)?,
    ))
}

/// Number of training images of a run with this budget.
pub(super) fn images(protocol: &Protocol) -> usize {
    let known = onecycle_vision::catalog::find(&protocol.budget.data);
    let all = known.map_or(usize::MAX, |set| set.train);
    match protocol.budget.images {
        0 => all,
        images => images.min(all),
    }
}

/// The same training, with noise and sharpness measured several times, the last time at the end.
///
/// # Errors
/// A policy that does not fit the length of the run.
pub(super) fn with_diagnoses(protocol: &Protocol, config: Config) -> Result<Config, StudyError> {
    let times = protocol.budget.diagnoses.max(1);
    diagnosed(protocol, config, times, protocol.budget.noise_batches)
}

/// The same training, with sharpness measured at the end.
///
/// # Errors
/// A policy that does not fit the length of the run.
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
