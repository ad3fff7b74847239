//! Conversion of named tensors to safetensors bytes and back.

use std::collections::HashMap;

use burn::tensor::{DType, TensorData};
use onecycle_burn::state::TensorMap;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use crate::FileError;

/// Returns a safetensors file with these tensors and this metadata. The same input gives the same
/// bytes.
///
/// # Errors
/// A tensor has an element type other than float32 and float64.
pub fn to_safetensors(
    tensors: TensorMap,
    metadata: HashMap<String, String>,
) -> Result<Vec<u8>, FileError> {
    let cannot_write = |why: String| FileError::Tensors { why };
    let mut views = Vec::with_capacity(tensors.len());
    for (name, data) in &tensors {
        let dtype = match data.dtype() {
            DType::F32 => Dtype::F32,
            DType::F64 => Dtype::F64,
            other => {
                let why = format!("tensor `{name}` has type {other:?}, expected F32 or F64");
                return Err(cannot_write(why));
            }
        };
        let view = TensorView::new(dtype, data.shape().to_vec(), data.as_bytes())
            .map_err(|error| cannot_write(error.to_string()))?;
        views.push((name.as_str(), view));
    }
    safetensors::serialize(views, Some(metadata)).map_err(|error| cannot_write(error.to_string()))
}

/// Returns the tensors and the metadata of a safetensors file.
///
/// # Errors
/// What is wrong with the file, in words.
pub fn from_safetensors(bytes: &[u8]) -> Result<(TensorMap, HashMap<String, String>), String> {
    from_safetensors_without(bytes, |_| false)
}

/// Like [`from_safetensors`], without the tensors whose names are `ignored`.
pub(crate) fn from_safetensors_without(
    bytes: &[u8],
    ignored: impl Fn(&str) -> bool,
) -> Result<(TensorMap, HashMap<String, String>), String> {
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|error| error.to_string())?;
    let file = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
    let mut tensors = TensorMap::new();
    for (name, view) in file.iter().filter(|(name, _)| !ignored(name)) {
        let shape = view.shape().to_vec();
        let data = match view.dtype() {
            Dtype::F32 => TensorData::new(floats(view.data(), f32::from_le_bytes), shape),
            Dtype::F64 => TensorData::new(floats(view.data(), f64::from_le_bytes), shape),
            other => {
                return Err(format!(
                    "tensor `{name}` has type {other:?}, expected F32 or F64"
                ));
            }
        };
        tensors.insert(name.to_owned(), data);
    }
    Ok((tensors, header.metadata().clone().unwrap_or_default()))
}

/// Returns the metadata of a safetensors file; `None` if it is not one.
pub(crate) fn metadata(bytes: &[u8]) -> Option<HashMap<String, String>> {
    let (_, header) = SafeTensors::read_metadata(bytes).ok()?;
    Some(header.metadata().clone().unwrap_or_default())
}

/// Returns the names of the tensors of a safetensors file; `None` if it is not one.
pub(crate) fn names(bytes: &[u8]) -> Option<Vec<String>> {
    let (_, header) = SafeTensors::read_metadata(bytes).ok()?;
    Some(header.tensors().into_keys().collect())
}

fn floats<const N: usize, T>(bytes: &[u8], decode: fn([u8; N]) -> T) -> Vec<T> {
    let (chunks, _) = bytes.as_chunks::<N>();
    chunks.iter().map(|chunk| decode(*chunk)).collect()
}
