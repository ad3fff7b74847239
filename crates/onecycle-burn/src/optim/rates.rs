use onecycle::{GroupScale, Hyper};

use super::config::OptimizerConfig;

/// Rates of one update of one parameter: those of the plan, completed by the optimizer's options
/// and scaled by the parameter's group.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rates {
    pub(crate) lr: f64,
    /// Momentum of SGD, RMSprop and Muon, beta1 of Adam.
    pub(crate) momentum: f64,
    pub(crate) weight_decay: f64,
}

impl Rates {
    /// The rates of `hyper`; those that it leaves open are the optimizer's own.
    pub(crate) fn new(hyper: &Hyper, config: &OptimizerConfig) -> Self {
        Rates {
            lr: hyper.lr,
            momentum: hyper.momentum.unwrap_or(config.momentum()),
            weight_decay: hyper.weight_decay.unwrap_or(config.weight_decay()),
        }
    }

    /// The rates of a parameter group.
    pub(crate) fn scaled(self, scale: GroupScale) -> Self {
        Rates {
            lr: self.lr * scale.lr,
            momentum: self.momentum,
            weight_decay: self.weight_decay * scale.weight_decay,
        }
    }
}
