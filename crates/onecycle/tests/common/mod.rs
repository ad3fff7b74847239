//! Numbers that the originals printed, and how far ours are from them.
#![allow(dead_code, reason = "each test file takes what it needs")]

use std::{collections::BTreeMap, path::PathBuf};

use onecycle::Preset;
use serde_json::{Map, Value};

/// A file of reference data, or `None` (and a line that says so) where there is none on this machine.
pub(crate) fn golden(name: &str) -> Option<Value> {
    let shared = std::env::var_os("ONECYCLE_SHARED").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    let path = shared.join("goldens").join(name);
    if !path.exists() {
        println!("skipped: {} is not on this machine", path.display());
        return None;
    }
    let text = std::fs::read_to_string(&path).unwrap();
    Some(serde_json::from_str(&text).unwrap())
}

/// The list under `key`.
pub(crate) fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().unwrap()
}

/// A number as the reference data writes it.
pub(crate) fn number(value: &Value) -> f64 {
    match value.as_str() {
        Some("nan") => f64::NAN,
        Some("inf") => f64::INFINITY,
        Some("-inf") => f64::NEG_INFINITY,
        _ => value.as_f64().unwrap(),
    }
}

pub(crate) fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(number).collect()
}

/// Arguments as the original's keyword arguments, with further ones added. PyTorch's `last_epoch`, always -1 here, is left
/// out: a plan has no such argument.
pub(crate) fn arguments(kwargs: &Value, kind: &str, more: &[(&str, Value)]) -> Value {
    let mut map: Map<String, Value> = kwargs.as_object().unwrap().clone();
    assert!(map.remove("last_epoch").is_none_or(|epoch| epoch == -1));
    map.insert("kind".into(), kind.into());
    for (key, value) in more {
        map.insert((*key).into(), value.clone());
    }
    Value::Object(map)
}

/// The preset that a configuration file with these keys would give.
pub(crate) fn preset(keys: Value) -> Result<Preset, serde_json::Error> {
    serde_json::from_value(keys)
}

/// The largest deviations by kind of series, relative to the largest magnitude of each series.
#[derive(Default)]
pub(crate) struct Deviations {
    by_kind: BTreeMap<String, (usize, f64)>,
}

impl Deviations {
    /// Compares a series; more than 1e-12 is a failure.
    pub(crate) fn compare(&mut self, kind: &str, name: &str, ours: &[f64], theirs: &[f64]) {
        assert_eq!(ours.len(), theirs.len(), "{name}: lengths");
        let largest = theirs.iter().fold(0.0, |max: f64, x| max.max(x.abs()));
        let mut worst = 0.0;
        for (n, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
            let deviation = if ours == theirs {
                0.0
            } else {
                (ours - theirs).abs() / largest
            };
            assert!(
                deviation <= 1e-12,
                "{name}: at {n} {ours:e} for {theirs:e} ({deviation:e} of the largest)"
            );
            worst = deviation.max(worst);
        }
        let entry = self.by_kind.entry(kind.into()).or_insert((0, 0.0));
        *entry = (entry.0 + 1, entry.1.max(worst));
    }

    /// Prints the table (`--nocapture`), and returns how many series there were.
    pub(crate) fn report(&self) -> usize {
        for (kind, (series, worst)) in &self.by_kind {
            println!("{kind:32} {series:3} series, deviation {worst:.1e}");
        }
        self.by_kind.values().map(|(series, _)| series).sum()
    }

    /// The largest deviation of a kind.
    pub(crate) fn of(&self, kind: &str) -> f64 {
        self.by_kind[kind].1
    }
}
