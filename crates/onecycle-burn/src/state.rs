//! Weights and optimizer state as named tensors.
//!
//! Names are the paths of parameters in the module, such as `stage1.0.conv1.weight`. With the
//! layers of [`nn`](crate::nn) they are those of PyTorch's `state_dict` for the same network.

use std::collections::BTreeMap;

use burn::{
    module::{Module, ModuleMapper, ModuleVisitor, Param},
    tensor::{Tensor, TensorData},
};

use crate::BurnError;

/// Tensors by name, sorted by name.
pub type TensorMap = BTreeMap<String, TensorData>;

/// Returns all float tensors of a module: weights and running statistics.
///
/// ```
/// use burn::tensor::Device;
/// use onecycle_burn::{nn::Linear, state};
///
/// let mut rng = onecycle_burn::rng(1);
/// let model = Linear::new(3, 2, &mut rng, &Device::flex());
/// let weights = state::weights(&model);
/// assert_eq!(weights.keys().collect::<Vec<_>>(), ["bias", "weight"]);
///
/// let other = Linear::new(3, 2, &mut rng, &Device::flex());
/// let other = state::load_weights(other, weights.clone())?;
/// assert_eq!(state::weights(&other), weights);
/// # Ok::<(), onecycle_burn::BurnError>(())
/// ```
pub fn weights<M: Module>(model: &M) -> TensorMap {
    let mut reader = Reader {
        path: ModulePath::default(),
        tensors: TensorMap::new(),
    };
    // Running statistics are synchronised in the validation copy.
    model.valid().visit(&mut reader);
    reader.tensors
}

/// Returns the names and shapes of all float tensors of a module, in the order of its layers.
pub fn shapes<M: Module>(model: &M) -> Vec<(String, Vec<usize>)> {
    let mut shapes = Shapes {
        path: ModulePath::default(),
        found: Vec::new(),
    };
    model.visit(&mut shapes);
    shapes.found
}

/// Replaces the tensors of `model` by those of `weights`, converted to the element types of the
/// model.
///
/// # Errors
/// - [`BurnError::MissingTensor`] if `weights` lacks a tensor of the model.
/// - [`BurnError::UnexpectedTensor`] if `weights` has a tensor that the model lacks.
/// - [`BurnError::ShapeMismatch`] if a tensor has another shape than in the model.
///
/// The model is consumed in any case.
pub fn load_weights<M: Module>(model: M, weights: TensorMap) -> Result<M, BurnError> {
    let mut writer = Writer {
        path: ModulePath::default(),
        tensors: weights,
        error: None,
    };
    let model = model.map(&mut writer);
    if let Some(error) = writer.error {
        return Err(error);
    }
    if let Some((name, _)) = writer.tensors.pop_first() {
        return Err(BurnError::UnexpectedTensor { name });
    }
    Ok(model)
}

/// All float tensors of a module by name, flat, on its device and without autodiff. Running
/// statistics are included and synchronised.
pub(crate) fn flat_tensors<M: Module>(model: &M) -> Vec<(String, Tensor<1>)> {
    let mut reader = FlatReader {
        path: ModulePath::default(),
        found: Vec::new(),
    };
    // Running statistics are synchronised in the validation copy.
    model.valid().visit(&mut reader);
    reader.found
}

/// Number of trained values of a module on a device with autodiff. Running statistics and frozen
/// parameters have no gradient and do not count.
pub fn trained_parameters<M: Module>(model: &M) -> usize {
    let mut counter = Counter(0);
    model.visit(&mut counter);
    counter.0
}

/// Stops the training of the parameters for which `select` returns true, given their path and their
/// number of dimensions. They stay as they are, and no gradient is computed for them. Running
/// statistics of batch norm advance nevertheless; [`freeze::freeze_layers`](crate::freeze::freeze_layers)
/// stops them, too.
///
/// ```
/// use burn::tensor::Device;
/// use onecycle_burn::{nn::Linear, state};
///
/// let mut rng = onecycle_burn::rng(1);
/// let model = Linear::new(3, 2, &mut rng, &Device::flex().autodiff());
/// let model = state::freeze(model, |path, _rank| path == "weight");
/// assert!(!model.weight.is_require_grad());
/// assert!(model.bias.is_some_and(|bias| bias.is_require_grad()));
/// ```
pub fn freeze<M: Module>(model: M, select: impl Fn(&str, usize) -> bool) -> M {
    let mut freezer = Freezer {
        path: ModulePath::default(),
        select,
    };
    model.map(&mut freezer)
}

/// Returns a copy of a module that shares nothing with it.
///
/// `Clone` does not: a clone shares the running statistics of batch norm through an `Arc`, so
/// training one changes both. Parameters keep their identifiers, so the state of an optimizer fits
/// the copy.
pub fn fork<M: Module>(model: &M) -> M {
    // Switching to evaluation and back creates new, synchronised running statistics.
    model.valid().train()
}

/// The path of the parameter that a visitor is at.
///
/// Variants of enums are left out, so a network has the same names whether or not an enum holds it.
#[derive(Debug, Clone, Default)]
pub(crate) struct ModulePath(Vec<String>);

impl ModulePath {
    pub(crate) fn enter(&mut self, name: &str, container: &str) {
        if !is_enum(container) {
            self.0.push(name.to_owned());
        }
    }

    pub(crate) fn exit(&mut self, container: &str) {
        if !is_enum(container) {
            self.0.pop();
        }
    }

    pub(crate) fn joined(&self) -> String {
        self.0.join(".")
    }
}

/// Burn calls the container of an enum's variant `Enum:TYPE`.
fn is_enum(container: &str) -> bool {
    container.starts_with("Enum:")
}

/// Collects all float tensors.
struct Reader {
    path: ModulePath,
    tensors: TensorMap,
}

impl ModuleVisitor for Reader {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, container_type: &str) {
        self.path.exit(container_type);
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.tensors
            .insert(self.path.joined(), param.val().into_data());
    }
}

/// Collects all float tensors, flat and on their device.
struct FlatReader {
    path: ModulePath,
    found: Vec<(String, Tensor<1>)>,
}

impl ModuleVisitor for FlatReader {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, container_type: &str) {
        self.path.exit(container_type);
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let flat = param.val().without_autodiff().reshape([-1]);
        self.found.push((self.path.joined(), flat));
    }
}

/// Counts the values of parameters with a gradient.
struct Counter(usize);

impl ModuleVisitor for Counter {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if param.is_require_grad() {
            self.0 += param.lazy_shape().num_elements();
        }
    }
}

/// Turns off the gradients of selected parameters.
struct Freezer<F> {
    path: ModulePath,
    select: F,
}

impl<F: Fn(&str, usize) -> bool> ModuleMapper for Freezer<F> {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, container_type: &str) {
        self.path.exit(container_type);
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        match (self.select)(&self.path.joined(), D) {
            true => param.set_require_grad(false),
            false => param,
        }
    }
}

/// Collects the names and shapes of all float tensors.
struct Shapes {
    path: ModulePath,
    found: Vec<(String, Vec<usize>)>,
}

impl ModuleVisitor for Shapes {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, container_type: &str) {
        self.path.exit(container_type);
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let shape = param.lazy_shape().to_vec();
        self.found.push((self.path.joined(), shape));
    }
}

/// Replaces all float tensors.
struct Writer {
    path: ModulePath,
    /// Tensors not used yet.
    tensors: TensorMap,
    /// The first error.
    error: Option<BurnError>,
}

impl ModuleMapper for Writer {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, container_type: &str) {
        self.path.exit(container_type);
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let name = self.path.joined();
        let Some(data) = self.tensors.remove(&name) else {
            self.error.get_or_insert(BurnError::MissingTensor { name });
            return param;
        };
        let expected = param.lazy_shape().to_vec();
        let found = data.shape().to_vec();
        if found != expected {
            self.error.get_or_insert(BurnError::ShapeMismatch {
                name,
                found,
                expected,
            });
            return param;
        }
        let (id, old, mapper) = param.consume();
        let mut new = Tensor::<D>::from_data(data, (&old.device(), old.dtype()));
        if old.is_require_grad() {
            new = new.require_grad();
        }
        Param::from_mapped_value(id, new, mapper)
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::{average::WeightAverage, nn::Linear};

    /// A frozen parameter stays frozen in every copy of a module.
    #[test]
    fn copies_keep_frozen_parameters() {
        let device = Device::flex().autodiff();
        let model = Linear::new(3, 2, &mut crate::rng(1), &device);
        let model = freeze(model, |path, rank| path == "weight" && rank == 2);
        let mut average = WeightAverage::new();
        average.add(&model, 1.0);
        let loaded = load_weights(model.clone(), weights(&model)).expect("the same names");
        for copy in [fork(&model), average.apply(model.clone()), loaded] {
            assert!(!copy.weight.is_require_grad() && !copy.weight.val().is_require_grad());
            let bias = copy.bias.expect("a bias");
            assert!(bias.is_require_grad() && bias.val().is_require_grad());
        }
    }
}
