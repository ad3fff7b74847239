//! The legend: rows of names between the title and the plot, where they cover no data.

use super::shapes::{Anchor, Drawing, Path, Shape};
use super::text::{fit, width};
use super::{Colour, Figure, Series, Side, Style};

/// Font size of the names.
const SIZE: f64 = 14.0;
/// Height of a row.
const ROW: f64 = 21.0;
/// Length of the sample of line before a name.
const SAMPLE: f64 = 26.0;
/// Space between the sample and the name, and after the name.
const SPACE: (f64, f64) = (6.0, 20.0);

/// With more bands than this, a band with a line of the same colour gets no entry of its own.
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
    /// Fills rows of width `room`. Series that the axes already name get no entry: a single series
    /// called like the vertical axis, and series called like a category, with their bands.
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
        let is_category = |series: &Series| figure.x.categories.contains(&series.name);
        let named_by_axis = |series: &Series, colour: Colour| {
            let mut all = figure.series.iter().zip(colours);
            let twin = |(other, own): (&Series, &Colour)| *own == colour && is_category(other);
            is_category(series) || is_band(series) && all.any(twin)
        };
        for (series, &colour) in figure.series.iter().zip(colours).filter(|_| !needless) {
            if named_by_axis(series, colour) || many && is_band(series) && has_line(colour) {
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

    /// Height of all rows.
    pub(super) fn height(&self) -> f64 {
        ROW * self.rows.len() as f64
    }

    /// Draws the rows with their upper left corner at (`left`, `top`).
    pub(super) fn draw(&self, out: &mut Drawing, left: f64, top: f64) {
        for (i, row) in self.rows.iter().enumerate() {
            let middle = top + ROW * (i as f64 + 0.5);
            let mut x = left;
            for entry in row {
                sample(out, entry, x, middle);
                let at = (x + SAMPLE + SPACE.0, middle + 0.36 * SIZE);
                out.text(&entry.name, SIZE, Anchor::Start, at);
                x += entry.width();
            }
        }
    }
}

/// Draws a short piece of the series whose left end is at (`x`, `y`).
fn sample(out: &mut Drawing, entry: &Entry<'_>, x: f64, y: f64) {
    let (right, middle) = (x + SAMPLE, x + SAMPLE / 2.0);
    match entry.style {
        Style::Band { .. } => {
            let (top, bottom) = (y - 5.0, y + 5.0);
            let corners = vec![(x, top), (right, top), (right, bottom), (x, bottom)];
            out.shapes
                .push(Shape::Path(Path::band(entry.colour, corners)));
        }
        Style::Points => out.marker(entry.colour, (middle, y)),
        style => {
            let line = Path::line(entry.colour, style, vec![(x, y), (right, y)]);
            out.shapes.push(Shape::Path(line));
            if *style == Style::LinePoints {
                out.marker(entry.colour, (middle, y));
            }
        }
    }
}
