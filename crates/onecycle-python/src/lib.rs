//! The extension module `onecycle._native`: policies, plans, the range test and its rules for Python.
//!
//! The Python package under `python/onecycle` wraps it. Its classes have keyword arguments and
//! documentation; this module converts values and calls the crates `onecycle` and `onecycle-plot`.
//! Every error is a `ValueError` with the crate's message.

use pyo3::prelude::*;

mod convert;
mod curve;
mod figure;
mod plan;
mod policy;
mod range_test;
mod rules;
mod search;

/// The extension module.
#[pymodule]
mod _native {
    #[pymodule_export]
    use crate::{
        curve::{LossCurve, OverSeeds, Suggestion, Suggestions, draw, over_seeds},
        figure::Figure,
        plan::{Hyper, HyperIter, Phase, Plan},
        policy::{Policy, fastai_annealer, fastai_position, kinds},
        range_test::{LrSweep, RangeTest},
        rules::{rule_names, running_mean, steepest, verdict_advice},
        search::CycleSearch,
    };
}
