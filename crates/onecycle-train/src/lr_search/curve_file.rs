//! Reads recorded loss curves in the formats that tools write: CSV, JSON, JSON lines.

use std::path::Path;

use onecycle::range_test::{LossCurve, Validation};
use serde_json::{Map, Value};

use super::found::RangeTestResult;
use crate::{FileError, TrainError, files};

/// The expected contents of a curve file.
const EXPECTED: &str = "expected CSV with columns lr and loss, or JSON with lists lr and loss";

const LR: [&str; 5] = ["lr", "learning_rate", "learningrate", "lrs", "x"];
const LOSS: [&str; 6] = [
    "loss",
    "train_loss",
    "training_loss",
    "losses",
    "train/loss",
    "y",
];
const VAL_LOSS: [&str; 4] = ["val_loss", "valid_loss", "validation_loss", "val/loss"];
const VAL_ACCURACY: [&str; 5] = [
    "val_accuracy",
    "val_acc",
    "valid_accuracy",
    "validation_accuracy",
    "val/accuracy",
];

/// Reads a curve from a file; see [`parse_curve`].
///
/// # Errors
/// The file cannot be read; [`FileError::CurveFile`], with the line if it is known.
pub fn read_curve(path: &Path) -> Result<LossCurve, TrainError> {
    Ok(parse_curve(&files::read_text(path)?, path)?)
}

/// Reads a curve from text. `name` names it in errors.
///
/// - **CSV** with a header. The learning rates are in the column `lr` or `learning_rate`, the losses
///   in `loss` or `train_loss`; `val_loss` and `val_accuracy` may be missing or empty. Case does not
///   matter; separators are commas, semicolons or tabs; `#` begins a comment. Of several curves, as
///   `onecycle find --format csv` and the CSV of a figure have, the first is read.
/// - **JSON** with lists of these names, or a list of objects with these keys; JSON lines; the
///   `range_test.json` of a run (only its first curve). Python's `NaN` and `Infinity`
///   are accepted.
///
/// Consecutive equal rates, as of accumulated gradients, become one point with the mean of their
/// losses.
///
/// # Errors
/// [`FileError::CurveFile`], with the line if it is known.
pub fn parse_curve(text: &str, name: &Path) -> Result<LossCurve, FileError> {
    // Spreadsheets write a byte order mark.
    let text = text.trim_start_matches('\u{feff}');
    let points = if text.trim().is_empty() {
        Err(Wrong::new(None, format!("the file is empty; {EXPECTED}")))
    } else if text.trim_start().starts_with(['{', '[']) {
        from_json(text)
    } else {
        from_csv(text)
    };
    points
        .and_then(Points::curve)
        .map_err(|Wrong { line, why }| FileError::CurveFile {
            path: name.to_path_buf(),
            line,
            why,
        })
}

/// What is wrong, and in which line, counted from 1.
struct Wrong {
    line: Option<usize>,
    why: String,
}

impl Wrong {
    fn new(line: Option<usize>, why: impl Into<String>) -> Self {
        Wrong {
            line,
            why: why.into(),
        }
    }
}

/// The points of a curve, not yet checked.
#[derive(Default)]
struct Points {
    lr: Vec<f64>,
    loss: Vec<f64>,
    validation: Vec<Validation>,
    /// Line of each point, if known.
    lines: Vec<usize>,
    /// Number and sum of the losses at the last rate.
    repeated: (usize, f64),
}

impl Points {
    fn push(
        &mut self,
        lr: f64,
        loss: f64,
        val_loss: Option<f64>,
        accuracy: Option<f64>,
        line: usize,
    ) {
        match self.loss.last_mut() {
            Some(mean) if self.lr.last() == Some(&lr) => {
                self.repeated.0 += 1;
                self.repeated.1 += loss;
                *mean = self.repeated.1 / self.repeated.0 as f64;
            }
            _ => {
                self.lr.push(lr);
                self.loss.push(loss);
                self.lines.push(line);
                self.repeated = (1, loss);
            }
        }
        if val_loss.is_some() || accuracy.is_some() {
            let after = self.lr.len();
            self.validation.retain(|one| one.after < after);
            self.validation.push(Validation {
                after,
                loss: val_loss,
                accuracy,
            });
        }
    }

    fn curve(self) -> Result<LossCurve, Wrong> {
        LossCurve::new(self.lr, self.loss)
            .and_then(|curve| curve.with_validation(self.validation))
            .map_err(|error| {
                let line = match error {
                    onecycle::PolicyError::RateNotIncreasing { index, .. } => {
                        self.lines.get(index).copied().filter(|line| *line > 0)
                    }
                    _ => None,
                };
                Wrong::new(line, error.to_string())
            })
    }
}

/// Index of the first of the `known` names.
fn find(names: &[String], known: &[&str]) -> Option<usize> {
    known
        .iter()
        .find_map(|known| names.iter().position(|name| name == known))
}

/// A name in lower case, with underscores for blanks and hyphens.
fn plain(name: &str) -> String {
    name.trim().to_lowercase().replace([' ', '-'], "_")
}

fn from_csv(text: &str) -> Result<Points, Wrong> {
    let is_data = |line: &str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
    let mut lines = text
        .lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line))
        .filter(|(_, line)| is_data(line));
    let (first, header) = lines.next().unwrap_or((1, ""));
    let delimiter = [',', ';', '\t']
        .into_iter()
        .max_by_key(|delimiter| header.matches(*delimiter).count())
        .unwrap_or(',');
    let header = cells(header, delimiter);
    let names: Vec<String> = header.iter().map(|name| plain(name)).collect();
    let needed = |known: &[&str]| {
        find(&names, known).ok_or_else(|| {
            let found = names.join(", ");
            let why = format!("no column `{}` among {found}; {EXPECTED}", known[0]);
            Wrong::new(Some(first), why)
        })
    };
    let (lr_at, loss_at) = (needed(&LR)?, needed(&LOSS)?);
    let (val_loss_at, val_accuracy_at) = (find(&names, &VAL_LOSS), find(&names, &VAL_ACCURACY));
    // A file of several curves names them in the columns before the rates.
    let of_curve: Vec<usize> = ["series", "seed", "weight_decay", "momentum", "batch_size"]
        .iter()
        .filter_map(|name| names.iter().position(|known| known == name))
        .collect();
    let mut points = Points::default();
    let mut curve: Option<Vec<String>> = None;
    for (line, text) in lines {
        let row = cells(text, delimiter);
        let cell = |at: usize| row.get(at).map_or("", String::as_str);
        let own: Vec<String> = of_curve.iter().map(|at| cell(*at).to_owned()).collect();
        if *curve.get_or_insert_with(|| own.clone()) != own {
            continue;
        }
        let parse = |at: usize| {
            // Spreadsheets of many countries write a decimal comma.
            let text = match delimiter {
                ',' => cell(at).to_owned(),
                _ => cell(at).replace(',', "."),
            };
            text.parse::<f64>().map_err(|_| {
                let (name, value) = (&header[at], cell(at));
                Wrong::new(Some(line), format!("{name} = `{value}`: expected a number"))
            })
        };
        let maybe = |at: Option<usize>| match at {
            Some(at) if !cell(at).is_empty() => parse(at).map(Some),
            _ => Ok(None),
        };
        points.push(
            parse(lr_at)?,
            parse(loss_at)?,
            maybe(val_loss_at)?,
            maybe(val_accuracy_at)?,
            line,
        );
    }
    Ok(points)
}

/// The cells of a line, without surrounding blanks and quotes. A quoted cell may contain delimiters.
fn cells(line: &str, delimiter: char) -> Vec<String> {
    let mut cells = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            _ if c == delimiter && !quoted => cells.push(String::new()),
            _ => {
                if let Some(cell) = cells.last_mut() {
                    cell.push(c);
                }
            }
        }
    }
    cells.iter().map(|cell| cell.trim().to_owned()).collect()
}

fn from_json(text: &str) -> Result<Points, Wrong> {
    let strict = quote_numbers(text);
    let values: Result<Vec<Value>, _> = serde_json::Deserializer::from_str(&strict)
        .into_iter()
        .collect();
    let mut values = values.map_err(|error| {
        let line = (error.line() > 0).then(|| error.line());
        Wrong::new(line, format!("{error}; {EXPECTED}"))
    })?;
    match (values.pop(), values.is_empty()) {
        (Some(Value::Object(object)), true) => from_object(object),
        (Some(Value::Array(rows)), true) => from_rows(rows),
        // JSON lines.
        (last, _) => from_rows(values.into_iter().chain(last).collect()),
    }
}

/// Writes Python's NaN and infinities as strings, which a [`LossCurve`] reads.
fn quote_numbers(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(next) = rest.find(['"', 'N', 'I', '-']) {
        let (before, from) = rest.split_at(next);
        out.push_str(before);
        if from.starts_with('"') {
            let end = end_of_string(from);
            out.push_str(&from[..end]);
            rest = &from[end..];
            continue;
        }
        let known = [
            ("NaN", "\"nan\""),
            ("-Infinity", "\"-inf\""),
            ("Infinity", "\"inf\""),
        ];
        let Some((word, quoted)) = known.into_iter().find(|(word, _)| from.starts_with(word))
        else {
            out.push_str(&from[..1]);
            rest = &from[1..];
            continue;
        };
        out.push_str(quoted);
        rest = &from[word.len()..];
    }
    out + rest
}

/// Length of the JSON string at the start of `text`.
fn end_of_string(text: &str) -> usize {
    let mut escaped = false;
    for (index, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return index + 1,
            _ => {}
        }
    }
    text.len()
}

fn keys(object: &Map<String, Value>) -> Vec<String> {
    object.keys().map(|key| plain(key)).collect()
}

/// The value of the first of the `known` keys.
fn value<'a>(object: &'a Map<String, Value>, known: &[&str]) -> Option<&'a Value> {
    let index = find(&keys(object), known)?;
    object.values().nth(index)
}

/// A number, or the name of one that is not finite.
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// Lists of rates and losses, or the result of range tests.
fn from_object(object: Map<String, Value>) -> Result<Points, Wrong> {
    if object.contains_key("groups") {
        let found: RangeTestResult = serde_json::from_value(Value::Object(object))
            .map_err(|error| Wrong::new(None, format!("{error}; {EXPECTED}")))?;
        let group = found.chosen_group().or(found.groups.first());
        let Some(test) = group.and_then(|group| group.tests.first()) else {
            return Err(Wrong::new(None, "it has no curve"));
        };
        return Ok(of_curve(&test.curve));
    }
    if value(&object, &LR).is_some_and(|value| !value.is_array()) {
        return from_rows(vec![Value::Object(object)]);
    }
    let list = |known: &[&str]| -> Result<Vec<f64>, Wrong> {
        let Some(Value::Array(values)) = value(&object, known) else {
            let found = keys(&object).join(", ");
            let why = format!("missing field `{}` among {found}; {EXPECTED}", known[0]);
            return Err(Wrong::new(None, why));
        };
        let numbers = values.iter().enumerate().map(|(index, value)| {
            let why = || format!("{}[{index}] = {value}: expected a number", known[0]);
            number(value).ok_or_else(|| Wrong::new(None, why()))
        });
        numbers.collect()
    };
    let (lr, loss) = (list(&LR)?, list(&LOSS)?);
    if lr.len() != loss.len() {
        let why = format!(
            "`lr` has {} entries, `loss` has {} entries",
            lr.len(),
            loss.len()
        );
        return Err(Wrong::new(None, why));
    }
    let validation: Vec<Validation> = match object.get("validation") {
        Some(validation) => serde_json::from_value(validation.clone())
            .map_err(|error| Wrong::new(None, format!("validation: {error}")))?,
        None => Vec::new(),
    };
    let mut points = Points::default();
    for (index, (lr, loss)) in lr.into_iter().zip(loss).enumerate() {
        let one = validation.iter().find(|one| one.after == index + 1);
        let (val_loss, accuracy) = (
            one.and_then(|one| one.loss),
            one.and_then(|one| one.accuracy),
        );
        points.push(lr, loss, val_loss, accuracy, 0);
    }
    Ok(points)
}

/// One object per point.
fn from_rows(rows: Vec<Value>) -> Result<Points, Wrong> {
    let mut points = Points::default();
    for (index, row) in rows.iter().enumerate() {
        let line = index + 1;
        let Value::Object(row) = row else {
            let why = format!("entry {line} is {row}; {EXPECTED}");
            return Err(Wrong::new(None, why));
        };
        let of = |known: &[&str]| value(row, known).and_then(number);
        let needed = |known: &[&str]| {
            of(known).ok_or_else(|| {
                let found = keys(row).join(", ");
                let why = format!(
                    "entry {line} has no number `{}` among {found}; {EXPECTED}",
                    known[0]
                );
                Wrong::new(None, why)
            })
        };
        points.push(
            needed(&LR)?,
            needed(&LOSS)?,
            of(&VAL_LOSS),
            of(&VAL_ACCURACY),
            line,
        );
    }
    Ok(points)
}

fn of_curve(curve: &LossCurve) -> Points {
    Points {
        lr: curve.lr().to_vec(),
        loss: curve.loss().to_vec(),
        validation: curve.validation().to_vec(),
        ..Points::default()
    }
}

/// Returns a curve as CSV. [`read_curve`] reads it back to the same bits.
pub fn to_csv(curve: &LossCurve) -> String {
    let measured = !curve.validation().is_empty();
    let mut text = String::from(if measured {
        "lr,loss,val_loss,val_accuracy\n"
    } else {
        "lr,loss\n"
    });
    let mut validations = curve.validation().iter().peekable();
    for (i, (lr, loss)) in curve.lr().iter().zip(curve.loss()).enumerate() {
        text.push_str(&format!("{lr:?},{loss:?}"));
        if measured {
            let one = validations.next_if(|one| one.after == i + 1);
            let cell =
                |value: Option<f64>| value.map_or(String::new(), |value| format!("{value:?}"));
            let loss = cell(one.and_then(|one| one.loss));
            let accuracy = cell(one.and_then(|one| one.accuracy));
            text.push_str(&format!(",{loss},{accuracy}"));
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<LossCurve, FileError> {
        parse_curve(text, Path::new("curve.csv"))
    }

    #[test]
    fn every_format_gives_the_same_curve() {
        let known = LossCurve::new(vec![0.1, 0.2, 0.4], vec![2.5, 1.5, f64::INFINITY]).unwrap();
        for text in [
            "\u{feff}step, lr , \"loss\"\n0,0.1,2.5\n1,0.2,1.5\n\n2,0.4,inf\n",
            "Learning Rate;Train-Loss\n0,1;2,5\n0,2;1,5\n0,4;inf\n",
            "# from a script\nLR\ttraining_loss\n0.1\t2.5\n0.2\t1.5\n0.4\tInfinity\n",
            "lr,loss\n0.1,2\n0.1,3\n0.2,1\n0.2,2\n0.4,inf\n0.4,1\n",
            r#"{"lr": [0.1, 0.2, 0.4], "loss": [2.5, 1.5, "inf"]}"#,
            r#"{"lrs": [0.1, 0.2, 0.4], "losses": [2.5, 1.5, Infinity], "note": "NaN \"-Infinity"}"#,
            r#"[{"lr": 0.1, "loss": 2.5}, {"lr": 0.2, "loss": 1.5}, {"lr": 0.4, "loss": Infinity}]"#,
            "{\"lr\": 0.1, \"loss\": 2.5}\n{\"lr\": 0.2, \"loss\": 1.5}\n{\"lr\": 0.4, \"loss\": Infinity}\n",
            "series,x,y\nraw,0.1,2.5\nraw,0.2,1.5\nraw,0.4,inf\nsmoothed,0.1,9\n",
            "value,seed,lr,loss,smoothed,val_loss,val_accuracy\n,1,0.1,2.5,2,,\n,1,0.2,1.5,2,,\n,1,0.4,inf,2,,\n,2,0.1,7,7,,\n",
        ] {
            let curve = read(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(
                (curve.lr(), curve.loss()),
                (known.lr(), known.loss()),
                "{text}"
            );
        }
        let nan = read(r#"{"lr": [1, 2], "loss": [NaN, -Infinity]}"#).unwrap();
        assert!(nan.loss()[0].is_nan() && nan.loss()[1] == f64::NEG_INFINITY);
    }

    #[test]
    fn csv_reads_back_to_the_same_bits() {
        let validation = vec![Validation {
            after: 2,
            loss: None,
            accuracy: Some(0.1 + 0.2),
        }];
        let curve = LossCurve::new(
            vec![1e-7, 0.1 + 0.2, 10.0],
            vec![1.0 / 3.0, -1e300, f64::NEG_INFINITY],
        )
        .and_then(|curve| curve.with_validation(validation))
        .unwrap();
        assert_eq!(read(&to_csv(&curve)).unwrap(), curve);
        let json = serde_json::to_string(&curve).unwrap();
        let from_json = read(&json).unwrap();
        assert_eq!(from_json.validation(), curve.validation());
    }

    #[test]
    fn errors_name_what_is_wrong() {
        let cases = [
            ("lr,los\n1,2\n", "line 1: no column `loss` among lr, los"),
            ("lr,loss\n1,2\n2,high\n", "line 3: loss = `high`"),
            ("lr,loss\n1,2\n2\n", "line 3: loss = ``"),
            ("lr,loss\n2,2\n\n1,2\n", "line 4: learning rate 1 follows 2"),
            ("lr,loss\n-1,2\n", "`lr` is -1"),
            ("{\"lr\": [1]}", "missing field `loss` among lr"),
            ("{\"lr\": [1], \"loss\": []}", "0 entries"),
            ("[1, 2]", "entry 1 is 1"),
            (
                "[{\"lr\": 1, \"los\": 2}]",
                "entry 1 has no number `loss` among",
            ),
            (" \n", "empty"),
        ];
        for (text, words) in cases {
            let error = read(text).unwrap_err().to_string();
            assert!(
                error.contains("curve.csv") && error.contains(words),
                "{text}: {error}"
            );
        }
    }
}
