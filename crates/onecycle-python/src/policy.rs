//! [`Policy`]: a preset or a curve, with what all policies share.

use onecycle::{AtEnd, BatchSizes, Curve, PolicyError, Preset, fastai};
use pyo3::{IntoPyObjectExt, prelude::*, types::PyDict};

use crate::convert::{from_json, from_python, named, to_json, to_python, value_error};

/// Learning rate, momentum, weight decay and batch size over a run.
#[pyclass(module = "onecycle._native", frozen, eq, subclass)]
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Policy {
    held: Held,
}

/// What a policy holds.
#[derive(Debug, Clone, PartialEq)]
enum Held {
    /// A policy with valid parameters.
    Whole(onecycle::Policy),
    /// A scheduler of PyTorch without the optimizer's learning rate: valid only inside a
    /// `TorchSequential`.
    Part(Box<Preset>, PolicyError),
}

impl Policy {
    pub(crate) fn of(policy: onecycle::Policy) -> Self {
        Policy {
            held: Held::Whole(policy),
        }
    }

    pub(crate) fn whole(&self) -> PyResult<&onecycle::Policy> {
        match &self.held {
            Held::Whole(policy) => Ok(policy),
            Held::Part(_, error) => Err(value_error(error)),
        }
    }
}

#[pymethods]
impl Policy {
    /// A policy from the keys of a preset, with its `kind`, or from a curve `lr`.
    #[staticmethod]
    #[pyo3(signature = (preset=None, lr=None, momentum=None, weight_decay=None, batch_size=None, at_end="hold"))]
    fn build(
        preset: Option<&Bound<'_, PyDict>>,
        lr: Option<&Bound<'_, PyAny>>,
        momentum: Option<&Bound<'_, PyAny>>,
        weight_decay: Option<&Bound<'_, PyAny>>,
        batch_size: Option<&Bound<'_, PyAny>>,
        at_end: &str,
    ) -> PyResult<Self> {
        let mut policy = match (preset, lr) {
            (Some(preset), None) => {
                let preset: Preset = from_python(preset)?;
                match onecycle::Policy::from_preset(preset.clone()) {
                    Ok(policy) => policy,
                    Err(error @ PolicyError::Missing { name: "lr", .. }) => {
                        return Ok(Policy {
                            held: Held::Part(Box::new(preset), error),
                        });
                    }
                    Err(error) => return Err(value_error(error)),
                }
            }
            (None, Some(lr)) => {
                onecycle::Policy::from_curve(from_python::<Curve>(lr)?).map_err(value_error)?
            }
            _ => return Err(value_error("give a policy either a preset or a curve `lr`")),
        };
        if let Some(momentum) = momentum {
            let curve: Curve = from_python(momentum)?;
            policy = policy.with_momentum(curve).map_err(value_error)?;
        }
        if let Some(weight_decay) = weight_decay {
            let curve: Curve = from_python(weight_decay)?;
            policy = policy.with_weight_decay(curve).map_err(value_error)?;
        }
        if let Some(batch_size) = batch_size {
            let sizes: BatchSizes = from_python(batch_size)?;
            policy = policy.with_batch_size(sizes).map_err(value_error)?;
        }
        Ok(Policy::of(policy.at_end(named::<AtEnd>(at_end)?)))
    }

    #[staticmethod]
    fn from_json(text: &str) -> PyResult<Self> {
        Ok(Policy::of(from_json(text)?))
    }

    #[staticmethod]
    fn from_dict(form: &Bound<'_, PyDict>) -> PyResult<Self> {
        Ok(Policy::of(from_python(form)?))
    }

    fn to_json(&self) -> PyResult<String> {
        to_json(self.whole()?)
    }

    fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        to_python(py, self.whole()?)
    }

    /// The preset's keys with its `kind`; `None` for a policy made of curves.
    fn preset<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match &self.held {
            Held::Whole(policy) => match policy.preset() {
                Some(preset) => to_python(py, preset),
                None => py.None().into_bound_py_any(py),
            },
            Held::Part(preset, _) => to_python(py, preset.as_ref()),
        }
    }

    #[getter]
    fn kind(&self) -> Option<&'static str> {
        match &self.held {
            Held::Whole(policy) => policy.preset().map(Preset::kind),
            Held::Part(preset, _) => Some(preset.kind()),
        }
    }

    #[getter]
    fn length(&self) -> PyResult<Option<u64>> {
        Ok(self.whole()?.length())
    }
}

/// All kinds of presets.
#[pyfunction]
pub(crate) fn kinds() -> Vec<&'static str> {
    Preset::KINDS.to_vec()
}

/// The value of a fastai annealer at a position between 0 and 1.
#[pyfunction]
pub(crate) fn fastai_annealer(annealer: &Bound<'_, PyDict>, position: f64) -> PyResult<f64> {
    Ok(from_python::<fastai::Annealer>(annealer)?.value(position))
}

/// The value of fastai's `combined_cos` or `combine_scheds` at a position between 0 and 1.
#[pyfunction]
pub(crate) fn fastai_position(preset: &Bound<'_, PyDict>, position: f64) -> PyResult<f64> {
    match from_python(preset)? {
        Preset::FastaiCombinedCos(cos) => Ok(cos.at_position(position)),
        Preset::FastaiCombineScheds(scheds) => scheds.at_position(position).map_err(value_error),
        other => Err(value_error(format!(
            "`{}` is not a schedule over positions",
            other.kind()
        ))),
    }
}
