//! [`CycleSearch`]: the search of a peak by short cycles.

use onecycle::range_test as core;
use pyo3::prelude::*;

use crate::{convert::value_error, curve::Suggestion};

/// Searches the peak for one cycle by a few short cycles.
#[pyclass(module = "onecycle")]
#[derive(Debug, Clone)]
pub(crate) struct CycleSearch {
    inner: core::CycleSearch,
}

#[pymethods]
impl CycleSearch {
    #[new]
    #[pyo3(signature = (start, untrained, most=8, *, patience=1, resolution=0.0))]
    fn new(
        start: f64,
        untrained: f64,
        most: usize,
        patience: usize,
        resolution: f64,
    ) -> PyResult<Self> {
        let search = core::CycleSearch::new(start, untrained, most)
            .and_then(|search| search.with_patience(patience).with_resolution(resolution));
        Ok(CycleSearch {
            inner: search.map_err(value_error)?,
        })
    }

    /// The peak of the next cycle, or `None` at the end.
    #[getter]
    fn next_lr_max(&self) -> Option<f64> {
        self.inner.next_lr_max()
    }

    /// Whether the next cycle repeats a peak and must start from other weights.
    #[getter]
    fn is_second(&self) -> bool {
        self.inner.is_second()
    }

    /// Records the held-out loss of the cycle.
    fn record(&mut self, loss: f64) {
        self.inner.record(loss);
    }

    /// The cycles so far: peak, loss, number of cycles.
    #[getter]
    fn tried(&self) -> Vec<(f64, f64, usize)> {
        let tried = self.inner.tried().iter();
        tried
            .map(|one| (one.lr_max, one.loss, one.cycles))
            .collect()
    }

    /// The suggestion from the cycles so far.
    #[getter]
    fn suggestion(&self) -> Suggestion {
        self.inner.suggestion().into()
    }

    fn __repr__(&self) -> String {
        format!(
            "<CycleSearch: {} peaks tried, {}>",
            self.inner.tried().len(),
            self.inner.suggestion()
        )
    }
}
