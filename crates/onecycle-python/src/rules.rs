//! The formulas of the rules and running means, for any losses.

use onecycle::range_test::{
    Rule, Verdict,
    rules::{fastai, ignite, lightning, torch_lr_finder},
    smooth,
};
use pyo3::prelude::*;

use crate::convert::{array, named, value_error};

/// Names of all rules.
#[pyfunction]
pub(crate) fn rule_names() -> Vec<&'static str> {
    Rule::ALL.map(Rule::name).to_vec()
}

/// What to do about a verdict.
#[pyfunction]
pub(crate) fn verdict_advice(verdict: &str) -> PyResult<&'static str> {
    Ok(named::<Verdict>(verdict)?.advice())
}

/// The index that a tool's formula chooses, without its smoothing, stop and trimming.
#[pyfunction]
pub(crate) fn steepest(rule: &str, lr: Vec<f64>, losses: Vec<f64>) -> PyResult<Option<usize>> {
    if lr.len() != losses.len() {
        let (rates, losses) = (lr.len(), losses.len());
        return Err(value_error(format!(
            "there are {rates} learning rates, but {losses} losses"
        )));
    }
    match rule.parse().map_err(value_error)? {
        Rule::Valley => Ok(fastai::valley(&lr, &losses)),
        Rule::Slide => Ok(fastai::slide(&lr, &losses)),
        Rule::Minimum => Ok(fastai::minimum(&lr, &losses)),
        Rule::Steep => Ok(fastai::steep(&lr, &losses)),
        Rule::TorchLrFinder => Ok(torch_lr_finder::steepest(&losses)),
        Rule::Ignite => Ok(ignite::lr_suggestion(&losses)),
        Rule::Lightning => Ok(lightning::steepest(&lr, &losses)),
        Rule::OneCycleMax | Rule::Constant => Err(value_error(format!(
            "`{rule}` needs a whole curve: use `LossCurve(lr, loss).apply({rule:?})`"
        ))),
    }
}

/// The running mean of a tool.
#[pyfunction]
pub(crate) fn running_mean(py: Python<'_>, tool: &str, losses: Vec<f64>) -> PyResult<Py<PyAny>> {
    let mean = match tool {
        "fastai" => smooth::fastai_mean(&losses, fastai::BETA),
        "lightning" => smooth::lightning_mean(&losses, fastai::BETA),
        "torch_lr_finder" | "ignite" => smooth::running_mean(&losses, torch_lr_finder::SMOOTH_F),
        other => {
            return Err(value_error(format!(
                "`tool` is {other:?}: expected fastai, lightning, torch_lr_finder or ignite"
            )));
        }
    };
    array(py, mean.into_iter())
}
