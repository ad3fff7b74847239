//! The data of a figure as CSV (RFC 4180).

use std::borrow::Cow;
use std::fmt::Write as _;

use super::{Figure, Style};

/// Columns `series,x,y`, and `upper` where there is a band.
pub(super) fn write(figure: &Figure) -> String {
    let banded = figure
        .series
        .iter()
        .any(|series| matches!(series.style, Style::Band { .. }));
    let mut out = String::from(if banded {
        "series,x,y,upper\n"
    } else {
        "series,x,y\n"
    });
    for series in &figure.series {
        let name = quote(&series.name);
        for (i, (x, y)) in series.x.iter().zip(&series.y).enumerate() {
            // Debug prints the shortest digits that read back to the same bits; a String takes any.
            let _ = write!(out, "{name},{x:?},{y:?}");
            match &series.style {
                Style::Band { upper } => {
                    let _ = write!(out, ",{:?}", upper[i]);
                }
                _ if banded => out.push(','),
                _ => {}
            }
            out.push('\n');
        }
    }
    out
}

/// Quotes a field where it has to be.
fn quote(field: &str) -> Cow<'_, str> {
    if field.contains([',', '"', '\n', '\r']) {
        Cow::Owned(format!("\"{}\"", field.replace('"', "\"\"")))
    } else {
        Cow::Borrowed(field)
    }
}
