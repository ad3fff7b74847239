//! The update formulas, for one flattened parameter at a time.
//!
//! They follow the order of PyTorch's arithmetic, so that a run in double precision agrees with it
//! to the last bits. In single precision on the CPU, SGD with momentum, Adam and AdamW run as one
//! pass over memory ([`cpu`]), in the same order.

use burn::tensor::Tensor;
use onecycle_kernels as kernels;

use super::{
    config::{Adam, BiasCorrection, OptimizerConfig, RmsProp, Sgd},
    muon,
    param_state::ParamState,
    rates::Rates,
};
use crate::cpu;

/// Makes one update: returns the new weights for weights `w` and gradient `g` of a parameter with
/// this shape. `config` is the optimizer [of the parameter](OptimizerConfig::of_parameter).
pub(crate) fn update(
    config: &OptimizerConfig,
    rates: Rates,
    (w, shape): (Tensor<1>, &[usize]),
    g: Tensor<1>,
    state: &mut ParamState,
) -> Tensor<1> {
    let w = match config {
        OptimizerConfig::Sgd(sgd) => update_sgd(sgd, rates, w, g, state),
        OptimizerConfig::Adam(adam) => update_adam(adam, false, rates, w, g, state),
        OptimizerConfig::AdamW(adam) => update_adam(adam, true, rates, w, g, state),
        OptimizerConfig::RmsProp(rms) => update_rmsprop(rms, rates, w, g, state),
        OptimizerConfig::Muon(muon) => muon::update(muon, rates, (w, shape), g, state),
    };
    state.steps += 1;
    w
}

fn update_sgd(
    sgd: &Sgd,
    rates: Rates,
    w: Tensor<1>,
    g: Tensor<1>,
    state: &mut ParamState,
) -> Tensor<1> {
    if rates.momentum != 0.0 && cpu::supports(&w) {
        let step = kernels::Sgd {
            lr: rates.lr,
            momentum: rates.momentum,
            dampening: sgd.dampening,
            weight_decay: rates.weight_decay,
            decoupled: sgd.decoupled,
            nesterov: sgd.nesterov,
            gradient_scale: 1.0,
        };
        let (w, velocity) = cpu::sgd(w, state.momentum_buffer.take(), g, step);
        state.momentum_buffer = Some(velocity);
        return w;
    }
    let (w, g) = if sgd.decoupled {
        (shrink(w, rates), g)
    } else {
        let g = add_decay(g, &w, rates.weight_decay);
        (w, g)
    };
    if rates.momentum == 0.0 {
        return w - g * rates.lr;
    }
    let v = match state.momentum_buffer.take() {
        None => g.clone(),
        Some(v) => v * rates.momentum + g.clone() * (1.0 - sgd.dampening),
    };
    state.momentum_buffer = Some(v.clone());
    let step = if sgd.nesterov {
        g + v * rates.momentum
    } else {
        v
    };
    w - step * rates.lr
}

fn update_adam(
    adam: &Adam,
    decoupled: bool,
    rates: Rates,
    w: Tensor<1>,
    g: Tensor<1>,
    state: &mut ParamState,
) -> Tensor<1> {
    let beta1 = rates.momentum;
    let product = state.beta1_product.unwrap_or(1.0) * beta1;
    let power = (state.steps + 1) as f64;
    let start_weight = match adam.bias_correction {
        BiasCorrection::Exact => product,
        BiasCorrection::Torch => beta1.powf(power),
    };
    let lr_corrected = rates.lr / (1.0 - start_weight);
    let root_correction = (1.0 - adam.beta2.powf(power)).sqrt();
    state.beta1_product = Some(product);

    if !adam.amsgrad && cpu::supports(&w) {
        let (weight_decay, shrink) = match decoupled {
            true => (0.0, 1.0 - rates.lr * rates.weight_decay),
            false => (rates.weight_decay, 1.0),
        };
        let step = kernels::Adam {
            lr_corrected,
            beta1,
            beta2: adam.beta2,
            root_correction,
            eps: adam.eps,
            weight_decay,
            shrink,
            gradient_scale: 1.0,
        };
        let averages = [state.exp_avg.take(), state.exp_avg_sq.take()];
        let (w, [mean, square]) = cpu::adam(w, averages, g, step);
        (state.exp_avg, state.exp_avg_sq) = (Some(mean), Some(square));
        return w;
    }
    let (w, g) = if decoupled {
        (shrink(w, rates), g)
    } else {
        let g = add_decay(g, &w, rates.weight_decay);
        (w, g)
    };
    let mean = running_mean(state.exp_avg.take(), g.clone(), beta1);
    let square = running_mean(state.exp_avg_sq.take(), g.clone() * g, adam.beta2);
    let under_root = if adam.amsgrad {
        let largest = match state.max_exp_avg_sq.take() {
            None => square.clone(),
            Some(largest) => largest.max_pair(square.clone()),
        };
        state.max_exp_avg_sq = Some(largest.clone());
        largest
    } else {
        square.clone()
    };
    let denominator = under_root.sqrt() / root_correction + adam.eps;

    state.exp_avg_sq = Some(square);
    state.exp_avg = Some(mean.clone());
    w - mean / denominator * lr_corrected
}

fn update_rmsprop(
    rms: &RmsProp,
    rates: Rates,
    w: Tensor<1>,
    g: Tensor<1>,
    state: &mut ParamState,
) -> Tensor<1> {
    let g = add_decay(g, &w, rates.weight_decay);
    let square = running_mean(state.exp_avg_sq.take(), g.clone() * g.clone(), rms.alpha);
    state.exp_avg_sq = Some(square.clone());
    let root = if rms.centered {
        let mean = running_mean(state.exp_avg.take(), g.clone(), rms.alpha);
        state.exp_avg = Some(mean.clone());
        // Under a constant gradient, rounding makes the difference negative. PyTorch's formula then
        // gives NaN.
        (square - mean.clone() * mean).clamp_min(0.0).sqrt()
    } else {
        square.sqrt()
    };
    let step = g / (root + rms.eps);
    if rates.momentum == 0.0 {
        return w - step * rates.lr;
    }
    let v = match state.momentum_buffer.take() {
        None => step,
        Some(v) => v * rates.momentum + step,
    };
    state.momentum_buffer = Some(v.clone());
    w - v * rates.lr
}

/// `decay · mean + (1 - decay) · value`, starting at 0.
fn running_mean(mean: Option<Tensor<1>>, value: Tensor<1>, decay: f64) -> Tensor<1> {
    let value = value * (1.0 - decay);
    match mean {
        None => value,
        Some(mean) => mean * decay + value,
    }
}

/// Coupled weight decay: adds the gradient of `weight_decay / 2 · |w|²` to that of the loss.
fn add_decay(g: Tensor<1>, w: &Tensor<1>, weight_decay: f64) -> Tensor<1> {
    if weight_decay == 0.0 {
        return g;
    }
    g + w.clone() * weight_decay
}

/// Decoupled weight decay: scales the weights by `1 - lr · weight_decay`.
fn shrink(w: Tensor<1>, rates: Rates) -> Tensor<1> {
    if rates.weight_decay == 0.0 {
        return w;
    }
    w * (1.0 - rates.lr * rates.weight_decay)
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;
    use onecycle::Hyper;

    /// The variance of a constant gradient is 0, up to rounding.
    #[test]
    fn centred_rmsprop_stays_finite_under_a_constant_gradient() {
        let config = OptimizerConfig::RmsProp(RmsProp {
            centered: true,
            ..RmsProp::default()
        });
        let rates = Rates::new(&Hyper::new(1e-3), &config);
        let device = Device::flex();
        let mut weights = Tensor::<1>::zeros([8], &device);
        let gradient = Tensor::<1>::from_data([0.1, 0.3, 0.7, 1.0, 1.3, 3.0, -7.0, 11.0], &device);
        let mut state = ParamState::default();
        for _ in 0..3000 {
            weights = update(
                &config,
                rates,
                (weights, &[8]),
                gradient.clone(),
                &mut state,
            );
        }
        let weights: Vec<f64> = weights.into_data().iter::<f64>().collect();
        assert!(
            weights.iter().all(|weight| weight.is_finite()),
            "{weights:?}"
        );
    }
}
