//! What a figure is drawn from: paths, circles and text. [`super::svg`] and [`super::png`] write the
//! same shapes, so both pictures look alike.
//!
//! Every shape carries its paint, so that a file looks right on its own, and a class, by which a
//! page that embeds the SVG can give it other colours.

use super::{Colour, Style};

/// Colour of text.
pub(super) const INK: &str = "#222222";

/// A place in the figure: user units to the right of and below its upper left corner.
pub(super) type Point = (f64, f64);

/// A figure, laid out and ready to be written.
#[derive(Debug, Default)]
pub(super) struct Drawing {
    /// The shapes; later ones cover earlier ones.
    pub(super) shapes: Vec<Shape>,
    /// Upper left and lower right corner of the plot, to which clipped paths are cut.
    pub(super) clip: [Point; 2],
}

/// One element of a drawing.
#[derive(Debug)]
pub(super) enum Shape {
    Path(Path),
    Circle {
        class: String,
        fill: &'static str,
        centre: Point,
        radius: f64,
    },
    Text(Text),
}

/// Straight lines.
#[derive(Debug)]
pub(super) struct Path {
    pub(super) class: String,
    /// Each list is a line of its own.
    pub(super) lines: Vec<Vec<Point>>,
    pub(super) paint: Paint,
    /// Whether the path is cut at the edges of the plot.
    pub(super) clipped: bool,
}

/// How a path is painted.
#[derive(Debug)]
pub(super) enum Paint {
    /// Every line is closed and filled.
    Fill { colour: &'static str, opacity: f64 },
    /// The lines are stroked.
    Stroke {
        colour: &'static str,
        width: f64,
        opacity: f64,
        /// Lengths of dashes and of the gaps between them.
        dash: Option<(f64, f64)>,
    },
}

/// One line of text.
#[derive(Debug)]
pub(super) struct Text {
    pub(super) text: String,
    /// Font size.
    pub(super) size: f64,
    pub(super) anchor: Anchor,
    /// The anchor's place on the base line.
    pub(super) at: Point,
    /// Clockwise rotation about the anchor in degrees.
    pub(super) angle: f64,
    /// Whether a white outline keeps the text legible where lines cross it.
    pub(super) halo: bool,
}

/// The part of a text that stands at its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

impl Drawing {
    /// Adds horizontal text.
    pub(super) fn text(&mut self, text: &str, size: f64, anchor: Anchor, at: Point) {
        self.rotated(text, size, anchor, (at, 0.0));
    }

    /// Adds text that is turned clockwise by `angle` degrees about its anchor.
    pub(super) fn rotated(
        &mut self,
        text: &str,
        size: f64,
        anchor: Anchor,
        (at, angle): (Point, f64),
    ) {
        self.shapes.push(Shape::Text(Text {
            text: text.to_owned(),
            size,
            anchor,
            at,
            angle,
            halo: false,
        }));
    }

    /// Adds thin lines of the figure's frame, such as its grid; nothing without lines.
    pub(super) fn frame_lines(
        &mut self,
        class: &str,
        colour: &'static str,
        lines: Vec<Vec<Point>>,
    ) {
        if !lines.is_empty() {
            self.shapes.push(Shape::Path(Path {
                class: class.to_owned(),
                lines,
                paint: Paint::stroke(colour, 1.0),
                clipped: false,
            }));
        }
    }

    /// Adds a marker. Its shape, too, tells the colours apart.
    pub(super) fn marker(&mut self, colour: Colour, (x, y): Point) {
        let corners: &[Point] = match colour {
            Colour::Vermillion | Colour::Sky => {
                &[(-3.4, -3.4), (3.4, -3.4), (3.4, 3.4), (-3.4, 3.4)]
            }
            Colour::Green | Colour::Black => &[(0.0, -4.6), (4.4, 3.4), (-4.4, 3.4)],
            Colour::Purple => &[(0.0, -4.8), (4.8, 0.0), (0.0, 4.8), (-4.8, 0.0)],
            Colour::Blue | Colour::Orange => {
                self.shapes.push(Shape::Circle {
                    class: area_class(colour),
                    fill: colour.hex(),
                    centre: (x, y),
                    radius: 3.8,
                });
                return;
            }
        };
        let polygon = corners.iter().map(|(dx, dy)| (x + dx, y + dy)).collect();
        self.shapes.push(Shape::Path(Path {
            class: area_class(colour),
            lines: vec![polygon],
            paint: Paint::Fill {
                colour: colour.hex(),
                opacity: 1.0,
            },
            clipped: false,
        }));
    }
}

impl Paint {
    /// A solid stroke.
    pub(super) fn stroke(colour: &'static str, width: f64) -> Self {
        Self::Stroke {
            colour,
            width,
            opacity: 1.0,
            dash: None,
        }
    }
}

impl Path {
    /// The line of a series.
    pub(super) fn line(colour: Colour, style: &Style, line: Vec<Point>) -> Self {
        let (width, opacity, dash) = match style {
            Style::Faint => (1.0, 0.38, None),
            Style::Dashed => (2.0, 1.0, Some((7.0, 4.0))),
            _ => (2.0, 1.0, None),
        };
        Self {
            class: format!("line {}", colour.class()),
            lines: vec![line],
            paint: Paint::Stroke {
                colour: colour.hex(),
                width,
                opacity,
                dash,
            },
            clipped: false,
        }
    }

    /// The area of a band.
    pub(super) fn band(colour: Colour, outline: Vec<Point>) -> Self {
        Self {
            class: area_class(colour),
            lines: vec![outline],
            paint: Paint::Fill {
                colour: colour.hex(),
                opacity: 0.22,
            },
            clipped: false,
        }
    }

    /// The same path, cut at the edges of the plot.
    pub(super) fn clipped(self) -> Self {
        Self {
            clipped: true,
            ..self
        }
    }
}

impl Anchor {
    /// The value of the SVG attribute `text-anchor`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Middle => "middle",
            Self::End => "end",
        }
    }
}

fn area_class(colour: Colour) -> String {
    format!("area {}", colour.class())
}
