//! Settings of a range test: [`RangeTestConfig`].

use onecycle::{Hyper, range_test::LrSweep};
use serde::{Deserialize, Serialize};

use crate::ConfigError;

/// Steps of the sweep of [`RangeTestConfig::new`]: 25 per decade.
const STEPS: u64 = 150;

/// Settings of a range test.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RangeTestConfig {
    /// The learning rates.
    #[serde(alias = "ladder")]
    pub sweep: LrSweep,
    /// Warm-up updates at the first learning rate, before the first recorded one.
    pub warm_up: u64,
    /// Whether the test goes on to its last rate although its loss rises.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub to_the_end: bool,
    /// Updates between measurements of the validation accuracy, on images held out from training; 0
    /// for none.
    pub validate_every: usize,
    /// Seeds; each makes one test.
    pub seeds: Vec<u64>,
    /// Hyper-parameter that differs between curves.
    pub overlay: Option<Overlay>,
}

/// A hyper-parameter that differs between curves (Smith, "A disciplined approach" (2018), figures 7
/// and 8).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Overlay {
    /// The hyper-parameter.
    pub parameter: SweptParameter,
    /// Its values.
    pub values: Vec<f64>,
}

/// A hyper-parameter that can differ between curves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SweptParameter {
    /// Weight decay.
    WeightDecay,
    /// SGD's momentum or Adam's beta1.
    Momentum,
    /// Images per update.
    BatchSize,
}

impl SweptParameter {
    /// Name of the hyper-parameter in words.
    pub fn name(self) -> &'static str {
        match self {
            SweptParameter::WeightDecay => "weight decay",
            SweptParameter::Momentum => "momentum",
            SweptParameter::BatchSize => "batch size",
        }
    }

    /// Sets the value in `hyper`.
    pub(super) fn set(self, hyper: &mut Hyper, value: f64) -> Result<(), ConfigError> {
        let wrong = |expected: &str| Err(ConfigError::setting(self.name(), value, expected));
        match self {
            SweptParameter::WeightDecay if !(value.is_finite() && value >= 0.0) => {
                return wrong("a number of at least 0");
            }
            SweptParameter::Momentum if !(0.0..1.0).contains(&value) => {
                return wrong("at least 0 and below 1");
            }
            SweptParameter::BatchSize if !(value >= 1.0 && value.fract() == 0.0 && value < 1e9) => {
                return wrong("a whole number of at least 1");
            }
            SweptParameter::WeightDecay => hyper.weight_decay = Some(value),
            SweptParameter::Momentum => hyper.momentum = Some(value),
            SweptParameter::BatchSize => hyper.batch_size = Some(value as u64),
        }
        Ok(())
    }
}

impl RangeTestConfig {
    /// An exponential sweep from 1e-5 to 10, one seed, no validation.
    ///
    /// # Errors
    /// None: the bounds are valid.
    pub fn new(seed: u64) -> Result<Self, ConfigError> {
        Ok(RangeTestConfig {
            sweep: LrSweep::exponential(1e-5, 10.0, STEPS)?,
            warm_up: 0,
            to_the_end: false,
            validate_every: 0,
            seeds: vec![seed],
            overlay: None,
        })
    }

    /// Number of tests.
    pub fn tests(&self) -> usize {
        let values = self
            .overlay
            .as_ref()
            .map_or(1, |overlay| overlay.values.len());
        values * self.seeds.len()
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let empty = |key: &str| ConfigError::setting(key, "an empty list", "at least one value");
        if self.seeds.is_empty() {
            return Err(empty("seeds"));
        }
        if let Some(overlay) = &self.overlay {
            if overlay.values.is_empty() {
                return Err(empty(overlay.parameter.name()));
            }
            for value in &overlay.values {
                overlay.parameter.set(&mut Hyper::new(0.0), *value)?;
            }
        }
        Ok(())
    }
}
