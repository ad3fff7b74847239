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
