//! Writes the shapes of a figure as SVG.

use std::fmt::Write as _;

use super::shapes::{Drawing, INK, Paint, Path, Point, Shape, Text};
use super::text::{coordinate as c, escape_xml};
use super::{Figure, HEIGHT, WIDTH};

/// The SVG document of a figure's drawing.
pub(super) fn write(figure: &Figure, drawing: &Drawing) -> String {
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
    let [(left, top), (right, bottom)] = drawing.clip;
    let _ = writeln!(
        out,
        r#"<clipPath id="clip-{}"><rect x="{}" y="{}" width="{}" height="{}"/></clipPath>"#,
        figure.name,
        c(left),
        c(top),
        c(right - left),
        c(bottom - top),
    );
    for shape in &drawing.shapes {
        match shape {
            Shape::Path(shape) => path(&mut out, &figure.name, shape),
            Shape::Circle {
                class,
                fill,
                centre: (x, y),
                radius,
            } => {
                let _ = writeln!(
                    out,
                    r#"<circle class="{class}" fill="{fill}" cx="{}" cy="{}" r="{radius}"/>"#,
                    c(*x),
                    c(*y),
                );
            }
            Shape::Text(shape) => text(&mut out, shape),
        }
    }
    out.push_str("</svg>\n");
    out
}

fn path(out: &mut String, figure: &str, path: &Path) {
    let _ = write!(out, r#"<path class="{}""#, path.class);
    let mut closed = false;
    match &path.paint {
        Paint::Fill { colour, opacity } => {
            closed = true;
            let _ = write!(out, r#" fill="{colour}""#);
            if *opacity < 1.0 {
                let _ = write!(out, r#" fill-opacity="{opacity}""#);
            }
        }
        Paint::Stroke {
            colour,
            width,
            opacity,
            dash,
        } => {
            let _ = write!(out, r#" fill="none" stroke="{colour}""#);
            if *width != 1.0 {
                let _ = write!(out, r#" stroke-width="{width}" stroke-linejoin="round""#);
            }
            if *opacity < 1.0 {
                let _ = write!(out, r#" stroke-opacity="{opacity}""#);
            }
            if let Some((dash, gap)) = dash {
                let _ = write!(out, r#" stroke-dasharray="{dash} {gap}""#);
            }
        }
    }
    if path.clipped {
        let _ = write!(out, r#" clip-path="url(#clip-{figure})""#);
    }
    out.push_str(r#" d=""#);
    for line in &path.lines {
        polyline(out, line);
        if closed {
            out.push('Z');
        }
    }
    out.push_str("\"/>\n");
}

/// A line as path commands; `H` and `V` keep the many straight lines of a grid short.
fn polyline(out: &mut String, points: &[Point]) {
    let mut last: Option<(String, String)> = None;
    for (x, y) in points {
        let (x, y) = (c(*x), c(*y));
        let _ = match &last {
            None => write!(out, "M{x} {y}"),
            Some((_, y0)) if *y0 == y => write!(out, "H{x}"),
            Some((x0, _)) if *x0 == x => write!(out, "V{y}"),
            Some(_) => write!(out, "L{x} {y}"),
        };
        last = Some((x, y));
    }
}

fn text(out: &mut String, text: &Text) {
    if text.halo {
        out.push_str(concat!(
            r##"<g class="halo" stroke="#ffffff" stroke-width="4" stroke-linejoin="round" "##,
            r#"paint-order="stroke">"#,
        ));
    }
    let (x, y) = (c(text.at.0), c(text.at.1));
    let place = match text.angle {
        0.0 => format!(r#"x="{x}" y="{y}""#),
        angle => format!(r#"transform="translate({x} {y}) rotate({angle})""#),
    };
    let _ = write!(
        out,
        r#"<text class="ink" fill="{INK}" font-size="{}" text-anchor="{}" {place}>{}</text>"#,
        text.size,
        text.anchor.name(),
        escape_xml(&text.text),
    );
    out.push_str(if text.halo { "</g>\n" } else { "\n" });
}
