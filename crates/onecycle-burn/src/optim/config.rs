use serde::{Deserialize, Serialize};

use super::param_group::Select;
use crate::BurnError;

/// An optimizer with its options that stay constant during a run.
///
/// The values that a policy varies (learning rate, momentum or beta1, weight decay) arrive with the
/// [`Hyper`](onecycle::Hyper) of each step. The `momentum`, `beta1` and `weight_decay` here apply
/// if the policy does not set them.
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
    /// Orthogonalised momentum, see [`Muon`].
    Muon(Muon),
}

/// Stochastic gradient descent with momentum (Sutskever et al. 2013, "On the importance of
/// initialization and momentum"), in PyTorch's form.
///
/// With gradient `g`, weights `w`, velocity `v` (PyTorch's `momentum_buffer`) and momentum `m`:
/// ```text
/// g += weight_decay w                                  (coupled; else  w *= 1 - lr weight_decay)
/// v  = g at the first step, then  m v + (1 - dampening) g
/// w -= lr v                                            (nesterov:  w -= lr (g + m v))
/// ```
/// While momentum is 0, the step is `g` and `v` stays unchanged.
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
    /// Momentum if the policy sets none.
    pub momentum: f64,
    /// Fraction of the gradient that does not enter the velocity.
    pub dampening: f64,
    /// Whether to use Nesterov's momentum.
    pub nesterov: bool,
    /// Weight decay if the policy sets none.
    pub weight_decay: f64,
    /// Whether weight decay scales the weights (Loshchilov & Hutter 2019) instead of adding to the
    /// gradient.
    pub decoupled: bool,
}

/// Adam (Kingma & Ba 2015) and AdamW (Loshchilov & Hutter 2019), in PyTorch's form.
///
/// ```text
/// Adam   g += weight_decay w            AdamW   w *= 1 - lr weight_decay
/// a = beta1 a + (1 - beta1) g           q = beta2 q + (1 - beta2) g²
/// w -= lr / (1 - c1) · a / (sqrt(q) / sqrt(1 - beta2^(n+1)) + eps)
/// ```
/// `a` starts at 0, and `c1` is the weight that this start still has: the product of all beta1 so
/// far. If beta1 is constant, this is `beta1^(n+1)`. PyTorch always uses this power of the
/// *current* beta1, which is wrong if beta1 varies, as it does under 1cycle. `bias_correction`
/// chooses between the two.
///
/// | option | default | range |
/// |---|---|---|
/// | `beta1` | 0.9 | `[0, 1)` |
/// | `beta2` | 0.999 | `[0, 1)` |
/// | `eps` | 1e-8 | > 0 |
/// | `amsgrad` | false | divide by the largest `q` so far (Reddi et al. 2018) |
/// | `weight_decay` | 0 | ≥ 0 |
/// | `bias_correction` | `exact` | `exact`, `torch` |
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Adam {
    /// Decay of the running mean of the gradient if the policy sets no momentum.
    pub beta1: f64,
    /// Decay of the running mean of the squared gradient.
    pub beta2: f64,
    /// Added to the denominator.
    pub eps: f64,
    /// Whether to divide by the largest running mean of the squared gradient so far.
    pub amsgrad: bool,
    /// Weight decay if the policy sets none.
    pub weight_decay: f64,
    /// How to correct for the start of the running mean at 0.
    pub bias_correction: BiasCorrection,
}

/// How [`Adam`] corrects for the start of its running mean at 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BiasCorrection {
    /// By the product of all beta1 so far. Exact however beta1 varies.
    Exact,
    /// By the current beta1 to the power of the step, as PyTorch computes it.
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
    /// Momentum if the policy sets none.
    pub momentum: f64,
    /// Decay of the running mean of the squared gradient.
    pub alpha: f64,
    /// Added to the denominator.
    pub eps: f64,
    /// Whether to divide by the standard deviation instead of the root mean square.
    pub centered: bool,
    /// Weight decay if the policy sets none.
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

/// Muon (Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks"), for
/// parameters of at least two dimensions. A filter bank `[out, in, h, w]` is treated as a matrix
/// `[out, in h w]`.
///
/// With gradient `G`, weights `W` of `r` rows and `c` columns, velocity `V` and momentum `m`:
/// ```text
/// V  = m V + G                                      (V starts at 0)
/// X  = G + m V                                      (without nesterov:  X = V)
/// X /= |X| + 1e-7                                   (Frobenius norm)
/// repeat `iterations` times:  A = X Xᵀ;  X = 3.4445 X + (-4.7750 A + 2.0315 A²) X
/// W *= sqrt(r) / (|W| + 1e-7)                       (with normalise_weights)
/// W *= 1 - lr weight_decay
/// W -= lr sqrt(max(1, r / c)) X
/// ```
/// The iteration moves all singular values of `X` towards 1. `normalise_weights` keeps the mean square
/// length of a matrix's rows at 1, as Jordan's record for CIFAR-10 does; the learning rate is then the
/// relative length of a step.
///
/// A momentum or weight decay that the policy sets applies to all parameters: also as beta1 of `others`,
/// and times the factors of the parameter groups.
///
/// The optimizer `others` updates all other parameters: vectors, and those that `except` selects, such as
/// the last layer. Give it its own rates by parameter groups.
///
/// | option | default | range |
/// |---|---|---|
/// | `momentum` | 0.95 | `[0, 1)` |
/// | `nesterov` | true | |
/// | `iterations` | 5 | 1 to 6 |
/// | `normalise_weights` | false | |
/// | `weight_decay` | 0 | ≥ 0, decoupled |
/// | `except` | none | |
/// | `others` | SGD with its default options | not Muon |
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Muon {
    /// Momentum if the policy sets none.
    pub momentum: f64,
    /// Whether to use Nesterov's momentum.
    pub nesterov: bool,
    /// Number of Newton-Schulz iterations.
    pub iterations: u32,
    /// Whether the mean square length of each matrix's rows stays 1.
    pub normalise_weights: bool,
    /// Weight decay if the policy sets none.
    pub weight_decay: f64,
    /// Parameters of at least two dimensions that `others` updates.
    pub except: Vec<Select>,
    /// The optimizer of all parameters that are not orthogonalised.
    pub others: Box<OptimizerConfig>,
}

impl Default for Muon {
    fn default() -> Self {
        Muon {
            momentum: 0.95,
            nesterov: true,
            iterations: 5,
            normalise_weights: false,
            weight_decay: 0.0,
            except: Vec::new(),
            others: Box::new(OptimizerConfig::Sgd(Sgd::default())),
        }
    }
}

impl Muon {
    /// Whether it updates a parameter itself. `path` is its path in the module, `rank` its number of
    /// dimensions.
    pub(crate) fn updates(&self, path: &str, rank: usize) -> bool {
        rank > 1 && !self.except.iter().any(|one| one.matches(path, rank))
    }
}

impl OptimizerConfig {
    /// Name of the optimizer: its `kind` in a configuration file.
    pub fn kind(&self) -> &'static str {
        match self {
            OptimizerConfig::Sgd(_) => "sgd",
            OptimizerConfig::Adam(_) => "adam",
            OptimizerConfig::AdamW(_) => "adamw",
            OptimizerConfig::RmsProp(_) => "rmsprop",
            OptimizerConfig::Muon(_) => "muon",
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

    /// The optimizer of a parameter: this one, or that of the parameters which [`Muon`] leaves to
    /// another. `path` is the parameter's path in the module, `rank` its number of dimensions.
    pub(crate) fn of_parameter(&self, path: &str, rank: usize) -> &OptimizerConfig {
        match self {
            OptimizerConfig::Muon(muon) if !muon.updates(path, rank) => &muon.others,
            own => own,
        }
    }

    /// Momentum (SGD, RMSprop, Muon) or beta1 (Adam, AdamW) that applies if the policy sets none.
    pub fn momentum(&self) -> f64 {
        match self {
            OptimizerConfig::Sgd(sgd) => sgd.momentum,
            OptimizerConfig::Adam(adam) | OptimizerConfig::AdamW(adam) => adam.beta1,
            OptimizerConfig::RmsProp(rms) => rms.momentum,
            OptimizerConfig::Muon(muon) => muon.momentum,
        }
    }

    /// Weight decay that applies if the policy sets none.
    pub fn weight_decay(&self) -> f64 {
        match self {
            OptimizerConfig::Sgd(sgd) => sgd.weight_decay,
            OptimizerConfig::Adam(adam) | OptimizerConfig::AdamW(adam) => adam.weight_decay,
            OptimizerConfig::RmsProp(rms) => rms.weight_decay,
            OptimizerConfig::Muon(muon) => muon.weight_decay,
        }
    }

    /// Replaces the weight decay, of all parameters.
    #[must_use]
    pub fn with_weight_decay(mut self, weight_decay: f64) -> Self {
        match &mut self {
            OptimizerConfig::Sgd(sgd) => sgd.weight_decay = weight_decay,
            OptimizerConfig::Adam(adam) | OptimizerConfig::AdamW(adam) => {
                adam.weight_decay = weight_decay;
            }
            OptimizerConfig::RmsProp(rms) => rms.weight_decay = weight_decay,
            OptimizerConfig::Muon(muon) => {
                muon.weight_decay = weight_decay;
                let others = (*muon.others).clone();
                *muon.others = others.with_weight_decay(weight_decay);
            }
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
            OptimizerConfig::Sgd(_) | OptimizerConfig::RmsProp(_) | OptimizerConfig::Muon(_) => {
                "momentum"
            }
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
            OptimizerConfig::Muon(muon) => {
                range(
                    "iterations",
                    f64::from(muon.iterations),
                    (1..=6).contains(&muon.iterations),
                    "from 1 to 6",
                )?;
                if matches!(*muon.others, OptimizerConfig::Muon(_)) {
                    return Err(BurnError::Contradiction(
                        "`others`, the optimizer of parameters that are not matrices, cannot be `muon`",
                    ));
                }
                muon.others.check()?;
            }
        }
        Ok(())
    }
}

/// Returns an error unless `ok`.
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

/// Checks a value that must be in `[0, 1)`.
fn unit(option: &'static str, value: f64) -> Result<(), BurnError> {
    range(
        option,
        value,
        (0.0..1.0).contains(&value),
        "at least 0 and below 1",
    )
}

/// Checks a value that must be positive.
fn positive(option: &'static str, value: f64) -> Result<(), BurnError> {
    range(
        option,
        value,
        value.is_finite() && value > 0.0,
        "a finite number above 0",
    )
}
