//! [`LrSweep`] and [`RangeTest`]: the range test as a state machine.

use std::ops::ControlFlow;

use onecycle::range_test::{self as core, Conditions, Spacing};
use pyo3::prelude::*;

use crate::{
    convert::{array, name_of, named, value_error},
    curve::LossCurve,
    plan::{Hyper, Plan},
};

/// The learning rates of a range test.
#[pyclass(module = "onecycle", frozen, eq, from_py_object)]
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct LrSweep {
    inner: core::LrSweep,
}

#[pymethods]
impl LrSweep {
    #[new]
    #[pyo3(signature = (start=1e-5, end=10.0, num_steps=150, *, spacing="exponential", tool="onecycle"))]
    fn new(start: f64, end: f64, num_steps: u64, spacing: &str, tool: &str) -> PyResult<Self> {
        let spacing: Spacing = named(spacing)?;
        let sweep = match (tool, spacing) {
            ("onecycle", Spacing::Exponential) => core::LrSweep::exponential(start, end, num_steps),
            ("onecycle", Spacing::Linear) => core::LrSweep::linear(start, end, num_steps),
            ("fastai", Spacing::Exponential) => core::LrSweep::fastai(start, end, num_steps),
            ("torch_lr_finder", _) => {
                core::LrSweep::torch_lr_finder(start, end, num_steps, spacing)
            }
            ("ignite", _) => core::LrSweep::ignite(start, end, num_steps, spacing),
            ("fastai", _) => return Err(value_error("fastai's sweep is exponential")),
            (other, _) => {
                return Err(value_error(format!(
                    "`tool` is {other:?}: expected onecycle, fastai, torch_lr_finder or ignite"
                )));
            }
        };
        Ok(LrSweep {
            inner: sweep.map_err(value_error)?,
        })
    }

    /// The rates in increasing order.
    #[getter]
    fn lr(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        array(py, self.inner.iter().collect::<Vec<_>>().into_iter())
    }

    fn __len__(&self) -> usize {
        self.inner.num_steps() as usize
    }

    fn __repr__(&self) -> String {
        let (start, end) = self.inner.bounds();
        format!("LrSweep({start}, {end}, {})", self.inner.num_steps())
    }
}

/// Smith's LR range test as a state machine.
#[pyclass(module = "onecycle")]
#[derive(Debug, Clone)]
pub(crate) struct RangeTest {
    inner: core::RangeTest,
}

#[pymethods]
impl RangeTest {
    #[new]
    #[pyo3(signature = (sweep=None, *, plan=None, warm_up=0, accumulation=1, early_stop=true,
                        momentum=None, weight_decay=None, batch_size=None, seed=None))]
    #[allow(clippy::too_many_arguments, reason = "keyword arguments in Python")]
    fn new(
        sweep: Option<LrSweep>,
        plan: Option<&Bound<'_, Plan>>,
        warm_up: u64,
        accumulation: u32,
        early_stop: bool,
        momentum: Option<f64>,
        weight_decay: Option<f64>,
        batch_size: Option<u64>,
        seed: Option<u64>,
    ) -> PyResult<Self> {
        let sweep = match sweep {
            Some(sweep) => sweep.inner,
            None => core::LrSweep::exponential(1e-5, 10.0, 150_u64).map_err(value_error)?,
        };
        let peak = plan.map(|plan| {
            let plan = plan.get().inner();
            plan.at(plan.peak_step())
        });
        let base = onecycle::Hyper {
            lr: 0.0,
            momentum: momentum.or(peak.and_then(|peak| peak.momentum)),
            weight_decay: weight_decay.or(peak.and_then(|peak| peak.weight_decay)),
            batch_size: batch_size.or(peak.and_then(|peak| peak.batch_size)),
        };
        let mut test = core::RangeTest::new(sweep)
            .with_warm_up(warm_up)
            .with_accumulation(accumulation)
            .with_base(base)
            .with_conditions(Conditions {
                momentum: base.momentum,
                weight_decay: base.weight_decay,
                batch_size: base.batch_size,
                seed,
                ..Conditions::default()
            });
        if !early_stop {
            test = test.to_the_end();
        }
        Ok(RangeTest { inner: test })
    }

    /// The hyper-parameters of the next update, or `None` at the end.
    fn next_hyper(&mut self) -> PyResult<Option<Hyper>> {
        Ok(self
            .inner
            .next_hyper()
            .map_err(value_error)?
            .map(Hyper::from))
    }

    /// Records the loss of a micro-batch. Returns whether the test goes on.
    fn record(&mut self, loss: f64) -> bool {
        matches!(self.inner.record(loss), ControlFlow::Continue(()))
    }

    /// Records a validation loss, an accuracy, or both, after the last update.
    #[pyo3(signature = (loss=None, accuracy=None))]
    fn record_validation(&mut self, loss: Option<f64>, accuracy: Option<f64>) {
        self.inner.record_validation(loss, accuracy);
    }

    /// Why the test ended: `finished`, `diverged`, `not_finite`; `None` if it has not.
    #[getter]
    fn stop_reason(&self) -> PyResult<Option<String>> {
        let reason = self.inner.stop_reason();
        reason.map(|reason| name_of(&reason)).transpose()
    }

    /// Updates in all, with the warm-up, if nothing stops the test early.
    #[getter]
    fn total_updates(&self) -> u64 {
        self.inner.total_updates()
    }

    /// Recorded updates.
    #[getter]
    fn recorded(&self) -> usize {
        self.inner.recorded()
    }

    /// Losses to record per update.
    #[getter]
    fn accumulation(&self) -> u32 {
        self.inner.accumulation()
    }

    /// The curve recorded so far.
    #[getter]
    fn curve(&self) -> LossCurve {
        LossCurve::of(self.inner.clone().into_curve())
    }

    fn __repr__(&self) -> String {
        format!(
            "<RangeTest: {} of {} updates>",
            self.inner.recorded(),
            self.inner.total_updates()
        )
    }

    /// Makes the whole test with a function from hyper-parameters to the loss before the update.
    fn run(&mut self, update: &Bound<'_, PyAny>) -> PyResult<LossCurve> {
        while let Some(hyper) = self.next_hyper()? {
            for _ in 0..self.inner.accumulation() {
                let loss: f64 = update.call1((hyper,))?.extract()?;
                if !self.record(loss) {
                    return Ok(self.curve());
                }
            }
        }
        Ok(self.curve())
    }
}
