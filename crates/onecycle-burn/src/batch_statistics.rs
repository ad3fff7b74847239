//! Measures the running statistics of batch norm again: [`remeasure`].

use std::collections::BTreeMap;

use burn::{module::Module, tensor::Tensor};

use crate::{average::WeightAverage, freeze, state, untracked};

/// A running value so large that a batch does not change it. A power of two, so that dividing by it
/// is exact.
const HUGE: f64 = (1_u128 << 100) as f64;

/// Replaces every running statistic of `model` by its mean over the batches, each batch with the
/// same weight, like PyTorch's `torch.optim.swa_utils.update_bn`.
///
/// Weights that were averaged need this: their activations have other statistics than the averaged
/// ones. `model` must be on a device with autodiff, on which batch norm measures its batches;
/// `forward` runs it on a batch, with parameters that need no gradient. The first batch is run twice. Without batches, or without running
/// statistics, `model` is returned as it is. Layers that normalise by their running statistics in
/// training ([`freeze`](mod@crate::freeze)) keep them.
///
/// # Errors
/// The first error of `batches`.
pub fn remeasure<M: Module, B, E>(
    model: M,
    batches: impl IntoIterator<Item = Result<B, E>>,
    mut forward: impl FnMut(&M, &B),
) -> Result<M, E> {
    let kept_as_they_are = freeze::norms_on_running_statistics(&model);
    let statistics = |model: &M| {
        let mut found = statistics(model);
        found.retain(|name, _| {
            let module = name.rsplit_once('.').map_or("", |(module, _)| module);
            !kept_as_they_are.contains(module)
        });
        found
    };
    let names = statistics(&model);
    if names.is_empty() {
        return Ok(model);
    }
    let filled = |value: f64| {
        let fill = |(name, tensor): (&String, &Tensor<1>)| (name.clone(), tensor.full_like(value));
        WeightAverage::of_tensors(names.iter().map(fill).collect())
    };
    let zero = filled(0.0);
    let (mut sums, mut count) = (BTreeMap::new(), 0_u64);
    let mut kept = None;
    for batch in batches {
        let batch = batch?;
        let mut measured = |start: &WeightAverage| {
            let model = untracked::parameters(start.apply(model.clone()));
            forward(&model, &batch);
            let measured = statistics(&model);
            for tensor in measured.values().take(1) {
                untracked::forget(&tensor.device());
            }
            measured
        };
        if kept.is_none() {
            // A layer sets `running = keep * running + (1 - keep) * batch`. From a huge value, only
            // `keep` remains.
            let of_huge = measured(&filled(HUGE)).into_iter();
            let shares = of_huge.map(|(name, value)| (name, value / HUGE));
            kept = Some(shares.collect::<BTreeMap<_, _>>());
        }
        // From 0, it is `(1 - keep) * batch`.
        for (name, value) in measured(&zero) {
            let sum = match sums.remove(&name) {
                None => value,
                Some(sum) => sum + value,
            };
            sums.insert(name, sum);
        }
        count += 1;
    }
    let Some(kept) = kept else {
        return Ok(model);
    };
    let mean = |(name, sum): (String, Tensor<1>)| {
        let taken = kept.get(&name)?.clone().neg() + 1.0;
        Some((name, sum / taken / count as f64))
    };
    let means = sums.into_iter().filter_map(mean).collect();
    Ok(WeightAverage::of_tensors(means).apply(model))
}

/// The running statistics of a module by name, flat and without autodiff.
pub(crate) fn statistics<M: Module>(model: &M) -> BTreeMap<String, Tensor<1>> {
    // The names of PyTorch and of Burn.
    let tracked = |path: &str| {
        let name = path.rsplit('.').next().unwrap_or_default();
        matches!(name, "running_mean" | "running_var")
    };
    let tensors = state::flat_tensors(model).into_iter();
    tensors.filter(|(path, _)| tracked(path)).collect()
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use burn::tensor::{Device, TensorData};

    use super::*;
    use crate::nn::BatchNorm2d;

    /// Batches of one channel: 1, 2, 3, 6 with mean 3 and unbiased variance 14/3; 0, 4 with mean 2
    /// and unbiased variance 8; 5, 5 with variance 0. Then values a million times as large.
    #[test]
    fn statistics_are_means_over_batches_of_any_size() {
        let device = Device::flex().autodiff();
        for scale in [1.0_f32, 1e6] {
            let batches = [vec![1.0_f32, 2.0, 3.0, 6.0], vec![0.0, 4.0], vec![5.0, 5.0]];
            let batch = |values: Vec<f32>| {
                let values: Vec<f32> = values.iter().map(|value| scale * value).collect();
                let data = TensorData::new(values.clone(), [values.len(), 1, 1, 1]);
                Ok::<_, Infallible>(Tensor::<4>::from_data(data, &device))
            };
            let model = BatchNorm2d::new(1, &device);
            let Ok(model) = remeasure(model, batches.map(batch), |model, batch| {
                model.forward(batch.clone());
            });
            let weights = state::weights(&model);
            let value = |name: &str| weights[name].iter::<f64>().sum::<f64>();
            let (mean, variance) = (10.0 / 3.0, (14.0 / 3.0 + 8.0) / 3.0);
            let scale = f64::from(scale);
            assert!((value("running_mean") / scale - mean).abs() < 1e-5 * mean);
            let found = value("running_var") / scale / scale;
            assert!((found - variance).abs() < 1e-5 * variance, "{found}");
            assert_eq!((value("weight"), value("bias")), (1.0, 0.0));
        }
    }

    /// The second layer normalises by its own statistics, also while the first one is measured.
    #[test]
    fn frozen_layers_keep_their_statistics() {
        #[derive(Module, Debug)]
        struct Net {
            bn1: BatchNorm2d,
            bn2: BatchNorm2d,
            bn3: BatchNorm2d,
        }
        let device = Device::flex().autodiff();
        let norm = || BatchNorm2d::new(1, &device);
        let net = Net {
            bn1: norm(),
            bn2: norm(),
            bn3: norm(),
        };
        let shift = Tensor::from_data([7.0], &device);
        net.bn2.running_mean.update(shift);
        let net = freeze::freeze_layers(net, |path| path.starts_with("bn2."));
        let batch = Tensor::<4>::from_data([[[[1.0, 2.0], [3.0, 6.0]]]], &device);
        let Ok(net) = remeasure(net, [Ok::<_, Infallible>(batch)], |net, batch| {
            net.bn3
                .forward(net.bn2.forward(net.bn1.forward(batch.clone())));
        });
        let weights = state::weights(&net);
        let value = |name: &str| weights[name].iter::<f64>().sum::<f64>();
        assert_eq!(
            (value("bn2.running_mean"), value("bn2.running_var")),
            (7.0, 1.0)
        );
        assert!((value("bn1.running_mean") - 3.0).abs() < 1e-5);
        assert!((value("bn3.running_mean") + 7.0).abs() < 1e-4);
    }

    /// A tracked pass would stay in memory: there is no backward pass.
    #[test]
    fn passes_are_not_tracked() {
        let tracked = |model: &BatchNorm2d| model.weight.val().is_require_grad();
        let model = BatchNorm2d::new(1, &Device::flex().autodiff());
        assert!(tracked(&model));
        let mut passes = Vec::new();
        let batches = [Ok::<_, Infallible>(()), Ok(())];
        let Ok(model) = remeasure(model, batches, |model, ()| passes.push(tracked(model)));
        assert_eq!(passes, [false; 3]);
        assert!(tracked(&model));
    }

    #[test]
    fn nothing_changes_without_batches() {
        let device = Device::flex().autodiff();
        let model = BatchNorm2d::new(2, &device);
        let before = state::weights(&model);
        let none: [Result<(), Infallible>; 0] = [];
        let Ok(model) = remeasure(model, none, |_, ()| {});
        assert_eq!(state::weights(&model), before);
    }
}
