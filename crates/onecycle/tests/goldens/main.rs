//! Compares the library with numbers that PyTorch, optax, fastai and the learning-rate finders
//! computed. The files `*.json.gz` in this folder hold the numbers; `scripts/goldens/` has the scripts
//! that write them, and describes them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod fastai;
mod finder;
mod optax;
mod torch;

use onecycle::Preset;
use onecycle_test_support::Tolerance;
use serde_json::{Map, Value};

/// For formulas that use `cos` or `pow`, whose last bits depend on the C library, and for closed
/// forms of schedules that the original computes recursively.
const ROUNDING: Tolerance = Tolerance::OfLargest(1e-12);

/// For sums, products and quotients, which IEEE arithmetic defines to the last bit.
const EXACT: Tolerance = Tolerance::Ulps(0);

fn golden(name: &str) -> Value {
    onecycle_test_support::golden(env!("CARGO_MANIFEST_DIR"), name)
}

/// The original's keyword arguments as the keys of our preset `kind`, plus `more` keys. PyTorch's
/// `last_epoch` is left out: it is always -1 here, and a plan has no such argument.
fn arguments(kwargs: &Value, kind: &str, more: &[(&str, Value)]) -> Value {
    let mut map: Map<String, Value> = kwargs.as_object().unwrap().clone();
    assert!(map.remove("last_epoch").is_none_or(|epoch| epoch == -1));
    map.insert("kind".into(), kind.into());
    for (key, value) in more {
        map.insert((*key).into(), value.clone());
    }
    Value::Object(map)
}

/// The preset that a configuration file with these keys gives.
fn preset(keys: Value) -> Result<Preset, serde_json::Error> {
    serde_json::from_value(keys)
}
