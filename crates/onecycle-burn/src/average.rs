//! Averages of a module's weights over its updates: [`WeightAverage`].
//!
//! An average moves towards the weights by `average += weight (weights - average)`. The weight of
//! the rule decides what it is:
//!
//! | rule | weight | source |
//! |---|---|---|
//! | [`ema_weight`] | `1 - decay` | Polyak & Juditsky 1992; PyTorch's `get_ema_multi_avg_fn` |
//! | [`equal_weight`] | `1 / (count + 1)` | stochastic weight averaging, Izmailov et al. 2018, algorithm 1 |
//! | [`lookahead_weight`] | grows from 1 to 0 | Zhang et al. 2019, with the decay of Jordan 2024, section 3.4 |
//!
//! ```
//! use onecycle_burn::{average::{WeightAverage, equal_weight}, burn::tensor::Device, nn::Linear, state};
//!
//! let mut rng = onecycle_burn::rng(1);
//! let [first, second] = [(); 2].map(|()| Linear::new(1, 1, &mut rng, &Device::flex()));
//! let mut average = WeightAverage::new();
//! for model in [&first, &second] {
//!     average.add(model, equal_weight(average.count()));
//! }
//! let mean = average.apply(first.clone());
//! let value = |model: &Linear| model.weight.val().into_scalar::<f32>();
//! assert!((value(&mean) - 0.5 * (value(&first) + value(&second))).abs() < 1e-6);
//! ```

use std::collections::BTreeMap;

use burn::{
    module::{Module, ModuleMapper, Param},
    tensor::{Device, Tensor},
};

use crate::{
    cpu,
    state::{self, ModulePath, TensorMap},
};

/// The average of all float tensors of a module, running statistics included. It is on the device
/// of the module, without autodiff.
///
/// An update is one pass over memory, in place on the CPU.
#[derive(Debug, Clone, Default)]
pub struct WeightAverage {
    /// Flat tensors by their path in the module.
    tensors: BTreeMap<String, Tensor<1>>,
    count: u64,
}

impl WeightAverage {
    /// An average of nothing.
    pub fn new() -> Self {
        WeightAverage::default()
    }

    /// Number of modules averaged so far.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Moves the average towards `model`: `average += weight (model - average)`. The first call
    /// copies `model`, whatever the weight.
    pub fn add<M: Module>(&mut self, model: &M, weight: f64) {
        for (path, new) in state::flat_tensors(model) {
            let moved = match self.tensors.remove(&path) {
                None => new,
                Some(old) => lerp(old, new, weight),
            };
            self.tensors.insert(path, moved);
        }
        self.count += 1;
    }

    /// Replaces the average by the tensors of `model`; the count stays.
    pub fn replace<M: Module>(&mut self, model: &M) {
        let count = self.count;
        self.tensors.clear();
        self.add(model, 1.0);
        self.count = count;
    }

    /// An average of these flat tensors.
    pub(crate) fn of_tensors(tensors: BTreeMap<String, Tensor<1>>) -> Self {
        WeightAverage { tensors, count: 1 }
    }

    /// Returns `model` with the averaged tensors instead of its own. Nothing is copied: the tensors
    /// share memory until one of them is written. A tensor that was not averaged keeps its value.
    pub fn apply<M: Module>(&self, model: M) -> M {
        // A clone of `model` shares its running statistics, a fork does not.
        let model = if model.devices().iter().any(Device::is_autodiff) {
            state::fork(&model)
        } else {
            model.valid()
        };
        model.map(&mut Replacer {
            path: ModulePath::default(),
            average: &self.tensors,
        })
    }

    /// The averaged tensors by their path in the module, flat.
    pub fn state(&self) -> TensorMap {
        let data = |(name, tensor): (&String, &Tensor<1>)| (name.clone(), tensor.to_data());
        self.tensors.iter().map(data).collect()
    }

    /// Restores an average of `count` modules from [`state`](Self::state), on `device`.
    pub fn from_state(state: TensorMap, count: u64, device: &Device) -> Self {
        let device = device.clone().without_autodiff();
        let tensors = state.into_iter().map(|(name, data)| {
            let dtype = data.dtype();
            (name, Tensor::from_data(data, (&device, dtype)))
        });
        WeightAverage {
            tensors: tensors.collect(),
            count,
        }
    }
}

/// Weight of the next module in an exponential moving average over `count` modules: `1 - decay`.
///
/// With `warm_up`, the decay is `min(decay, (1 + count) / (10 + count))`, as in TensorFlow's
/// `ExponentialMovingAverage`: a young average forgets its beginning faster.
pub fn ema_weight(decay: f64, warm_up: bool, count: u64) -> f64 {
    let young = (1.0 + count as f64) / (10.0 + count as f64);
    1.0 - if warm_up { decay.min(young) } else { decay }
}

/// Weight of the next module in an equal average over `count` modules: `1 / (count + 1)`.
pub fn equal_weight(count: u64) -> f64 {
    1.0 / (count as f64 + 1.0)
}

/// Weight of the fast weights in the update of lookahead's slow weights after `step` of `steps`
/// updates: `1 - decay^every (step / steps)^3`.
///
/// Updates are `every` steps apart. Source: `alpha_schedule` of airbench94 (Jordan, "94% on CIFAR-10
/// in 3.29 Seconds on a Single GPU" (2024), section 3.4).
pub fn lookahead_weight(decay: f64, every: u64, step: u64, steps: u64) -> f64 {
    let share = step as f64 / steps as f64;
    1.0 - decay.powf(every as f64) * share.powi(3)
}

/// `start + weight (end - start)`.
fn lerp(start: Tensor<1>, end: Tensor<1>, weight: f64) -> Tensor<1> {
    if cpu::supports(&start) && cpu::supports(&end) {
        return cpu::lerp(start, end, weight as f32);
    }
    // Like PyTorch's `lerp`, from the nearer end, so that weight 1 returns exactly `end`.
    let difference = end.clone() - start.clone();
    if weight.abs() < 0.5 {
        start + difference * weight
    } else {
        end - difference * (1.0 - weight)
    }
}

/// Replaces the tensors of a module by averaged ones.
struct Replacer<'a> {
    path: ModulePath,
    average: &'a BTreeMap<String, Tensor<1>>,
}

impl ModuleMapper for Replacer<'_> {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, container_type: &str) {
        self.path.exit(container_type);
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(averaged) = self.average.get(&self.path.joined()) else {
            return param;
        };
        let (id, old, mapper) = param.consume();
        let (required, tracked) = (old.is_require_grad(), old.is_autodiff());
        let mut new = averaged.clone().reshape(old.shape());
        if tracked {
            new = new.autodiff();
        }
        if required {
            new = new.require_grad();
        }
        Param::from_mapped_value(id, new, mapper)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::BatchNorm2d;

    /// A batch norm of two channels, all of whose tensors have the values `[a, b]`.
    fn norm(values: [f32; 2], device: &Device) -> BatchNorm2d {
        let model = BatchNorm2d::new(2, device);
        let all = state::weights(&model).into_keys();
        let data = |name| (name, burn::tensor::TensorData::from(values));
        state::load_weights(model, all.map(data).collect()).expect("the same names")
    }

    fn values(model: &BatchNorm2d) -> Vec<Vec<f64>> {
        let weights = state::weights(model);
        weights
            .values()
            .map(|data| data.iter::<f64>().collect())
            .collect()
    }

    /// Weights and running statistics of three modules, against the recurrence in float64.
    #[test]
    fn averages_follow_the_recurrence_in_double_precision() {
        let inputs = [[1.0_f32, -3.5], [0.25, 7.0], [11.0, 0.125], [2.0, 2.0]];
        let rules: [fn(u64) -> f64; 4] = [
            |count| ema_weight(0.9, false, count),
            |count| ema_weight(0.9, true, count),
            equal_weight,
            |count| lookahead_weight(0.95, 5, 5 * count, 20),
        ];
        for device in [Device::flex(), Device::flex().autodiff()] {
            for rule in rules {
                let mut average = WeightAverage::new();
                let mut expected = inputs[0].map(f64::from);
                for (index, input) in inputs.iter().enumerate() {
                    let weight = rule(average.count());
                    average.add(&norm(*input, &device), weight);
                    if index > 0 {
                        for (mean, new) in expected.iter_mut().zip(input) {
                            *mean += weight * (f64::from(*new) - *mean);
                        }
                    }
                }
                assert_eq!(average.count(), 4);
                for tensor in values(&average.apply(norm([0.0; 2], &device))) {
                    for (got, expected) in tensor.iter().zip(expected) {
                        assert!((got - expected).abs() < 2e-6, "{got} for {expected}");
                    }
                }
            }
        }
    }

    #[test]
    fn weights_of_the_rules() {
        assert!((ema_weight(0.99, false, 0) - 0.01).abs() < 1e-15);
        // (1 + 8) / (10 + 8) = 0.5.
        assert_eq!(ema_weight(0.99, true, 8), 0.5);
        assert!((ema_weight(0.99, true, 10_000) - 0.01).abs() < 1e-15);
        assert_eq!(equal_weight(3), 0.25);
        assert_eq!(lookahead_weight(0.95, 5, 0, 100), 1.0);
        // 0.95^5 = 0.7737809375, halfway (1/2)^3 of it.
        assert!((lookahead_weight(0.95, 5, 50, 100) - (1.0 - 0.7737809375 / 8.0)).abs() < 1e-12);
        assert!((lookahead_weight(0.95, 5, 100, 100) - 0.2262190625).abs() < 1e-12);
    }

    #[test]
    fn nothing_is_shared_with_the_averaged_modules() {
        let device = Device::flex().autodiff();
        let model = norm([1.0, 2.0], &device);
        let mut average = WeightAverage::new();
        average.add(&model, 1.0);
        let applied = average.apply(model.clone());
        assert!(applied.weight.is_require_grad());
        average.add(&norm([3.0, 4.0], &device), 0.5);
        assert_eq!(values(&model), vec![vec![1.0, 2.0]; 4]);
        assert_eq!(values(&applied), vec![vec![1.0, 2.0]; 4]);
        assert_eq!(
            values(&average.apply(model.clone())),
            vec![vec![2.0, 3.0]; 4]
        );
        assert_eq!(values(&model), vec![vec![1.0, 2.0]; 4]);
    }

    #[test]
    fn a_restored_average_continues_with_the_same_bits() {
        let device = Device::flex();
        let mut average = WeightAverage::new();
        average.add(&norm([0.1, 0.2], &device), 1.0);
        average.add(&norm([0.3, 7.0], &device), 0.3);
        let mut restored = WeightAverage::from_state(average.state(), average.count(), &device);
        for one in [&mut average, &mut restored] {
            one.add(&norm([5.0, -1.0], &device), 0.7);
        }
        assert_eq!(average.state(), restored.state());
        assert_eq!(average.count(), restored.count());
    }
}
