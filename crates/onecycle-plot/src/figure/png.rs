//! Draws the shapes of a figure as a PNG, with the outlines of an embedded font.

use tiny_skia::{
    Color, FillRule, LineJoin, Mask, Paint as Ink, PathBuilder, Pixmap, Rect, Stroke, StrokeDash,
    Transform,
};
use ttf_parser::{Face, GlyphId, OutlineBuilder};

use super::shapes::{Anchor, Drawing, INK, Paint, Path, Shape, Text};
use super::{HEIGHT, PNG_SCALE, WIDTH};
use crate::PlotError;

/// DejaVu Sans 2.37; its licence lies beside it.
static FONT: &[u8] = include_bytes!("../../assets/DejaVuSans.ttf");
/// Width of the white outline around text with a halo.
const HALO: f32 = 4.0;

/// Draws on white. No font of the machine is used, so the same drawing gives the same bytes.
pub(super) fn write(figure: &str, drawing: &Drawing) -> Result<Vec<u8>, PlotError> {
    let failed = |why: String| PlotError::Picture {
        figure: figure.to_owned(),
        why,
    };
    let font = Face::parse(FONT, 0).map_err(|error| failed(error.to_string()))?;
    let size = (WIDTH * PNG_SCALE, HEIGHT * PNG_SCALE);
    let no_memory = || failed("no memory for its pixels".to_owned());
    let mut pixels = Pixmap::new(size.0, size.1).ok_or_else(no_memory)?;
    pixels.fill(Color::WHITE);
    let mut clip = Mask::new(size.0, size.1).ok_or_else(no_memory)?;
    let scale = Transform::from_scale(PNG_SCALE as f32, PNG_SCALE as f32);
    let [(left, top), (right, bottom)] = drawing.clip;
    if let Some(plot) = Rect::from_ltrb(left as f32, top as f32, right as f32, bottom as f32) {
        let plot = PathBuilder::from_rect(plot);
        clip.fill_path(&plot, FillRule::Winding, true, scale);
    }
    for shape in &drawing.shapes {
        match shape {
            Shape::Path(path) => draw_path(&mut pixels, path, scale, &clip),
            Shape::Circle {
                fill,
                centre: (x, y),
                radius,
                ..
            } => {
                let circle = PathBuilder::from_circle(*x as f32, *y as f32, *radius as f32);
                if let Some(circle) = circle {
                    pixels.fill_path(&circle, &ink(fill, 1.0), FillRule::Winding, scale, None);
                }
            }
            Shape::Text(text) => draw_text(&mut pixels, text, scale, &font),
        }
    }
    pixels
        .encode_png()
        .map_err(|error| failed(error.to_string()))
}

fn draw_path(pixels: &mut Pixmap, path: &Path, scale: Transform, clip: &Mask) {
    let clip = path.clipped.then_some(clip);
    let closed = matches!(path.paint, Paint::Fill { .. });
    let mut builder = PathBuilder::new();
    for line in &path.lines {
        for (i, (x, y)) in line.iter().enumerate() {
            let (x, y) = (*x as f32, *y as f32);
            if i == 0 {
                builder.move_to(x, y);
            } else {
                builder.line_to(x, y);
            }
        }
        if closed {
            builder.close();
        }
    }
    let Some(lines) = builder.finish() else {
        return;
    };
    match path.paint {
        Paint::Fill { colour, opacity } => {
            pixels.fill_path(
                &lines,
                &ink(colour, opacity),
                FillRule::Winding,
                scale,
                clip,
            );
        }
        Paint::Stroke {
            colour,
            width,
            opacity,
            dash,
        } => {
            let stroke = Stroke {
                width: width as f32,
                line_join: LineJoin::Round,
                dash: dash
                    .and_then(|(dash, gap)| StrokeDash::new(vec![dash as f32, gap as f32], 0.0)),
                ..Stroke::default()
            };
            pixels.stroke_path(&lines, &ink(colour, opacity), &stroke, scale, clip);
        }
    }
}

fn draw_text(pixels: &mut Pixmap, text: &Text, scale: Transform, font: &Face<'_>) {
    let mut line = Line::new(text.size, font);
    text.text.chars().for_each(|c| line.push(c));
    let shift = match text.anchor {
        Anchor::Start => 0.0,
        Anchor::Middle => -0.5 * line.end,
        Anchor::End => -line.end,
    };
    // Without any ink, as in a blank text, there is no path.
    let Some(path) = line.path.finish() else {
        return;
    };
    let place = scale
        .pre_translate(text.at.0 as f32, text.at.1 as f32)
        .pre_concat(Transform::from_rotate(text.angle as f32))
        .pre_translate(shift, 0.0);
    if text.halo {
        let stroke = Stroke {
            width: HALO,
            line_join: LineJoin::Round,
            ..Stroke::default()
        };
        pixels.stroke_path(&path, &ink("#ffffff", 1.0), &stroke, place, None);
    }
    pixels.fill_path(&path, &ink(INK, 1.0), FillRule::Winding, place, None);
}

/// The outlines of a line of text whose base line begins at the origin.
struct Line<'a> {
    font: &'a Face<'a>,
    /// User units per unit of the font.
    unit: f32,
    /// Where the next glyph begins.
    end: f32,
    last: Option<GlyphId>,
    path: PathBuilder,
}

impl<'a> Line<'a> {
    fn new(size: f64, font: &'a Face<'a>) -> Self {
        Self {
            font,
            unit: size as f32 / f32::from(font.units_per_em()),
            end: 0.0,
            last: None,
            path: PathBuilder::new(),
        }
    }

    /// Appends a character; one that the font lacks becomes its box for missing glyphs.
    fn push(&mut self, c: char) {
        let glyph = self.font.glyph_index(c).unwrap_or(GlyphId(0));
        if let Some(last) = self.last {
            self.end += self.unit * f32::from(self.kerning(last, glyph));
        }
        // The outline's bounding box is not needed.
        let _ = self.font.outline_glyph(glyph, self);
        let advance = self.font.glyph_hor_advance(glyph).unwrap_or(0);
        self.end += self.unit * f32::from(advance);
        self.last = Some(glyph);
    }

    /// By how much the font moves `right` closer to `left` (or away from it).
    fn kerning(&self, left: GlyphId, right: GlyphId) -> i16 {
        let tables = self.font.tables().kern.into_iter();
        let mut tables = tables.flat_map(|kern| kern.subtables);
        tables
            .find_map(|table| table.glyphs_kerning(left, right))
            .unwrap_or(0)
    }

    fn at(&self, x: f32, y: f32) -> (f32, f32) {
        // Fonts count upwards, pictures downwards.
        (self.end + self.unit * x, -self.unit * y)
    }
}

impl OutlineBuilder for Line<'_> {
    fn move_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.at(x, y);
        self.path.move_to(x, y);
    }

    fn line_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.at(x, y);
        self.path.line_to(x, y);
    }

    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        let ((x1, y1), (x, y)) = (self.at(x1, y1), self.at(x, y));
        self.path.quad_to(x1, y1, x, y);
    }

    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        let ((x1, y1), (x2, y2), (x, y)) = (self.at(x1, y1), self.at(x2, y2), self.at(x, y));
        self.path.cubic_to(x1, y1, x2, y2, x, y);
    }

    fn close(&mut self) {
        self.path.close();
    }
}

/// Paint of a colour, given as `#rrggbb`, and an opacity between 0 and 1.
fn ink(colour: &str, opacity: f64) -> Ink<'static> {
    let channel = |at: usize| {
        let digits = colour.get(at..at + 2);
        digits
            .and_then(|digits| u8::from_str_radix(digits, 16).ok())
            .unwrap_or(0)
    };
    let mut ink = Ink::default();
    let alpha = (255.0 * opacity).round() as u8;
    ink.set_color_rgba8(channel(1), channel(3), channel(5), alpha);
    ink
}
