//! The data of a figure as CSV (RFC 4180).

use std::fmt::Write as _;

use super::{Figure, Series, Style};
use crate::format::csv_field;

/// Columns `series,x,y`; with categories `category` after `x`, and with a band `upper` at the end.
pub(super) fn write(figure: &Figure) -> String {
    let is_banded = |series: &Series| matches!(series.style, Style::Band { .. });
    let banded = figure.series.iter().any(is_banded);
    let categories = &figure.x.categories;
    let mut out = String::from(match categories.as_slice() {
        [] => "series,x,y",
        _ => "series,x,category,y",
    });
    out.push_str(if banded { ",upper\n" } else { "\n" });
    for series in &figure.series {
        let name = csv_field(&series.name);
        for (i, (x, y)) in series.x.iter().zip(&series.y).enumerate() {
            // Debug prints the shortest digits that read back to the same bits. Writing to a String
            // cannot fail.
            let _ = write!(out, "{name},{x:?}");
            if !categories.is_empty() {
                let category = figure.x.category(*x).unwrap_or_default();
                let _ = write!(out, ",{}", csv_field(category));
            }
            let _ = write!(out, ",{y:?}");
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
