//! Conversions between Python objects and the crate's types.

use std::fmt::Display;

use pyo3::{
    exceptions::PyValueError,
    prelude::*,
    sync::PyOnceLock,
    types::{PyBytes, PyString},
};
use serde::{Serialize, de::DeserializeOwned};

/// Any error of the crate as a `ValueError` with the same message.
pub(crate) fn value_error(error: impl Display) -> PyErr {
    PyValueError::new_err(error.to_string())
}

/// A value from its Python form: dictionaries, lists, numbers and strings.
pub(crate) fn from_python<T: DeserializeOwned>(object: &Bound<'_, PyAny>) -> PyResult<T> {
    pythonize::depythonize(object).map_err(value_error)
}

/// A value as dictionaries, lists, numbers and strings.
pub(crate) fn to_python<'py, T: Serialize>(
    py: Python<'py>,
    value: &T,
) -> PyResult<Bound<'py, PyAny>> {
    pythonize::pythonize(py, value).map_err(value_error)
}

/// A value from JSON.
pub(crate) fn from_json<T: DeserializeOwned>(text: &str) -> PyResult<T> {
    serde_json::from_str(text).map_err(value_error)
}

/// A value as JSON. Numbers read back to the same bits.
pub(crate) fn to_json<T: Serialize>(value: &T) -> PyResult<String> {
    serde_json::to_string(value).map_err(value_error)
}

/// The name that serde writes for a variant, such as `hold`.
pub(crate) fn name_of<T: Serialize>(value: &T) -> PyResult<String> {
    Ok(to_json(value)?.trim_matches('"').to_owned())
}

/// A value from the name that serde writes for a variant. The error lists the names.
pub(crate) fn named<T: DeserializeOwned>(name: &str) -> PyResult<T> {
    from_json(&serde_json::Value::from(name).to_string())
}

/// A read-only numpy array of float64, or an `array.array` if numpy is not installed.
pub(crate) fn array(
    py: Python<'_>,
    values: impl ExactSizeIterator<Item = f64>,
) -> PyResult<Py<PyAny>> {
    static NUMPY: PyOnceLock<Option<Py<PyAny>>> = PyOnceLock::new();
    let bytes = PyBytes::new_with(py, 8 * values.len(), |bytes| {
        for (chunk, value) in bytes.chunks_exact_mut(8).zip(values) {
            chunk.copy_from_slice(&value.to_ne_bytes());
        }
        Ok(())
    })?;
    let frombuffer = NUMPY.get_or_init(py, || {
        let numpy = py.import("numpy").ok()?;
        Some(numpy.getattr("frombuffer").ok()?.unbind())
    });
    match frombuffer {
        // numpy refuses an empty buffer.
        Some(frombuffer) if !bytes.as_bytes().is_empty() => {
            frombuffer.call1(py, (bytes, "float64"))
        }
        Some(_) => Ok(py.import("numpy")?.call_method1("zeros", (0,))?.unbind()),
        None => {
            let array = py.import("array")?.call_method1("array", ("d",))?;
            array.call_method1("frombytes", (bytes,))?;
            Ok(array.unbind())
        }
    }
}

/// A count or a step: a whole number of at least 0. Accepts numpy's integers.
pub(crate) fn count(name: &str, object: &Bound<'_, PyAny>) -> PyResult<u64> {
    object.extract::<u64>().map_err(|_| {
        let shown = object
            .repr()
            .unwrap_or_else(|_| PyString::new(object.py(), "?"));
        value_error(format!(
            "`{name}` is {shown}: expected a whole number of at least 0"
        ))
    })
}
