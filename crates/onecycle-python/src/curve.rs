//! [`LossCurve`], the result of a range test, and the suggestions from it.

use onecycle::range_test::{self as core, Conditions, Rule, Signal, Validation, Verdict};
use pyo3::{
    prelude::*,
    types::{PyDict, PyTuple},
};

use crate::{
    convert::{array, from_json, named, to_json, to_python, value_error},
    figure::{Band, Figure},
};

/// A rule's suggestion: a learning rate, or none, and a verdict.
#[pyclass(module = "onecycle", frozen, eq)]
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Suggestion {
    inner: core::Suggestion,
}

#[pymethods]
impl Suggestion {
    /// The rate, or `None`.
    #[getter]
    fn lr(&self) -> Option<f64> {
        self.inner.lr
    }

    /// Whether the suggestion can be trusted: `ok`, `no_descent`, ...
    #[getter]
    fn verdict(&self) -> &'static str {
        self.inner.verdict.name()
    }

    /// What to do about the verdict.
    #[getter]
    fn advice(&self) -> &'static str {
        self.inner.verdict.advice()
    }

    fn __repr__(&self) -> String {
        format!("Suggestion({})", self.inner)
    }
}

impl From<core::Suggestion> for Suggestion {
    fn from(inner: core::Suggestion) -> Self {
        Suggestion { inner }
    }
}

/// The suggestions of all rules for one curve.
#[pyclass(module = "onecycle", frozen, eq)]
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Suggestions {
    each: Vec<(Rule, core::Suggestion)>,
}

impl Suggestions {
    fn of(curve: &core::LossCurve) -> Self {
        let each = Rule::ALL.map(|rule| (rule, rule.apply(curve))).to_vec();
        Suggestions { each }
    }

    fn get(&self, rule: Rule) -> core::Suggestion {
        let found = self.each.iter().find(|(one, _)| *one == rule);
        found.map_or(
            core::Suggestion {
                lr: None,
                verdict: Verdict::NoAnswer,
            },
            |(_, suggestion)| *suggestion,
        )
    }
}

#[pymethods]
impl Suggestions {
    /// The verdict on the curve for the peak of one cycle.
    #[getter]
    fn verdict(&self) -> &'static str {
        self.get(Rule::OneCycleMax).verdict.name()
    }

    /// What to do about the verdict.
    #[getter]
    fn advice(&self) -> &'static str {
        self.get(Rule::OneCycleMax).verdict.advice()
    }

    /// The largest rate that can be the peak of one cycle, or `None`.
    #[getter]
    fn one_cycle_max(&self) -> Option<f64> {
        self.get(Rule::OneCycleMax).lr
    }

    /// A good constant rate, or `None`.
    #[getter]
    fn constant(&self) -> Option<f64> {
        self.get(Rule::Constant).lr
    }

    /// The suggestions by the name of the rule.
    #[getter]
    fn rules<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let rules = PyDict::new(py);
        for (rule, suggestion) in &self.each {
            rules.set_item(rule.name(), Suggestion::from(*suggestion))?;
        }
        Ok(rules)
    }

    fn __getitem__(&self, rule: &str) -> PyResult<Suggestion> {
        Ok(self.get(rule.parse().map_err(value_error)?).into())
    }

    fn __len__(&self) -> usize {
        self.each.len()
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(self.rules(py)?.try_iter()?.into_any())
    }

    fn __repr__(&self) -> String {
        let rows = self.each.iter().map(|(rule, suggestion)| {
            let lr = suggestion
                .lr
                .map_or_else(|| "-".to_owned(), onecycle_plot::format::significant);
            vec![
                rule.name().to_owned(),
                lr,
                suggestion.verdict.name().to_owned(),
            ]
        });
        let header = ["rule", "lr", "verdict"].map(str::to_owned).to_vec();
        onecycle_plot::table::align(&std::iter::once(header).chain(rows).collect::<Vec<_>>())
    }

    fn _repr_html_(&self) -> String {
        let row = |(rule, suggestion): &(Rule, core::Suggestion)| {
            let lr = suggestion
                .lr
                .map_or_else(|| "–".to_owned(), onecycle_plot::format::significant);
            format!(
                "<tr><td>{rule}</td><td>{lr}</td><td>{}</td></tr>",
                suggestion.verdict
            )
        };
        let rows: String = self.each.iter().map(row).collect();
        format!("<table><tr><th>rule</th><th>lr</th><th>verdict</th></tr>{rows}</table>")
    }
}

/// The raw losses of a range test, by learning rate.
#[pyclass(module = "onecycle", frozen, eq)]
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LossCurve {
    inner: core::LossCurve,
}

impl LossCurve {
    pub(crate) fn of(inner: core::LossCurve) -> Self {
        LossCurve { inner }
    }

    pub(crate) fn inner(&self) -> &core::LossCurve {
        &self.inner
    }
}

/// A validation: updates before it, loss and accuracy.
type Validated = (usize, Option<f64>, Option<f64>);

#[pymethods]
impl LossCurve {
    #[new]
    #[pyo3(signature = (lr, loss, *, validation=vec![], momentum=None, weight_decay=None, batch_size=None, seed=None))]
    fn new(
        lr: Vec<f64>,
        loss: Vec<f64>,
        validation: Vec<Validated>,
        momentum: Option<f64>,
        weight_decay: Option<f64>,
        batch_size: Option<u64>,
        seed: Option<u64>,
    ) -> PyResult<Self> {
        let conditions = Conditions {
            momentum,
            weight_decay,
            batch_size,
            seed,
            ..Conditions::default()
        };
        let validation = validation
            .into_iter()
            .map(|(after, loss, accuracy)| Validation {
                after,
                loss,
                accuracy,
            });
        let curve = core::LossCurve::new(lr, loss).and_then(|curve| {
            curve
                .with_conditions(conditions)
                .with_validation(validation.collect())
        });
        Ok(LossCurve::of(curve.map_err(value_error)?))
    }

    /// Learning rates.
    #[getter]
    fn lr(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        array(py, self.inner.lr().iter().copied())
    }

    /// Raw losses.
    #[getter]
    fn loss(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        array(py, self.inner.loss().iter().copied())
    }

    /// Validations: updates before each, its loss and its accuracy.
    #[getter]
    fn validation(&self) -> Vec<Validated> {
        let convert = |one: &Validation| (one.after, one.loss, one.accuracy);
        self.inner.validation().iter().map(convert).collect()
    }

    /// The conditions under which the curve was recorded; unknown ones are left out.
    #[getter]
    fn conditions<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        to_python(py, self.inner.conditions())
    }

    fn __len__(&self) -> usize {
        self.inner.len()
    }

    /// The suggestions of all rules by the loss, the validation loss or the validation accuracy.
    #[pyo3(signature = (signal="loss"))]
    fn suggest(&self, signal: &str) -> PyResult<Suggestions> {
        let signal: Signal = named(signal)?;
        Ok(Suggestions::of(&self.inner.seen_by(signal)))
    }

    /// The suggestion of one rule.
    #[pyo3(signature = (rule="one_cycle_max"))]
    fn apply(&self, rule: &str) -> PyResult<Suggestion> {
        let rule: Rule = rule.parse().map_err(value_error)?;
        Ok(rule.apply(&self.inner).into())
    }

    /// The curve over the learning rate, with our two suggestions.
    fn plot(slf: Bound<'_, Self>) -> PyResult<Figure> {
        let suggestions = Suggestions::of(&slf.get().inner);
        let marks = [Rule::OneCycleMax, Rule::Constant]
            .into_iter()
            .filter_map(|rule| Some((suggestions.get(rule).lr?, rule.name().to_owned())));
        let verdict = suggestions.verdict();
        let title = format!("Loss over the learning rate ({verdict})");
        let (curves, names) = ([&slf.get().inner], vec!["loss".to_owned()]);
        Ok(Figure::of_curves(
            &curves,
            names,
            marks.collect(),
            title,
            vec![],
        ))
    }

    /// The curve as JSON. Numbers that are not finite are written as strings.
    fn to_json(&self) -> PyResult<String> {
        to_json(&self.inner)
    }

    /// Reads a curve from JSON.
    #[staticmethod]
    fn from_json(text: &str) -> PyResult<Self> {
        Ok(LossCurve::of(from_json(text)?))
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyTuple>> {
        let read = slf.get_type().getattr("from_json")?;
        (read, (slf.get().to_json()?,)).into_pyobject(slf.py())
    }

    fn __repr__(&self) -> String {
        let lr = self.inner.lr();
        let significant = onecycle_plot::format::significant;
        match (lr.first(), lr.last()) {
            (Some(first), Some(last)) => format!(
                "<LossCurve: {} losses, lr {} to {}>",
                lr.len(),
                significant(*first),
                significant(*last)
            ),
            _ => "<LossCurve: empty>".to_owned(),
        }
    }

    fn _repr_html_(slf: Bound<'_, Self>) -> PyResult<String> {
        let table = Suggestions::of(&slf.get().inner)._repr_html_();
        let figure = LossCurve::plot(slf)?._repr_svg_()?;
        Ok(format!(
            "<div style=\"max-width:34em\">{figure}{table}</div>"
        ))
    }
}

/// The suggestions of one rule over several seeds.
#[pyclass(module = "onecycle", frozen, eq)]
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct OverSeeds {
    inner: core::OverSeeds,
}

#[pymethods]
impl OverSeeds {
    /// The median rate, or `None` unless most seeds gave one.
    #[getter]
    fn lr(&self) -> Option<f64> {
        self.inner.lr
    }

    /// Smallest and largest rate.
    #[getter]
    fn range(&self) -> Option<(f64, f64)> {
        self.inner.range
    }

    /// The verdict; `seeds_disagree` if the rates are more than a factor of 10 apart.
    #[getter]
    fn verdict(&self) -> &'static str {
        self.inner.verdict.name()
    }

    /// What to do about the verdict.
    #[getter]
    fn advice(&self) -> &'static str {
        self.inner.verdict.advice()
    }

    /// Seeds that gave a rate.
    #[getter]
    fn suggestions(&self) -> usize {
        self.inner.suggestions
    }

    /// Number of seeds.
    #[getter]
    fn seeds(&self) -> usize {
        self.inner.seeds
    }

    fn __repr__(&self) -> String {
        format!("OverSeeds({})", self.inner)
    }
}

/// Applies a rule to the curves of several seeds.
#[pyfunction]
#[pyo3(signature = (curves, rule="one_cycle_max"))]
pub(crate) fn over_seeds(curves: Vec<Py<LossCurve>>, rule: &str) -> PyResult<OverSeeds> {
    let rule: Rule = rule.parse().map_err(value_error)?;
    let curves: Vec<core::LossCurve> = curves
        .iter()
        .map(|curve| curve.get().inner.clone())
        .collect();
    Ok(OverSeeds {
        inner: core::over_seeds(&curves, rule),
    })
}

/// Draws loss curves over the learning rate.
#[pyfunction]
#[pyo3(signature = (curves, names, marks=vec![], title="Loss over the learning rate".to_owned(), bands=vec![]))]
pub(crate) fn draw(
    curves: Vec<Py<LossCurve>>,
    names: Vec<String>,
    marks: Vec<(f64, String)>,
    title: String,
    bands: Vec<Band>,
) -> PyResult<Figure> {
    if curves.len() != names.len() {
        let (curves, names) = (curves.len(), names.len());
        return Err(value_error(format!(
            "there are {curves} curves, but {names} names"
        )));
    }
    let curves: Vec<&core::LossCurve> = curves.iter().map(|curve| curve.get().inner()).collect();
    Ok(Figure::of_curves(&curves, names, marks, title, bands))
}
