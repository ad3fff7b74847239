//! Muon: momentum whose steps are orthogonalised, for parameters that are matrices.

use burn::tensor::Tensor;
use onecycle_kernels::Activation;
use serde::{Deserialize, Serialize};

use super::{OptimizerConfig, Select, Sgd, param_state::ParamState, rules::Rates};
use crate::cpu;

/// Coefficients of the Newton-Schulz iteration, chosen by Jordan (2024) for a steep slope at 0.
const NEWTON_SCHULZ: [f64; 3] = [3.4445, -4.7750, 2.0315];
/// Added to the norm by which a step, or a matrix of weights, is divided.
const EPSILON: f64 = 1e-7;

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

/// Makes one update of a flat parameter of this shape.
pub(super) fn update(
    muon: &Muon,
    rates: Rates,
    (w, shape): (Tensor<1>, &[usize]),
    g: Tensor<1>,
    state: &mut ParamState,
) -> Tensor<1> {
    let v = match state.momentum_buffer.take() {
        None => g.clone(),
        Some(v) => v * rates.momentum + g.clone(),
    };
    state.momentum_buffer = Some(v.clone());
    let step = match muon.nesterov {
        true => g + v * rates.momentum,
        false => v,
    };
    let rows = shape[0];
    let columns = shape[1..].iter().product::<usize>();
    let step = orthogonalise(step.reshape([rows, columns]), muon.iterations).reshape([-1]);

    // A rate of 0 freezes a parameter.
    let w = match muon.normalise_weights && rates.lr > 0.0 {
        true => w.clone() / (norm(w) + EPSILON) * (rows as f64).sqrt(),
        false => w,
    };
    let w = match rates.weight_decay {
        0.0 => w,
        decay => w * (1.0 - rates.lr * decay),
    };
    let taller = (rows as f64 / columns as f64).max(1.0);
    w - step * (rates.lr * taller.sqrt())
}

/// Moves the singular values of a matrix towards 1.
///
/// All iterations multiply `x` from the left by polynomials of its Gram matrix `g = x xᵀ`. So they are
/// made with the small matrix, and `x` is multiplied once by the product of the polynomials:
/// ```text
/// m = 3.4445 - 4.7750 g + 2.0315 g²;  product = m product;  g = m g m
/// ```
/// Rounding errors of eigenvalues near 0 grow by a factor of 12 with each iteration but the last: in single
/// precision from 1e-7 to 0.002 with five iterations and 0.02 with six. More are therefore refused.
fn orthogonalise(x: Tensor<2>, iterations: u32) -> Tensor<2> {
    let [rows, columns] = x.dims();
    // The smaller of the two Gram matrices has the same eigenvalues above 0.
    let tall = rows > columns;
    let x = if tall { x.transpose() } else { x };
    let length = norm(x.clone().reshape([-1])).reshape([1, 1]) + EPSILON;
    let x = x / length;
    let [a, b, c] = NEWTON_SCHULZ;
    let identity = Tensor::<2>::eye(rows.min(columns), &x.device()).cast(x.dtype());
    let mut gram = times_transposed(x.clone(), x.clone());
    let mut product = identity.clone();
    for left in (0..iterations).rev() {
        // All of these matrices are symmetric, and the order of their factors does not matter.
        let square = times_transposed(gram.clone(), gram.clone());
        let factor = identity.clone() * a + gram.clone() * b + square * c;
        if left > 0 {
            let half = times_transposed(factor.clone(), gram);
            gram = times_transposed(half, factor.clone());
        }
        product = times_transposed(factor, product);
    }
    let x = times_transposed(product, x.transpose());
    if tall { x.transpose() } else { x }
}

/// `x yᵀ`. Our kernel gives the same bits for any number of threads.
fn times_transposed(x: Tensor<2>, y: Tensor<2>) -> Tensor<2> {
    if !cpu::supports(&x) {
        return x.matmul(y.transpose());
    }
    let no_bias = Tensor::zeros([y.dims()[0]], &x.device());
    cpu::linear(x, y, no_bias, Activation::Identity)
}

/// Euclidean norm, `[1]`.
fn norm(x: Tensor<1>) -> Tensor<1> {
    (x.clone() * x).sum().sqrt()
}
