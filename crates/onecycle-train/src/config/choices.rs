//! Keys whose value is one of a few words.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::ConfigError;

/// What a run does after a loss that is not finite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnDivergence {
    /// It ends with an error and keeps its checkpoints.
    Stop,
    /// It returns to a checkpoint and continues from there with half the learning rate.
    ///
    /// The whole rest of the plan is scaled, whatever the policy. For a policy with `lr_max`, this
    /// is half the `lr_max` with the same shape and the same steps. [`training`](crate::training)
    /// says which checkpoint is used and how often.
    Retry,
}

/// Which network a run saves as its result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Keep {
    /// The one after the last epoch.
    #[default]
    Last,
    /// The one after the epoch with the highest accuracy on the validation images; on ties, the
    /// lowest loss.
    Best,
}

impl Keep {
    /// Whether it is the network after the last epoch.
    pub fn is_last(&self) -> bool {
        *self == Keep::Last
    }
}

/// A program whose log files a run writes, besides its records. They do not change the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Event files of TensorBoard in `tensorboard/`; see [`event_log`](crate::event_log).
    TensorBoard,
}

impl FromStr for LogFormat {
    type Err = ConfigError;

    fn from_str(word: &str) -> Result<Self, ConfigError> {
        match word {
            "tensorboard" => Ok(LogFormat::TensorBoard),
            _ => Err(ConfigError::setting("log", word, "tensorboard")),
        }
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LogFormat::TensorBoard => "tensorboard",
        })
    }
}

impl FromStr for OnDivergence {
    type Err = ConfigError;

    fn from_str(word: &str) -> Result<Self, ConfigError> {
        match word {
            "stop" => Ok(OnDivergence::Stop),
            "retry" => Ok(OnDivergence::Retry),
            _ => Err(ConfigError::setting("on_divergence", word, "stop or retry")),
        }
    }
}
