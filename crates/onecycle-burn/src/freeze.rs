//! Stops and resumes the training of layers, batch norm included.
//!
//! A frozen layer stays bit-identical in training. Its parameters have no gradient, so no update
//! and no weight decay changes them, and its batch norms evaluate: they normalise by their running
//! statistics, which keep their values. Dropout in a frozen layer is off. Gradients still pass
//! through it to earlier layers.
//!
//! [`freeze_layers`] and [`unfreeze_layers`] switch both, gradients and statistics. To train scale
//! and shift of a batch norm while its statistics stay, use [`set_norms`]. [`LayerGroups`] selects
//! layers by their depth.
//!
//! ```
//! use onecycle_burn::{
//!     burn::{self, module::Module, tensor::{Device, Tensor}},
//!     freeze::freeze_layers,
//!     nn::{BatchNorm2d, Conv2d, Conv2dShape, Init},
//!     state,
//! };
//!
//! #[derive(Module, Debug)]
//! struct Net {
//!     conv: Conv2d,
//!     norm: BatchNorm2d,
//! }
//!
//! let device = Device::flex().autodiff();
//! let shape = Conv2dShape::same(3, 8, 3);
//! let net = Net {
//!     conv: Conv2d::new(shape, Init::KaimingFanOut, &mut onecycle_burn::rng(1), &device),
//!     norm: BatchNorm2d::new(8, &device),
//! };
//! let net = freeze_layers(net, |path| path.starts_with("norm."));
//! assert_eq!(state::trained_parameters(&net), 8 * 3 * 3 * 3);
//! let before = state::weights(&net);
//! net.norm.forward(net.conv.forward(Tensor::ones([2, 3, 8, 8], &device)));
//! assert_eq!(state::weights(&net), before); // without freezing, the running statistics advance
//! ```
//!
//! Like Burn's [`Module::freeze`], this is a property of the module in memory. It survives
//! [`Module::valid`] and `train`, clones, and [`state::load_weights`](crate::state::load_weights),
//! but saved weights do not have it: freeze again after building a network anew.
//!
//! [`LayerGroups`]: crate::layer_groups::LayerGroups

use std::collections::BTreeSet;

use burn::{
    module::{Flag, Module, ModuleMapper, ModuleVisitor, Param},
    tensor::Tensor,
};

use crate::state::ModulePath;

/// Statistics by which a batch norm normalises in training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NormStatistics {
    /// Those of the batch. The running statistics advance.
    #[default]
    Batch,
    /// The running statistics, which stay as they are, as in evaluation.
    Running,
}

/// Freezes the layers whose values `select` chooses, given their paths in the module: for example
/// `layer1.0.conv1.weight`, or `layer1.0.bn1.training` for the mode of a batch norm.
///
/// Select whole layers: a batch norm with frozen parameters trains its statistics if its mode is not
/// selected.
pub fn freeze_layers<M: Module>(model: M, select: impl Fn(&str) -> bool) -> M {
    switch(model, false, NormStatistics::Running, select)
}

/// Trains the layers whose values `select` chooses, the opposite of [`freeze_layers`].
///
/// Every selected parameter then requires a gradient, even one that was built without.
pub fn unfreeze_layers<M: Module>(model: M, select: impl Fn(&str) -> bool) -> M {
    switch(model, true, NormStatistics::Batch, select)
}

/// Chooses the statistics of the batch norms whose paths `select` chooses, such as `layer1.0.bn1`.
/// Nothing else changes; with [`NormStatistics::Running`], scale and shift train as before.
///
/// A batch norm is a module whose type has `BatchNorm` in its name: those of [`nn`](crate::nn) and
/// Burn's.
pub fn set_norms<M: Module>(
    model: M,
    statistics: NormStatistics,
    select: impl Fn(&str) -> bool,
) -> M {
    model.map(&mut NormSwitch {
        position: Position::default(),
        statistics,
        select,
    })
}

/// Sets whether the selected values train, and the statistics of the selected batch norms.
pub(crate) fn switch<M: Module>(
    model: M,
    trains: bool,
    norms: NormStatistics,
    select: impl Fn(&str) -> bool,
) -> M {
    model.map(&mut Switch {
        position: Position::default(),
        trains,
        norms,
        select,
    })
}

/// Paths of the batch norms of `model` that normalise by their running statistics in training.
pub(crate) fn norms_on_running_statistics<M: Module>(model: &M) -> BTreeSet<String> {
    let mut reader = NormReader {
        position: Position::default(),
        found: BTreeSet::new(),
    };
    model.visit(&mut reader);
    reader.found
}

/// The value that a visitor is at.
#[derive(Debug, Default)]
struct Position {
    path: ModulePath,
    /// Types of the modules around it, the innermost last.
    containers: Vec<String>,
}

impl Position {
    fn enter(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
        self.containers.push(container.to_owned());
    }

    fn exit(&mut self, container: &str) {
        self.path.exit(container);
        self.containers.pop();
    }

    fn is_in_norm(&self) -> bool {
        let container = self.containers.last();
        container.is_some_and(|container| container.contains("BatchNorm"))
    }

    /// Path of the module that holds the value.
    fn module(&self) -> String {
        let path = self.path.joined();
        let module = path.rsplit_once('.').map_or("", |(module, _)| module);
        module.to_owned()
    }
}

struct Switch<F> {
    position: Position,
    trains: bool,
    norms: NormStatistics,
    select: F,
}

impl<F: Fn(&str) -> bool> ModuleMapper for Switch<F> {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.position.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, container_type: &str) {
        self.position.exit(container_type);
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        match (self.select)(&self.position.path.joined()) {
            true => param.set_require_grad(self.trains),
            false => param,
        }
    }

    fn map_flag(&mut self, flag: Param<Flag>) -> Param<Flag> {
        if !(self.select)(&self.position.path.joined()) {
            return flag;
        }
        let by_batch = self.norms == NormStatistics::Batch || !self.position.is_in_norm();
        flag.with_value(self.trains && by_batch)
    }
}

struct NormSwitch<F> {
    position: Position,
    statistics: NormStatistics,
    select: F,
}

impl<F: Fn(&str) -> bool> ModuleMapper for NormSwitch<F> {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.position.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, container_type: &str) {
        self.position.exit(container_type);
    }

    fn map_flag(&mut self, flag: Param<Flag>) -> Param<Flag> {
        match self.position.is_in_norm() && (self.select)(&self.position.module()) {
            true => flag.with_value(self.statistics == NormStatistics::Batch),
            false => flag,
        }
    }
}

struct NormReader {
    position: Position,
    found: BTreeSet<String>,
}

impl ModuleVisitor for NormReader {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.position.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, container_type: &str) {
        self.position.exit(container_type);
    }

    fn visit_flag(&mut self, flag: &Param<Flag>) {
        if self.position.is_in_norm() && !flag.is_enabled() {
            self.found.insert(self.position.module());
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A failed unwrap is a failed test.
mod tests {
    use burn::{nn::BatchNormConfig, tensor::Device};

    use super::*;
    use crate::{nn::BatchNorm2d, state};

    /// One norm of ours, one of Burn's, and dropout.
    #[derive(Module, Debug)]
    struct Net {
        bn1: BatchNorm2d,
        bn2: burn::nn::BatchNorm,
        dropout: burn::nn::Dropout,
    }

    impl Net {
        fn new(device: &Device) -> Self {
            Net {
                bn1: BatchNorm2d::new(2, device),
                bn2: BatchNormConfig::new(2).init(device),
                dropout: burn::nn::DropoutConfig::new(0.5).init(),
            }
        }

        fn forward(&self, x: Tensor<4>) -> Tensor<4> {
            self.dropout.forward(self.bn2.forward(self.bn1.forward(x)))
        }
    }

    fn input(device: &Device) -> Tensor<4> {
        Tensor::<1>::from_data([1.0, 2.0, 4.0, 8.0, 3.0, 5.0, 7.0, 9.0], device)
            .reshape([2, 2, 1, 2])
    }

    #[test]
    fn only_selected_layers_freeze() {
        let device = Device::flex().autodiff();
        let net = freeze_layers(Net::new(&device), |path| path.starts_with("bn1."));
        assert!(!net.bn1.weight.is_require_grad() && !net.bn1.training.is_enabled());
        assert!(net.bn2.gamma.is_require_grad() && net.dropout.training.is_enabled());
        let before = state::weights(&net);
        net.forward(input(&device));
        let after = state::weights(&net);
        for name in before.keys() {
            let same = !name.starts_with("bn2.running");
            assert_eq!(before[name] == after[name], same, "{name}");
        }
        let net = unfreeze_layers(net, |_| true);
        assert!(net.bn1.bias.is_require_grad() && net.bn1.training.is_enabled());
        net.forward(input(&device));
        assert_ne!(
            state::weights(&net)["bn1.running_mean"],
            before["bn1.running_mean"]
        );
    }

    /// Scale and shift of such a norm train, and dropout stays as it is.
    #[test]
    fn norms_alone_evaluate() {
        let device = Device::flex().autodiff();
        let net = set_norms(Net::new(&device), NormStatistics::Running, |path| {
            path == "bn2"
        });
        assert!(net.dropout.training.is_enabled() && net.bn1.training.is_enabled());
        let net = set_norms(net, NormStatistics::Running, |_| true);
        assert!(net.dropout.training.is_enabled());
        let names: Vec<String> = norms_on_running_statistics(&net).into_iter().collect();
        assert_eq!(names, ["bn1", "bn2"]);
        let before = state::weights(&net);
        let grads = net.forward(input(&device)).sum().backward();
        assert_eq!(state::weights(&net), before);
        assert!(net.bn1.weight.val().grad(&grads).is_some());
        let net = set_norms(net, NormStatistics::Batch, |path| path == "bn1");
        assert!(net.bn1.training.is_enabled() && !net.bn2.training.is_enabled());
    }

    #[test]
    fn copies_stay_frozen() {
        let device = Device::flex().autodiff();
        let net = freeze_layers(Net::new(&device), |path| path.starts_with("bn1."));
        let loaded = state::load_weights(net.clone(), state::weights(&net)).unwrap();
        for copy in [state::fork(&net), loaded] {
            assert!(!copy.bn1.training.is_enabled() && !copy.bn1.bias.is_require_grad());
            assert!(copy.bn2.training.is_enabled() && copy.bn2.beta.is_require_grad());
        }
    }
}
