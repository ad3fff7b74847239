use serde::{Deserialize, Serialize};

use crate::BurnError;

/// An optimizer and the options of it that stay constant over a run.
///
/// What a policy varies (learning rate, momentum or beta1, weight decay) arrives with each step's
/// [`Hyper`](onecycle::Hyper); `momentum`, `beta1` and `weight_decay` here are used where the policy leaves
/// them alone.
///
/// In a configuration file: `optimizer = { kind = "sgd", momentum = 0.9, weight_decay = 1e-4 }`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum OptimizerConfig {
    /// Stochastic gradient descent, see [`Sgd`].
    Sgd(Sgd),
    /// Adam with coupled weight decay, see [`Adam`].
    Adam(Adam),
    /// Adam with decoupled weight decay, see [`Adam`].
    #[serde(rename = "adamw")]
    AdamW(Adam),
    /// RMSprop, see [`RmsProp`].
    #[serde(rename = "rmsprop")]
    RmsProp(RmsProp),
}

/// Stochastic gradient descent (Sutskever et al. 2013, "On the importance of initialization and momentum";
/// in PyTorch's form).
///
/// With gradient `g`, weights `w`, velocity `v` and momentum `m`:
/// ```text
/// g += weight_decay w                                  (coupled; else  w *= 1 - lr weight_decay)
/// v  = g at the first step, then  m v + (1 - dampening) g
/// w -= lr v                                            (nesterov:  w -= lr (g + m v))
/// ```
/// While momentum is 0 the step is `g`, and `v` is left as it is.
///
/// | option | default | range |
/// |---|---|---|
/// | `momentum` | 0.9 | `[0, 1)` |
/// | `dampening` | 0 | `[0, 1]`, 0 with `nesterov` |
/// | `nesterov` | false | |
/// | `weight_decay` | 0 | ≥ 0 |
/// | `decoupled` | false | weight decay as in AdamW |
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sgd {
    /// Momentum where the policy sets none.
    pub momentum: f64,
    /// Share of the gradient kept out of the velocity.
    pub dampening: f64,
    /// Nesterov's look-ahead.
    pub nesterov: bool,
    /// Weight decay where the policy sets none.
    pub weight_decay: f64,
    /// Decay the weights themselves (Loshchilov & Hutter 2019) in place of adding to the gradient.
    pub decoupled: bool,
}

/// Adam (Kingma & Ba 2015) and AdamW (Loshchilov & Hutter 2019), in PyTorch's form.
///
/// ```text
/// Adam   g += weight_decay w            AdamW   w *= 1 - lr weight_decay
/// a = beta1 a + (1 - beta1) g           q = beta2 q + (1 - beta2) g²
/// w -= lr / (1 - c1) · a / (sqrt(q) / sqrt(1 - beta2^(n+1)) + eps)
/// ```
/// `c1` is the weight that `a` still gives to its start at 0: the product of all beta1 so far. With a constant
/// beta1 that is `beta1^(n+1)`; PyTorch uses this power of the *current* beta1 always, which is wrong once
/// beta1 varies, as it does under 1cycle. `bias_correction` chooses.
///
/// | option | default | range |
/// |---|---|---|
/// | `beta1` | 0.9 | `[0, 1)` |
/// | `beta2` | 0.999 | `[0, 1)` |
/// | `eps` | 1e-8 | > 0 |
/// | `amsgrad` | false | the largest `q` so far (Reddi et al. 2018) |
/// | `weight_decay` | 0 | ≥ 0 |
/// | `bias_correction` | `exact` | `exact`, `torch` |
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Adam {
    /// Decay of the gradient's mean where the policy sets no momentum.
    pub beta1: f64,
    /// Decay of the squared gradient's mean.
    pub beta2: f64,
    /// Added to the denominator.
    pub eps: f64,
    /// Use the largest mean of squared gradients so far.
    pub amsgrad: bool,
    /// Weight decay where the policy sets none.
    pub weight_decay: f64,
    /// How the mean's start at 0 is corrected.
    pub bias_correction: BiasCorrection,
}

/// How Adam corrects for the start of its running mean at 0. See [`Adam`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BiasCorrection {
    /// The product of all beta1 so far: exact for any course of beta1.
    Exact,
    /// The current beta1 to the power of the step, as PyTorch computes it.
    Torch,
}

/// RMSprop (Hinton, lecture 6e; centred form of Graves 2013), in PyTorch's form.
///
/// ```text
/// g += weight_decay w
/// q = alpha q + (1 - alpha) g²         centered:  a = alpha a + (1 - alpha) g, and q - a² under the root
/// step = g / (sqrt(q) + eps)           momentum > 0:  v = m v + step, step = v
/// w -= lr step
/// ```
///
/// | option | default | range |
/// |---|---|---|
/// | `momentum` | 0 | `[0, 1)` |
/// | `alpha` | 0.99 | `[0, 1)` |
/// | `eps` | 1e-8 | > 0 |
/// | `centered` | false | |
/// | `weight_decay` | 0 | ≥ 0 |
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RmsProp {
    /// Momentum where the policy sets none.
    pub momentum: f64,
    /// Decay of the squared gradient's mean.
    pub alpha: f64,
    /// Added to the denominator.
    pub eps: f64,
    /// Divide by the standard deviation in place of the root mean square.
    pub centered: bool,
    /// Weight decay where the policy sets none.
    pub weight_decay: f64,
}

impl Default for Sgd {
    fn default() -> Self {
        Sgd {
            momentum: 0.9,
            dampening: 0.0,
            nesterov: false,
            weight_decay: 0.0,
            decoupled: false,
        }
    }
}

impl Default for Adam {
    fn default() -> Self {
        Adam {
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
            amsgrad: false,
            weight_decay: 0.0,
            bias_correction: BiasCorrection::Exact,
        }
    }
}

impl Default for RmsProp {
    fn default() -> Self {
        RmsProp {
            momentum: 0.0,
            alpha: 0.99,
            eps: 1e-8,
            centered: false,
            weight_decay: 0.0,
        }
    }
}

impl OptimizerConfig {
    /// Its kind, as in a configuration file.
    pub fn kind(&self) -> &'static str {
        match self {
            OptimizerConfig::Sgd(_) => "sgd",
            OptimizerConfig::Adam(_) => "adam",
            OptimizerConfig::AdamW(_) => "adamw",
            OptimizerConfig::RmsProp(_) => "rmsprop",
        }
    }

    /// SGD with its default options.
    pub fn sgd() -> Self {
        OptimizerConfig::Sgd(Sgd::default())
    }

    /// AdamW with its default options and PyTorch's weight decay of 0.01.
    pub fn adamw() -> Self {
        OptimizerConfig::AdamW(Adam {
            weight_decay: 0.01,
            ..Adam::default()
        })
    }

    /// Momentum (SGD, RMSprop) or beta1 (Adam, AdamW) in force where the policy sets none.
    pub fn momentum(&self) -> f64 {
        match self {
            OptimizerConfig::Sgd(sgd) => sgd.momentum,
            OptimizerConfig::Adam(adam) | OptimizerConfig::AdamW(adam) => adam.beta1,
            OptimizerConfig::RmsProp(rms) => rms.momentum,
        }
    }

    /// Weight decay in force where the policy sets none.
    pub fn weight_decay(&self) -> f64 {
        match self {
            OptimizerConfig::Sgd(sgd) => sgd.weight_decay,
            OptimizerConfig::Adam(adam) | OptimizerConfig::AdamW(adam) => adam.weight_decay,
            OptimizerConfig::RmsProp(rms) => rms.weight_decay,
        }
    }

    /// The same with another weight decay.
    #[must_use]
    pub fn with_weight_decay(mut self, weight_decay: f64) -> Self {
        match &mut self {
            OptimizerConfig::Sgd(sgd) => sgd.weight_decay = weight_decay,
            OptimizerConfig::Adam(adam) | OptimizerConfig::AdamW(adam) => {
                adam.weight_decay = weight_decay;
            }
            OptimizerConfig::RmsProp(rms) => rms.weight_decay = weight_decay,
        }
        self
    }

    /// Checks every option against its range.
    ///
    /// # Errors
    /// [`BurnError::InvalidOption`] or [`BurnError::Contradiction`].
    pub fn check(&self) -> Result<(), BurnError> {
        let momentum = match self {
            OptimizerConfig::Adam(_) | OptimizerConfig::AdamW(_) => "beta1",
            OptimizerConfig::Sgd(_) | OptimizerConfig::RmsProp(_) => "momentum",
        };
        unit(momentum, self.momentum())?;
        let decay = self.weight_decay();
        range(
            "weight_decay",
            decay,
            decay.is_finite() && decay >= 0.0,
            "a finite number of at least 0",
        )?;
        match self {
            OptimizerConfig::Sgd(sgd) => {
                range(
                    "dampening",
                    sgd.dampening,
                    (0.0..=1.0).contains(&sgd.dampening),
                    "from 0 to 1",
                )?;
                if sgd.nesterov && sgd.dampening != 0.0 {
                    return Err(BurnError::Contradiction(
                        "`nesterov` needs a `dampening` of 0",
                    ));
                }
                if sgd.nesterov && sgd.momentum == 0.0 {
                    return Err(BurnError::Contradiction(
                        "`nesterov` needs a `momentum` above 0",
                    ));
                }
            }
            OptimizerConfig::Adam(adam) | OptimizerConfig::AdamW(adam) => {
                unit("beta2", adam.beta2)?;
                positive("eps", adam.eps)?;
            }
            OptimizerConfig::RmsProp(rms) => {
                unit("alpha", rms.alpha)?;
                positive("eps", rms.eps)?;
            }
        }
        Ok(())
    }
}

fn range(
    option: &'static str,
    value: f64,
    ok: bool,
    expected: &'static str,
) -> Result<(), BurnError> {
    if ok {
        return Ok(());
    }
    Err(BurnError::InvalidOption {
        option,
        value,
        expected,
    })
}

fn unit(option: &'static str, value: f64) -> Result<(), BurnError> {
    range(
        option,
        value,
        (0.0..1.0).contains(&value),
        "at least 0 and below 1",
    )
}

fn positive(option: &'static str, value: f64) -> Result<(), BurnError> {
    range(
        option,
        value,
        value.is_finite() && value > 0.0,
        "a finite number above 0",
    )
}
