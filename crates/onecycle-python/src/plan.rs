//! [`Plan`], a policy resolved for a run, and the values that it returns.

use onecycle::{Parameter, Span};
use pyo3::{
    exceptions::PyIndexError,
    prelude::*,
    types::{PyDict, PyList, PySlice, PyTuple},
};

use crate::{
    convert::{array, count, from_json, from_python, name_of, to_json, to_python, value_error},
    figure::Figure,
    policy::Policy,
};

/// The hyper-parameters of one update.
#[pyclass(module = "onecycle", frozen, eq, get_all)]
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Hyper {
    /// Learning rate.
    lr: f64,
    /// SGD's momentum or Adam's beta1; `None` if the policy does not set it.
    momentum: Option<f64>,
    /// Weight decay; `None` if the policy does not set it.
    weight_decay: Option<f64>,
    /// Samples per batch; `None` if the policy does not set it.
    batch_size: Option<u64>,
}

impl From<onecycle::Hyper> for Hyper {
    fn from(hyper: onecycle::Hyper) -> Self {
        Hyper {
            lr: hyper.lr,
            momentum: hyper.momentum,
            weight_decay: hyper.weight_decay,
            batch_size: hyper.batch_size,
        }
    }
}

impl Hyper {
    pub(crate) fn inner(&self) -> onecycle::Hyper {
        onecycle::Hyper {
            lr: self.lr,
            momentum: self.momentum,
            weight_decay: self.weight_decay,
            batch_size: self.batch_size,
        }
    }
}

#[pymethods]
impl Hyper {
    #[new]
    #[pyo3(signature = (lr, momentum=None, weight_decay=None, batch_size=None))]
    fn new(
        lr: f64,
        momentum: Option<f64>,
        weight_decay: Option<f64>,
        batch_size: Option<u64>,
    ) -> Self {
        Hyper {
            lr,
            momentum,
            weight_decay,
            batch_size,
        }
    }

    fn __repr__(&self) -> String {
        format!("Hyper({})", self.inner())
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyTuple>> {
        let hyper = slf.get();
        let values = (
            hyper.lr,
            hyper.momentum,
            hyper.weight_decay,
            hyper.batch_size,
        );
        (slf.get_type(), values).into_pyobject(slf.py())
    }
}

/// One leg of a plan.
#[pyclass(module = "onecycle", frozen, eq, get_all)]
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Phase {
    /// Name, such as `up` or `annihilation`.
    name: String,
    /// First step.
    first_step: u64,
    /// Last step.
    last_step: u64,
    /// Value at the first step.
    from_value: f64,
    /// Value towards which the phase moves. The next phase starts there.
    to_value: f64,
}

#[pymethods]
impl Phase {
    fn __repr__(&self) -> String {
        let Phase {
            name,
            first_step,
            last_step,
            from_value,
            to_value,
        } = self;
        format!("Phase({name}: steps {first_step} to {last_step}, {from_value} -> {to_value})")
    }
}

/// A policy resolved for a run.
#[pyclass(module = "onecycle", frozen, eq)]
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Plan {
    inner: onecycle::Plan,
}

impl Plan {
    pub(crate) fn new(inner: onecycle::Plan) -> Self {
        Plan { inner }
    }

    pub(crate) fn inner(&self) -> &onecycle::Plan {
        &self.inner
    }

    fn values(
        &self,
        py: Python<'_>,
        value: impl Fn(onecycle::Hyper) -> Option<f64>,
    ) -> PyResult<Option<Py<PyAny>>> {
        if value(self.inner.at(0_u64)).is_none() {
            return Ok(None);
        }
        // A policy sets a parameter in all steps or in none.
        let values = self
            .inner
            .iter()
            .map(|(_, hyper)| value(hyper).unwrap_or(f64::NAN));
        array(py, values).map(Some)
    }
}

fn batch_size(hyper: onecycle::Hyper) -> Option<f64> {
    hyper.batch_size.map(|size| size as f64)
}

#[pymethods]
impl Plan {
    /// Resolves a policy for a run, given in serialised form.
    #[staticmethod]
    fn resolve(policy: &Bound<'_, Policy>, run: &Bound<'_, PyDict>) -> PyResult<Self> {
        let run = from_python(run)?;
        let plan = policy.get().whole()?.resolve(&run);
        Ok(Plan::new(plan.map_err(value_error)?))
    }

    /// The hyper-parameters of update `step`, counted from 0.
    fn at(&self, step: &Bound<'_, PyAny>) -> PyResult<Hyper> {
        let step = count("step", step)?;
        Ok(self.inner.try_at(step).map_err(value_error)?.into())
    }

    /// Learning rate, momentum and weight decay of update `step`, without an error past the end.
    fn values_at(&self, step: u64) -> (f64, Option<f64>, Option<f64>) {
        let hyper = self.inner.at(step);
        (hyper.lr, hyper.momentum, hyper.weight_decay)
    }

    fn __len__(&self) -> PyResult<usize> {
        usize::try_from(self.inner.steps()).map_err(value_error)
    }

    fn __getitem__<'py>(&self, index: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = index.py();
        let steps = self.inner.steps() as isize;
        if let Ok(slice) = index.cast::<PySlice>() {
            let indices = slice.indices(steps)?;
            let hypers = (0..indices.slicelength as isize).map(|k| {
                let step = (indices.start + k * indices.step) as u64;
                Hyper::from(self.inner.at(step))
            });
            return Ok(PyList::new(py, hypers.collect::<Vec<_>>())?.into_any());
        }
        let n: isize = index.extract()?;
        let step = if n < 0 { n + steps } else { n };
        if !(0..steps).contains(&step) {
            return Err(PyIndexError::new_err(format!(
                "step {n} is outside a plan of {steps} steps: `plan.at(n)` also takes steps past the end"
            )));
        }
        Ok(Hyper::from(self.inner.at(step as u64))
            .into_pyobject(py)?
            .into_any())
    }

    fn __iter__(slf: Bound<'_, Self>) -> HyperIter {
        HyperIter {
            plan: slf.unbind(),
            step: 0,
        }
    }

    /// Number of steps of the run.
    #[getter]
    fn steps(&self) -> u64 {
        self.inner.steps()
    }

    /// The step from which `at_end` applies.
    #[getter]
    fn ends_at(&self) -> u64 {
        self.inner.ends_at()
    }

    /// Behaviour after the last step: `hold`, `error` or `restart`.
    #[getter]
    fn at_end(&self) -> PyResult<String> {
        name_of(&self.inner.at_end())
    }

    /// The first step with the highest learning rate.
    #[getter]
    fn peak_step(&self) -> u64 {
        self.inner.peak_step()
    }

    /// Learning rates of all steps.
    #[getter]
    fn lr(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        array(py, self.inner.iter().map(|(_, hyper)| hyper.lr))
    }

    /// Momentum of all steps, or `None`.
    #[getter]
    fn momentum(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        self.values(py, |hyper| hyper.momentum)
    }

    /// Weight decay of all steps, or `None`.
    #[getter]
    fn weight_decay(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        self.values(py, |hyper| hyper.weight_decay)
    }

    /// Batch size of all steps, or `None`.
    #[getter]
    fn batch_size(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        self.values(py, batch_size)
    }

    /// The phases of the learning rate.
    #[getter]
    fn phases(&self) -> Vec<Phase> {
        phases(self.inner.phases())
    }

    /// The phases of `lr`, `momentum`, `weight_decay` or `batch_size`.
    fn phases_of(&self, parameter: &str) -> PyResult<Vec<Phase>> {
        let parameter = match parameter {
            "lr" => Parameter::Lr,
            "momentum" => Parameter::Momentum,
            "weight_decay" => Parameter::WeightDecay,
            "batch_size" => Parameter::BatchSize,
            other => {
                return Err(value_error(format!(
                    "`parameter` is {other:?}: expected lr, momentum, weight_decay or batch_size"
                )));
            }
        };
        Ok(phases(self.inner.phases_of(parameter)))
    }

    /// Epochs completed before `step`, or `None` if the run does not define its epochs.
    fn epoch_at(&self, step: u64) -> Option<f64> {
        self.inner.epoch_at(step)
    }

    /// The step at a point of the run, such as `"10%"` or `"3ep"`.
    fn step_at(&self, at: &Bound<'_, PyAny>) -> PyResult<u64> {
        let at: Span = from_python(at)?;
        self.inner.step_at("at", at).map_err(value_error)
    }

    /// The policy of the plan.
    #[getter]
    fn policy<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let policy = Policy::of(self.inner.policy().clone());
        py.import("onecycle._policy")?
            .call_method1("wrap", (policy,))
    }

    /// The length of the run, as a dictionary.
    #[getter]
    fn run<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        to_python(py, self.inner.run())
    }

    /// The plan as JSON: its policy and its run.
    fn to_json(&self) -> PyResult<String> {
        to_json(&self.inner)
    }

    /// Reads a plan from JSON.
    #[staticmethod]
    fn from_json(text: &str) -> PyResult<Self> {
        Ok(Plan::new(from_json(text)?))
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyTuple>> {
        let read = slf.get_type().getattr("from_json")?;
        (read, (slf.get().to_json()?,)).into_pyobject(slf.py())
    }

    fn __hash__<'py>(slf: &Bound<'py, Self>) -> PyResult<isize> {
        slf.get().to_json()?.into_pyobject(slf.py())?.hash()
    }

    fn __repr__(&self) -> String {
        let plan = &self.inner;
        let kind = plan
            .policy()
            .preset()
            .map_or("curve", |preset| preset.kind());
        let peak = plan.peak_step();
        let (first, last) = (plan.at(0_u64).lr, plan.at(plan.steps() - 1).lr);
        format!(
            "<Plan {kind}: {} steps, lr {} -> {} (step {peak}) -> {}>",
            plan.steps(),
            onecycle_plot::format::significant(first),
            onecycle_plot::format::significant(plan.at(peak).lr),
            onecycle_plot::format::significant(last),
        )
    }

    /// The learning rate and, if the plan sets it, the momentum over the steps.
    fn plot(&self) -> Figure {
        Figure::of_plan(&self.inner)
    }

    fn _repr_html_(&self) -> PyResult<String> {
        let text = self.__repr__().replace('<', "&lt;").replace('>', "&gt;");
        let figure = self.plot()._repr_svg_()?;
        Ok(format!(
            "<div style=\"max-width:34em\"><code>{text}</code>{figure}</div>"
        ))
    }
}

fn phases(phases: Vec<onecycle::Phase>) -> Vec<Phase> {
    let convert = |phase: onecycle::Phase| Phase {
        name: phase.name,
        first_step: phase.first_step,
        last_step: phase.last_step,
        from_value: phase.from,
        to_value: phase.to,
    };
    phases.into_iter().map(convert).collect()
}

/// Iterates over the hyper-parameters of all steps.
#[pyclass(module = "onecycle._native")]
pub(crate) struct HyperIter {
    plan: Py<Plan>,
    step: u64,
}

#[pymethods]
impl HyperIter {
    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__(&mut self) -> Option<Hyper> {
        let plan = &self.plan.get().inner;
        if self.step >= plan.steps() {
            return None;
        }
        self.step += 1;
        Some(plan.at(self.step - 1).into())
    }

    fn __length_hint__(&self) -> u64 {
        self.plan.get().inner.steps() - self.step
    }
}
