//! Draws a figure: its legend, grid, marks, series and axes as [`super::shapes`].

use super::layout::{BORDER, Frame, LABEL, MARK_ROW, NOTE, NOTE_ROW, TICK, TITLE, labels};
use super::legend::Legend;
use super::shapes::{Anchor, Drawing, Paint, Path, Point, Shape, Text};
use super::text::fit;
use super::thin::thin;
use super::{Colour, Figure, Series, Side, Style, WIDTH};

/// Smallest distance between the markers of a line; closer ones would hide it.
const MARKER_GAP: f64 = 16.0;
/// Long series are thinned to this many buckets, each about two pixels of the plot wide.
const BUCKETS: usize = 300;

/// Draws a figure whose description was checked.
pub(super) fn draw(figure: &Figure) -> Drawing {
    let colours = figure.colours();
    let legend = Legend::new(figure, &colours, f64::from(WIDTH) - 2.0 * BORDER);
    let frame = Frame::new(figure, legend.height());
    let mut out = Drawing {
        clip: [
            (frame.left, frame.top - 1.0),
            (frame.right, frame.bottom + 1.0),
        ],
        ..Drawing::default()
    };
    let title = fit(&figure.title, TITLE, f64::from(WIDTH) - 2.0 * BORDER);
    out.text(&title, TITLE, Anchor::Start, (BORDER, BORDER + TITLE));
    legend.draw(&mut out, BORDER, BORDER + TITLE + 9.0);
    frame.draw_grid(&mut out);
    frame.draw_marks(&mut out);
    let below = |series: &Series| matches!(series.style, Style::Faint | Style::Band { .. });
    let mut drawn = false;
    for first in [true, false] {
        let all = figure.series.iter().zip(&colours);
        for (series, colour) in all.filter(|(series, _)| below(series) == first) {
            drawn |= frame.draw_series(&mut out, series, *colour);
        }
    }
    if !drawn {
        let middle = (
            (frame.left + frame.right) / 2.0,
            (frame.top + frame.bottom) / 2.0,
        );
        out.text("no finite value to draw", LABEL, Anchor::Middle, middle);
    }
    frame.draw_axes(&mut out);
    out
}

impl Frame<'_> {
    fn draw_grid(&self, out: &mut Drawing) {
        let across = |y: f64| vec![(self.left, y), (self.right, y)];
        for (class, colour, labelled) in [("minor", "#f3f3f3", false), ("grid", "#e2e2e2", true)] {
            let mut lines: Vec<Vec<Point>> = Vec::new();
            let ticks = |ticks: &[super::scale::Tick]| -> Vec<f64> {
                let ticks = ticks.iter().filter(|t| t.label.is_some() == labelled);
                ticks.map(|tick| tick.value).collect()
            };
            let y = ticks(&self.y_ticks);
            lines.extend(
                y.iter()
                    .filter_map(|y| Some(across(self.at_y(*y, Side::Left)?))),
            );
            let x = ticks(&self.x_ticks);
            let down = |x: f64| vec![(x, self.top), (x, self.bottom)];
            lines.extend(x.iter().filter_map(|x| Some(down(self.at_x(*x)?))));
            out.frame_lines(class, colour, lines);
        }
        if let (Some(place), Some(y)) = (self.y.place(0.0), self.at_y(0.0, Side::Left))
            && (0.0..1.0).contains(&place)
        {
            out.frame_lines("zero", "#8a8a8a", vec![across(y)]);
        }
    }

    fn draw_marks(&self, out: &mut Drawing) {
        for (x, name) in &self.marks {
            let row = name
                .as_ref()
                .map_or(0.0, |name| MARK_ROW * (name.row as f64 + 1.0) - 3.0);
            out.shapes.push(Shape::Path(Path {
                class: "mark".to_owned(),
                lines: vec![vec![(*x, self.top - row), (*x, self.bottom)]],
                paint: Paint::Stroke {
                    colour: "#8a8a8a",
                    width: 1.0,
                    opacity: 1.0,
                    dash: Some((2.0, 3.0)),
                },
                clipped: false,
            }));
        }
        for name in self.marks.iter().filter_map(|(_, name)| name.as_ref()) {
            let y = self.top - MARK_ROW * name.row as f64 - 5.0;
            out.shapes.push(Shape::Text(Text {
                text: name.text.to_owned(),
                size: TICK,
                anchor: name.anchor,
                at: (name.x, y),
                angle: 0.0,
                halo: true,
            }));
        }
    }

    /// Draws a series and returns whether it has any finite point.
    fn draw_series(&self, out: &mut Drawing, series: &Series, colour: Colour) -> bool {
        let point = |i: usize| {
            let x = self.at_x(series.x[i])?;
            let upper = match &series.style {
                Style::Band { upper } => self.at_y(upper[i], series.side)?,
                _ => 0.0,
            };
            Some((x, self.at_y(series.y[i], series.side)?, upper))
        };
        let points: Vec<Option<(f64, f64, f64)>> = (0..series.x.len()).map(point).collect();
        let mut drawn = false;
        for run in points.split(Option::is_none) {
            let run: Vec<_> = run.iter().flatten().copied().collect();
            if run.is_empty() {
                continue;
            }
            drawn = true;
            let x: Vec<f64> = run.iter().map(|p| p.0).collect();
            let y: Vec<f64> = run.iter().map(|p| p.1).collect();
            let upper: Vec<f64> = run.iter().map(|p| p.2).collect();
            // Each gap-free run gets its share of the points.
            let buckets = (BUCKETS * run.len() / points.len()).max(1);
            let kept = thin(run.len(), buckets, &[&x, &y, &upper]);
            let line: Vec<Point> = kept.iter().map(|&i| (x[i], y[i])).collect();
            // A line of one point cannot be seen, so it becomes a marker.
            let alone = run.len() == 1;
            match &series.style {
                Style::Band { .. } => {
                    let mut outline = line;
                    outline.extend(kept.iter().rev().map(|&i| (x[i], upper[i])));
                    let band = Path::band(colour, outline).clipped();
                    out.shapes.push(Shape::Path(band));
                }
                Style::Points => self.draw_markers(out, colour, 0.0, &line),
                _ if alone => self.draw_markers(out, colour, 0.0, &line),
                style => {
                    let path = Path::line(colour, style, line.clone()).clipped();
                    out.shapes.push(Shape::Path(path));
                    if *style == Style::LinePoints {
                        self.draw_markers(out, colour, MARKER_GAP, &line);
                    }
                }
            }
        }
        drawn
    }

    /// Draws markers inside the plot, at least `gap` apart.
    fn draw_markers(&self, out: &mut Drawing, colour: Colour, gap: f64, points: &[Point]) {
        let rows = self.top - 0.5..=self.bottom + 0.5;
        let mut last: Option<Point> = None;
        for &(x, y) in points.iter().filter(|(_, y)| rows.contains(y)) {
            if last.is_none_or(|(x0, y0)| (x - x0).hypot(y - y0) >= gap) {
                out.marker(colour, (x, y));
                last = Some((x, y));
            }
        }
    }

    fn draw_axes(&self, out: &mut Drawing) {
        let mut axes = vec![
            (self.left, self.top),
            (self.left, self.bottom),
            (self.right, self.bottom),
        ];
        if self.y_right.is_some() {
            axes.push((self.right, self.top));
        }
        out.frame_lines("axis", "#555555", vec![axes]);
        let middle = (self.top + self.bottom) / 2.0;
        let room = self.bottom - self.top + 40.0;
        self.draw_x_labels(out);
        for (value, label) in labels(&self.y_ticks) {
            if let Some(y) = self.at_y(value, Side::Left) {
                let at = (self.left - 7.0, y + 0.36 * TICK);
                out.text(label, TICK, Anchor::End, at);
            }
        }
        let label = fit(&self.figure.y.label, LABEL, room);
        let at = (BORDER + 0.8 * LABEL, middle);
        out.rotated(&label, LABEL, Anchor::Middle, (at, -90.0));
        if let Some((axis, _, ticks)) = &self.y_right {
            for (value, label) in labels(ticks) {
                if let Some(y) = self.at_y(value, Side::Right) {
                    let at = (self.right + 7.0, y + 0.36 * TICK);
                    out.text(label, TICK, Anchor::Start, at);
                }
            }
            let at = (f64::from(WIDTH) - BORDER - 0.8 * LABEL, middle);
            let label = fit(&axis.label, LABEL, room);
            out.rotated(&label, LABEL, Anchor::Middle, (at, 90.0));
        }
        let under = self.bottom + self.x_labels.height + LABEL + 10.0;
        let label = fit(&self.figure.x.label, LABEL, f64::from(WIDTH) - 2.0 * BORDER);
        let at = ((self.left + self.right) / 2.0, under);
        out.text(&label, LABEL, Anchor::Middle, at);
        for (i, line) in self.note.iter().enumerate() {
            let at = (BORDER, under + NOTE_ROW * (i as f64 + 1.0) + 4.0);
            out.text(line, NOTE, Anchor::Start, at);
        }
    }

    /// Draws the labels of the horizontal axis, side by side or slanted.
    fn draw_x_labels(&self, out: &mut Drawing) {
        let angle = self.x_labels.angle;
        for (value, label) in labels(&self.x_ticks) {
            let Some(x) = self.at_x(value) else { continue };
            if angle == 0.0 {
                let at = (x, self.bottom + TICK + 5.0);
                out.text(label, TICK, Anchor::Middle, at);
            } else {
                let at = (x + 0.4 * TICK, self.bottom + TICK);
                out.rotated(label, TICK, Anchor::End, (at, -angle));
            }
        }
    }
}
