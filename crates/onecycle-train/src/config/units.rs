//! Learning rate and weight decay per 1024 images (Jordan 2024, "94% on CIFAR-10 in 3.29 seconds on a
//! single GPU", arXiv:2404.00498, appendix A).
//!
//! Under SGD with Nesterov momentum `m` and a loss that is the mean over a batch of `B` images,
//! twice the batch size needs about twice the rate, more momentum needs a smaller rate, and the
//! effect of a weight decay grows with the rate. In Jordan's units, the three are independent. With
//! a learning rate `η` and a weight decay `λ` in these units, the optimizer uses
//!
//! ```text
//! lr           = η B / (1024 (1 + 1 / (1 - m)))
//! weight_decay = λ / max η
//! ```
//!
//! so that a step at the peak of the policy shrinks the weights by `λ B / (1024 (1 + 1 / (1 - m)))`.

use onecycle::{Constant, Curve, Plan, Policy, Product};
use onecycle_burn::OptimizerConfig;

use super::Config;
use crate::ConfigError;

/// The key that chooses these units.
const KEY: &str = "optimizer.per_1024_images";

/// The policy of a configuration in rates per step. `plan` is the resolved policy in rates per 1024
/// images.
///
/// # Errors
/// The optimizer is not SGD with Nesterov momentum, or the policy sets momentum, weight decay or
/// batch size, for which the units are not defined.
pub(crate) fn policy_per_step(config: &Config, plan: &Plan) -> Result<Policy, ConfigError> {
    let refuse = |expected| Err(ConfigError::setting(KEY, true, expected));
    let sgd = match &config.optimizer.config {
        OptimizerConfig::Sgd(sgd) if sgd.nesterov && !sgd.decoupled => sgd,
        _ => return refuse("optimizer.kind = \"sgd\" with nesterov = true, or false here"),
    };
    let peak = plan.at(plan.peak_step());
    if peak.momentum.is_some() || peak.weight_decay.is_some() || peak.batch_size.is_some() {
        return refuse("a policy that sets only the learning rate, or false here");
    }
    let mut policy = config.policy.clone();
    let factor = Constant::new(lr_factor(config.batch_size, sgd.momentum));
    policy.preset = Product::new([policy.preset, factor.into()]).into();
    policy.weight_decay = Some(Curve::Constant(sgd.weight_decay / peak.lr));
    policy.policy()
}

/// Learning rate per step for a rate of 1 per 1024 images.
fn lr_factor(batch_size: usize, momentum: f64) -> f64 {
    batch_size as f64 / (1024.0 * (1.0 + 1.0 / (1.0 - momentum)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A failed unwrap is a failed test.
mod tests {
    use onecycle::{Preset, Run, Span, Trapezoid};
    use onecycle_burn::optim::Sgd;

    use super::*;
    use crate::experiment;

    fn config(policy: Preset) -> Config {
        let mut config = Config {
            batch_size: 512,
            epochs: None,
            steps: Some(100),
            policy: policy.into(),
            ..Config::default()
        };
        config.optimizer.per_1024_images = true;
        config.optimizer.config = OptimizerConfig::Sgd(Sgd {
            nesterov: true,
            momentum: 0.85,
            weight_decay: 0.0153,
            ..Sgd::default()
        });
        config
    }

    /// airbench94 with half its batch size: the rate of the summed loss is 11.5 / 7850.67, which is
    /// 512 times as much for the mean; the decay of its optimizer is 0.0153 / 7850.67 x 512 per
    /// step, over the rate.
    #[test]
    fn rates_are_those_of_airbench() {
        let config = config(
            Trapezoid {
                warmup: Span::Fraction(0.23),
                decay: Span::Fraction(0.77),
                ..Trapezoid::new(11.5)
            }
            .into(),
        );
        let plan = experiment::plan(&config, Some(50_000)).unwrap();
        let peak = plan.at(plan.peak_step());
        let kilostep = 1024.0 * (1.0 + 1.0 / (1.0 - 0.85));
        let lr = 11.5 / kilostep * 512.0;
        assert!((peak.lr - lr).abs() < 1e-12 * lr);
        let decay_per_step = 0.0153 * 512.0 / kilostep;
        let found = peak.lr * peak.weight_decay.unwrap();
        assert!((found - decay_per_step).abs() < 1e-12 * decay_per_step);
    }

    #[test]
    fn other_optimizers_and_policies_are_refused() {
        let mut adam = config(Constant::new(1.0).into());
        adam.optimizer.config = OptimizerConfig::adamw();
        let error = experiment::plan(&adam, Some(1000)).unwrap_err().to_string();
        assert!(
            error.contains("per_1024_images") && error.contains("nesterov"),
            "{error}"
        );
        let cycle = config(onecycle::OneCycle::new(1.0).into());
        let error = experiment::plan(&cycle, Some(1000))
            .unwrap_err()
            .to_string();
        assert!(error.contains("only the learning rate"), "{error}");
        let run = Run::steps(10u64);
        assert!(cycle.policy.policy().unwrap().resolve(&run).is_ok());
    }
}
