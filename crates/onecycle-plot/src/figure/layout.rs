//! Places the parts of a figure: plot, ticks, names of marks, note.

use super::scale::{Range, Tick};
use super::shapes::Anchor;
use super::text::{fit, width, wrap};
use super::{Axis, Figure, HEIGHT, Side, Style, WIDTH};

/// Free border on all sides.
pub(super) const BORDER: f64 = 14.0;
/// Font size of the title.
pub(super) const TITLE: f64 = 18.0;
/// Font size of the axes' titles.
pub(super) const LABEL: f64 = 15.0;
/// Font size of ticks and marks.
pub(super) const TICK: f64 = 14.0;
/// Font size of the note.
pub(super) const NOTE: f64 = 13.0;
/// Height of a line of the note.
pub(super) const NOTE_ROW: f64 = 17.0;
/// Height of a row of mark names.
pub(super) const MARK_ROW: f64 = 18.0;

/// Angle of slanted labels of categories, in degrees.
const SLANT: f64 = 35.0;
/// Greatest length of a slanted label.
const SLANTED: f64 = 170.0;

/// How the labels of the horizontal axis are set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct TickLabels {
    /// Degrees by which they rise to the right; 0 for labels side by side.
    pub(super) angle: f64,
    /// Space that they take below the axis.
    pub(super) height: f64,
}

impl Default for TickLabels {
    fn default() -> Self {
        Self {
            angle: 0.0,
            height: TICK,
        }
    }
}

/// The place of the plot, with the axes fitted to the data.
pub(super) struct Frame<'a> {
    pub(super) figure: &'a Figure,
    pub(super) left: f64,
    pub(super) right: f64,
    pub(super) top: f64,
    pub(super) bottom: f64,
    pub(super) x: Range,
    pub(super) x_ticks: Vec<Tick>,
    pub(super) x_labels: TickLabels,
    pub(super) y: Range,
    pub(super) y_ticks: Vec<Tick>,
    pub(super) y_right: Option<(&'a Axis, Range, Vec<Tick>)>,
    pub(super) note: Vec<String>,
    /// The place and name of each mark; the name is `None` if there is no room for it.
    pub(super) marks: Vec<(f64, Option<MarkLabel<'a>>)>,
}

/// The name of a mark with its place.
pub(super) struct MarkLabel<'a> {
    pub(super) text: &'a str,
    pub(super) anchor: Anchor,
    pub(super) x: f64,
    pub(super) row: usize,
}

impl<'a> Frame<'a> {
    /// Lays out a figure with a legend of this height.
    pub(super) fn new(figure: &'a Figure, legend: f64) -> Self {
        let note = figure.note.as_deref().map_or_else(Vec::new, |note| {
            wrap(note, NOTE, f64::from(WIDTH) - 2.0 * BORDER)
        });
        let vertical = |side: Side, axis: &Axis| {
            let range = Range::new(axis, vertical_values(figure, side), 0.05);
            let ticks = range.ticks(5);
            let widest = labels(&ticks)
                .map(|(_, label)| width(label, TICK))
                .fold(0.0, f64::max);
            (range, ticks, BORDER + LABEL + widest + 14.0)
        };
        let (y, y_ticks, left) = vertical(Side::Left, &figure.y);
        let mut right = f64::from(WIDTH) - BORDER - 12.0;
        let y_right = figure.right.as_ref().map(|axis| {
            let (range, ticks, room) = vertical(Side::Right, axis);
            right = f64::from(WIDTH) - room;
            (axis, range, ticks)
        });
        let x = Range::new(
            &figure.x,
            figure.series.iter().flat_map(|s| s.x.iter().copied()),
            0.02,
        );
        let (x_ticks, x_labels) = match figure.x.categories.as_slice() {
            [] => (x_ticks(&x, right - left), TickLabels::default()),
            names => category_ticks(names, &x, (left, right)),
        };
        let below = NOTE_ROW * note.len() as f64 + LABEL + x_labels.height + 14.0;
        let bottom = f64::from(HEIGHT) - BORDER - below;
        let top = BORDER + TITLE + 20.0 + legend;
        let mut frame = Self {
            figure,
            left,
            right,
            top,
            bottom,
            x,
            x_ticks,
            x_labels,
            y,
            y_ticks,
            y_right,
            note,
            marks: Vec::new(),
        };
        frame.marks = frame.place_marks();
        let rows = frame
            .marks
            .iter()
            .filter_map(|(_, name)| name.as_ref().map(|n| n.row + 1))
            .max();
        frame.top += MARK_ROW * rows.unwrap_or(0) as f64;
        frame
    }

    /// Places names to the right of their lines, or to the left near the right edge, in at most
    /// three rows.
    fn place_marks(&self) -> Vec<(f64, Option<MarkLabel<'a>>)> {
        let mut ends = [f64::NEG_INFINITY; 3];
        let mut marks: Vec<_> = self
            .figure
            .marks
            .iter()
            .filter_map(|mark| Some((self.at_x(mark.x)?, mark.label.as_str())))
            .filter(|(x, _)| (self.left - 0.5..=self.right + 0.5).contains(x))
            .collect();
        marks.sort_by(|a, b| a.0.total_cmp(&b.0));
        let place = |(x, text): (f64, &'a str)| {
            let wide = width(text, TICK);
            let (anchor, from, at) = if x + 4.0 + wide <= f64::from(WIDTH) - 4.0 {
                (Anchor::Start, x + 4.0, x + 4.0)
            } else {
                (Anchor::End, x - 4.0 - wide, x - 4.0)
            };
            let row = ends.iter().position(|end| from >= *end);
            let name = row.map(|row| {
                ends[row] = from + wide + 8.0;
                MarkLabel {
                    text,
                    anchor,
                    x: at,
                    row,
                }
            });
            (x, name)
        };
        marks.into_iter().map(place).collect()
    }

    /// The place of a value on the horizontal axis.
    pub(super) fn at_x(&self, value: f64) -> Option<f64> {
        Some(self.left + self.x.place(value)? * (self.right - self.left))
    }

    /// The place of a value on a vertical axis.
    pub(super) fn at_y(&self, value: f64, side: Side) -> Option<f64> {
        let range = match (&self.y_right, side) {
            (Some((_, range, _)), Side::Right) => range,
            _ => &self.y,
        };
        // Values far outside the plot are moved closer, which keeps coordinates short.
        let place = range.place(value)?.clamp(-1.0, 2.0);
        Some(self.bottom - place * (self.bottom - self.top))
    }
}

/// Ticks of the horizontal axis, as many as fit side by side.
fn x_ticks(range: &Range, room: f64) -> Vec<Tick> {
    let fits = |ticks: &Vec<Tick>| {
        let widths: Vec<f64> = labels(ticks)
            .filter_map(|(value, label)| Some((range.place(value)? * room, width(label, TICK))))
            .scan(f64::NEG_INFINITY, |end, (x, w)| {
                let gap = x - w / 2.0 - *end;
                *end = x + w / 2.0;
                Some(gap)
            })
            .collect();
        widths.iter().all(|gap| *gap >= 12.0)
    };
    [9, 7, 5, 4, 3]
        .into_iter()
        .map(|want| range.ticks(want))
        .find(fits)
        .unwrap_or_else(|| range.ticks(2))
}

/// One tick per category. Labels that do not fit beside one another are slanted, shortened to
/// [`SLANTED`] and, with very many categories, left out at regular intervals.
fn category_ticks(
    names: &[String],
    range: &Range,
    (left, right): (f64, f64),
) -> (Vec<Tick>, TickLabels) {
    let slot = (right - left) / names.len() as f64;
    let widest = names
        .iter()
        .map(|name| width(name, TICK))
        .fold(0.0, f64::max);
    let side_by_side = widest + 12.0 <= slot;
    let every = (1.4 * TICK / slot).ceil().max(1.0) as usize;
    let (sin, cos) = SLANT.to_radians().sin_cos();
    let mut longest: f64 = 0.0;
    let ticks = names.iter().enumerate().map(|(i, name)| {
        let value = i as f64 + 1.0;
        let label = if side_by_side {
            Some(name.clone())
        } else if i % every == 0 {
            // The label ends below its tick and must begin inside the figure.
            let x = left + range.place(value).unwrap_or(0.0) * (right - left);
            let label = fit(name, TICK, SLANTED.min((x - 2.0) / cos));
            longest = longest.max(width(&label, TICK));
            Some(label)
        } else {
            None
        };
        Tick { value, label }
    });
    let ticks = ticks.collect();
    let labels = match side_by_side {
        true => TickLabels::default(),
        false => TickLabels {
            angle: SLANT,
            height: longest * sin + 1.2 * TICK,
        },
    };
    (ticks, labels)
}

/// The ticks that have a label.
pub(super) fn labels(ticks: &[Tick]) -> impl Iterator<Item = (f64, &str)> {
    ticks
        .iter()
        .filter_map(|tick| Some((tick.value, tick.label.as_deref()?)))
}

/// All values on a vertical axis.
fn vertical_values(figure: &Figure, side: Side) -> impl Iterator<Item = f64> {
    figure
        .series
        .iter()
        .filter(move |series| series.side == side)
        .flat_map(|series| {
            let upper: &[f64] = match &series.style {
                Style::Band { upper } => upper,
                _ => &[],
            };
            series.y.iter().chain(upper).copied()
        })
}
