//! The picture of a figure as SVG.
//!
//! All that is drawn carries presentation attributes, so that the file looks right on its own, and a
//! class, by which a page that embeds it can give it other colours.

use std::fmt::Write as _;

use super::layout::{BORDER, Frame, LABEL, MARK_ROW, NOTE, NOTE_ROW, TICK, TITLE, labels};
use super::legend::{INK, Legend, band, marker, stroke};
use super::text::{coordinate as c, escape_xml, fit};
use super::thin::thin;
use super::{Colour, Figure, HEIGHT, Series, Side, Style, WIDTH};

/// Least distance between the markers of a line; nearer ones would hide it.
const MARKER_GAP: f64 = 16.0;
/// Parts that long series are thinned to for drawing; about two pixels of the plot each.
const BUCKETS: usize = 300;

/// Draws a figure that was checked.
pub(super) fn draw(figure: &Figure) -> String {
    let colours = figure.colours();
    let legend = Legend::new(figure, &colours, f64::from(WIDTH) - 2.0 * BORDER);
    let frame = Frame::new(figure, legend.height());
    let mut out = String::new();
    // Writing to a String cannot fail, here and below.
    let _ = writeln!(
        out,
        concat!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {w} {h}" width="{w}" height="{h}" "#,
            r#"font-family="sans-serif" role="img" aria-label="{title}">"#,
        ),
        w = WIDTH,
        h = HEIGHT,
        title = escape_xml(&figure.title),
    );
    let _ = writeln!(
        out,
        r##"<rect class="paper" fill="#ffffff" width="{WIDTH}" height="{HEIGHT}"/>"##
    );
    let title = fit(&figure.title, TITLE, f64::from(WIDTH) - 2.0 * BORDER);
    text(&mut out, &title, TITLE, "start", (BORDER, BORDER + TITLE));
    legend.draw(&mut out, BORDER, BORDER + TITLE + 9.0);
    frame.draw_grid(&mut out);
    frame.draw_marks(&mut out);
    let _ = writeln!(
        out,
        r#"<clipPath id="clip-{}"><rect x="{}" y="{}" width="{}" height="{}"/></clipPath>"#,
        figure.name,
        c(frame.left),
        c(frame.top - 1.0),
        c(frame.right - frame.left),
        c(frame.bottom - frame.top + 2.0),
    );
    let below = |series: &Series| matches!(series.style, Style::Faint | Style::Band { .. });
    let mut drawn = false;
    for first in [true, false] {
        for (series, colour) in figure
            .series
            .iter()
            .zip(&colours)
            .filter(|(s, _)| below(s) == first)
        {
            drawn |= frame.draw_series(&mut out, series, *colour);
        }
    }
    if !drawn {
        let middle = (
            (frame.left + frame.right) / 2.0,
            (frame.top + frame.bottom) / 2.0,
        );
        text(&mut out, "no finite value to draw", LABEL, "middle", middle);
    }
    frame.draw_axes(&mut out);
    out.push_str("</svg>\n");
    out
}

impl Frame<'_> {
    fn draw_grid(&self, out: &mut String) {
        let mut path = |class: &str, colour: &str, d: String| {
            if !d.is_empty() {
                let _ = writeln!(
                    out,
                    r#"<path class="{class}" fill="none" stroke="{colour}" d="{d}"/>"#
                );
            }
        };
        for (class, colour, labelled) in [("minor", "#f3f3f3", false), ("grid", "#e2e2e2", true)] {
            let mut d = String::new();
            for tick in self
                .y_ticks
                .iter()
                .filter(|tick| tick.label.is_some() == labelled)
            {
                if let Some(y) = self.at_y(tick.value, Side::Left) {
                    let _ = write!(d, "M{} {}H{}", c(self.left), c(y), c(self.right));
                }
            }
            for tick in self
                .x_ticks
                .iter()
                .filter(|tick| tick.label.is_some() == labelled)
            {
                if let Some(x) = self.at_x(tick.value) {
                    let _ = write!(d, "M{} {}V{}", c(x), c(self.top), c(self.bottom));
                }
            }
            path(class, colour, d);
        }
        if let (Some(place), Some(y)) = (self.y.place(0.0), self.at_y(0.0, Side::Left))
            && (0.0..1.0).contains(&place)
        {
            path(
                "zero",
                "#8a8a8a",
                format!("M{} {}H{}", c(self.left), c(y), c(self.right)),
            );
        }
    }

    fn draw_marks(&self, out: &mut String) {
        for (x, name) in &self.marks {
            let row = name
                .as_ref()
                .map_or(0.0, |name| MARK_ROW * (name.row as f64 + 1.0) - 3.0);
            let _ = writeln!(
                out,
                r##"<path class="mark" fill="none" stroke="#8a8a8a" stroke-dasharray="2 3" d="M{} {}V{}"/>"##,
                c(*x),
                c(self.top - row),
                c(self.bottom),
            );
        }
        // A halo keeps a name legible where another mark's line crosses it.
        let _ = writeln!(
            out,
            r##"<g class="halo" stroke="#ffffff" stroke-width="4" stroke-linejoin="round" paint-order="stroke">"##,
        );
        for name in self.marks.iter().filter_map(|(_, name)| name.as_ref()) {
            let y = self.top - MARK_ROW * name.row as f64 - 5.0;
            text(out, name.text, TICK, name.anchor, (name.x, y));
        }
        out.push_str("</g>\n");
    }

    /// Draws a series and tells whether there was anything to draw.
    fn draw_series(&self, out: &mut String, series: &Series, colour: Colour) -> bool {
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
            let along = |i: &usize| (x[*i], y[*i]);
            let mut path = |attributes: String, d: String| {
                let clip = &self.figure.name;
                let _ = writeln!(
                    out,
                    r#"<path {attributes} clip-path="url(#clip-{clip})" d="{d}"/>"#
                );
            };
            // A line of one point is not seen; a marker is.
            let alone = run.len() == 1;
            match &series.style {
                Style::Band { .. } => {
                    let edge = polyline(kept.iter().map(along));
                    let back = polyline(kept.iter().rev().map(|&i| (x[i], upper[i])));
                    path(band(colour), format!("{edge}L{}Z", &back[1..]));
                }
                Style::Points => self.draw_markers(out, colour, 0.0, kept.iter().map(along)),
                _ if alone => self.draw_markers(out, colour, 0.0, kept.iter().map(along)),
                style => {
                    path(stroke(colour, style), polyline(kept.iter().map(along)));
                    if *style == Style::LinePoints {
                        self.draw_markers(out, colour, MARKER_GAP, kept.iter().map(along));
                    }
                }
            }
        }
        drawn
    }

    /// Draws markers inside of the plot, at least `gap` apart.
    fn draw_markers(
        &self,
        out: &mut String,
        colour: Colour,
        gap: f64,
        points: impl Iterator<Item = (f64, f64)>,
    ) {
        let mut last: Option<(f64, f64)> = None;
        for (x, y) in points.filter(|(_, y)| (self.top - 0.5..=self.bottom + 0.5).contains(y)) {
            if last.is_none_or(|(x0, y0)| (x - x0).hypot(y - y0) >= gap) {
                marker(out, colour, x, y);
                last = Some((x, y));
            }
        }
    }

    fn draw_axes(&self, out: &mut String) {
        let mut d = format!(
            "M{} {}V{}H{}",
            c(self.left),
            c(self.top),
            c(self.bottom),
            c(self.right)
        );
        if self.y_right.is_some() {
            let _ = write!(d, "V{}", c(self.top));
        }
        let _ = writeln!(
            out,
            r##"<path class="axis" fill="none" stroke="#555555" d="{d}"/>"##
        );
        let middle = (self.top + self.bottom) / 2.0;
        let room = self.bottom - self.top + 40.0;
        for (value, label) in labels(&self.x_ticks) {
            if let Some(x) = self.at_x(value) {
                text(out, label, TICK, "middle", (x, self.bottom + TICK + 5.0));
            }
        }
        for (value, label) in labels(&self.y_ticks) {
            if let Some(y) = self.at_y(value, Side::Left) {
                text(out, label, TICK, "end", (self.left - 7.0, y + 0.36 * TICK));
            }
        }
        rotated(
            out,
            &fit(&self.figure.y.label, LABEL, room),
            -90,
            (BORDER + 0.8 * LABEL, middle),
        );
        if let Some((axis, _, ticks)) = &self.y_right {
            for (value, label) in labels(ticks) {
                if let Some(y) = self.at_y(value, Side::Right) {
                    text(
                        out,
                        label,
                        TICK,
                        "start",
                        (self.right + 7.0, y + 0.36 * TICK),
                    );
                }
            }
            let x = f64::from(WIDTH) - BORDER - 0.8 * LABEL;
            rotated(out, &fit(&axis.label, LABEL, room), 90, (x, middle));
        }
        let under = self.bottom + TICK + LABEL + 10.0;
        let x_label = fit(&self.figure.x.label, LABEL, f64::from(WIDTH) - 2.0 * BORDER);
        text(
            out,
            &x_label,
            LABEL,
            "middle",
            ((self.left + self.right) / 2.0, under),
        );
        for (i, line) in self.note.iter().enumerate() {
            text(
                out,
                line,
                NOTE,
                "start",
                (BORDER, under + NOTE_ROW * (i as f64 + 1.0) + 4.0),
            );
        }
    }
}

fn polyline(points: impl Iterator<Item = (f64, f64)>) -> String {
    let mut d = String::new();
    for (i, (x, y)) in points.enumerate() {
        let _ = write!(d, "{}{} {}", if i == 0 { "M" } else { "L" }, c(x), c(y));
    }
    d
}

fn text(out: &mut String, text: &str, size: f64, anchor: &str, (x, y): (f64, f64)) {
    let _ = writeln!(
        out,
        r#"<text class="ink" fill="{INK}" font-size="{size}" text-anchor="{anchor}" x="{}" y="{}">{}</text>"#,
        c(x),
        c(y),
        escape_xml(text),
    );
}

/// Text around the point (`x`, `y`), turned.
fn rotated(out: &mut String, text: &str, angle: i32, (x, y): (f64, f64)) {
    let (x, y) = (c(x), c(y));
    let _ = writeln!(
        out,
        concat!(
            r#"<text class="ink" fill="{ink}" font-size="{size}" text-anchor="middle" "#,
            r#"transform="translate({x} {y}) rotate({angle})">{text}</text>"#,
        ),
        ink = INK,
        size = LABEL,
        x = x,
        y = y,
        angle = angle,
        text = escape_xml(text),
    );
}
