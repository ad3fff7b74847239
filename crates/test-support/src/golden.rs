//! Reading goldens: gzip-compressed strict JSON.

use std::{io::Read, path::Path};

use flate2::read::GzDecoder;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Reads `tests/goldens/NAME.json.gz` of a crate.
///
/// `manifest_dir` is the folder of the crate that owns the file; a crate reads its own goldens with
/// `env!("CARGO_MANIFEST_DIR")`.
///
/// # Panics
/// If the file is missing or damaged. A golden test must never pass because its data are absent.
pub fn golden(manifest_dir: &str, name: &str) -> Value {
    golden_as(manifest_dir, name)
}

/// Reads a golden like [`golden()`], into a type of the caller's.
///
/// # Panics
/// If the file is missing or damaged, or does not have the fields of `T`.
pub fn golden_as<T: DeserializeOwned>(manifest_dir: &str, name: &str) -> T {
    let path = (Path::new(manifest_dir).join("tests/goldens")).join(format!("{name}.json.gz"));
    let file = std::fs::File::open(&path).unwrap_or_else(|error| {
        panic!(
            "{}: {error}. Goldens belong to the repository; scripts/goldens/{name}.py writes this one.",
            path.display()
        )
    });
    let mut json = String::new();
    if let Err(error) = GzDecoder::new(file).read_to_string(&mut json) {
        panic!("{}: cannot be decompressed: {error}", path.display());
    }
    serde_json::from_str(&json).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The array under `key`.
///
/// # Panics
/// If there is no array under `key`.
pub fn list<'a>(object: &'a Value, key: &str) -> &'a [Value] {
    match object[key].as_array() {
        Some(items) => items,
        None => panic!("`{key}` is not an array: {}", object[key]),
    }
}

/// The string under `key`.
///
/// # Panics
/// If there is no string under `key`.
pub fn text<'a>(object: &'a Value, key: &str) -> &'a str {
    match object[key].as_str() {
        Some(text) => text,
        None => panic!("`{key}` is not a string: {}", object[key]),
    }
}

/// One number. JSON has no values that are not finite; goldens write them as `"nan"`, `"inf"` and
/// `"-inf"`.
///
/// # Panics
/// If the value is neither a number nor one of these strings.
pub fn number(value: &Value) -> f64 {
    match (value.as_f64(), value.as_str()) {
        (Some(number), _) => number,
        (_, Some("nan")) => f64::NAN,
        (_, Some("inf")) => f64::INFINITY,
        (_, Some("-inf")) => f64::NEG_INFINITY,
        _ => panic!("not a number: {value}"),
    }
}

/// All numbers of an array, row by row if it is nested.
///
/// # Panics
/// If the value is not an array, or contains something that is not a number.
pub fn numbers(value: &Value) -> Vec<f64> {
    let Some(items) = value.as_array() else {
        panic!("not an array: {value}");
    };
    let one_item = |item: &Value| match item {
        Value::Array(_) => numbers(item),
        _ => vec![number(item)],
    };
    items.iter().flat_map(one_item).collect()
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;

    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_that_are_not_finite() {
        let read = numbers(&json!([[1.5, "inf"], ["-inf", 2]]));
        assert_eq!(read, [1.5, f64::INFINITY, f64::NEG_INFINITY, 2.0]);
        assert!(number(&json!("nan")).is_nan());
        assert!(catch_unwind(|| number(&json!("1.5"))).is_err());
        assert!(catch_unwind(|| numbers(&json!([1.5, null]))).is_err());
    }

    #[test]
    #[should_panic(expected = "absent.json.gz")]
    fn a_missing_golden_fails() {
        golden(env!("CARGO_MANIFEST_DIR"), "absent");
    }
}
