//! Every rule of the range test applied to a recorded curve: [`Suggestions`], as `onecycle suggest`
//! prints them.

use std::{collections::BTreeMap, path::Path};

use onecycle::range_test::{LossCurve, Rule, Suggestion, Validation, Verdict};
use serde::{Deserialize, Serialize};

use crate::{FileError, TrainError, files};
use onecycle_plot::{format::significant, table::align};

/// Suggestions of all rules for one curve. Other programs rely on its JSON form.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Suggestions {
    /// Verdict on the curve for the maximum of one cycle.
    pub verdict: Verdict,
    /// The largest learning rate that can be the peak of one cycle.
    pub one_cycle_max: Option<f64>,
    /// A good constant learning rate.
    pub constant: Option<f64>,
    /// The rules of other tools by name, each applied as in the original.
    pub rules: BTreeMap<Rule, Suggestion>,
}

impl Suggestions {
    /// Applies every rule.
    pub fn of(curve: &LossCurve) -> Self {
        let max = Rule::OneCycleMax.apply(curve);
        Suggestions {
            verdict: max.verdict,
            one_cycle_max: max.lr,
            constant: Rule::Constant.apply(curve).lr,
            rules: Rule::of_originals()
                .map(|rule| (rule, rule.apply(curve)))
                .collect(),
        }
    }

    /// A table with one line per rule.
    pub fn table(&self) -> String {
        let row = |name: &str, lr: Option<f64>, verdict: Verdict| {
            let lr = lr.map_or_else(|| "–".to_owned(), significant);
            vec![name.to_owned(), lr, verdict.to_string()]
        };
        let constant = self.constant.map_or(self.verdict, |_| Verdict::Ok);
        let mut rows = vec![
            vec!["rule".to_owned(), "lr".to_owned(), "verdict".to_owned()],
            row(Rule::OneCycleMax.name(), self.one_cycle_max, self.verdict),
            row(Rule::Constant.name(), self.constant, constant),
        ];
        let originals = self.rules.iter();
        rows.extend(originals.map(|(rule, answer)| row(rule.name(), answer.lr, answer.verdict)));
        align(&rows)
    }
}

/// Reads a curve from a file: CSV with a header that has `lr` and `loss` (and optionally `val_loss`
/// and `val_accuracy`, empty if not measured), or JSON with lists of these names.
///
/// # Errors
/// The file cannot be read; [`FileError::CurveFile`], with the line if it is known.
pub fn read_curve(path: &Path) -> Result<LossCurve, TrainError> {
    let text = files::read_text(path)?;
    // Spreadsheets write a byte order mark.
    let text = text.trim_start_matches('\u{feff}');
    let wrong = |line, why| FileError::CurveFile {
        path: path.to_path_buf(),
        line,
        why,
    };
    if text.trim().is_empty() {
        return Err(wrong(None, format!("the file is empty; {EXPECTED}")).into());
    }
    if text.trim_start().starts_with(['{', '[']) {
        return Ok(serde_json::from_str(text).map_err(|error| {
            let line = (error.line() > 0).then(|| error.line());
            wrong(line, format!("{error}; {EXPECTED}"))
        })?);
    }
    Ok(from_csv(text).map_err(|(line, why)| wrong(line, why))?)
}

/// The expected contents of a curve file.
const EXPECTED: &str = "expected CSV with columns lr and loss, or JSON with lists lr and loss";

fn from_csv(text: &str) -> Result<LossCurve, (Option<usize>, String)> {
    let mut lines = text.lines().enumerate().map(|(i, line)| (i + 1, line));
    let mut filled = lines.by_ref().filter(|(_, line)| !line.trim().is_empty());
    let (first, header) = filled.next().unwrap_or((1, ""));
    let names: Vec<&str> = header.split(',').map(plain).collect();
    let column = |name: &str| names.iter().position(|known| *known == name);
    let needed = |name: &str| {
        column(name).ok_or_else(|| (Some(first), format!("no column `{name}`; {EXPECTED}")))
    };
    let (lr_at, loss_at) = (needed("lr")?, needed("loss")?);
    let (val_loss_at, val_accuracy_at) = (column("val_loss"), column("val_accuracy"));
    let (mut lr, mut loss, mut validation) = (Vec::new(), Vec::new(), Vec::new());
    let mut rows = Vec::new();
    for (number, line) in filled {
        let cells: Vec<&str> = line.split(',').map(plain).collect();
        let cell = |at: usize| cells.get(at).copied().unwrap_or("");
        let parse = |at: usize| {
            cell(at).parse::<f64>().map_err(|_| {
                let why = format!("{} = `{}`: expected a number", names[at], cell(at));
                (Some(number), why)
            })
        };
        let maybe = |at: Option<usize>| match at {
            Some(at) if !cell(at).is_empty() => parse(at).map(Some),
            _ => Ok(None),
        };
        lr.push(parse(lr_at)?);
        loss.push(parse(loss_at)?);
        rows.push(number);
        let (val_loss, accuracy) = (maybe(val_loss_at)?, maybe(val_accuracy_at)?);
        if val_loss.is_some() || accuracy.is_some() {
            validation.push(Validation {
                after: lr.len(),
                loss: val_loss,
                accuracy,
            });
        }
    }
    LossCurve::new(lr, loss)
        .and_then(|curve| curve.with_validation(validation))
        .map_err(|error| match error {
            onecycle::PolicyError::RateNotIncreasing { index, .. } => {
                (rows.get(index).copied(), error.to_string())
            }
            _ => (None, error.to_string()),
        })
}

/// A cell without surrounding blanks and quotes.
fn plain(cell: &str) -> &str {
    cell.trim().trim_matches('"')
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
#[allow(clippy::unwrap_used)] // a failed unwrap is a failed test
mod tests {
    use super::*;

    fn read(name: &str, text: &str) -> Result<LossCurve, TrainError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        read_curve(&path)
    }

    #[test]
    fn csv_and_json_give_the_same_curve() {
        let csv = read(
            "a.csv",
            "\u{feff}step, lr , \"loss\"\n0,0.1,2.5\n1,0.2,NaN\n\n2,0.4,inf\n",
        )
        .unwrap();
        let json = read(
            "a.json",
            r#"{"lr": [0.1, 0.2, 0.4], "loss": [2.5, "nan", "inf"]}"#,
        )
        .unwrap();
        assert_eq!(csv.lr(), json.lr());
        assert_eq!(format!("{:?}", csv.loss()), format!("{:?}", json.loss()));
        assert_eq!(csv.loss()[2], f64::INFINITY);
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
        assert_eq!(read("a.csv", &to_csv(&curve)).unwrap(), curve);
    }

    #[test]
    fn errors_name_what_is_wrong() {
        let cases = [
            ("lr,los\n1,2\n", "line 1: no column `loss`"),
            ("lr,loss\n1,2\n2,high\n", "line 3: loss = `high`"),
            ("lr,loss\n1,2\n2\n", "line 3: loss = ``"),
            ("lr,loss\n2,2\n\n1,2\n", "line 4: learning rate 1 follows 2"),
            ("lr,loss\n-1,2\n", "`lr` is -1"),
            ("{\"lr\": [1]}", "missing field `loss`"),
            ("{\"lr\": [1], \"loss\": []}", "0 entries"),
            ("[1, 2]", "expected"),
            (" \n", "empty"),
        ];
        for (text, words) in cases {
            let error = read("curve.csv", text).unwrap_err().to_string();
            assert!(
                error.contains("curve.csv") && error.contains(words),
                "{text}: {error}"
            );
        }
    }
}
