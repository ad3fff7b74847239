//! The legend: rows of names between the title and the plot, where it covers no data.

use std::fmt::Write as _;

use super::text::{coordinate, escape_xml, fit, width};
use super::{Colour, Figure, Series, Side, Style};

/// Font size of the names.
const SIZE: f64 = 14.0;
/// Height of a row.
const ROW: f64 = 21.0;
/// Length of the sample of line before a name.
const SAMPLE: f64 = 26.0;
/// Room between the sample and the name, and behind the name.
const SPACE: (f64, f64) = (6.0, 20.0);

/// With more bands than this, those that have a line of their colour get no entry of their own.
const MOST_BANDS: usize = 2;

/// The legend of a figure, laid out.
pub(super) struct Legend<'a> {
    rows: Vec<Vec<Entry<'a>>>,
}

struct Entry<'a> {
    name: String,
    colour: Colour,
    style: &'a Style,
}

impl Entry<'_> {
    fn width(&self) -> f64 {
        SAMPLE + SPACE.0 + width(&self.name, SIZE) + SPACE.1
    }
}

impl<'a> Legend<'a> {
    /// Fills rows of width `room`. A single series that its axis already names gets no legend.
    pub(super) fn new(figure: &'a Figure, colours: &[Colour], room: f64) -> Self {
        let mut rows: Vec<Vec<Entry<'a>>> = Vec::new();
        let mut free = 0.0;
        let needless = matches!(&figure.series[..], [only] if only.name == figure.y.label);
        let is_band = |series: &Series| matches!(series.style, Style::Band { .. });
        let many = figure
            .series
            .iter()
            .filter(|series| is_band(series))
            .count()
            > MOST_BANDS;
        let has_line = |colour: Colour| {
            let mut all = figure.series.iter().zip(colours);
            all.any(|(series, other)| *other == colour && !is_band(series))
        };
        for (series, &colour) in figure.series.iter().zip(colours).filter(|_| !needless) {
            if many && is_band(series) && has_line(colour) {
                continue;
            }
            let side = match (series.side, &figure.right) {
                (_, None) => "",
                (Side::Left, Some(_)) => " (left)",
                (Side::Right, Some(_)) => " (right)",
            };
            let longest = room - SAMPLE - SPACE.0 - SPACE.1;
            let name = fit(&format!("{}{side}", series.name), SIZE, longest);
            let entry = Entry {
                name,
                colour,
                style: &series.style,
            };
            let needed = entry.width();
            match rows.last_mut() {
                Some(row) if needed <= free => row.push(entry),
                _ => {
                    rows.push(vec![entry]);
                    free = room;
                }
            }
            free -= needed;
        }
        Self { rows }
    }

    pub(super) fn height(&self) -> f64 {
        ROW * self.rows.len() as f64
    }

    /// Draws the rows with their left upper corner at (`left`, `top`).
    pub(super) fn draw(&self, out: &mut String, left: f64, top: f64) {
        for (i, row) in self.rows.iter().enumerate() {
            let middle = top + ROW * (i as f64 + 0.5);
            let mut x = left;
            for entry in row {
                sample(out, entry, x, middle);
                // Writing to a String cannot fail, here and below.
                let _ = writeln!(
                    out,
                    r#"<text class="ink" fill="{INK}" font-size="{SIZE}" x="{}" y="{}">{}</text>"#,
                    coordinate(x + SAMPLE + SPACE.0),
                    coordinate(middle + 0.36 * SIZE),
                    escape_xml(&entry.name),
                );
                x += entry.width();
            }
        }
    }
}

/// Colour of text.
pub(super) const INK: &str = "#222222";

fn sample(out: &mut String, entry: &Entry<'_>, x: f64, y: f64) {
    let ends = [(x, y), (x + SAMPLE, y)];
    match entry.style {
        Style::Band { .. } => {
            let _ = writeln!(
                out,
                r#"<rect {} x="{}" y="{}" width="{SAMPLE}" height="10"/>"#,
                band(entry.colour),
                coordinate(x),
                coordinate(y - 5.0),
            );
        }
        Style::Points => marker(out, entry.colour, x + SAMPLE / 2.0, y),
        style => {
            let path = format!(
                "M{} {}H{}",
                coordinate(x),
                coordinate(y),
                coordinate(ends[1].0)
            );
            let _ = writeln!(out, r#"<path {} d="{path}"/>"#, stroke(entry.colour, style));
            if *style == Style::LinePoints {
                marker(out, entry.colour, x + SAMPLE / 2.0, y);
            }
        }
    }
}

/// The attributes of a line.
pub(super) fn stroke(colour: Colour, style: &Style) -> String {
    let (width, rest) = match style {
        Style::Faint => ("1", r#" stroke-opacity="0.38""#),
        Style::Dashed => ("2", r#" stroke-dasharray="7 4""#),
        _ => ("2", ""),
    };
    format!(
        r#"class="line {}" fill="none" stroke="{}" stroke-width="{width}" stroke-linejoin="round"{rest}"#,
        colour.class(),
        colour.hex(),
    )
}

/// The attributes of a band.
pub(super) fn band(colour: Colour) -> String {
    format!(
        r#"class="area {}" fill="{}" fill-opacity="0.22""#,
        colour.class(),
        colour.hex()
    )
}

/// Draws a marker whose shape, too, tells the colours apart.
pub(super) fn marker(out: &mut String, colour: Colour, x: f64, y: f64) {
    let attributes = format!(r#"class="area {}" fill="{}""#, colour.class(), colour.hex());
    let polygon = |corners: &[(f64, f64)]| {
        let points: Vec<String> = corners
            .iter()
            .map(|(dx, dy)| format!("{},{}", coordinate(x + dx), coordinate(y + dy)))
            .collect();
        format!(r#"<polygon {attributes} points="{}"/>"#, points.join(" "))
    };
    let shape = match colour {
        Colour::Vermillion | Colour::Sky => {
            polygon(&[(-3.4, -3.4), (3.4, -3.4), (3.4, 3.4), (-3.4, 3.4)])
        }
        Colour::Green | Colour::Black => polygon(&[(0.0, -4.6), (4.4, 3.4), (-4.4, 3.4)]),
        Colour::Purple => polygon(&[(0.0, -4.8), (4.8, 0.0), (0.0, 4.8), (-4.8, 0.0)]),
        Colour::Blue | Colour::Orange => {
            format!(
                r#"<circle {attributes} cx="{}" cy="{}" r="3.8"/>"#,
                coordinate(x),
                coordinate(y)
            )
        }
    };
    out.push_str(&shape);
    out.push('\n');
}
